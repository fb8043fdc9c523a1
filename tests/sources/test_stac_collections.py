"""Collections beyond Sentinel-2 from a STAC API over HTTP: Landsat, Sentinel-1 RTC, the Copernicus elevation model."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError
from glacier_core.grids import Grid
from glacier_core.prepare.clouds import clear_mask
from glacier_core.sources.bands import band_sources
from glacier_core.sources.mosaics import merged_items
from glacier_core.sources.scene_series import scene_series
from glacier_core.sources.stac import native_grid, open_catalog, read_scenes
from tests.sources.scene_files import CORNER, CRS, Ground, numbers, plain_item, write_catalog, write_raster
from tests.sources.stac_server import BLOBS, StacServer, signing_by

LEFT, TOP = CORNER
GROUND = Ground()
GRID = Grid(CRS, (10.0, 0.0, LEFT + 100, 0.0, -10.0, TOP - 100), 60, 50)
SEARCH: dict[str, Any] = {
    "bbox": (86.9, 27.9, 87.1, 28.1),
    "start": date(2020, 8, 1),
    "end": date(2020, 8, 31),
    "max_cloud_percent": 60.0,
}
GEOID = 5000


def radar(number: int, polarisation: str) -> NDArray[np.float32]:
    power = np.random.default_rng(10 * number + (polarisation == "vh")).gamma(4.0, 0.03, (96, 96))
    power[:, :5] = -32768
    return np.asarray(power, np.float32)


def heights(tile: int) -> NDArray[np.float32]:
    """One tile of a plane that rises by a metre a row and by two a column; tiles stand side by side."""
    rows, columns = np.mgrid[0:96, 96 * tile : 96 * tile + 96]
    return np.asarray(GEOID + rows + 2 * columns, np.float32)


def landsat_item(root: str, number: int) -> dict[str, Any]:
    names = {"green": "SR_B3", "red": "SR_B4", "nir08": "SR_B5", "swir16": "SR_B6", "lwir11": "ST_B10"}
    assets: dict[str, Any] = {
        key: {
            "href": f"{root}/landsat/{number}_{band}.TIF",
            "raster:bands": [
                {"unit": "kelvin", "scale": 0.00341802, "nodata": 0, "offset": 149.0, "data_type": "uint16"}
                if band == "ST_B10"
                else {"scale": 0.0000275, "nodata": 0, "offset": -0.2, "data_type": "uint16"}
            ],
        }
        for key, band in names.items()
    }
    assets["qa_pixel"] = {"href": f"{root}/landsat/{number}_QA_PIXEL.TIF", "raster:bands": [{"nodata": 1}]}
    return plain_item(
        f"LC08_L2SP_140041_202008{10 + number}_02_T1",
        collection="landsat-c2-l2",
        when=f"2020-08-{10 + number}T04:45:00Z",
        ground=GROUND,
        assets=assets,
        fields={
            "platform": "landsat-8",
            "instruments": ["oli", "tirs"],
            "eo:cloud_cover": 20.0 * number,
            "landsat:correction": "L2SP",
            "landsat:wrs_path": "140",
            "landsat:wrs_row": "041",
            "proj:epsg": 32645,
            "proj:transform": [10.0, 0.0, LEFT, 0.0, -10.0, TOP],
        },
    )


def radar_item(root: str, number: int) -> dict[str, Any]:
    return plain_item(
        f"S1A_IW_GRDH_1SDV_{number}_rtc",
        collection="sentinel-1-rtc",
        when=f"2020-08-{1 + number:02d}T12:10:00Z",
        ground=GROUND,
        assets={
            name: {
                "href": f"{root}/radar/{number}_{name}.tif",
                "raster:bands": [{"nodata": -32768, "data_type": "float32", "spatial_resolution": 10.0}],
            }
            for name in ("vv", "vh")
        },
        fields={"platform": "SENTINEL-1A", "constellation": "Sentinel-1", "sat:orbit_state": "ascending"},
    )


def tile_ground(tile: int) -> Ground:
    return Ground((LEFT + 960 * tile, TOP))


def height_item(root: str, tile: int) -> dict[str, Any]:
    return plain_item(
        f"Copernicus_DSM_COG_10_N28_00_E0{86 + tile}_00_DEM",
        collection="cop-dem-glo-30",
        when="2021-04-22T00:00:00Z",
        ground=tile_ground(tile),
        assets={"data": {"href": f"{root}/heights/{tile}.tif"}},
        fields={"platform": "TanDEM-X", "gsd": 30},
    )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collections")
    for number in range(5):
        for seed, band in enumerate(("SR_B3", "SR_B4", "SR_B5", "SR_B6", "ST_B10")):
            pixels = numbers(10 * number + seed, 96, low=7273, high=43636)
            write_raster(folder / f"landsat/{number}_{band}.TIF", pixels, nodata=0)
        flags = np.full((96, 96), 21824, np.uint16)
        flags[:30], flags[30:40], flags[40:50] = 22280, 30048, 21888
        write_raster(folder / f"landsat/{number}_QA_PIXEL.TIF", flags, nodata=1)
        for name in ("vv", "vh"):
            write_raster(folder / f"radar/{number}_{name}.tif", radar(number, name), nodata=-32768)
    for tile in range(2):
        write_raster(folder / f"heights/{tile}.tif", heights(tile), ground=tile_ground(tile), nodata=None)
    return folder


def items_at(root: str) -> list[dict[str, Any]]:
    return [
        *(landsat_item(root, number) for number in range(5)),
        *(radar_item(root, number) for number in range(5)),
        *(height_item(root, tile) for tile in range(2)),
    ]


@pytest.fixture
def server(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StacServer]:
    with StacServer(archive, items_at(BLOBS), page=2) as running, signing_by(running, monkeypatch):
        yield running


def found(location: str, collection: str) -> list[dict[str, Any]]:
    return [scene.item for scene in open_catalog(location).search(**SEARCH, collection=collection)]


def inner(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels[10:60, 10:70]


def test_landsat_of_an_api(server: StacServer, archive: Path) -> None:
    items = found(server.api, "landsat-c2-l2")
    assert len(items) == 4, "the fifth is known to be cloudier"
    assert len(server.of("search")) == 2, "in pages of two"
    bands = ("green", "red", "nir08", "swir16", "lwir11")
    scenes, troubles = read_scenes(items, bands=bands, mask="qa_pixel", grid=GRID)
    assert not troubles
    assert scenes.sizes["time"] == 4
    for number in range(4):
        for position, band in enumerate(("SR_B3", "SR_B4", "SR_B5", "SR_B6", "ST_B10")):
            with rasterio.open(archive / f"landsat/{number}_{band}.TIF") as file:
                raw = inner(file.read(1))
            scale, offset = (0.00341802, 149.0) if band == "ST_B10" else (0.0000275, -0.2)
            image = scenes["imagery"].values[number, position]
            np.testing.assert_allclose(image, raw * scale + offset, rtol=1e-6, atol=1e-6)
    classes = scenes["scene_class"].values[0]
    assert [set(part.ravel()) for part in (classes[:20], classes[20:30], classes[30:40], classes[40:])] == [
        {9},
        {11},
        {6},
        {5},
    ]
    clear = clear_mask(classes)
    assert not clear[:20].any()
    assert clear[20:].all(), "snow and water are clear"


def test_radar_of_an_api_has_no_clouds_to_ask_for(server: StacServer) -> None:
    items = found(server.api, "sentinel-1-rtc")
    assert len(items) == 5
    scenes, troubles = read_scenes(items, bands=("vv", "vh"), mask="", grid=Grid(CRS, GRID.transform, 60, 50))
    assert not troubles
    assert list(scenes["quantity"].values) == ["backscatter", "backscatter"]
    for position, name in enumerate(("vv", "vh")):
        np.testing.assert_array_equal(scenes["imagery"].values[2, position], inner(radar(2, name)))
    edge = Grid(CRS, (10.0, 0.0, LEFT, 0.0, -10.0, TOP), 20, 20)
    margin, _ = read_scenes(items[:1], bands=("vv",), mask="", grid=edge)
    missing = np.isnan(margin["imagery"].values[0, 0])
    assert missing[:, :5].all()
    assert not missing[:, 5:].any()
    # warped, the number for no data does not bleed into what was seen
    shifted = Grid(CRS, (10.0, 0.0, LEFT + 4, 0.0, -10.0, TOP - 4), 20, 20)
    warped, _ = read_scenes(items[:1], bands=("vv",), mask="", grid=shifted)
    assert np.nanmin(warped["imagery"].values) > 0


def test_elevation_is_found_whatever_the_days_and_made_of_its_tiles(server: StacServer) -> None:
    items = found(server.api, "cop-dem-glo-30")
    assert len(items) == 2
    grid = Grid(CRS, (10.0, 0.0, LEFT + 500, 0.0, -10.0, TOP), 100, 96)
    terrain, troubles = read_scenes(items, bands=("data",), mask="", grid=grid, mosaic=True)
    assert not troubles
    assert terrain.sizes["time"] == 1
    assert list(terrain["quantity"].values) == ["height"]
    both = np.concatenate([heights(0), heights(1)], axis=1)
    np.testing.assert_array_equal(terrain["imagery"].values[0, 0], both[:, 50:150])


@pytest.mark.parametrize("collection", ["landsat-c2-l2", "sentinel-1-rtc", "cop-dem-glo-30"])
def test_static_catalogs_answer_alike(server: StacServer, archive: Path, tmp_path: Path, collection: str) -> None:
    static = str(write_catalog(tmp_path, items_at(str(archive))))
    assert [item["id"] for item in found(static, collection)] == [item["id"] for item in found(server.api, collection)]


def test_several_collections_are_searched_together(server: StacServer, archive: Path, tmp_path: Path) -> None:
    static = str(write_catalog(tmp_path, items_at(str(archive))))
    for location in (server.api, static):
        items = found(location, "landsat-c2-l2, sentinel-1-rtc")
        assert {item["collection"] for item in items} >= {"landsat-c2-l2"}
    assert len(found(static, "landsat-c2-l2,sentinel-1-rtc")) == 9


def test_series_know_their_units(server: StacServer) -> None:
    radar_series = scene_series(found(server.api, "sentinel-1-rtc"), name="radar", bands=("vv", "vh"), grid=GRID)
    assert radar_series.quantities == ("backscatter", "backscatter")
    assert len(radar_series.frames) == 5
    np.testing.assert_array_equal(radar_series.frames[1].read(slice(0, 10))[0], inner(radar(1, "vv"))[:10])
    landsat_series = scene_series(
        found(server.api, "landsat-c2-l2"), name="l", bands=("green", "lwir11"), mask="scene_class", grid=GRID
    )
    assert landsat_series.quantities == ("reflectance", "temperature", "class")
    assert landsat_series.frames[0].labels["sensor"] == "oli tirs"
    assert landsat_series.frames[0].labels["gaps"] == ""


def test_native_grids_come_from_items_or_files(archive: Path) -> None:
    items = {item["collection"]: item for item in items_at(str(archive))}
    assert native_grid(items["landsat-c2-l2"], "SR_B3") == (CRS, 10.0, CORNER)
    assert native_grid(items["sentinel-1-rtc"], "vv") == (CRS, 10.0, CORNER)
    assert native_grid(items["cop-dem-glo-30"], "data") == (CRS, 10.0, (LEFT + 960, TOP))


def test_uncalibrated_radar_stays_digital_numbers() -> None:
    item = radar_item("/x", 0)
    item["collection"] = "sentinel-1-grd"
    item["assets"]["vv"]["raster:bands"] = [{"data_type": "uint16"}]
    assert band_sources(item)["vv"].quantity == "digital_number"


@pytest.mark.parametrize(
    ("key", "band", "quantity"),
    [
        ("B04", {"scale": 1e-4, "common_name": "red"}, "reflectance"),
        ("chip", {"data_type": "float32"}, "scaled"),
        ("emissivity", {"scale": 1e-4}, "scaled"),
        ("elevation", {"data_type": "float32"}, "height"),
        ("lst", {"unit": "Kelvin", "scale": 0.02}, "temperature"),
        ("counts", {"data_type": "uint16"}, "digital_number"),
        ("SCL", {"data_type": "uint8"}, "class"),
    ],
)
def test_quantities_of_other_collections(key: str, band: dict[str, Any], quantity: str) -> None:
    item = plain_item(
        "x", collection="c", when="2020-01-01T00:00:00Z", ground=GROUND,
        assets={key: {"href": "/x.tif", "raster:bands": [band]}},
    )  # fmt: skip
    assert band_sources(item)[key].quantity == quantity


def test_sentinel2_of_earth_search_answers_to_the_names_of_the_product() -> None:
    folder = "https://sentinel-cogs.s3.us-west-2.amazonaws.com/sentinel-s2-l2a-cogs/45/R/VL/2020/8/S2B_45RVL"
    scaled = [{"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": 0}]
    assets: dict[str, Any] = {
        "red": {
            "href": f"{folder}/B04.tif",
            "eo:bands": [{"name": "red", "common_name": "red"}],
            "raster:bands": scaled,
        },
        "nir08": {"href": f"{folder}/B8A.tif", "eo:bands": [{"name": "nir08", "common_name": "nir08"}]},
        "scl": {"href": f"{folder}/SCL.tif", "raster:bands": [{"nodata": 0, "data_type": "uint8"}]},
    }
    fields = {"platform": "sentinel-2b", "constellation": "sentinel-2", "s2:processing_baseline": "02.14"}
    item = plain_item(
        "S2B_45RVL_20200801_0_L2A",
        collection="sentinel-2-l2a",
        when="2020-08-01T05:00:00Z",
        ground=GROUND,
        assets=assets,
        fields=fields,
    )
    sources = band_sources(item)
    assert sources["B04"] == sources["red"]
    assert sources["B8A"] == sources["nir08"]
    assert sources["SCL"] == sources["scl"] == sources["scene_class"]
    assert (sources["B04"].scale, sources["B04"].offset, sources["B04"].quantity) == (1e-4, 0.0, "reflectance")
    assert sources["SCL"].coding == "scl"


def test_folders_of_items_and_files_are_catalogs(archive: Path, tmp_path: Path) -> None:
    """As the USGS delivers a scene: its item links to the web, its files lie beside it."""
    import json
    import shutil

    item = landsat_item("https://landsatlook.usgs.gov/data", 0)
    for asset in item["assets"].values():
        name = asset["href"].rpartition("/")[2]
        asset["href"] = f"https://landsatlook.usgs.gov/data/{item['id']}_{name[2:]}"
        shutil.copy(archive / "landsat" / name, tmp_path / f"{item['id']}_{name[2:]}")
    elsewhere = {"href": "https://landsatlook.usgs.gov/data/thumb.tif"}
    item["assets"]["other"] = elsewhere
    (tmp_path / "thumb.tif").touch()
    (tmp_path / "scene_stac.json").write_text(json.dumps(item))
    (tmp_path / "scene_MTL.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    (read,) = found(str(tmp_path), "")
    assert read["assets"]["green"]["href"] == str(tmp_path / f"{item['id']}_SR_B3.TIF")
    assert read["assets"]["other"]["href"] == elsewhere["href"], "a file that is called after no product is another"
    scenes, troubles = read_scenes([read], bands=("green",), mask="scene_class", grid=GRID)
    assert not troubles
    assert scenes.sizes["time"] == 1
    (tmp_path / "scene_stac.json").unlink()
    with pytest.raises(ConfigurationError, match="does not exist"):
        open_catalog(str(tmp_path))


def test_halves_are_joined_in_a_search(archive: Path, tmp_path: Path) -> None:
    name = "LC08_L2SP_140041_20200801_20200824_02_T1"
    halves = []
    for half, keys in (("SR", ("green", "qa_pixel")), ("ST", ("lwir11", "qa_pixel"))):
        item = landsat_item(str(archive), 0)
        item |= {"id": f"{name}_{half}", "collection": f"landsat-c2l2-{half.lower()}"}
        item["assets"] = {key: item["assets"][key] for key in keys}
        halves.append(item)
    location = str(write_catalog(tmp_path, halves))
    (joined,) = found(location, "landsat-c2l2-sr,landsat-c2l2-st")
    assert joined["id"] == name
    assert set(joined["assets"]) == {"green", "lwir11", "qa_pixel"}
    assert [item["id"] for item in merged_items(found(location, "landsat-c2l2-st"))] == [f"{name}_ST"]
