"""Landsat Collection 2 Level 2: names, scales, flags, gaps; on made-up scenes and on a real one."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject

from glacier_core.grids import Grid
from glacier_core.prepare.clouds import clear_mask
from glacier_core.settings import Settings
from glacier_core.sources.bands import band_sources
from glacier_core.sources.landsat import has_scan_gaps, satellite_of, scene_class_of
from glacier_core.sources.mosaics import merged_items
from glacier_core.sources.scene_series import scene_series
from glacier_core.sources.stac import native_grid, open_catalog, read_scenes
from tests.sources.scene_files import CORNER, CRS, Ground, numbers, plain_item, write_raster

SCENES = (Settings().data / "scenes").resolve()
REAL = SCENES / "landsat_c2l2_greenland"
NAME = "LC08_L2SP_005009_20150710_20200908_02_T2"
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"GLACIER_DATA holds no scenes ({REAL})")
SIZE = 60
GROUND = Ground(size=3 * SIZE)
GRID = Grid(CRS, (30.0, 0.0, CORNER[0], 0.0, -30.0, CORNER[1]), SIZE, SIZE)
CLEAR_LAND = 21824
"""QA_PIXEL of clear land (Landsat 8-9 Collection 2 Level 2 Science Product Guide)."""
WANTED = ("green", "red", "nir08", "swir16", "lwir11")


def flags(*bits: int, **confidences: int) -> int:
    places = {"cloud": 8, "shadow": 10, "snow": 12, "cirrus": 14}
    return sum(1 << bit for bit in bits) + sum(level << places[name] for name, level in confidences.items())


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1, 0),
        # the guide's own examples
        (CLEAR_LAND, 5),
        (21826, 8),  # dilated cloud over land
        (21888, 6),  # water
        (22080, 8),  # cloud of medium confidence
        (22144, 8),  # the same, over water
        (22280, 9),  # cloud
        (23888, 3),  # shadow
        (23952, 3),  # shadow over water
        (30048, 11),  # snow
        (54596, 10),  # cirrus
        (54660, 10),  # cirrus over water
        (55052, 9),  # cirrus and cloud
        (flags(), 5),
        (flags(0, 3, 5), 0),
        (flags(1, 5, snow=3), 8),
        (flags(6, cloud=2, snow=3), 11),
        (flags(6, 7, cloud=2), 8),
        (flags(cloud=3), 9),
        (flags(cirrus=3), 10),
        (flags(shadow=3), 3),
        (flags(cirrus=1, cloud=1, shadow=1, snow=1), 5),
    ],
)
def test_flags_become_scene_classes(value: int, code: int) -> None:
    assert scene_class_of(np.array([[value]], np.float32)).tolist() == [[code]]


def test_where_the_file_has_nothing_there_is_no_data() -> None:
    classes = scene_class_of(np.array([np.nan, CLEAR_LAND], np.float32))
    assert classes.dtype == np.uint8
    assert classes.tolist() == [0, 5]


@given(st.integers(0, 2**16 - 1))
def test_what_counts_as_clear_is_neither_cloud_nor_shadow_nor_fill(value: int) -> None:
    clear = bool(clear_mask(scene_class_of(np.array([[value]], np.float32)))[0, 0])
    hidden = any(value >> bit & 1 for bit in (0, 1, 2, 3, 4)) or any(value >> bit & 3 == 3 for bit in (8, 10, 14))
    if hidden:
        assert not clear
    elif value >> 8 & 3 < 2:
        assert clear


# --- names and scales -------------------------------------------------------------------------------------------


def item_of(folder: Path, *, catalog: str, satellite: int, bands: dict[str, Path], name: str = "") -> dict[str, Any]:
    """An item as the Planetary Computer (`pc`) or the USGS (`usgs`, `usgs-old`) writes it."""
    names = {
        "SR_B2": "blue" if satellite > 7 else "green",
        "SR_B3": "green" if satellite > 7 else "red",
        "SR_B4": "red" if satellite > 7 else "nir08",
        "SR_B5": "nir08" if satellite > 7 else "swir16",
        "SR_B6": "swir16",
        "ST_B10": "lwir11",
        "ST_B6": "lwir",
        "QA_PIXEL": "qa_pixel",
    }
    sensor = {4: "LT04", 5: "LT05", 7: "LE07", 8: "LC08", 9: "LC09"}[satellite]
    product = name or f"{sensor}_L2SP_140041_20200801_20200824_02_T1"
    assets: dict[str, Any] = {}
    for band, path in bands.items():
        key = names[band] if catalog != "usgs-old" else f"{band}.TIF"
        assets[key] = {"href": str(path)}
        if catalog == "pc" and band.startswith("SR"):
            assets[key]["eo:bands"] = [{"name": f"OLI_{band[-2:]}", "common_name": names[band]}]
            assets[key]["raster:bands"] = [{"scale": 0.0000275, "nodata": 0, "offset": -0.2, "data_type": "uint16"}]
        elif catalog == "pc" and band.startswith("ST"):
            assets[key]["raster:bands"] = [{"unit": "kelvin", "scale": 0.00341802, "nodata": 0, "offset": 149.0}]
        elif catalog == "usgs" and band.startswith("SR"):
            assets[key]["eo:bands"] = [{"name": band[-2:], "common_name": names[band]}]
    platform = f"landsat-{satellite}" if catalog == "pc" else f"LANDSAT_{satellite}"
    return plain_item(
        product,
        collection="landsat-c2-l2" if catalog == "pc" else "landsat-c2l2-sr",
        when="2020-08-01T04:45:00Z",
        ground=GROUND,
        assets=assets,
        fields={"platform": platform, "landsat:correction": "L2SP", "instruments": ["oli", "tirs"]},
    )


def write_bands(folder: Path, satellite: int, *, seed: int = 0, opaque: bool = False) -> dict[str, Path]:
    thermal = "ST_B10" if satellite > 7 else "ST_B6"
    last = 6 if satellite > 7 else 5
    paths = {}
    for position, band in enumerate([*(f"SR_B{number}" for number in range(2, last + 1)), thermal]):
        pixels = numbers(seed + position, SIZE, low=7273, high=43636)
        paths[band] = write_raster(folder / f"x_{band}.TIF", pixels, resolution=30, ground=GROUND)
    quality = np.full((SIZE, SIZE), CLEAR_LAND, np.uint16)
    quality[:, :10] = 22280
    quality[:, 10:20] = 30048
    paths["QA_PIXEL"] = write_raster(folder / "x_QA_PIXEL.TIF", quality, resolution=30, ground=GROUND, nodata=None)
    if opaque:
        paths = {band: path.rename(folder / f"{number}.tif") for number, (band, path) in enumerate(paths.items())}
    return paths


def raw(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))


@pytest.mark.parametrize("catalog", ["pc", "usgs", "usgs-old"])
@pytest.mark.parametrize("satellite", [5, 8])
def test_bands_answer_to_the_names_of_every_catalog(tmp_path: Path, catalog: str, satellite: int) -> None:
    paths = write_bands(tmp_path, satellite)
    item = item_of(tmp_path, catalog=catalog, satellite=satellite, bands=paths)
    thermal = "ST_B10" if satellite > 7 else "ST_B6"
    own = [f"SR_B{number + (satellite > 7)}" for number in (2, 3, 4, 5)] + [thermal]
    first, troubles = read_scenes([item], bands=WANTED, mask="qa_pixel", grid=GRID)
    second, _ = read_scenes([item], bands=own, mask="QA_PIXEL", grid=GRID)
    third, _ = read_scenes([item], bands=[*WANTED[:4], "lwir"], mask="scene_class", grid=GRID)
    assert not troubles
    np.testing.assert_array_equal(first["imagery"].values, second["imagery"].values)
    np.testing.assert_array_equal(first["imagery"].values, third["imagery"].values)
    np.testing.assert_array_equal(first["scene_class"].values, third["scene_class"].values)
    for position, band in enumerate(own):
        scale, offset = (0.0000275, -0.2) if band.startswith("SR") else (0.00341802, 149.0)
        np.testing.assert_allclose(
            first["imagery"].values[0, position], raw(paths[band]) * scale + offset, rtol=1e-6, atol=1e-6
        )
    assert list(first["quantity"].values) == ["reflectance"] * 4 + ["temperature"]
    assert np.unique(first["scene_class"].values[0, :, :10]) == 9
    assert np.unique(first["scene_class"].values[0, :, 10:20]) == 11
    assert np.unique(first["scene_class"].values[0, :, 20:]) == 5


def test_assets_whose_files_tell_nothing_are_known_by_their_keys(tmp_path: Path) -> None:
    paths = write_bands(tmp_path, 8, opaque=True)
    item = item_of(tmp_path, catalog="pc", satellite=8, bands=paths)
    for asset in item["assets"].values():
        asset.pop("raster:bands", None)
    sources = band_sources(item)
    assert (sources["SR_B3"].href, sources["SR_B3"].scale) == (str(paths["SR_B3"]), 0.0000275)
    assert (sources["ST_B10"].offset, sources["ST_B10"].quantity) == (149.0, "temperature")
    assert sources["QA_PIXEL"].coding == "qa_pixel"


@pytest.mark.parametrize(
    ("fields", "name"), [({"landsat:correction": "L1TP"}, "x"), ({}, "LC08_L1TP_140041_20200801_20200824_02_T1")]
)
def test_other_levels_stay_digital_numbers(tmp_path: Path, fields: dict[str, Any], name: str) -> None:
    fields = {"platform": "landsat-8", **fields}
    item = plain_item(
        name, collection="l1", when="2020-08-01T00:00:00Z", ground=GROUND, assets={"green": {"href": "/B3.TIF"}},
        fields=fields,
    )  # fmt: skip
    assert (band_sources(item)["green"].scale, band_sources(item)["green"].quantity) == (1.0, "digital_number")


def test_reflectance_and_temperature_of_one_scene_are_joined(tmp_path: Path) -> None:
    paths = write_bands(tmp_path, 8)
    name = "LC08_L2SP_140041_20200801_20200824_02_T1"
    reflectance = {band: path for band, path in paths.items() if not band.startswith("ST")}
    temperature = {band: paths[band] for band in ("ST_B10", "QA_PIXEL")}
    halves = [
        item_of(tmp_path, catalog="usgs", satellite=8, bands=temperature, name=f"{name}_ST"),
        item_of(tmp_path, catalog="usgs", satellite=8, bands=reflectance, name=f"{name}_SR"),
    ]
    halves[0]["collection"] = "landsat-c2l2-st"
    for given_items in (halves, halves[::-1], [*halves, *halves]):
        scenes, troubles = read_scenes(given_items, bands=WANTED, mask="qa_pixel", grid=GRID)
        assert not troubles
        assert list(scenes["scene"].values) == [name]
        assert np.isfinite(scenes["imagery"].values).all()
    assert [item["id"] for item in merged_items([halves[1]])] == [f"{name}_SR"], "a half alone keeps its id"


def test_bands_listed_for_the_whole_item_are_found_after_joining() -> None:
    """Before STAC 0.9, an asset's bands were numbers that counted the bands of its item."""
    halves = []
    for half, common in (("sr", "green"), ("st", "tir11")):
        item = plain_item(
            "LC08_L2SP_140041_20200801_20200824_02_T1",
            collection=f"landsat-c2l2-{half}",
            when="2020-08-01",
            ground=GROUND,
            assets={f"{half}_file": {"href": f"/{half}.tif", "eo:bands": [0]}},
            fields={"eo:bands": [{"name": half, "common_name": common}]},
        )
        halves.append(item)
    (joined,) = merged_items(halves)
    sources = band_sources(joined)
    assert (sources["green"].href, sources["tir11"].href) == ("/sr.tif", "/st.tif")


