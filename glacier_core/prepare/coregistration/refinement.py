"""The shift of a window refined by the enhanced correlation coefficient (ECC).

Evangelidis and Psarakis 2008, doi:10.1109/TPAMI.2008.113. By itself ECC converges to a wrong place without saying so
once clouds or light differ; started beside the right one, on high-pass images, over pixels that both frames show and
that do look alike, it is the most precise. Whether it went astray is judged elsewhere, by what it did not see.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

STEPS = 12
"""ECC stops after this many iterations, or when the correlation changes by less than `CHANGE`."""

CHANGE = 1e-5

SMOOTHING_PX = 1.0
"""Standard deviation of the blur before ECC: it interpolates linearly, which a rough image would turn into bias."""

ALIKE_PX = 21
"""Width of the box in which two windows are compared to find what clouds cover."""

ALIKE_PART = 0.92
"""Pixels around which the windows correlate less than this part of the best fifth show something else: a thin
cloud's edge, a shadow that moved. What is left of them biases the shift more than the pixels are worth."""

ALIKE_LEAST = 0.2
"""And so do, whatever the best, pixels around which they correlate less than this."""

LEAST_PIXELS = 400
"""ECC needs at least this many pixels; a window that has fewer gives no shift."""


@dataclass(frozen=True)
class Refined:
    """The shift of one window by ECC."""

    dx: float
    """Columns that the second window has to move to the right to lie on the first."""
    dy: float
    """Rows that it has to move down."""
    correlation: float
    """Correlation of the two windows over the pixels used, once aligned."""


def refine(
    first: NDArray[np.float32],
    first_seen: NDArray[np.uint8],
    second: NDArray[np.float32],
    second_seen: NDArray[np.uint8],
    *,
    start: tuple[float, float],
) -> Refined | None:
    """The shift near `start` (dx, dy) that makes two high-pass windows correlate best; None where ECC finds none."""
    steady, moving = (np.asarray(cv2.GaussianBlur(one, (0, 0), SMOOTHING_PX), np.float32) for one in (first, second))
    matrix = np.array([[1, 0, -start[0]], [0, 1, -start[1]]], dtype=np.float32)
    used = first_seen & alike(steady, first_seen, moving, second_seen, matrix)
    if cv2.countNonZero(used) < LEAST_PIXELS:
        return None
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, STEPS, CHANGE)
    try:
        correlation, found = cv2.findTransformECCWithMask(
            steady, moving, used, second_seen, matrix, cv2.MOTION_TRANSLATION, criteria, 1
        )
    except cv2.error:
        # it says so where the windows do not correlate at all
        return None
    dx, dy = -float(found[0, 2]), -float(found[1, 2])
    if not np.isfinite([dx, dy, correlation]).all():
        return None
    return Refined(dx=dx, dy=dy, correlation=float(correlation))


def alike(
    first: NDArray[np.float32],
    first_seen: NDArray[np.uint8],
    second: NDArray[np.float32],
    second_seen: NDArray[np.uint8],
    matrix: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """1 where the windows, the second one warped by `matrix` (first → second coordinates), look alike."""
    size = (first.shape[1], first.shape[0])
    warped = cv2.warpAffine(second, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    moved_seen = cv2.warpAffine(second_seen, matrix, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    there = first_seen & np.asarray(moved_seen, dtype=np.uint8)
    weight = there.astype(np.float32)
    one, two = first * weight, warped * weight
    # both have no local mean: they are high-pass images
    product, own, other = _mean(one * two), _mean(one * one), _mean(two * two)
    correlation = product / np.sqrt(own * other + 1e-12)
    sample = correlation[::4, ::4][there[::4, ::4] > 0]
    best = float(np.percentile(sample, 80)) if sample.size else 1.0
    return np.asarray((correlation > max(ALIKE_LEAST, ALIKE_PART * best)) & (there > 0)).astype(np.uint8)


def _mean(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.blur(array, (ALIKE_PX, ALIKE_PX)))
