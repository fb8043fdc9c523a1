"""STAC catalogs: search, choice of scenes, pixels; and everything that a network does to them."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import urllib3
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds

from glacier_core.errors import ConfigurationError, ServiceUnavailableError
from glacier_core.grids import Grid
from glacier_core.settings import Settings
from glacier_core.sources import remote
from glacier_core.sources.bands import band_sources
from glacier_core.sources.remote import retry_after_s, retry_policy
from glacier_core.sources.stac import SceneItem, choose_scenes, footprint_of, native_grid, open_catalog, read_scenes
from glacier_core.sources.windows import read_band
from tests.sources.scene_files import (
    COLLECTION,
    CORNER,
    CRS,
    Ground,
    make_item,
    numbers,
    write_catalog,
    write_raster,
)
from tests.sources.stac_server import BLOBS, Fault, StacServer, signing_by

BANDS = ("B02", "B03")
DAYS = [f"2020-08-{day:02d}" for day in range(1, 8)]
REAL_ITEMS = Settings().data / "scenes/stac_items"
WINDOW = Grid(CRS, (10.0, 0.0, CORNER[0] + 100, 0.0, -10.0, CORNER[1] - 200), 40, 30)
SEARCH: dict[str, Any] = {
    "bbox": (86.9, 27.9, 87.1, 28.1),
    "start": date(2020, 8, 1),
    "end": date(2020, 8, 31),
    "collection": COLLECTION,
    "max_cloud_percent": 80.0,
}


def scene_pixels(number: int) -> dict[str, NDArray[np.uint16]]:
    return {
        "B02": numbers(number, 96),
        "B03": numbers(100 + number, 96),
        "B11": numbers(200 + number, 48),
        "SCL": numbers(300 + number, 48, low=1, high=11).astype(np.uint16),
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of seven scenes: scenes/<number>/<band>.tif."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(len(DAYS)):
        for band, pixels in scene_pixels(number).items():
            resolution = 20.0 if len(pixels) == 48 else 10.0
            kind = np.uint8 if band == "SCL" else np.uint16
            write_raster(folder / f"{number}/{band}.tif", pixels.astype(kind), resolution=resolution)
    return folder


def items_at(root: str, count: int = len(DAYS)) -> list[dict[str, Any]]:
    """Items of the archive's scenes with links below `root`."""
    return [
        make_item(
            f"scene-{number}",
            day=DAYS[number],
            links={band: f"{root}/{number}/{band}.tif" for band in scene_pixels(0)},
            cloud=10.0 * number,
        )
        for number in range(count)
    ]


@pytest.fixture
def server(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StacServer]:
    with StacServer(archive, items_at(BLOBS)) as running, signing_by(running, monkeypatch):
        yield running


def read(items: list[dict[str, Any]], **changes: Any) -> tuple[xr.Dataset, dict[str, str]]:
    """Read a window; the scenes that were left out come by id."""
    scenes, troubles = read_scenes(items, **{"bands": BANDS, "mask": "SCL", "grid": WINDOW, **changes})
    return scenes, {trouble.scene: trouble.reason for trouble in troubles}


# --- search -----------------------------------------------------------------------------------------------------


def test_api_and_static_catalog_give_equal_scenes_and_pixels(server: StacServer, archive: Path, tmp_path: Path) -> None:
    static = open_catalog(str(write_catalog(tmp_path, items_at(str(archive))))).search(**SEARCH)
    dynamic = open_catalog(server.api).search(**SEARCH)
    assert [scene.id for scene in static] == [scene.id for scene in dynamic] == [f"scene-{n}" for n in range(7)]
    assert [scene.fingerprint() for scene in static] == [scene.fingerprint() for scene in dynamic]
    assert len(server.of("search")) == 3, "seven items in pages of three"

    near, _ = read([scene.item for scene in static])
    far, troubles = read([scene.item for scene in dynamic])
    assert not troubles
    xr.testing.assert_identical(near, far)


@pytest.mark.parametrize(("status", "headers"), [(429, {"Retry-After": "1"}), (503, {})])
def test_search_waits_for_a_busy_catalog(server: StacServer, status: int, headers: dict[str, str]) -> None:
    server.faults = [Fault("search", status, headers=headers, after=1)]
    found = open_catalog(server.api).search(**SEARCH)
    assert len(found) == 7
    assert [request.status for request in server.of("search")] == [200, status, 200, 200]
    if headers:
        first, second = server.of("search")[1:3]
        assert second.at - first.at >= 0.95, "Retry-After is honoured"


