"""Spectral indices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ndsi(green: NDArray[np.float32], swir: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalised-difference snow index, (green - swir) / (green + swir).

    Hall, Riggs and Salomonson 1995, doi:10.1016/0034-4257(95)00137-P.

    Args:
        green: reflectance near 0.56 µm, any shape.
        swir: reflectance near 1.6 µm, the same shape.

    Returns:
        From -1 to 1; NaN where either band is NaN or their sum is not positive. Reflectance below zero counts as zero.
    """
    bright, dark = np.maximum(green, np.float32(0)), np.maximum(swir, np.float32(0))
    total = bright + dark
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, (bright - dark) / total, np.float32(np.nan)).astype(np.float32)
