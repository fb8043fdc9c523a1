"""The simulated glacier: an archive that reads as Sentinel-2 does, whose truth is known and whose bytes are fixed."""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio import features

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import Simulation
from glacier_core.sources.simulated import simulate

SPEC = Simulation(seed=1234, places=2, glaciers_per_place=2, scenes_per_year=3, size=256)
YEARS = range(2020, 2024)
SEASON = ("07-01", "09-30")
BANDS = ("B02", "B03", "B04", "B08", "B11")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder, spec=SPEC, years=YEARS, season=SEASON)
    return folder


def items_of(archive: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(archive.glob("items/*/*.json"))]


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        pixels: NDArray[Any] = dataset.read(1)
    return pixels


def digests_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes_whatever_the_processes(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"size": 128, "scenes_per_year": 2})
    for name, processes in (("one", 1), ("again", 1), ("two", 2)):
        simulate(tmp_path / name, spec=spec, years=range(2021, 2023), season=SEASON, processes=processes)
    one, again, two = (digests_of(tmp_path / name) for name in ("one", "again", "two"))
    assert one == again == two


def test_another_seed_gives_other_scenes(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"size": 128, "places": 1, "scenes_per_year": 1})
    truths = []
    for seed in (1234, 1235):
        simulate(
            tmp_path / str(seed), spec=spec.model_copy(update={"seed": seed}), years=range(2021, 2022), season=SEASON
        )
        truths.append((tmp_path / str(seed) / "truth.csv").read_text())
    assert truths[0] != truths[1]


def test_the_catalog_is_self_contained_and_its_items_are_stac(archive: Path) -> None:
    catalog = pystac.Catalog.from_file(str(archive / "catalog.json"))
    items = list(catalog.get_items())
    assert len(items) == SPEC.places * len(YEARS) * SPEC.scenes_per_year
    for item in items:
        assert item.id == Path(item.get_self_href() or "").stem
        for asset in item.assets.values():
            path = Path(asset.get_absolute_href() or "")
            assert not Path(asset.href).is_absolute()
            assert path.stat().st_size == asset.extra_fields["file:size"]
    text = (archive / "catalog.json").read_text() + "".join(json.dumps(item) for item in items_of(archive))
    assert str(archive) not in text


def test_items_tell_where_the_pixels_are(archive: Path) -> None:
    for item in items_of(archive)[::7]:
        for name, asset in item["assets"].items():
            with rasterio.open(archive / "scenes" / item["id"] / f"{name}.tif") as dataset:
                assert dataset.crs.to_string() == asset["proj:code"]
                assert list(dataset.transform)[:6] == asset["proj:transform"][:6]
                assert list(dataset.shape) == asset["proj:shape"]
                assert dataset.nodata == asset["raster:bands"][0]["nodata"] == 0
                assert dataset.dtypes[0] == asset["raster:bands"][0]["data_type"]
                assert dataset.block_shapes == [(128, 128)]
                assert dataset.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
                assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_large_scenes_have_overviews(tmp_path: Path) -> None:
    from glacier_core.grids import Grid
    from glacier_core.sources.simulated.cogs import cog_bytes

    grid = Grid(crs="EPSG:32645", transform=(10.0, 0.0, 5e5, 0.0, -10.0, 3.3e6), width=600, height=600)
    (tmp_path / "large.tif").write_bytes(cog_bytes(np.ones((600, 600), dtype=np.uint16), grid, nodata=0))
    with rasterio.open(tmp_path / "large.tif") as dataset:
        assert dataset.overviews(1)


def test_the_offset_follows_the_processing_baseline(archive: Path) -> None:
    seen = set()
    for item in items_of(archive):
        since = datetime.fromisoformat(item["properties"]["datetime"]) >= datetime.fromisoformat("2022-01-25T00:00:00Z")
        baseline = item["properties"]["s2:processing_baseline"]
        assert (float(baseline) >= 4) == since
        for name in BANDS:
            band = item["assets"][name]["raster:bands"][0]
            assert band["scale"] == 1e-4
            assert band["offset"] == (-0.1 if since else 0.0)
        seen.add(since)
    assert seen == {True, False}