def test_search_gives_up_on_a_catalog_that_stays_busy(server: StacServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glacier_core.sources.catalogs.SEARCH_RETRIES", 1)
    server.faults = [Fault("search", 503, times=99)]
    with pytest.raises(ServiceUnavailableError, match=r"127\.0\.0\.1.*--catalog"):
        open_catalog(server.api).search(**SEARCH)


def test_refused_search_is_a_mistake_not_an_outage(server: StacServer) -> None:
    server.faults = [Fault("search", 404, times=1)]
    with pytest.raises(ConfigurationError, match=r"HTTP 404.*imagery\.collection"):
        open_catalog(server.api).search(**SEARCH)


def test_unreachable_catalog_names_the_host_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    with pytest.raises(ServiceUnavailableError, match=r"127\.0\.0\.1:9.*--catalog") as caught:
        open_catalog("http://127.0.0.1:9/stac")
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_requests_are_spaced(server: StacServer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        """Stands still but for what the client sleeps: how busy this machine is does not matter."""

        now = 0.0

        def monotonic(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(remote, "time", clock)
    monkeypatch.setenv("GLACIER_REQUESTS_PER_S", "10.5")  # a limit that no other test has made
    open_catalog(server.api).search(**SEARCH)
    assert len(server.requests) > 2
    assert clock.now == pytest.approx((len(server.requests) - 1) / 10.5)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"max_cloud_percent": 25.0}, [0, 1, 2]),
        ({"start": date(2020, 8, 3), "end": date(2020, 8, 4)}, [2, 3]),
        ({"collection": "another"}, []),
        ({"bbox": (80.0, 27.9, 80.1, 28.1)}, []),
        ({"collection": ""}, list(range(7))),
    ],
)
def test_both_kinds_of_catalog_answer_alike(
    server: StacServer, archive: Path, tmp_path: Path, change: dict[str, Any], expected: list[int]
) -> None:
    static = write_catalog(tmp_path, items_at(str(archive)))
    for location in (server.api, str(static), str(tmp_path)):
        found = open_catalog(location).search(**{**SEARCH, **change})
        assert [scene.id for scene in found] == [f"scene-{number}" for number in expected]


