"""From scenes to the image that models see.

Calibration, masks, indices, terrain, topographic correction, resampling, co-registration, composites, normalisation.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from glacier_core.prepare.calibration import LandsatCalibration
from glacier_core.prepare.clouds import clear_mask
from glacier_core.prepare.composites import monthly_images, yearly_image
from glacier_core.prepare.indices import INDICES, ndsi, spectral_index
from glacier_core.prepare.normalisation import Normalisation, fit_normalisation
from glacier_core.prepare.resampling import resample, resample_classes, resample_cube
from glacier_core.prepare.sun import Sun
from glacier_core.prepare.terrain import aspect_deg, cast_shadow, illumination, slope_deg, terrain_gradient
from glacier_core.prepare.topography import TopographicCorrection, c_correction

if TYPE_CHECKING:
    from glacier_core.prepare.coregistration import Alignment, align_pair, align_series, warp_to_reference

__all__ = [
    "INDICES",
    "Alignment",
    "LandsatCalibration",
    "Normalisation",
    "Sun",
    "TopographicCorrection",
    "align_pair",
    "align_series",
    "aspect_deg",
    "c_correction",
    "cast_shadow",
    "clear_mask",
    "fit_normalisation",
    "illumination",
    "monthly_images",
    "ndsi",
    "resample",
    "resample_classes",
    "resample_cube",
    "slope_deg",
    "spectral_index",
    "terrain_gradient",
    "warp_to_reference",
    "yearly_image",
]


def __getattr__(name: str) -> Any:
    """Co-registration brings OpenCV and scipy along, which models and training can do without."""
    if name in ("Alignment", "align_pair", "align_series", "warp_to_reference"):
        return getattr(importlib.import_module("glacier_core.prepare.coregistration"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
