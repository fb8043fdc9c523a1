"""What can be compared between images of different light: each image's own stretch, and its local contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILES = (1.0, 99.0)
FLATTEST = 0.02
"""Contrast below this part of the stretch is not made stronger: it is noise."""
LARGEST = 4.0
"""Local contrast is cut at so many spreads."""


def stretch_limits(image: NDArray[np.float32]) -> list[tuple[float, float]]:
    """For each band of an image (C, H, W) the numbers that become 0 and 1: its 1st and 99th percentile."""
    found = []
    for band in image:
        seen = band[np.isfinite(band)]
        low, high = (float(edge) for edge in np.percentile(seen, PERCENTILES)) if seen.size else (0.0, 1.0)
        found.append((low, max(high, low + 1e-3)))
    return found


def contrast_bands(bands: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the channels of `contrast`."""
    return tuple(f"{band}_{what}" for band in bands for what in ("stretched", "local"))


def contrast(image: NDArray[np.float32], limits: list[tuple[float, float]], *, radius: float) -> NDArray[np.float32]:
    """Each band stretched and in units of its own spread, and beside it its local contrast.

    Args:
        image: (C, H, W) float32, NaN where nothing was seen.
        limits: from `stretch_limits`, of the whole image.
        radius: pixels within which mean and spread are made equal.

    Returns:
        (2C, H, W) float32; 0 where nothing was seen.
    """
    import cv2

    channels = []
    for band, (low, high) in zip(image, limits, strict=True):
        seen = np.isfinite(band)
        unit = np.clip((np.nan_to_num(band) - low) / (high - low), 0, 1).astype(np.float32)
        middle = float(unit[seen].mean()) if seen.any() else 0.0
        unit = np.where(seen, unit, np.float32(middle))
        spread = float(unit[seen].std()) if seen.any() else 0.0
        near = cv2.GaussianBlur(unit, (0, 0), radius / 2)
        variance = np.maximum(cv2.GaussianBlur(unit * unit, (0, 0), radius / 2) - near * near, 0)
        local = np.clip((unit - near) / np.sqrt(variance + FLATTEST**2), -LARGEST, LARGEST)
        channels += [(unit - middle) / (spread + 1e-3), local]
    found = np.stack(channels).astype(np.float32)
    found[:, ~np.isfinite(image).all(axis=0)] = 0
    return found