def test_static_catalog_over_http_and_in_memory(server: StacServer, archive: Path, tmp_path: Path) -> None:
    import fsspec

    # relative links resolve against the item, wherever it is
    items = items_at("../..", count=2)
    write_catalog(archive, items)
    memory = fsspec.filesystem("memory")
    memory.put(str(archive), "/stac-archive", recursive=True)
    local, _ = read([scene.item for scene in open_catalog(str(archive)).search(**SEARCH)])
    for location in (f"{server.url}/files/catalog.json", "memory://stac-archive/catalog.json"):
        found = open_catalog(location).search(**SEARCH)
        assert [scene.id for scene in found] == ["scene-0", "scene-1"]
        remote, troubles = read([scene.item for scene in found])
        assert not troubles
        xr.testing.assert_identical(local, remote)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), ("{", "no JSON"), ("{}", "no STAC catalog"), ("[1]", "holds list")],
)
def test_what_is_no_catalog_is_said_in_one_line(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "catalog.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        open_catalog(str(path))


# --- choice of scenes -------------------------------------------------------------------------------------------


def scene(
    name: str,
    *,
    day: str = "2020-08-01",
    cloud: float = 0.0,
    ground: Ground | None = None,
    fields: dict[str, Any] | None = None,
) -> SceneItem:
    return SceneItem.of(make_item(name, day=day, cloud=cloud, links={}, ground=ground, fields=fields))


def footprint(grid: Grid = WINDOW) -> Any:
    import geopandas
    import shapely

    return geopandas.GeoSeries([shapely.box(*grid.bounds)], crs=grid.crs).to_crs("EPSG:4326").iloc[0]


def test_clearest_scenes_come_first_and_ties_go_by_date() -> None:
    scenes = [
        scene("b", day="2020-08-03", cloud=20),
        scene("a", day="2020-08-09", cloud=5),
        scene("c", day="2020-08-02", cloud=20),
        scene("d", day="2020-08-05", cloud=70),
    ]
    assert [found.id for found in choose_scenes(scenes, footprint=footprint(), limit=3)] == ["a", "c", "b"]


def test_reprocessed_scene_replaces_the_older_one() -> None:
    old = scene("old", fields={"s2:processing_baseline": "02.12", "s2:mgrs_tile": "45RVL"})
    new = scene("new", cloud=3.0, fields={"s2:processing_baseline": "05.00", "s2:mgrs_tile": "45RVL"})
    other = scene("other", fields={"s2:mgrs_tile": "45RVL", "platform": "Sentinel-2B"})
    found = choose_scenes([old, new, other], footprint=footprint(), limit=9)
    assert {chosen.id for chosen in found} == {"new", "other"}


def test_chosen_scenes_cover_the_window_even_if_cloudier() -> None:
    left, top = CORNER
    west = Ground((left, top), 30)  # clear, but ends within the window
    east = Ground((left + 300, top), 66)
    scenes = [scene(f"west-{day}", day=f"2020-08-0{day}", ground=west) for day in (1, 2, 3)]
    scenes.append(scene("east", day="2020-08-04", cloud=60, ground=east))
    found = {chosen.id for chosen in choose_scenes(scenes, footprint=footprint(), limit=2)}
    assert found == {"west-1", "east"}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 28), st.integers(0, 100), st.integers(0, 60)), min_size=1, max_size=12),
    st.integers(1, 6),
)
def test_choice_holds_for_any_candidates(drawn: list[tuple[int, int, int]], limit: int) -> None:
    scenes = [
        scene(f"s{n}", day=f"2020-08-{day:02d}", cloud=cloud, ground=Ground((CORNER[0] + 10 * shift, CORNER[1])))
        for n, (day, cloud, shift) in enumerate(drawn)
    ]
    window = footprint()
    found = choose_scenes(scenes, footprint=window, limit=limit)
    assert len(found) <= limit
    assert len({chosen.id for chosen in found}) == len(found)
    assert choose_scenes(scenes[::-1], footprint=window, limit=limit) == found, "the order of the candidates is nothing"
    assert all(footprint_of(chosen.item).intersects(window) for chosen in found)


def test_scenes_beside_the_window_are_not_chosen() -> None:
    away = scene("away", ground=Ground((CORNER[0] + 50_000, CORNER[1]), 96))
    assert choose_scenes([away], footprint=footprint(), limit=3) == []


# --- grids and calibration --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "projection",
    [
        {"proj:epsg": 32645},
        {"proj:epsg": None, "proj:code": CRS},
        {"proj:epsg": None, "proj:wkt2": rasterio.CRS.from_epsg(32645).to_wkt()},
        {"proj:epsg": None},
    ],
)
def test_native_grid_from_the_item_or_else_the_file(archive: Path, projection: dict[str, Any]) -> None:
    item = items_at(str(archive), count=1)[0]
    item["properties"] = {key: value for key, value in item["properties"].items() if not key.startswith("proj:")}
    item["properties"].update(projection)
    crs, resolution, origin = native_grid(item, "B11")
    assert rasterio.CRS.from_user_input(crs) == rasterio.CRS.from_epsg(32645)
    assert (resolution, origin) == (20.0, CORNER)
    with pytest.raises(ConfigurationError, match=r"'B99'.*B02"):
        native_grid(item, "B99")


def physical(item: dict[str, Any], band: str = "B02") -> NDArray[np.float32]:
    scenes, troubles = read([item], bands=(band,), mask="")
    assert not troubles
    pixels: NDArray[np.float32] = scenes["imagery"].values[0, 0]
    return pixels


