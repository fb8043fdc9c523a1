"""Classes of pixels as numbers: from outlines, from rasters of classes, from masks. 255 stands for unlabelled."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import IGNORED
from glacier_core.errors import ConfigurationError, DataError
from glacier_core.grids import Grid
from glacier_core.labels.masks import rasterize

if TYPE_CHECKING:
    from geopandas import GeoDataFrame


def classes_of_outlines(outlines: GeoDataFrame, grid: Grid, *, inside: int, outside: int = 0) -> NDArray[np.uint8]:
    """One class inside the outlines, another one everywhere else.

    Args:
        outlines: polygons in any CRS; all of them count as one.
        grid: the pixels.
        inside: number of the class inside.
        outside: number of the class outside.

    Returns:
        (y, x).

    Raises:
        ConfigurationError: the outlines have no CRS.
    """
    return np.where(rasterize(outlines, grid), np.uint8(inside), np.uint8(outside))


def classes_of_mask(mask: NDArray[np.uint8], *, inside: int, outside: int = 0) -> NDArray[np.uint8]:
    """One class where a mask is 1, another where it is 0, unlabelled where it is anything else.

    Args:
        mask: (y, x): 1 yes, 0 no, 255 unknown.
        inside: number of the class where it is 1.
        outside: number of the class where it is 0.
    """
    return np.select([mask == 1, mask == 0], [np.uint8(inside), np.uint8(outside)], np.uint8(IGNORED)).astype(np.uint8)


def classes_of_numbers(
    numbers: NDArray[np.floating] | NDArray[np.integer], ids: Mapping[int, int]
) -> NDArray[np.uint8]:
    """A raster's own numbers as numbers of classes; what is not listed is unlabelled.

    Args:
        numbers: any shape.
        ids: number in the raster -> number of the class.
    """
    found = np.full(numbers.shape, IGNORED, dtype=np.uint8)
    for number, class_id in ids.items():
        found[numbers == number] = class_id
    return found


def read_class_raster(path: Path, grid: Grid, *, ids: Mapping[int, int]) -> NDArray[np.uint8]:
    """A file of classes on a grid: by its coordinates where both have them, else pixel by pixel.

    Args:
        path: an image whose first band holds the classes' numbers.
        grid: the pixels.
        ids: number in the file -> number of the class.

    Returns:
        (y, x), unlabelled beyond the file.

    Raises:
        ConfigurationError: there is no such file, or it holds none of the numbers.
        DataError: neither coordinates nor size relate it to the grid.
        SceneError: it cannot be read.
    """
    from glacier_core.prepare.resampling import resample_classes
    from glacier_core.sources.frames import grid_of
    from glacier_core.sources.pictures import open_picture

    if not path.is_file():
        raise ConfigurationError(f"class raster {path} does not exist", do="check labels.raster and data")
    picture = open_picture(path)
    numbers = picture.read(slice(0, picture.height))[0]
    codes = classes_of_numbers(numbers, ids)
    if not (codes != IGNORED).any():
        held = ", ".join(f"{number:g}" for number in np.unique(numbers[np.isfinite(numbers)])[:8])
        raise ConfigurationError(
            f"class raster {path.name} holds the numbers {held or 'of nothing'}",
            expected=f"some of {', '.join(map(str, ids))}",
            do="correct labels.codes",
        )
    if picture.crs and grid.crs:
        return resample_classes(codes, source=grid_of(picture), target=grid)
    if codes.shape != grid.shape:
        raise DataError(
            f"class raster {path.name} has {codes.shape[0]} x {codes.shape[1]} pixels and no coordinates",
            expected=f"{grid.height} x {grid.width}, those of its images",
        )
    return codes


def class_counts(codes: NDArray[np.uint8], *, classes: int) -> list[int]:
    """Pixels of each class; unlabelled ones are not counted."""
    return [int(count) for count in np.bincount(codes[codes != IGNORED].ravel(), minlength=classes)[:classes]]


def require_classes(counts: Sequence[int], *, classes: Sequence[str], optional: Collection[str] = ()) -> None:
    """Refuse labels in which a class never occurs: nothing could learn it, and a score would say nothing of it.

    Args:
        counts: labelled pixels of each class.
        classes: names of the classes.
        optional: classes that may be absent.

    Raises:
        ConfigurationError: a class that is not optional has no pixel.
    """
    absent = [name for name, count in zip(classes, counts, strict=True) if not count and name not in optional]
    if absent:
        raise ConfigurationError(
            f"the class {' and '.join(absent)} never occurs in the labels of the training set",
            expected=f"labelled pixels of each of {', '.join(classes)}",
            do="take it out of classes, add it to labels.optional, or add places where it occurs",
        )
