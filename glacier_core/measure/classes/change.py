"""Areas of classes, and what became of what between two class maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import IGNORED
from glacier_core.errors import DataError
from glacier_core.recipes.classes import MOST_CLASSES


def class_areas(codes: NDArray[np.uint8], pixel_area: NDArray[np.float64], *, classes: int) -> list[float]:
    """Area of each class; pixels that are 255 belong to none.

    Args:
        codes: (y, x) numbers of classes.
        pixel_area: (y, x) or (y, 1), in km² (from `pixel_areas`).
        classes: number of classes.

    Returns:
        km² a class.
    """
    area = np.broadcast_to(pixel_area, codes.shape)
    known = codes != IGNORED
    return [float(total) for total in np.bincount(codes[known], weights=area[known], minlength=classes)[:classes]]


def transition_areas(
    before: NDArray[np.uint8], after: NDArray[np.uint8], pixel_area: NDArray[np.float64], *, classes: int
) -> NDArray[np.float64]:
    """Area by class before (rows) and class after (columns), where both are known.

    Args:
        before: (y, x) numbers of classes, 255 unknown.
        after: (y, x), likewise.
        pixel_area: (y, x) or (y, 1), in km².
        classes: number of classes.

    Returns:
        (classes, classes) km²; what stayed stands on the diagonal.

    Raises:
        DataError: the maps differ in shape.
    """
    if before.shape != after.shape:
        raise DataError(f"the maps have the shapes {before.shape} and {after.shape}", expected="one shape")
    area = np.broadcast_to(pixel_area, before.shape)
    known = (before != IGNORED) & (after != IGNORED)
    pairs = before[known].astype(np.int64) * classes + after[known]
    found = np.bincount(pairs, weights=area[known], minlength=classes**2)
    return np.asarray(found.reshape(classes, classes), dtype=np.float64)


def change_codes(before: NDArray[np.uint8], after: NDArray[np.uint8], *, classes: int) -> NDArray[np.uint8]:
    """The map of change: class before times the number of classes, plus class after; 255 where one is unknown.

    Args:
        before: (y, x) numbers of classes, 255 unknown.
        after: (y, x), likewise.
        classes: number of classes, at most 15.

    Raises:
        DataError: there are too many classes for one byte.
    """
    if classes > MOST_CLASSES:
        raise DataError(f"{classes} classes", expected=f"at most {MOST_CLASSES} for a map of change")
    known = (before != IGNORED) & (after != IGNORED)
    code = before.astype(np.int64) * classes + after
    return np.where(known, code, IGNORED).astype(np.uint8)