@pytest.mark.parametrize(
    ("fields", "asset", "scale", "offset"),
    [
        ({"s2:processing_baseline": "03.01"}, {}, 1e-4, 0.0),
        ({"s2:processing_baseline": "04.00"}, {}, 1e-4, -0.1),
        ({"s2:processing_baseline": "05.10"}, {}, 1e-4, -0.1),
        ({"s2:processing_baseline": None, "s2:product_uri": "S2A_MSIL2A_20220801T0_N0400_R0_T45RVL_x"}, {}, 1e-4, -0.1),
        ({"s2:processing_baseline": None, "datetime": "2022-08-01T05:00:00Z"}, {}, 1e-4, -0.1),
        ({"s2:processing_baseline": None}, {}, 1e-4, 0.0),
        # an item that says what holds is believed
        ({"s2:processing_baseline": "04.00"}, {"raster:bands": [{"scale": 2e-4, "offset": 0.3}]}, 2e-4, 0.3),
        ({"s2:processing_baseline": "04.00"}, {"raster:bands": [{"nodata": 0, "data_type": "uint16"}]}, 1e-4, -0.1),
        ({}, {"raster:scale": 2e-4, "raster:offset": 0.1}, 2e-4, 0.1),
        ({}, {"bands": [{"name": "B02", "raster:scale": 2e-4, "raster:offset": 0.1}]}, 2e-4, 0.1),
        # Earth Search: the offset is already in the numbers, although raster:bands names it
        ({"earthsearch:boa_offset_applied": True}, {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]}, 1e-4, 0.0),
        # not Sentinel-2: digital numbers
        ({"platform": "landsat-7", "s2:processing_baseline": "-"}, {"raster:bands": [{"scale": 1}]}, 1.0, 0.0),
    ],
)
def test_scale_and_offset(
    archive: Path, fields: dict[str, Any], asset: dict[str, Any], scale: float, offset: float
) -> None:
    item = make_item(
        "scene", day="2020-08-01", links={"B02": f"{archive}/0/B02.tif"}, fields=fields, assets={"B02": asset}
    )
    expected = scene_pixels(0)["B02"][20:50, 10:50] * scale + offset
    np.testing.assert_allclose(physical(item), expected, rtol=1e-5, atol=1e-6)


def test_nodata_is_nan_before_the_offset_is_applied(tmp_path: Path) -> None:
    pixels = numbers(1, 96)
    pixels[25, 15] = 0
    path = write_raster(tmp_path / "B02.tif", pixels, nodata=None)
    item = make_item("s", day="2022-08-01", links={"B02": str(path)}, fields={"s2:processing_baseline": "04.00"})
    image = physical(item)
    assert np.isnan(image[5, 5])
    assert np.isnan(image).sum() == 1


def test_bands_by_asset_band_and_common_name(tmp_path: Path) -> None:
    layers = np.stack([numbers(seed, 96) for seed in range(3)])
    path = write_raster(tmp_path / "rgb.tif", layers, nodata=None)
    names = [{"name": "R", "common_name": "red"}, {"name": "G"}, {"name": "B"}]
    item = make_item(
        "s", day="2020-08-01", links={"rgb": str(path)}, assets={"rgb": {"eo:bands": names}}, fields={"platform": "x"}
    )
    del item["properties"]["s2:processing_baseline"]
    wanted = ("R", "red", "B", "rgb.2")
    scenes, _ = read([item], bands=wanted, mask="")
    expected = layers[[0, 0, 2, 1], 20:50, 10:50].astype(np.float32)
    np.testing.assert_array_equal(scenes["imagery"].values[0], expected)
    assert list(scenes["band"].values) == list(wanted)


# --- pixels -----------------------------------------------------------------------------------------------------


def test_dataset_has_the_promised_form(archive: Path) -> None:
    items = items_at(str(archive), count=3)
    scenes, troubles = read([items[2], items[0], items[1], items[0]])
    assert not troubles
    assert scenes["imagery"].dims == ("time", "band", "y", "x")
    assert scenes["imagery"].dtype == np.float32
    assert scenes["scene_class"].dtype == np.uint8
    assert scenes["time"].dtype == np.dtype("datetime64[ns]")
    assert list(scenes["scene"].values) == ["scene-0", "scene-1", "scene-2"], "sorted, duplicates merged"
    assert scenes["x"].values[0] == CORNER[0] + 105
    assert scenes["y"].values[0] == CORNER[1] - 205
    assert "scene_class" not in read(items[:1], mask="")[0]


