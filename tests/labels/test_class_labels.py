"""Classes of pixels from outlines, rasters and masks."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.grids import Grid
from glacier_core.labels import classes as labels

GRID = Grid(crs="EPSG:32645", transform=(30.0, 0.0, 480_000.0, 0.0, -30.0, 3_100_000.0), width=8, height=6)
LOCAL = Grid(crs="", transform=(1.0, 0.0, 0.0, 0.0, -1.0, 6.0), width=8, height=6)


def write(path: Path, numbers: np.ndarray, grid: Grid) -> Path:
    profile = {"driver": "GTiff", "width": grid.width, "height": grid.height, "count": 1, "dtype": "uint8"}
    where = {"crs": grid.crs, "transform": grid.affine()} if grid.crs else {}
    with rasterio.open(path, "w", **profile, **where) as file:
        file.write(numbers.astype(np.uint8), 1)
    return path


def test_inside_outlines_is_one_class_and_outside_another() -> None:
    left, bottom, right, top = GRID.bounds
    half = geopandas.GeoDataFrame(geometry=[shapely.box(left, bottom, (left + right) / 2, top)], crs=GRID.crs)
    codes = labels.classes_of_outlines(half.to_crs("EPSG:4326"), GRID, inside=3, outside=1)
    assert (codes[:, :4] == 3).all()
    assert (codes[:, 4:] == 1).all()


def test_a_mask_that_is_unknown_is_unlabelled() -> None:
    codes = labels.classes_of_mask(np.array([[1, 0, 255, 7]], np.uint8), inside=1)
    assert codes.tolist() == [[1, 0, 255, 255]]


def test_numbers_that_are_not_listed_are_unlabelled(tmp_path: Path) -> None:
    numbers = np.tile(np.arange(8), (6, 1))
    path = write(tmp_path / "a.tif", numbers, GRID)
    codes = labels.read_class_raster(path, GRID, ids={2: 0, 5: 1})
    assert codes[0].tolist() == [255, 255, 0, 255, 255, 1, 255, 255]


def test_a_raster_is_laid_on_the_grid_by_its_coordinates(tmp_path: Path) -> None:
    wide = Grid(crs=GRID.crs, transform=(30.0, 0.0, 479_940.0, 0.0, -30.0, 3_100_060.0), width=12, height=10)
    numbers = np.full(wide.shape, 1)
    numbers[2, 2] = 2  # the first pixel of the smaller grid
    codes = labels.read_class_raster(write(tmp_path / "b.tif", numbers, wide), GRID, ids={1: 0, 2: 1})
    assert codes.shape == GRID.shape
    assert codes[0, 0] == 1
    assert (codes == 1).sum() == 1


def test_a_raster_without_coordinates_must_have_the_images_size(tmp_path: Path) -> None:
    small = Grid(crs="", transform=LOCAL.transform, width=3, height=3)
    path = write(tmp_path / "c.tif", np.ones((3, 3)), small)
    with pytest.raises(DataError, match="3 x 3"):
        labels.read_class_raster(path, LOCAL, ids={1: 0})
    with pytest.raises(ConfigurationError, match=r"holds the numbers 1.*labels\.codes"):
        labels.read_class_raster(path, LOCAL, ids={9: 0})
    with pytest.raises(ConfigurationError, match="does not exist"):
        labels.read_class_raster(tmp_path / "none.tif", LOCAL, ids={1: 0})


def test_a_class_that_never_occurs_is_refused_unless_it_may() -> None:
    codes = np.array([[0, 0, 2, 255]], np.uint8)
    counts = labels.class_counts(codes, classes=3)
    assert counts == [2, 0, 1]
    with pytest.raises(ConfigurationError, match=r"class debris never occurs.*labels\.optional"):
        labels.require_classes(counts, classes=("rock", "debris", "ice"))
    labels.require_classes(counts, classes=("rock", "debris", "ice"), optional=("debris",))