def test_reflectance_is_physical_on_both_sides_of_the_offset(archive: Path) -> None:
    medians: dict[float, list[float]] = {}
    for item in items_of(archive):
        if item["properties"]["eo:cloud_cover"] > 20:
            continue
        band = item["assets"]["B03"]["raster:bands"][0]
        numbers = read(archive / "scenes" / item["id"] / "B03.tif")
        assert numbers.min() > 0
        reflectance = numbers * band["scale"] + band["offset"]
        assert reflectance.min() > -0.05
        assert reflectance.max() < 2
        medians.setdefault(band["offset"], []).append(float(np.median(reflectance)))
    assert set(medians) == {0.0, -0.1}
    assert abs(np.mean(medians[0.0]) - np.mean(medians[-0.1])) < 0.1


def test_scenes_fall_into_the_season_with_one_all_cloud(archive: Path) -> None:
    items = items_of(archive)
    days = [date.fromisoformat(item["properties"]["datetime"][:10]) for item in items]
    assert all(date(day.year, 7, 1) <= day <= date(day.year, 9, 30) for day in days)
    assert {day.year for day in days} == set(YEARS)
    cover = [item["properties"]["eo:cloud_cover"] for item in items]
    assert max(cover) > 99
    assert min(cover) < 20


def test_every_year_has_a_scene_to_work_with(archive: Path) -> None:
    best: dict[tuple[str, str], float] = {}
    for item in items_of(archive):
        key = item["id"][-4:], item["properties"]["datetime"][:4]
        best[key] = min(best.get(key, 100.0), item["properties"]["eo:cloud_cover"])
    assert len(best) == SPEC.places * len(YEARS)
    assert max(best.values()) < 60


def test_outlines_are_the_true_masks(archive: Path) -> None:
    reference = geopandas.read_file(archive / "reference.gpkg")
    outlines = geopandas.read_file(archive / "outlines.gpkg")
    glaciers = SPEC.places * SPEC.glaciers_per_place
    assert len(outlines) == glaciers
    assert len(reference) == glaciers * len(YEARS)
    assert {"rgi_id", "glac_name", "src_date", "area_km2", "termlon", "termlat", "zmin_m", "zmax_m"} <= {*outlines}
    assert set(pd.to_datetime(outlines["src_date"]).dt.year) == {YEARS[0]}
    assert reference.geometry.is_valid.all()
    for row in reference.itertuples():
        path = archive / "truth" / row.rgi_id / f"{pd.Timestamp(row.src_date).year}.tif"
        with rasterio.open(path) as dataset:
            truth = dataset.read(1)
            drawn = features.rasterize([row.geometry], out_shape=truth.shape, transform=dataset.transform)
        assert np.array_equal(truth, drawn)


def test_true_areas_are_those_on_the_ellipsoid(archive: Path) -> None:
    from pyproj import Geod

    truth = pd.read_csv(archive / "truth.csv")
    reference = geopandas.read_file(archive / "reference.gpkg").to_crs("EPSG:4326")
    geod = Geod(ellps="WGS84")
    for row in reference.itertuples():
        area_km2 = abs(geod.geometry_area_perimeter(row.geometry)[0]) / 1e6
        year = pd.Timestamp(row.src_date).year
        told = truth.loc[(truth["rgi_id"] == row.rgi_id) & (truth["year"] == year), "area_km2"].item()
        assert told == pytest.approx(area_km2, rel=1e-4)
        assert row.area_km2 == told


def test_glaciers_retreat_and_share_a_divide(archive: Path) -> None:
    truth = pd.read_csv(archive / "truth.csv")
    for _, rows in truth.groupby("rgi_id"):
        areas = rows.sort_values("year")["area_km2"].to_numpy()
        yearly = 1 - (areas[-1] / areas[0]) ** (1 / (len(areas) - 1))
        assert 0.003 < yearly < 0.035
        assert (np.diff(areas) <= 0).all()
        retreat = rows.sort_values("year")["terminus_m"].to_numpy()
        assert retreat[0] == 0
        assert (np.diff(retreat) >= 0).all()
    outlines = geopandas.read_file(archive / "outlines.gpkg")
    first, second = outlines.geometry[0], outlines.geometry[1]
    assert first.intersection(second).area == 0
    assert first.intersection(second).length > 100


