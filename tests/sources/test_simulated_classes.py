"""What covers the ground of simulated scenes, and DEMs that a catalog names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.grids import Grid
from glacier_core.recipes import CubeRecipe, Simulation, parse_recipe
from glacier_core.sources.dem import find_dems, read_dem
from glacier_core.sources.opening import open_series
from glacier_core.sources.series import Series
from glacier_core.sources.simulated import CLASSES, simulate, simulate_truth
from glacier_core.steps.splitting import places_of

SPEC = Simulation(seed=5, places=1, glaciers_per_place=1, scenes_per_year=3, size=128)
YEARS, SEASON = range(2020, 2021), ("07-01", "09-30")


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("truth")
    simulate_truth(folder, spec=SPEC, years=YEARS, season=SEASON)
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    simulate(folder, spec=SPEC, years=YEARS, season=SEASON)
    return folder


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as raster:
        return np.asarray(raster.read(1))


def test_every_scene_has_its_classes_on_its_own_pixels(truth: Path, archive: Path) -> None:
    scenes = sorted(path.name for path in (archive / "scenes").iterdir())
    assert sorted(path.stem for path in (truth / "classes").iterdir()) == scenes
    for scene in scenes:
        with (
            rasterio.open(truth / "classes" / f"{scene}.tif") as classes,
            rasterio.open(archive / "scenes" / scene / "B03.tif") as band,
        ):
            assert (classes.crs, classes.transform, classes.shape) == (band.crs, band.transform, band.shape)
            assert set(np.unique(classes.read(1))) <= {*range(len(CLASSES)), 255}


def test_each_named_box_becomes_a_series(archive: Path) -> None:
    item = json.loads(next((archive / "items").glob("*/*.json")).read_text(encoding="utf-8"))
    west, south, east, north = item["bbox"]
    width = (east - west) / 5
    boxes = {"left": [west, south, west + 2 * width, north], "right": [east - 2 * width, south, east, north]}
    value = {
        "name": "boxes",
        "kind": "cube",
        "years": [2020, 2020],
        "boxes": boxes,
        "imagery": {"source": "simulated", "simulation": SPEC.model_dump(mode="json"), "bands": ["B03"]},
    }

    def opened(**changes: object) -> list[Series]:
        recipe = parse_recipe({**value, **changes}, origin="test", kind=CubeRecipe)
        return open_series(recipe, catalog=str(archive / "catalog.json"))

    found = opened()
    assert [series.name for series in found] == ["left", "right"]
    assert len(set(places_of(found).values())) == 2
    assert all(series.frames for series in found)
    with pytest.raises(ConfigurationError, match=r"boxes\.left is"):
        opened(boxes={"left": [east, south, west, north]})


def test_ice_debris_and_snow_lie_where_the_glacier_is(truth: Path, archive: Path) -> None:
    (glacier,) = (archive / "truth").iterdir()
    ice = pixels(glacier / "2020.tif") == 1
    for path in (truth / "classes").iterdir():
        codes = pixels(path)
        pure = ice & (codes != 255)
        assert pure.sum() > 0.2 * ice.sum()  # firn is neither
        assert np.isin(codes[pure], [CLASSES.index(name) for name in ("debris", "ice", "snow")]).all()
        assert not np.isin(codes[~ice], [CLASSES.index(name) for name in ("debris", "ice")]).any()


def test_classes_look_like_what_they_are(truth: Path, archive: Path) -> None:
    clearest = max(
        (archive / "items").glob("*/*.json"),
        key=lambda path: -json.loads(path.read_text(encoding="utf-8"))["properties"]["eo:cloud_cover"],
    ).stem
    codes = pixels(truth / "classes" / f"{clearest}.tif")
    folder = archive / "scenes" / clearest
    green, red, near = (pixels(folder / f"{band}.tif").astype(float) for band in ("B03", "B04", "B08"))
    vegetation, rock, snow = (codes == CLASSES.index(name) for name in ("vegetation", "rock", "snow"))
    ndvi = (near - red) / (near + red)
    assert np.median(ndvi[vegetation]) > np.median(ndvi[rock]) + 0.2
    assert np.median(green[snow]) > 3 * np.median(green[rock])


def test_heights_are_those_of_mountains(truth: Path) -> None:
    heights = pixels(truth / "dem" / "P001.tif")
    assert 2000 < heights.min() < heights.max() < 9000


def test_a_collection_of_dems_is_searched_by_the_grid(tmp_path: Path, truth: Path) -> None:
    source = truth / "dem" / "P001.tif"
    with rasterio.open(source) as raster:
        bounds, crs, transform = raster.bounds, raster.crs, raster.transform
    grid = Grid(crs=str(crs), transform=tuple(transform)[:6], width=20, height=20)
    west, south, east, north = rasterio.warp.transform_bounds(crs, "EPSG:4326", *bounds)
    catalog = pystac.Catalog("dems", "dems")
    for name, shift in (("here", 0.0), ("elsewhere", 5.0)):
        box = [west + shift, south, east + shift, north]
        ring = [[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]], [box[0], box[1]]]
        item = pystac.Item(
            name,
            {"type": "Polygon", "coordinates": [ring]},
            box,
            pystac.utils.str_to_datetime("2021-04-22T00:00:00Z"),
            {},
        )
        item.add_asset("data", pystac.Asset(href=str(source), roles=["data"]))
        catalog.add_item(item)
    catalog.normalize_and_save(str(tmp_path), pystac.CatalogType.SELF_CONTAINED)
    links = find_dems(str(tmp_path / "catalog.json"), "", grid)
    assert len(links) == 1
    assert np.allclose(read_dem(links, grid), pixels(source)[:20, :20], atol=0.01)
    far = Grid(crs="EPSG:4326", transform=(0.001, 0.0, -70.0, 0.0, -0.001, -20.0), width=4, height=4)
    with pytest.raises(DataError, match="has no DEM"):
        find_dems(str(tmp_path / "catalog.json"), "", far)