# --- Landsat 7 --------------------------------------------------------------------------------------------------


def test_gaps_between_scan_lines_are_no_data_and_not_cloud(tmp_path: Path) -> None:
    paths = write_bands(tmp_path, 7)
    gaps = np.zeros((SIZE, SIZE), bool)
    gaps[np.add.outer(np.arange(SIZE), np.arange(SIZE) // 8) % 15 < 4] = True
    for band, path in paths.items():
        pixels = raw(path)
        pixels[gaps] = 1 if band == "QA_PIXEL" else 0
        write_raster(path, pixels, resolution=30, ground=GROUND, nodata=None if band == "QA_PIXEL" else 0)
    item = item_of(tmp_path, catalog="usgs", satellite=7, bands=paths)
    scenes, _ = read_scenes([item], bands=WANTED, mask="qa_pixel", grid=GRID)
    assert bool(scenes["slc_off"].values[0])
    assert np.isnan(scenes["imagery"].values[0, :, gaps]).all()
    assert not scenes["scene_class"].values[0, gaps].any(), "no data, neither cloud nor land"
    assert np.isfinite(scenes["imagery"].values[0][:, ~gaps]).all()
    assert scenes["scene_class"].values[0, ~gaps].all()

    # warped, gaps neither bleed into their surroundings nor are they filled
    shifted = Grid(CRS, (30.0, 0.0, CORNER[0] + 11, 0.0, -30.0, CORNER[1] - 7), SIZE - 2, SIZE - 2)
    warped, _ = read_scenes([item], bands=WANTED, mask="qa_pixel", grid=shifted)
    seen = warped["imagery"].values[0, 0]
    assert np.nanmin(seen) >= 7272 * 0.0000275 - 0.2
    assert np.isnan(seen).mean() == pytest.approx(gaps.mean(), abs=0.1)

    (frame,) = scene_series([item], name="a", bands=WANTED, mask="qa_pixel", grid=GRID).frames
    assert frame.labels["gaps"] == "slc-off"


def test_the_scan_line_corrector_failed_in_2003(tmp_path: Path) -> None:
    item = item_of(tmp_path, catalog="usgs", satellite=7, bands={})
    assert not has_scan_gaps(item, date(2003, 5, 30))
    assert has_scan_gaps(item, date(2003, 5, 31))
    assert not has_scan_gaps(item_of(tmp_path, catalog="usgs", satellite=5, bands={}), date(2010, 1, 1))


# --- a real scene -----------------------------------------------------------------------------------------------


def real_item() -> dict[str, Any]:
    catalog = open_catalog(str(REAL))
    found = catalog.search(
        bbox=(-43, 71, -35, 74), start=date(2015, 7, 1), end=date(2015, 7, 31), collection="", max_cloud_percent=90
    )
    assert [scene.id for scene in found] == [NAME]
    return found[0].item


def in_metadata(field: str) -> float:
    """A number of the scene's own metadata: the first of that name is of Level 2."""
    found = re.search(rf"{field} = (\S+)", (REAL / f"{NAME}_MTL.txt").read_text())
    assert found is not None
    return float(found[1])


@real
def test_real_scene_equals_its_own_metadata() -> None:
    item = real_item()
    crs, resolution, _ = native_grid(item, "green")
    assert (crs, round(resolution, 3)) == ("EPSG:32624", 515.098)
    grid = Grid.covering((420_000, 7_950_000, 570_000, 8_080_000), crs=crs, resolution=500)
    scenes, troubles = read_scenes([item], bands=WANTED, mask="qa_pixel", grid=grid)
    assert not troubles
    for position, band in enumerate(("SR_B3", "SR_B4", "SR_B5", "SR_B6", "ST_B10")):
        expected = np.full(grid.shape, np.nan, np.float32)
        with rasterio.open(REAL / f"{NAME}_{band}.TIF") as file:
            reproject(
                rasterio.band(file, 1), expected, src_nodata=0, dst_nodata=np.nan, dst_transform=grid.affine(),
                dst_crs=grid.crs, resampling=Resampling.bilinear,
            )  # fmt: skip
        kind = f"TEMPERATURE_{{}}_BAND_{band}" if band == "ST_B10" else f"REFLECTANCE_{{}}_BAND_{band[-1]}"
        expected = expected * in_metadata(kind.format("MULT")) + in_metadata(kind.format("ADD"))
        image = scenes["imagery"].values[0, position]
        both = np.isfinite(image) & np.isfinite(expected)
        assert both.mean() > 0.8
        assert (np.isfinite(image) == np.isfinite(expected)).mean() > 0.99
        # one number of the file at most, but for pixels beside the swath's edge
        step = in_metadata(kind.format("MULT"))
        assert np.quantile(np.abs(image - expected)[both], 0.995) <= 2 * step
    temperature = scenes["imagery"].values[0, 4]
    assert 250 < np.nanmin(temperature) < np.nanmax(temperature) < 272, "the ice sheet in July"
    codes, counts = np.unique(scenes["scene_class"].values, return_counts=True)
    share = dict(zip(codes.tolist(), (counts / counts.sum()).tolist(), strict=True))
    assert set(share) <= {0, 3, 5, 6, 8, 9, 10, 11}
    assert share[11] + share[9] > 0.8, "snow or cloud"
    assert share[9] == pytest.approx(item["properties"]["eo:cloud_cover"] / 100, abs=0.25)
    clear = clear_mask(scenes["scene_class"].values)[0]
    green, swir = scenes["imagery"].values[0, 0][clear], scenes["imagery"].values[0, 3][clear]
    assert np.nanmedian((green - swir) / (green + swir)) > 0.7, "clear snow by its NDSI"


@real
def test_real_scene_equals_odc_stac() -> None:
    import odc.stac
    import pystac

    item = real_item()
    grid = Grid.covering((420_000, 7_950_000, 570_000, 8_080_000), crs="EPSG:32624", resolution=500)
    scenes, _ = read_scenes([item], bands=("SR_B3.TIF", "ST_B10.TIF"), mask="", grid=grid)
    item["stac_version"], item["stac_extensions"] = "1.0.0", []
    item["properties"]["datetime"] += "T00:00:00Z"
    item["assets"] = {band: {**item["assets"][band]} for band in ("SR_B3.TIF", "ST_B10.TIF")}
    loaded = odc.stac.load(
        [pystac.Item.from_dict(item)],
        bands=["SR_B3.TIF", "ST_B10.TIF"],
        geobox=grid.geobox(),
        resampling="bilinear",
        nodata=0,
    )
    for position, band in enumerate(("SR_B3.TIF", "ST_B10.TIF")):
        source = band_sources(item)[band]
        theirs = loaded[band].values[0].astype(np.float64)
        known = (theirs > 0) & np.isfinite(scenes["imagery"].values[0, position])
        assert (known == (theirs > 0)).mean() > 0.99
        ours = (scenes["imagery"].values[0, position] - source.offset) / source.scale
        assert np.quantile(np.abs(ours - theirs)[known], 0.995) <= 2.5, "numbers of the file"


@real
def test_every_band_of_the_real_scene_is_found() -> None:
    sources = band_sources(real_item())
    for path in REAL.glob("*.TIF"):
        band = path.stem.removeprefix(f"{NAME}_")
        assert Path(sources[band].href) == path
    assert json.loads((REAL / f"{NAME}_SR_stac.json").read_text())["assets"]["SR_B3.TIF"]["href"].startswith("http")


@pytest.mark.skipif(not (SCENES / "stac_items").is_dir(), reason=f"GLACIER_DATA holds no scenes/stac_items ({SCENES})")
def test_real_items_of_the_usgs_are_calibrated() -> None:
    found = open_catalog(str(SCENES / "stac_items")).search(
        bbox=(-180, -90, 180, 90), start=date(2019, 1, 1), end=date(2021, 12, 31), collection="", max_cloud_percent=90
    )
    assert len(found) == 5, "one scene of Sentinel-2 is described twice"
    satellites = {}
    for scene in found:
        sources = band_sources(scene.item)
        assert sources["scene_class"].quantity == "class"
        assert sources["swir16"].quantity == "reflectance" if "swir16" in sources else scene.platform == "sentinel-2a"
        if satellite := satellite_of(scene.item):
            satellites[satellite] = sources["green"].href.rpartition("_")[2]
            assert (sources["green"].scale, sources["green"].offset, sources["green"].nodata) == (2.75e-5, -0.2, 0)
            assert sources["QA_PIXEL"] == sources["qa_pixel"]
    assert satellites == {7: "B2.TIF", 8: "B3.TIF"}, "the third band of one is the second of the other"