def test_no_reprojection_where_the_lattices_agree(archive: Path) -> None:
    scenes, _ = read(items_at(str(archive), count=1))
    expected = scene_pixels(0)["B02"][20:50, 10:50].astype(np.float32) * np.float32(1e-4)
    np.testing.assert_array_equal(scenes["imagery"].values[0, 0], expected)
    classes = scene_pixels(0)["SCL"].repeat(2, 0).repeat(2, 1)[20:50, 10:50]
    np.testing.assert_array_equal(scenes["scene_class"].values[0], classes)


@pytest.mark.parametrize(
    "grid",
    [
        Grid(CRS, (10.0, 0.0, CORNER[0] + 103.7, 0.0, -10.0, CORNER[1] - 204.2), 40, 30),
        Grid(CRS, (25.0, 0.0, CORNER[0] + 100, 0.0, -25.0, CORNER[1] - 200), 20, 16),
        Grid.covering(transform_bounds(CRS, "EPSG:32644", *Ground().bounds()), crs="EPSG:32644", resolution=10.0),
    ],
)
def test_reprojection_equals_rasterio_and_odc_stac(archive: Path, grid: Grid) -> None:
    import odc.stac
    import pystac

    item = items_at(str(archive), count=1)[0]
    scenes, _ = read([item], bands=("B02", "B11"), grid=grid)
    for band in ("B02", "B11"):
        with rasterio.open(item["assets"][band]["href"]) as file:
            expected = np.full(grid.shape, np.nan, np.float32)
            reproject(
                rasterio.band(file, 1),
                expected,
                dst_transform=grid.affine(),
                dst_crs=grid.crs,
                dst_nodata=np.nan,
                resampling=Resampling.bilinear,
            )
        actual = scenes["imagery"].sel(band=band).values[0] / 1e-4
        assert np.isfinite(expected).sum() > 100
        np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
        # neighbours differ by up to 9000: this is less than a thousandth of a pixel
        np.testing.assert_allclose(actual, expected, atol=4.0)
    loaded = odc.stac.load(
        [pystac.Item.from_dict(item)],
        bands=["B02", "B11", "SCL"],
        geobox=grid.geobox(),
        resampling={"*": "bilinear", "SCL": "nearest"},
        dtype={"*": "float32", "SCL": "uint8"},
    )
    np.testing.assert_allclose(scenes["imagery"].values[0, 1] / 1e-4, loaded["B11"].values[0], atol=4.0)
    # where a pixel's middle falls next to the border of two, less than a thousandth of a pixel decides
    assert (scenes["scene_class"].values[0] == loaded["SCL"].values[0]).mean() > 0.999


def test_window_beyond_the_scene_is_nan_there(archive: Path) -> None:
    grid = Grid(CRS, (10.0, 0.0, CORNER[0] - 50, 0.0, -10.0, CORNER[1] + 50), 20, 20)
    scenes, _ = read(items_at(str(archive), count=1), grid=grid)
    missing = np.isnan(scenes["imagery"].values[0, 0])
    assert missing[:5].all()
    assert missing[:, :5].all()
    assert not missing[5:, 5:].any()
    assert (scenes["scene_class"].values[0][missing] == 0).all()


@settings(max_examples=25, deadline=None)
@given(row=st.integers(-40, 100), column=st.integers(-40, 100), height=st.integers(1, 60), width=st.integers(1, 60))
def test_any_window_on_the_lattice_holds_the_files_own_pixels(
    archive: Path, row: int, column: int, height: int, width: int
) -> None:
    with rasterio.open(archive / "0/B02.tif") as file:
        pixels = np.pad(file.read(1).astype(np.float32), 100, constant_values=np.nan)
        grid = Grid(CRS, (10.0, 0.0, CORNER[0] + 10 * column, 0.0, -10.0, CORNER[1] - 10 * row), width, height)
        expected = pixels[row + 100 : row + 100 + height, column + 100 : column + 100 + width]
        np.testing.assert_array_equal(read_band(file, index=1, grid=grid, resampling="bilinear", nodata=None), expected)


