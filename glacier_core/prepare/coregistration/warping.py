"""A frame resampled to the reference's pixels, once, with what is known warped beside it.

Cubic convolution with a = -0.5 (Keys 1981, doi:10.1109/TASSP.1981.1163711): it reproduces second-degree surfaces, keeps
far more of the finest detail than bilinear interpolation, and reaches over four pixels, where Lanczos' six or eight
would lose a wider rim around each gap and ring along the borders of ice. Beside a gap, where four pixels are not known
but two are, it is bilinear. A pixel that would need an unknown one is unknown: NaN is never blended in and nothing is
made up.

OpenCV's own cubic interpolation is not used: it rounds positions to 1/32 pixel, and its a = -0.75 does not reproduce
a slope.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError
from glacier_core.prepare.coregistration.alignment import Alignment, square

ROUNDING_PX = 1e-6
"""Shifts this near to a whole number of pixels are that number: pixels are moved, not computed."""

ROWS_AT_ONCE = 512
"""Rows of the result that an affine warp computes at a time, to keep its memory small."""


def warp_to_reference(image: NDArray[np.float32], alignment: Alignment) -> NDArray[np.float32]:
    """The image on the pixels of the reference.

    Args:
        image: (band, y, x) or (y, x), NaN where nothing is known; each band has gaps of its own.
        alignment: what `align_pair` or `align_series` found for this frame.

    Returns:
        The same shape, float32, NaN where nothing is known.

    Raises:
        DataError: the frame was refused, or the image is no image.
    """
    if not alignment.usable:
        raise DataError(
            f"a refused frame is to be warped ({alignment.reason})", expected="an aligned one", do="leave it out"
        )
    if image.ndim not in (2, 3):
        raise DataError(f"an image to warp has the shape {image.shape}", expected="(band, y, x) or (y, x)")
    bands = image.reshape(-1, *image.shape[-2:]).astype(np.float32, copy=False)
    matrix = square(alignment.matrix)
    if np.array_equal(matrix[:2, :2], np.eye(2)):
        warped = [_shifted(band, float(matrix[0, 2]), float(matrix[1, 2])) for band in bands]
    else:
        warped = [_mapped(band, np.linalg.inv(matrix)) for band in bands]
    return np.stack(warped).reshape(image.shape) if warped else image.copy()


def _shifted(band: NDArray[np.float32], dx: float, dy: float) -> NDArray[np.float32]:
    """The band moved by (dx, dy): whole pixels by copying, the rest of a pixel by a separable kernel."""
    known = np.isfinite(band)
    filled = np.where(known, band, np.float32(0))
    (whole_x, part_x), (whole_y, part_y) = _split(dx), _split(dy)
    smooth = _filtered(filled, _cubic(part_x), _cubic(part_y))
    plain = _filtered(filled, _linear(part_x), _linear(part_y))
    cubic_known = _all_known(known, _cubic(part_x), _cubic(part_y))
    linear_known = _all_known(known, _linear(part_x), _linear(part_y))
    found = np.where(cubic_known, smooth, np.where(linear_known, plain, np.float32(np.nan)))
    return _moved(found.astype(np.float32, copy=False), whole_x, whole_y)


def _split(shift: float) -> tuple[int, float]:
    """Whole pixels, and the part of a pixel from 0 to 1 that is left."""
    if abs(shift - round(shift)) < ROUNDING_PX:
        return round(shift), 0.0
    return int(np.floor(shift)), float(shift - np.floor(shift))


def _cubic(part: float) -> NDArray[np.float64]:
    """Weights of the pixels 2 before … 2 after for a move by `part` of a pixel."""
    return _keys(np.arange(-2, 3) + part)


def _linear(part: float) -> NDArray[np.float64]:
    return np.array([0.0, part, 1 - part, 0.0, 0.0])


def _keys(distance: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    far = np.abs(distance)
    inner = (1.5 * far - 2.5) * far**2 + 1
    outer = ((-0.5 * far + 2.5) * far - 4) * far + 2
    weights = np.where(far < 1, inner, np.where(far < 2, outer, 0.0))
    # what rounding leaves beside whole pixels is no weight: it must not draw in an unknown pixel
    return np.where(np.abs(weights) < 1e-12, 0.0, weights)


def _filtered(
    filled: NDArray[np.float32], across: NDArray[np.float64], down: NDArray[np.float64]
) -> NDArray[np.float32]:
    return np.asarray(cv2.sepFilter2D(filled, cv2.CV_32F, across, down, borderType=cv2.BORDER_CONSTANT))


def _all_known(known: NDArray[np.bool_], across: NDArray[np.float64], down: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where every pixel with a weight is known; beyond the frame nothing is."""
    needed = np.outer(down != 0, across != 0).astype(np.uint8)
    eroded = cv2.erode(known.view(np.uint8), needed, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(eroded > 0)


def _moved(band: NDArray[np.float32], dx: int, dy: int) -> NDArray[np.float32]:
    rows, columns = band.shape
    moved = np.full_like(band, np.nan)
    if abs(dx) >= columns or abs(dy) >= rows:
        return moved
    moved[max(0, dy) : rows + min(0, dy), max(0, dx) : columns + min(0, dx)] = band[
        max(0, -dy) : rows + min(0, -dy), max(0, -dx) : columns + min(0, -dx)
    ]
    return moved


def _mapped(band: NDArray[np.float32], inverse: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The band under an affine map, given the (3, 3) matrix from the reference's coordinates to the band's."""
    rows, columns = band.shape
    x = np.arange(columns, dtype=np.float64)[None]
    warped = np.empty_like(band)
    for top in range(0, rows, ROWS_AT_ONCE):
        y = np.arange(top, min(top + ROWS_AT_ONCE, rows), dtype=np.float64)[:, None]
        at_x, at_y = (inverse[axis, 0] * x + inverse[axis, 1] * y + inverse[axis, 2] for axis in (0, 1))
        warped[top : top + ROWS_AT_ONCE] = _interpolated(band, at_x, at_y)
    return warped


def _interpolated(
    band: NDArray[np.float32], at_x: NDArray[np.float64], at_y: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The band at positions given as two (y, x) arrays: cubic where all neighbours are known, else linear, else NaN."""
    (column, part_x), (row, part_y) = _whole_and_part(at_x), _whole_and_part(at_y)
    cubic = np.zeros(at_x.shape)
    linear = np.zeros(at_x.shape)
    for down in range(-1, 3):
        cubic_y, linear_y = _keys(down - part_y), np.maximum(0, 1 - np.abs(down - part_y))
        for across in range(-1, 3):
            pixel = cv2.remap(
                band, column + across, row + down, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan
            ).astype(np.float64)
            weight = cubic_y * _keys(across - part_x)
            # an unknown pixel without weight is not needed, and nan · 0 would still be nan
            cubic += np.where(weight == 0, 0.0, weight * pixel)
            if 0 <= down <= 1 and 0 <= across <= 1:
                weight = linear_y * np.maximum(0, 1 - np.abs(across - part_x))
                linear += np.where(weight == 0, 0.0, weight * pixel)
    return np.where(np.isnan(cubic), linear, cubic).astype(np.float32)


def _whole_and_part(position: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    near = np.round(position)
    position = np.where(np.abs(position - near) < ROUNDING_PX, near, position)
    whole = np.floor(position)
    return whole.astype(np.float32), position - whole
