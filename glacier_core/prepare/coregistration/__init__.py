"""Co-registration of a time series: each frame's shift, its residual, and a verdict that is not the optimiser's."""

from __future__ import annotations

from glacier_core.prepare.coregistration.alignment import Alignment
from glacier_core.prepare.coregistration.pairs import align_pair
from glacier_core.prepare.coregistration.series import align_series
from glacier_core.prepare.coregistration.warping import warp_to_reference

__all__ = ["Alignment", "align_pair", "align_series", "warp_to_reference"]