def test_only_the_window_is_read(tmp_path: Path, server: StacServer) -> None:
    size = 1280
    path = write_raster(tmp_path / "B02.tif", numbers(3, size), ground=Ground(size=size))
    server.folder = tmp_path
    item = make_item("big", day="2020-08-01", links={"B02": f"{server.url}/files/B02.tif"})
    scenes, troubles = read([item], bands=("B02",), mask="")
    assert not troubles
    assert scenes["imagery"].notnull().all()
    sent = sum(request.sent for request in server.of("file"))
    assert sent < 0.1 * path.stat().st_size
    # the same window again: GDAL still has the blocks
    read([item], bands=("B02",), mask="")
    assert sum(request.sent for request in server.of("file")) < 1.2 * sent


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_links_are_signed_once_for_a_container(server: StacServer) -> None:
    scenes, troubles = read(items_at(BLOBS, count=2))
    assert not troubles
    assert scenes.sizes["time"] == 2
    assert len(server.of("token")) == 1
    assert {request.status for request in server.of("blob")} <= {200, 206}


def test_links_that_expire_in_between_are_renewed(server: StacServer) -> None:
    items = items_at(BLOBS)
    found = [scene.item for scene in open_catalog(server.api).search(**SEARCH)]
    assert all("?" not in asset["href"] for item in found for asset in item["assets"].values()), "signed when read"
    read(items[:1])
    # the service forgets the token although it should have lived for an hour
    server.revoke()
    scenes, troubles = read(items[1:3])
    assert not troubles
    assert scenes.sizes["time"] == 2
    assert len(server.of("token")) >= 2
    assert 403 in {request.status for request in server.of("blob")}


def test_tokens_near_their_end_are_replaced_before_they_fail(server: StacServer) -> None:
    server.life_s = 30.0  # the signer renews what lives for less than a minute
    read(items_at(BLOBS, count=1))
    read(items_at(BLOBS)[1:2])
    assert len(server.of("token")) > 1
    assert 403 not in {request.status for request in server.of("blob")}


def test_token_expires_while_a_file_is_read(server: StacServer) -> None:
    server.faults = [Fault("blob", 403, times=3, part="B02", after=1)]
    _, troubles = read(items_at(BLOBS, count=1))
    assert not troubles
    assert len(server.of("token")) >= 2


@pytest.mark.parametrize(("status", "headers"), [(429, {"Retry-After": "1"}), (503, {}), (500, {})])
def test_busy_storage_is_waited_for(server: StacServer, status: int, headers: dict[str, str]) -> None:
    server.faults = [Fault("blob", status, times=4, headers=headers, part="B02")]
    began = time.monotonic()
    scenes, troubles = read(items_at(BLOBS, count=1))
    assert not troubles
    assert scenes["imagery"].notnull().all()
    if headers:
        assert time.monotonic() - began >= 1.0


def test_signatures_stay_out_of_messages(server: StacServer, archive: Path, tmp_path: Path) -> None:
    for band in scene_pixels(0):
        (tmp_path / "0").mkdir(exist_ok=True)
        (tmp_path / f"0/{band}.tif").write_bytes((archive / f"0/{band}.tif").read_bytes()[:300])
    server.folder = tmp_path
    _, troubles = read(items_at(BLOBS, count=1))
    assert troubles["scene-0"].startswith("B02 is damaged (B02.tif: ")
    assert "sig" not in troubles["scene-0"]
    assert "#" not in troubles["scene-0"]
    assert read(items_at(BLOBS, count=1))[1] == troubles, "reasons are the same each time"


def test_busy_token_service_is_waited_for(server: StacServer) -> None:
    server.faults = [Fault("token", 503, times=2)]
    _, troubles = read(items_at(BLOBS, count=1))
    assert not troubles
    assert [request.status for request in server.of("token")] == [503, 503, 200]


def test_scenes_that_cannot_be_read_are_recorded_and_left_out(
    server: StacServer, archive: Path, tmp_path: Path
) -> None:
    whole = (archive / "1/B02.tif").read_bytes()
    server.folder = tmp_path
    items = items_at(f"{server.url}/files")
    for number in range(5):
        for band in scene_pixels(0):
            path = tmp_path / f"{number}/{band}.tif"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes((archive / f"{number}/{band}.tif").read_bytes())
    (tmp_path / "1/B02.tif").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2/B03.tif").unlink()
    del items[3]["assets"]["B03"]
    for band in BANDS:
        write_raster(tmp_path / f"4/{band}.tif", np.zeros((96, 96), np.uint16))
    scenes, troubles = read(items[:5])
    assert list(scenes["scene"].values) == ["scene-0"]
    assert set(troubles) == {"scene-1", "scene-2", "scene-3", "scene-4"}
    assert "damaged" in troubles["scene-1"]
    assert "HTTP 404" in troubles["scene-2"]
    assert "B03 is missing" in troubles["scene-3"]
    assert "no data" in troubles["scene-4"]
    assert all("\n" not in reason for reason in troubles.values())


