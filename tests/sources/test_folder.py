"""A folder of one's own GeoTIFFs becomes a STAC catalog that reads like any other."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio

from glacier_core.errors import ConfigurationError, StoreError
from glacier_core.grids import Grid
from glacier_core.recipes import FolderFile
from glacier_core.settings import Settings
from glacier_core.sources.folder import index_folder
from glacier_core.sources.stac import SceneItem, native_grid, open_catalog, read_scenes
from tests.sources.scene_files import CORNER, CRS, Ground, numbers, write_raster

ISO_DATE = r"(?P<year>\d{4})-?(?P<month>\d{2})-?(?P<day>\d{2})"
EVEREST = Settings().data / "extent/everest"
WINDOW = Grid(CRS, (10.0, 0.0, CORNER[0] + 100, 0.0, -10.0, CORNER[1] - 200), 40, 30)


def scenes_of(catalog: Path, *, year: int = 2020) -> list[SceneItem]:
    return open_catalog(str(catalog)).search(
        bbox=(-180, -90, 180, 90),
        start=date(year, 1, 1),
        end=date(year, 12, 31),
        collection="",
        max_cloud_percent=10.0,
    )


def test_each_file_is_a_scene_with_bands_by_number_or_description(tmp_path: Path) -> None:
    rgb = np.stack([numbers(seed, 96) for seed in range(3)])
    write_raster(tmp_path / "a_2020-08-01.tif", rgb)
    named = write_raster(tmp_path / "below/b_20200902.tif", rgb[:2], driver="GTiff")
    with rasterio.open(named, "r+") as file:
        file.descriptions = ("green", "swir")
        file.scales, file.offsets = (0.5, 0.5), (1.0, 1.0)
    catalog = index_folder(tmp_path, date_pattern=ISO_DATE)
    found = scenes_of(catalog)
    assert [scene.id for scene in found] == ["a_2020-08-01", "b_20200902"]
    first, _ = read_scenes([found[0].item], bands=["B1", "B3"], mask="", grid=WINDOW)
    np.testing.assert_array_equal(first["imagery"].values[0], rgb[[0, 2], 20:50, 10:50])
    second, _ = read_scenes([found[1].item], bands=["swir"], mask="", grid=WINDOW)
    np.testing.assert_array_equal(second["imagery"].values[0, 0], rgb[1, 20:50, 10:50] * 0.5 + 1)
    assert native_grid(found[0].item, "B2") == (CRS, 10.0, CORNER)


def test_catalog_moves_with_its_folder_and_is_stac(tmp_path: Path) -> None:
    write_raster(tmp_path / "here/a_2020-08-01.tif", numbers(1, 96))
    index_folder(tmp_path / "here", date_pattern=ISO_DATE)
    shutil.move(tmp_path / "here", tmp_path / "there")
    (found,) = scenes_of(tmp_path / "there/catalog.json")
    _, troubles = read_scenes([found.item], bands=["B1"], mask="", grid=WINDOW)
    assert not troubles
    catalog = pystac.Catalog.from_file(tmp_path / "there/catalog.json")
    (item,) = catalog.get_items()
    assert Path(item.assets["a_2020-08-01"].get_absolute_href() or "").is_file()


def test_catalog_elsewhere_leaves_the_folder_alone(tmp_path: Path) -> None:
    write_raster(tmp_path / "data/a_2020-08-01.tif", numbers(1, 96))
    catalog = index_folder(tmp_path / "data", date_pattern=ISO_DATE, out=tmp_path / "out")
    assert catalog == tmp_path / "out/catalog.json"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["a_2020-08-01.tif"]
    (found,) = scenes_of(catalog)
    _, troubles = read_scenes([found.item], bands=["B1"], mask="", grid=WINDOW)
    assert not troubles


def test_same_files_give_the_same_catalog(tmp_path: Path) -> None:
    write_raster(tmp_path / "data/a_2020-08-01.tif", numbers(1, 96))
    first = index_folder(tmp_path / "data", date_pattern=ISO_DATE, out=tmp_path / "out")
    before = [scene.fingerprint() for scene in scenes_of(first)]
    again = index_folder(tmp_path / "data", date_pattern=ISO_DATE, out=tmp_path / "again")
    assert [scene.fingerprint() for scene in scenes_of(again)] == before
    write_raster(tmp_path / "data/a_2020-08-01.tif", numbers(2, 96, high=20))
    changed = index_folder(tmp_path / "data", date_pattern=ISO_DATE, out=tmp_path / "out")
    assert [scene.fingerprint() for scene in scenes_of(changed)] != before


def test_files_of_one_date_are_one_scene_and_tiles_stay_apart(tmp_path: Path) -> None:
    for tile, left in (("west", CORNER[0]), ("east", CORNER[0] + 960)):
        for band in ("B02", "B03"):
            write_raster(tmp_path / f"S2_{tile}_20200801_{band}.tif", numbers(1, 96), ground=Ground((left, CORNER[1])))
    write_raster(tmp_path / "S2_west_20200811_B02.tif", numbers(1, 96))
    files = [FolderFile(pattern=f"S2_*_{band}.tif", bands=(band,)) for band in ("B02", "B03")]
    found = scenes_of(index_folder(tmp_path, files=files, date_pattern=ISO_DATE))
    assert [scene.id for scene in found] == ["S2_east_20200801", "S2_west_20200801", "S2_west_20200811_B02"]
    assert [len(scene.item["assets"]) for scene in found] == [2, 2, 1]


def test_two_passes_of_a_day_are_two_scenes_with_their_times(tmp_path: Path) -> None:
    for clock in ("T0210", "T1433"):
        write_raster(tmp_path / f"S1_20200801{clock}.tif", numbers(1, 96))
    pattern = ISO_DATE + r"T(?P<hour>\d\d)(?P<minute>\d\d)"
    files = [FolderFile(pattern="S1_*.tif", bands=("vv",))]
    found = scenes_of(index_folder(tmp_path, files=files, date_pattern=pattern))
    assert [scene.datetime.isoformat() for scene in found] == ["2020-08-01T02:10:00+00:00", "2020-08-01T14:33:00+00:00"]


def test_unusable_files_are_reported_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_raster(tmp_path / "good_2020-08-01.tif", numbers(1, 96))
    (tmp_path / "broken_2020-08-02.tif").write_bytes(b"II*\0 no TIFF after all")
    write_raster(tmp_path / "undated.tif", numbers(1, 96))
    write_raster(tmp_path / "impossible_2020-13-40.tif", numbers(1, 96))
    with rasterio.open(
        tmp_path / "nowhere_2020-08-03.tif", "w", driver="GTiff", dtype="uint8", count=1, width=9, height=9
    ) as file:
        file.write(np.ones((1, 9, 9), np.uint8))
    catalog = index_folder(tmp_path, date_pattern=ISO_DATE)
    assert [scene.id for scene in scenes_of(catalog)] == ["good_2020-08-01"]
    left_out = {entry["file"]: entry["reason"] for entry in json.loads(catalog.read_text())["glacierflow:left_out"]}
    assert set(left_out) == {
        "broken_2020-08-02.tif",
        "impossible_2020-13-40.tif",
        "nowhere_2020-08-03.tif",
        "undated.tif",
    }
    assert "no date" in left_out["undated.tif"]
    assert "no CRS" in left_out["nowhere_2020-08-03.tif"]
    assert all(name in caplog.text for name in left_out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folder": "absent"}, "does not exist"),
        ({"date_pattern": "("}, "no regular expression"),
        ({"date_pattern": r"(?P<year>\d{4})"}, "year and doy"),
        ({"files": [FolderFile(pattern="X*.tif", bands=("red",))]}, r"no file matches.*X\*\.tif"),
        ({"files": [FolderFile(pattern="*.tif", bands=("red", "nir"))]}, "1 bands, expected red, nir"),
    ],
)
def test_what_cannot_be_indexed_is_said_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_raster(tmp_path / "a_2020-08-01.tif", numbers(1, 96))
    folder = tmp_path / changes.pop("folder", "")
    with pytest.raises(ConfigurationError, match=message) as caught:
        index_folder(folder, **{"date_pattern": ISO_DATE, **changes})
    assert "\n" not in str(caught.value)


def test_catalog_that_cannot_be_written(tmp_path: Path) -> None:
    write_raster(tmp_path / "a_2020-08-01.tif", numbers(1, 96))
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        index_folder(tmp_path, date_pattern=ISO_DATE, out=tmp_path / "taken")


@pytest.mark.skipif(not EVEREST.is_dir(), reason=f"GLACIER_DATA holds no extent/everest ({EVEREST})")
def test_everest_folder_is_one_scene_of_four_bands(tmp_path: Path) -> None:
    files = [
        FolderFile(pattern="LE7*SGS00_RGB.tif", bands=("red", "green", "blue")),
        FolderFile(pattern="LE7*SGS00_B4.tif", bands=("nir",)),
    ]
    catalog = index_folder(EVEREST, files=files, date_pattern=r"LE7\d{6}(?P<year>\d{4})(?P<doy>\d{3})", out=tmp_path)
    (found,) = scenes_of(catalog, year=2000)
    assert (found.id, found.datetime.date()) == ("LE71400412000304SGS00", date(2000, 10, 30))
    crs, resolution, origin = native_grid(found.item, "nir")
    assert (crs, resolution, origin) == (CRS, 30.0, (478000.0, 3108140.0))
    grid = Grid.covering((480000, 3090000, 490000, 3100000), crs=crs, resolution=resolution, origin=origin)
    scenes, troubles = read_scenes([found.item], bands=["red", "green", "blue", "nir"], mask="", grid=grid)
    assert not troubles
    row, column = round((origin[1] - grid.bounds[3]) / 30), round((grid.bounds[0] - origin[0]) / 30)
    window = ((row, row + grid.height), (column, column + grid.width))
    with rasterio.open(EVEREST / "LE71400412000304SGS00_RGB.tif") as file:
        np.testing.assert_array_equal(scenes["imagery"].values[0, :3], file.read(window=window))
    with rasterio.open(EVEREST / "LE71400412000304SGS00_B4.tif") as file:
        np.testing.assert_array_equal(scenes["imagery"].values[0, 3], file.read(1, window=window))
