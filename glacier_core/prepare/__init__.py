"""From scenes to the image that models see: masks, composites, indices, normalisation."""

from __future__ import annotations

from glacier_core.prepare.clouds import clear_mask
from glacier_core.prepare.composites import yearly_image
from glacier_core.prepare.indices import ndsi
from glacier_core.prepare.normalisation import Normalisation, fit_normalisation

__all__ = ["Normalisation", "clear_mask", "fit_normalisation", "ndsi", "yearly_image"]