@pytest.mark.parametrize("warped", [False, True])
def test_truncated_local_file_is_left_out(archive: Path, tmp_path: Path, *, warped: bool) -> None:
    whole = (archive / "0/B02.tif").read_bytes()
    cut = tmp_path / "B02.tif"
    cut.write_bytes(whole[: len(whole) // 2])
    items = items_at(str(archive), count=2)
    items[0]["assets"]["B02"]["href"] = str(cut)
    grid = Grid(CRS, (7.0, 0.0, CORNER[0] + 100, 0.0, -7.0, CORNER[1] - 200), 40, 30) if warped else WINDOW
    scenes, troubles = read(items, grid=grid)
    assert list(scenes["scene"].values) == ["scene-1"]
    assert list(troubles) == ["scene-0"]


def test_nothing_readable_gives_an_empty_dataset(tmp_path: Path) -> None:
    scenes, troubles = read(items_at(str(tmp_path), count=2))
    assert scenes.sizes["time"] == 0
    assert scenes["imagery"].shape == (0, 2, 30, 40)
    assert len(troubles) == 2
    assert read([])[0].sizes["time"] == 0


def test_absent_band_names_those_that_there_are(archive: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'B77'.*B02, B03, B11, SCL"):
        read(items_at(str(archive), count=2), bands=("B02", "B77"))


def test_unreachable_storage_names_the_host_and_the_way_out() -> None:
    with pytest.raises(ServiceUnavailableError, match=r"127\.0\.0\.1:9 .*--catalog") as caught:
        read(items_at("http://127.0.0.1:9/files", count=2), retries=1)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_unreachable_token_service_is_named(server: StacServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from planetary_computer.settings import Settings as SignerSettings

    monkeypatch.setenv("PC_SDK_SAS_URL", "http://127.0.0.1:9/sas")
    SignerSettings.get.cache_clear()
    with pytest.raises(ServiceUnavailableError, match=r"127\.0\.0\.1:9 "):
        read(items_at(BLOBS, count=1), retries=0)


def test_one_silent_host_does_not_spoil_the_rest(archive: Path) -> None:
    items = [*items_at("http://127.0.0.1:9/files", count=1), items_at(str(archive), count=2)[1]]
    scenes, troubles = read(items, retries=0)
    assert list(scenes["scene"].values) == ["scene-1"]
    assert "127.0.0.1:9" in troubles["scene-0"]
    _, (trouble,) = read_scenes(items, bands=BANDS, mask="", grid=WINDOW, retries=0)
    assert trouble.temporary, "another time it may be readable"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, 0), ("", 0), ("7", 7), ("nonsense", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("in future", 30)],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float) -> None:
    if header == "in future":
        header = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert retry_after_s(header) == pytest.approx(seconds, abs=1.5)


def test_pauses_are_bounded() -> None:
    answer = urllib3.HTTPResponse(status=429, headers={"Retry-After": "86400"})
    assert retry_policy(3).get_retry_after(answer) == 120


@pytest.mark.skipif(not REAL_ITEMS.is_dir(), reason=f"GLACIER_DATA holds no scenes/stac_items ({REAL_ITEMS})")
def test_real_items_are_understood() -> None:
    for path in sorted(REAL_ITEMS.glob("*.json")):
        item = json.loads(path.read_text())
        assert SceneItem.of(item).datetime.year in {2019, 2020, 2021}
        sources = band_sources(item)
        assert sources, f"{path.name} has bands"
        if "MSIL2A" in path.name or path.name.startswith("S2A"):
            assert {"B02", "B03", "B04", "SCL"} <= set(sources)
            assert (sources["B02"].scale, sources["B02"].offset, sources["B02"].nodata) == (1e-4, 0.0, 0.0)
            assert (sources["SCL"].scale, sources["SCL"].offset) == (1.0, 0.0)
            assert [native_grid(item, band)[1] for band in ("B04", "SCL")] == [10.0, 20.0]
