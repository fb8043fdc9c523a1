"""A DEM on a grid: warped, joined from tiles, and refused where it holds nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from glacier_core.errors import ConfigurationError, SceneError
from glacier_core.grids import Grid
from glacier_core.settings import Settings
from glacier_core.sources.dem import read_dem
from glacier_core.sources.frames import grid_of
from glacier_core.sources.pictures import open_picture

DATA = Settings().data / "extent"
GRID = Grid("EPSG:32645", (30.0, 0.0, 500_000.0, 0.0, -30.0, 3_100_000.0), 40, 30)
# EPSG:32645 has its central meridian at 87° E: there, the grid's columns run nearly along meridians
WEST, NORTH, STEP = 86.99, 28.03, 0.0005


def plane(longitude: NDArray[Any], latitude: NDArray[Any]) -> NDArray[Any]:
    """Heights that bilinear interpolation gives exactly."""
    return 5000.0 + 20_000.0 * (longitude - 87.0) + 30_000.0 * (latitude - 28.0)


def degrees_dem(path: Path, *, columns: slice = slice(0, 100), **options: Any) -> Path:
    x = WEST + STEP * (np.arange(100) + 0.5)
    y = NORTH - STEP * (np.arange(100) + 0.5)
    heights = plane(*np.meshgrid(x, y))[:, columns].astype(np.float32)
    heights = options.pop("change", lambda same: same)(heights)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="float32",
        count=1,
        width=heights.shape[1],
        height=100,
        crs="EPSG:4326",
        transform=from_origin(WEST + STEP * columns.start, NORTH, STEP, STEP),
        **options,
    ) as file:
        file.write(heights.astype(np.float32), 1)
    return path


def expected(grid: Grid = GRID) -> NDArray[Any]:
    from pyproj import Transformer

    a, _, c, _, e, f = grid.transform
    x, y = np.meshgrid(c + a * (np.arange(grid.width) + 0.5), f + e * (np.arange(grid.height) + 0.5))
    return plane(*Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(x, y))


def test_a_dem_in_degrees_is_warped_to_the_grid(tmp_path: Path) -> None:
    heights = read_dem(degrees_dem(tmp_path / "dem.tif"), GRID)
    assert heights.dtype == np.float32
    assert heights.shape == GRID.shape
    # the plane rises 10 m a pixel of the file: a hundredth of a pixel is 0.1 m
    np.testing.assert_allclose(heights, expected(), atol=0.3)


def test_tiles_are_joined_and_what_none_covers_is_nan(tmp_path: Path) -> None:
    west = degrees_dem(tmp_path / "west.tif", columns=slice(0, 30))
    east = degrees_dem(tmp_path / "east.tif", columns=slice(30, 100))
    alone = read_dem(west, GRID)
    assert 0.2 < np.isnan(alone).mean() < 0.8
    joined = read_dem([west, east], GRID)
    known = np.isfinite(joined)
    assert known.mean() > 0.95
    np.testing.assert_allclose(joined[known], expected()[known], atol=6)  # half a pixel at the seam


@pytest.mark.parametrize("nodata", [-32768.0, 0.0, None])
def test_holes_stay_holes_whether_named_or_not(tmp_path: Path, nodata: float | None) -> None:
    def with_hole(heights: NDArray[Any]) -> NDArray[Any]:
        heights[15:20] = -32768.0 if nodata is None else nodata
        return heights

    dem = degrees_dem(tmp_path / "dem.tif", nodata=nodata, change=with_hole)
    heights = read_dem(dem, GRID, nodata=-32768.0)
    missing = np.isnan(heights)
    assert 0.1 < missing.mean() < 0.9
    np.testing.assert_allclose(heights[~missing], expected()[~missing], atol=8)  # half a pixel at the hole's edge
    if nodata is None:
        guessed = read_dem(dem, GRID)
        assert np.isnan(guessed).any()
        assert np.nanmin(guessed) > -500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"change": np.zeros_like}, "zero everywhere"),
        ({"change": np.zeros_like, "nodata": 0.0}, "no height on the grid"),
        ({"change": lambda heights: np.full_like(heights, -9999), "nodata": None}, "no height on the grid"),
    ],
)
def test_a_dem_without_heights_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SceneError, match=message):
        read_dem(degrees_dem(tmp_path / "dem.tif", **options), GRID)


def test_what_cannot_serve_is_said(tmp_path: Path) -> None:
    dem = degrees_dem(tmp_path / "dem.tif")
    elsewhere = Grid("EPSG:32645", (30.0, 0.0, 700_000.0, 0.0, -30.0, 3_100_000.0), 40, 30)
    with pytest.raises(SceneError, match=r"dem\.tif has no height on the grid"):
        read_dem(dem, elsewhere)
    with pytest.raises(ConfigurationError, match="without a CRS"):
        read_dem(dem, Grid("", GRID.transform, 40, 30))
    with pytest.raises(SceneError, match=r"absent\.tif"):
        read_dem(tmp_path / "absent.tif", GRID)
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(SceneError, match=r"text\.tif"):
        read_dem([dem, tmp_path / "text.tif"], GRID)


@pytest.mark.skipif(
    not (DATA / "high_mountain_asia").is_dir(), reason=f"GLACIER_DATA holds no extent/high_mountain_asia ({DATA})"
)
def test_high_mountain_asia_heights_on_the_images_grids() -> None:
    folder = DATA / "high_mountain_asia"
    image = folder / "landsat/G071513E38728N.tif"
    heights = read_dem(folder / f"dem/{image.stem}_NASADEM.tif", grid_of(open_picture(image)))
    assert heights.shape == (418, 256)
    assert 2900 < float(np.nanmin(heights)) < float(np.nanmax(heights)) < 6000


@pytest.mark.skipif(
    not (DATA / "outlines_and_dems").is_dir(), reason=f"GLACIER_DATA holds no extent/outlines_and_dems ({DATA})"
)
def test_columbia_in_another_projection() -> None:
    grid = Grid.covering((480_000, 6_770_000, 500_000, 6_790_000), crs="EPSG:32606", resolution=100.0)
    heights = read_dem(DATA / "outlines_and_dems/dem_Columbia.tif", grid)
    assert heights.shape == (200, 200)
    assert np.isfinite(heights).any()