def test_places_lie_far_apart(archive: Path) -> None:
    outlines = geopandas.read_file(archive / "outlines.gpkg")
    assert outlines.geometry[0].distance(outlines.geometry[2]) > 20_000
    assert outlines.to_crs("EPSG:4326").total_bounds[[1, 3]].tolist() == pytest.approx([37, 37], abs=10)


def test_snow_and_ice_are_bright_with_a_high_ndsi_and_debris_is_not(archive: Path) -> None:
    """The threshold on NDSI finds most of the ice, and not all: debris hides the rest."""
    parts = []
    for item in items_of(archive):
        if item["properties"]["eo:cloud_cover"] > 15:
            continue
        folder = archive / "scenes" / item["id"]
        offset = item["assets"]["B03"]["raster:bands"][0]["offset"]
        green = read(folder / "B03.tif")[::2, ::2] * 1e-4 + offset
        short = read(folder / "B11.tif") * 1e-4 + offset
        clear = ~np.isin(read(folder / "SCL.tif"), (0, 3, 8, 9, 10))
        place = int(item["id"][-3:])
        year = item["properties"]["datetime"][:4]
        ice = np.zeros(green.shape, dtype=bool)
        for path in sorted(archive.glob("truth/*/"))[(place - 1) * 2 : place * 2]:
            ice |= read(path / f"{year}.tif")[::2, ::2] > 0
        parts.append(float((((green - short) / (green + short)) > 0.4)[ice & clear].mean()))
    assert 0.55 < np.mean(parts) < 0.97


def test_the_scene_classification_uses_the_real_codes(archive: Path) -> None:
    codes = {
        int(code) for item in items_of(archive) for code in np.unique(read(archive / "scenes" / item["id"] / "SCL.tif"))
    }
    assert codes <= {0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
    assert {3, 5, 8, 9, 11} <= codes


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(1000, 10_000), glaciers=st.integers(1, 4), size=st.integers(128, 200))
def test_any_world_has_whole_glaciers_inside_the_scene(seed: int, glaciers: int, size: int) -> None:
    from scipy import ndimage

    from glacier_core.sources.simulated.places import make_world

    spec = Simulation(seed=seed, places=3, glaciers_per_place=glaciers, size=size)
    world = make_world(spec, 2, years=4)
    assert len(world.ice.masks) == glaciers
    taken = np.zeros(world.terrain.elevation.shape, dtype=int)
    for by_year in world.ice.masks:
        assert by_year[0].any()
        assert ndimage.label(by_year[0])[1] == 1
        assert all((after <= before).all() for before, after in pairwise(by_year))
        taken += by_year[0]
    assert taken.max() == 1
    assert not taken[0].any()
    assert not taken[:, -1].any()


def test_an_odd_size_and_a_season_over_new_year_work(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"size": 131, "places": 1, "scenes_per_year": 1, "glaciers_per_place": 1})
    told: list[str] = []
    simulate(tmp_path, spec=spec, years=range(2022, 2023), season=("12-01", "02-28"), progress=told.append)
    item = items_of(tmp_path)[0]
    assert "2021-12-01" <= item["properties"]["datetime"][:10] <= "2022-02-28"
    assert item["assets"]["B02"]["proj:shape"] == [131, 131]
    assert item["assets"]["B11"]["proj:shape"] == [66, 66]
    assert told == ["place 1 of 1: 1 scenes"]


def test_more_places_than_room_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"simulation\.size"):
        simulate(tmp_path, spec=SPEC.model_copy(update={"size": 2000}), years=YEARS, season=SEASON)


def test_items_and_catalog_are_valid_stac_and_pystac_reads_their_extensions(archive: Path) -> None:
    from pystac.extensions.eo import EOExtension
    from pystac.extensions.projection import ProjectionExtension
    from pystac.extensions.raster import RasterExtension

    catalog = pystac.Catalog.from_file(str(archive / "catalog.json"))
    catalog.validate()
    item = next(iter(catalog.get_items()))
    assert EOExtension.ext(item).cloud_cover == item.properties["eo:cloud_cover"]
    asset = item.assets["B11"]
    assert ProjectionExtension.ext(asset).code == "EPSG:32645"
    bands = RasterExtension.ext(asset).bands
    assert bands is not None
    assert bands[0].scale == 1e-4
    # the schemas of extensions are on the network; the core's come with pystac
    item.stac_extensions = []
    item.validate()
