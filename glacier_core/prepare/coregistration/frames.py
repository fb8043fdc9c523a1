"""A frame made ready for comparison: logarithm, high-pass, unseen pixels at the local mean.

The light on a slope multiplies what it reflects, so in the logarithm a change of light is added, and where it changes
slowly the high-pass takes it away. Unseen pixels take no part in the local mean and end up at it, zero, with
the image fading towards them, so that the outline of a mask is no feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError

Number = TypeVar("Number", np.float32, np.uint8)

HIGH_PASS_PX = 11
"""Width of the box whose (twice applied) mean is taken away."""

FADE_PX = 9
"""Width of the box over which the image fades in at the edge of what is seen."""

CLIP = 3.0
"""Edges of clouds and shadows stand out by many standard deviations; beyond this many they are cut off."""

COARSE_SIDE = 512
"""The overview's longer side has at most this many pixels."""


@dataclass(frozen=True)
class PreparedFrame:
    """One frame, its mask, and its overview."""

    pixels: NDArray[np.float32]
    """(y, x), as it came, 0 where nothing is seen."""
    seen: NDArray[np.uint8]
    """(y, x), 1 where the ground is seen."""
    offset: float
    """What is added before the logarithm, so that it is defined and its contrast is even."""
    factor: int
    """Pixels of the frame in one of the overview, along each axis."""
    overview: NDArray[np.float32]
    """(y // factor, x // factor): the reduced log high-pass image, faded at the edges of the mask."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def seen_part(self) -> float:
        """Share of the frame that is seen."""
        return float(cv2.countNonZero(self.seen)) / self.seen.size


def prepare_frame(image: NDArray[np.float32], seen: NDArray[np.bool_] | None) -> PreparedFrame:
    """Mask and overview of a frame.

    Args:
        image: (y, x), any unit, NaN where nothing was seen.
        seen: (y, x), false where clouds, or ice that moves, are to be left out.

    Raises:
        DataError: the image is not (y, x), or the mask has another shape.
    """
    if image.ndim != 2 or image.size == 0:
        raise DataError(f"a frame to co-register has the shape {image.shape}", expected="one band, (y, x)")
    if seen is not None and seen.shape != image.shape:
        raise DataError(f"a mask of the shape {seen.shape} came with a frame of {image.shape}", expected="equal shapes")
    pixels = np.array(image, dtype=np.float32, order="C")
    visible = np.isfinite(pixels)
    if not visible.all():
        pixels[~visible] = 0
    if seen is not None:
        visible &= np.asarray(seen, dtype=bool)
    mask = visible.view(np.uint8)
    factor = max(1, -(-max(pixels.shape) // COARSE_SIDE))
    offset = _offset(pixels[:: 2 * factor, :: 2 * factor], visible[:: 2 * factor, :: 2 * factor])
    small, small_seen = _reduced(pixels, mask, factor)
    return PreparedFrame(
        pixels=pixels,
        seen=mask,
        offset=offset,
        factor=factor,
        overview=high_pass(small, small_seen, offset=offset),
    )


def high_pass(pixels: NDArray[np.float32], seen: NDArray[np.uint8], *, offset: float) -> NDArray[np.float32]:
    """The log high-pass image of a window, in units of its own robust spread, 0 where nothing is seen.

    Args:
        pixels: (y, x).
        seen: (y, x), 1 where the pixel counts.
        offset: see `PreparedFrame.offset`.
    """
    logarithm: NDArray[np.float32] = np.log(np.maximum(pixels + np.float32(offset), np.float32(1e-6)))
    weight = seen.astype(np.float32)
    whole = bool(seen.all())
    if whole:
        detail = logarithm - _twice(logarithm, HIGH_PASS_PX)
    else:
        # the mean over what is seen alone: normalised convolution, Knutsson and Westin 1993,
        # doi:10.1109/CVPR.1993.341081
        level = float(logarithm[seen > 0].mean()) if seen.any() else 0.0
        around = _twice((logarithm - level) * weight, HIGH_PASS_PX) / np.maximum(_twice(weight, HIGH_PASS_PX), 1e-3)
        detail = (logarithm - level - around) * weight
    spread = _spread(detail, seen)
    if spread <= 0:
        return np.zeros_like(detail)
    np.clip(detail / np.float32(spread), -CLIP, CLIP, out=detail)
    if not whole:
        detail *= np.clip(2 * _twice(weight, FADE_PX) - 1, 0, 1)
    return detail


def window_of(frame: PreparedFrame, top: int, left: int, side: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The high-pass image (side, side) of a window and what of it is seen; what lies outside the frame is unseen."""
    pixels, seen = cropped(frame.pixels, top, left, side), cropped(frame.seen, top, left, side)
    return high_pass(pixels, seen, offset=frame.offset), seen


def cropped(array: NDArray[Number], top: int, left: int, side: int) -> NDArray[Number]:
    """The window (side, side) of an array, 0 outside of it."""
    rows, columns = array.shape
    if top >= 0 and left >= 0 and top + side <= rows and left + side <= columns:
        return array[top : top + side, left : left + side]
    window = np.zeros((side, side), dtype=array.dtype)
    above, before = max(0, -top), max(0, -left)
    inside = array[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    window[above : above + inside.shape[0], before : before + inside.shape[1]] = inside
    return window


def _offset(sample: NDArray[np.float32], visible: NDArray[np.bool_]) -> float:
    """Enough that the darkest pixels stay clear of zero, where the logarithm would stretch their noise."""
    values = sample[visible]
    if values.size < 16:
        return 1.0
    low, middle, high = (float(value) for value in np.percentile(values, (0.5, 50, 99.5)))
    # numbers that go below zero (decibels, indices) have no ratio: a wide offset makes the logarithm nearly linear
    return max(0.0, 0.1 * (middle - low) - low, 0.5 * (high - low) - low if low < 0 else 0.0) + 1e-6


def _reduced(
    pixels: NDArray[np.float32], seen: NDArray[np.uint8], factor: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Mean over blocks of what is seen in them; a block counts where at least half of it is seen."""
    if factor == 1:
        return pixels, seen
    rows, columns = pixels.shape[0] // factor, pixels.shape[1] // factor
    size = (columns, rows)
    inner, inner_seen = pixels[: rows * factor, : columns * factor], seen[: rows * factor, : columns * factor]
    if inner_seen.all():
        mean = np.asarray(cv2.resize(inner, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
        return mean, np.ones((rows, columns), np.uint8)
    weight = inner_seen.astype(np.float32)
    share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(inner * weight, size, interpolation=cv2.INTER_AREA)
    return (total / np.maximum(share, 1e-3)).astype(np.float32), (share >= 0.5).astype(np.uint8)


def _twice(array: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    once = cv2.blur(array, (width, width), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(cv2.blur(once, (width, width), borderType=cv2.BORDER_REFLECT_101))


def _spread(detail: NDArray[np.float32], seen: NDArray[np.uint8]) -> float:
    """1.4826 times the median absolute value, from every third pixel."""
    values = np.abs(detail[::3, ::3][seen[::3, ::3] > 0])
    if values.size < 16:
        return 0.0
    middle = float(np.median(values)) * 1.4826
    # an image that is constant but for rounding shows nothing; one that is constant but for a few features shows those
    return middle if middle > 1e-5 else float(values.std()) if float(values.std()) > 1e-5 else 0.0
