"""Outlines of any origin get the same columns; glaciers are chosen by id, name, area or point."""

from __future__ import annotations

import logging
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import Glaciers
from glacier_core.settings import Settings
from glacier_core.sources.outlines import choose, read_outlines, wanted_regions

DATA = Settings().data / "extent"
BOXES = [shapely.box(86.0 + 0.1 * n, 28.0, 86.05 + 0.1 * n, 28.0 + 0.02 * (n + 1)) for n in range(4)]
COLUMNS = ["glacier_id", "name", "date", "area_km2", "term_lon", "term_lat"]


def write(path: Path, *, boxes: list[Any] | None = None, crs: str | None = "EPSG:4326", **columns: Any) -> Path:
    frame = geopandas.GeoDataFrame(columns, geometry=BOXES if boxes is None else boxes, crs=crs)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_file(path)
    return path


def rgi6(path: Path, **changes: Any) -> Path:
    columns = {
        "RGIId": [f"RGI60-15.0000{n}" for n in range(4)],
        "Name": ["Khumbu Glacier", None, "Ngozumpa", ""],
        "BgnDate": ["20001030", "-9999999", "20029999", "20020505"],
        "EndDate": ["-9999999", "-9999999", "-9999999", "20020515"],
        "Area": [10.9, 21.8, 99.0, 43.6],
        "Zmin": [5000, 5100, 5200, 5300],
    }
    return write(path, **{**columns, **changes})


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.geojson", "a.parquet"])
def test_rgi6(tmp_path: Path, name: str) -> None:
    outlines = read_outlines(rgi6(tmp_path / name))
    assert list(outlines.columns[:6]) == COLUMNS
    assert outlines.crs == "EPSG:4326"
    assert list(outlines["glacier_id"]) == [f"RGI60-15.0000{n}" for n in range(4)]
    assert list(outlines["name"]) == ["Khumbu Glacier", "", "Ngozumpa", ""]
    assert outlines["date"].dtype == np.dtype("datetime64[ns]")
    days = outlines["date"].dt.strftime("%Y-%m-%d").fillna("").tolist()
    assert days == ["2000-10-30", "", "2002-07-01", "2002-05-10"], "unknown month: mid-year; two dates: their middle"
    # 0.05° x 0.02° at 28° N is 10.9 km²; the third row's area is wrong and gives way to the polygon's
    np.testing.assert_allclose(outlines["area_km2"], [10.9, 21.8, 32.7, 43.6], rtol=0.01)
    assert outlines["term_lon"].isna().all()
    assert list(outlines["Zmin"]) == [5000, 5100, 5200, 5300]


def test_rgi7_in_another_crs(tmp_path: Path) -> None:
    boxes = list(geopandas.GeoSeries(BOXES, crs="EPSG:4326").to_crs("EPSG:32645"))
    path = write(
        tmp_path / "a.gpkg",
        boxes=boxes,
        crs="EPSG:32645",
        rgi_id=[f"RGI2000-v7.0-G-15-0000{n}" for n in range(4)],
        glac_name=["Khumbu", None, "", "x"],
        src_date=["2000-10-30T00:00:00", "2002-01-05", None, "nonsense"],
        area_km2=[10.9, 21.8, 32.7, 43.6],
        termlon=[86.01, 86.11, np.nan, 86.31],
        termlat=[28.01, 28.01, np.nan, 28.01],
        o1region=["15"] * 4,
    )
    outlines = read_outlines(path)
    assert outlines["glacier_id"][0] == "RGI2000-v7.0-G-15-00000"
    assert outlines["date"].dt.strftime("%Y%m%d").fillna("").tolist() == ["20001030", "20020105", "", ""]
    assert outlines["term_lon"].tolist()[:2] == [86.01, 86.11]
    assert outlines.crs == "EPSG:4326"
    np.testing.assert_allclose(outlines.total_bounds, geopandas.GeoSeries(BOXES).total_bounds, atol=1e-6)
    assert "o1region" in outlines.columns


@settings(max_examples=25, deadline=None)
@given(st.dates(min_value=pd.Timestamp("1900-01-01").date(), max_value=pd.Timestamp("2030-12-31").date()))
def test_dates_of_either_inventory_mean_the_same(day: Any) -> None:
    from glacier_core.sources.outlines import _parsed_dates

    forms = pd.Series([day.strftime("%Y%m%d"), day.isoformat(), f"{day.isoformat()}T00:00:00"])
    assert list(_parsed_dates(forms)) == [pd.Timestamp(day)] * 3
    assert list(_parsed_dates(pd.Series([int(day.strftime("%Y%m%d"))]))) == [pd.Timestamp(day)]


def test_own_polygons_get_ids_and_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        outlines = read_outlines(write(tmp_path / "a.gpkg", colour=["red"] * 4))
    assert list(outlines["glacier_id"]) == [f"outline-000{n}" for n in range(1, 5)]
    assert "outline-0001" in caplog.text
    assert outlines["date"].isna().all()
    np.testing.assert_allclose(outlines["area_km2"][0], 10.9, rtol=0.01)


def test_parts_of_one_outline_become_one_and_dates_stay_apart(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.gpkg", rgi_id=["a", "a", "a", "b"], src_date=["2000-01-01", "2000-01-01", "2001-01-01", None]
    )
    outlines = read_outlines(path)
    assert list(outlines["glacier_id"]) == ["a", "a", "b"]
    assert outlines.geometry[0].geom_type == "MultiPolygon"
    np.testing.assert_allclose(outlines["area_km2"], [32.7, 32.7, 43.6], rtol=0.01)


def test_broken_geometry_is_mended(tmp_path: Path) -> None:
    bow_tie = shapely.Polygon([(86, 28), (86.1, 28.1), (86.1, 28), (86, 28.1)])
    spatial = shapely.force_3d(BOXES[1], 5000.0)
    path = write(tmp_path / "a.gpkg", boxes=[bow_tie, spatial, shapely.Point(86, 28), None], rgi_id=list("abcd"))
    outlines = read_outlines(path)
    assert list(outlines["glacier_id"]) == ["a", "b"]
    assert outlines.geometry.is_valid.all()
    assert not outlines.geometry.has_z.any()


def test_outlines_from_any_url(tmp_path: Path) -> None:
    path = rgi6(tmp_path / "a.gpkg")
    fsspec.filesystem("memory").pipe_file("/outlines/a.gpkg", path.read_bytes())
    pd.testing.assert_frame_equal(read_outlines("memory://outlines/a.gpkg"), read_outlines(f"file://{path}"))


def test_outlines_survive_a_geopackage(tmp_path: Path) -> None:
    outlines = read_outlines(rgi6(tmp_path / "a.gpkg"))
    outlines.to_file(tmp_path / "b.gpkg")
    again = read_outlines(tmp_path / "b.gpkg")
    pd.testing.assert_frame_equal(again[COLUMNS], outlines[COLUMNS])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (str, "do not exist"),
        (lambda path: path.write_text("not a vector file"), "cannot be read"),
        (lambda path: write(path, crs=None, rgi_id=list("abcd")), "have no CRS"),
        (lambda path: write(path, boxes=[shapely.Point(0, 0)], rgi_id=["a"]), "hold no polygon"),
    ],
)
def test_unusable_outlines_are_said_in_one_line(tmp_path: Path, make: Any, message: str) -> None:
    path = tmp_path / "a.gpkg"
    make(path)
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_outlines(path)
    assert "\n" not in str(caught.value)
    assert "a.gpkg" in str(caught.value)


def test_missing_outlines_behind_a_url() -> None:
    with pytest.raises(ConfigurationError, match="do not exist"):
        read_outlines("memory://outlines/absent.gpkg")


# --- whole inventories ------------------------------------------------------------------------------------------


def rgi7(path: Path, *, region: int = 15, **changes: Any) -> Path:
    columns = {
        "rgi_id": [f"RGI2000-v7.0-G-{region:02d}-0000{n}" for n in range(4)],
        "glac_name": ["Khumbu Glacier", "", "Ngozumpa", ""],
        "o1region": [f"{region:02d}"] * 4,
        "src_date": ["2000-10-30T00:00:00"] * 4,
    }
    return write(path, **{**columns, **changes})


def inventory6(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, name in ((13, "CentralAsia"), (15, "SouthAsiaEast")):
        ids = [f"RGI60-{number}.0000{n}" for n in range(4)]
        rgi6(folder / f"{number}_rgi60_{name}.shp", RGIId=ids, O1Region=[str(number)] * 4)
    (folder / "00_rgi60_attribs.csv").write_text("no outlines")
    return folder


def zipped(folder: Path, target: Path) -> Path:
    return Path(shutil.make_archive(str(target.with_suffix("")), "zip", folder))


def inventory7(folder: Path, work: Path) -> Path:
    """Region files as RGI 7 comes: a zip each, glacier complexes beside the glaciers."""
    folder.mkdir(parents=True)
    for number, name in ((1, "alaska"), (13, "central_asia")):
        for product in "GC":
            stem = f"RGI2000-v7.0-{product}-{number:02d}_{name}"
            (work / stem).mkdir(parents=True)
            rgi7(work / stem / f"{stem}.shp", region=number)
            zipped(work / stem, folder / f"{stem}.zip")
    return folder


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_of_an_inventory_only_the_regions_that_matter_are_read(tmp_path: Path, kind: str) -> None:
    for place in (inventory6(tmp_path / "rgi6"), inventory7(tmp_path / "rgi7", tmp_path / "work")):
        path = place if kind == "folder" else zipped(place, tmp_path / f"{place.name}-all.zip")
        outlines = read_outlines(path, regions=[13])
        assert len(outlines) == 4
        assert outlines["glacier_id"].str.contains("13").all()
        both = read_outlines(path, regions=[13, 15 if place.name == "rgi6" else 1])
        assert len(both) == 8
        assert both.crs == "EPSG:4326"
        assert list(both.columns[:6]) == COLUMNS


def test_the_region_is_known_from_ids_or_stated() -> None:
    assert wanted_regions(Glaciers(outlines="x", ids=("RGI60-15.03733", "RGI2000-v7.0-G-13-00001"))) == (13, 15)
    assert wanted_regions(Glaciers(outlines="x", region=19)) == (19,)
    assert wanted_regions(Glaciers(outlines="x", ids=("RGI60-15.03733", "G079314E30901N"))) == ()
    assert wanted_regions(Glaciers(outlines="x", names=("Khumbu Glacier",))) == ()


def test_a_region_that_is_damaged_or_not_there_is_said(tmp_path: Path) -> None:
    place = inventory6(tmp_path / "rgi6")
    (place / "16_rgi60_LowLatitudes.zip").write_bytes(b"PK\3\4 and no more")
    shutil.copy(place / "13_rgi60_CentralAsia.shp", place / "RGI2000-v7.0-G-13_central_asia.shp")
    for regions, message in (
        ((), r"hold the regions 13 \(Central Asia\), 15 .*glaciers\.region"),
        ((11,), r"do not hold region 11 \(Central Europe\).*15 \(South Asia East\)"),
        ((13,), "region 13 more than once"),
        ((16,), "cannot be unpacked"),
    ):
        with pytest.raises(ConfigurationError, match=message) as caught:
            read_outlines(place, regions=regions)
        assert "\n" not in str(caught.value)
    (tmp_path / "several").mkdir()
    for name in ("a", "b"):
        rgi6(tmp_path / f"several/{name}.gpkg")
    with pytest.raises(ConfigurationError, match="none is named after a region"):
        read_outlines(tmp_path / "several")


def test_a_zip_with_a_broken_entry_is_said(tmp_path: Path) -> None:
    path = zipped(inventory6(tmp_path / "rgi6"), tmp_path / "rgi6.zip")
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("13_rgi60_CentralAsia.shp")
    body = bytearray(path.read_bytes())
    body[entry.header_offset + 60 + entry.compress_size // 2] ^= 0xFF
    path.write_bytes(body)
    with pytest.raises(ConfigurationError, match="cannot be unpacked") as caught:
        read_outlines(path, regions=[13])
    assert "\n" not in str(caught.value)


def test_one_zipped_file_needs_no_region(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    rgi6(tmp_path / "own/glaciers.shp")
    assert len(read_outlines(zipped(tmp_path / "own", tmp_path / "own.zip"))) == 4


# --- choice -----------------------------------------------------------------------------------------------------


@pytest.fixture
def outlines(tmp_path: Path) -> geopandas.GeoDataFrame:
    return read_outlines(rgi6(tmp_path / "outlines.gpkg"))


def chosen(outlines: geopandas.GeoDataFrame, folder: Path = Path(), **wanted: Any) -> list[int]:
    found = choose(outlines, Glaciers(outlines="x", **wanted), resolve=lambda name: str(folder / name))
    return [int(text[-1]) for text in found["glacier_id"]]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"ids": ["RGI60-15.00003", "RGI60-15.00001"]}, [1, 3]),
        ({"names": ["khumbu GLACIER"]}, [0]),
        ({"aoi": (85.9, 27.9, 86.16, 28.1)}, [0, 1]),
        ({"aoi": (86.01, 28.005, 86.02, 28.01)}, [0]),  # drawn inside a glacier
        ({"aoi": (86.049, 27.9, 86.101, 28.1)}, []),  # touches two
        ({"point": (86.11, 28.01)}, [1]),
        ({"min_area_km2": 30.0}, [2, 3]),
        ({"region": 15}, [0, 1, 2, 3]),  # as the ids tell
    ],
)
def test_choice(outlines: geopandas.GeoDataFrame, wanted: dict[str, Any], expected: list[int]) -> None:
    if expected:
        assert chosen(outlines, **wanted) == expected
    else:
        with pytest.raises(ConfigurationError, match="area of interest"):
            chosen(outlines, **wanted)


def test_area_of_interest_from_a_file(outlines: geopandas.GeoDataFrame, tmp_path: Path) -> None:
    area = geopandas.GeoSeries([shapely.box(86.15, 27.9, 86.4, 28.2)], crs="EPSG:4326").to_crs("EPSG:32645")
    area.to_file(tmp_path / "aoi.gpkg")
    assert chosen(outlines, tmp_path, aoi="aoi.gpkg") == [2, 3]
    with pytest.raises(ConfigurationError, match=r"absent\.gpkg do not exist"):
        chosen(outlines, tmp_path, aoi="absent.gpkg")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"ids": ["RGI60-15.0001"]}, r"'RGI60-15\.0001' is not among 4.*RGI60-15\.00001"),
        ({"names": ["Kumbu Glacier"]}, "'Kumbu Glacier' is not among.*'Khumbu Glacier'"),
        ({"aoi": (0.0, 0.0, 1.0, 1.0)}, r"none of 4 outlines.*86\.00, 28\.00"),
        ({"aoi": (1.0, 0.0, 0.0, 1.0)}, "west, south, east, north"),
        ({"point": (86.08, 28.01)}, r"nearest is 'RGI60-15\.00001'"),
        ({"min_area_km2": 1000.0}, r"largest glacier chosen has 43\.60 km²"),
    ],
)
def test_wrong_choice_says_what_would_be_right(
    outlines: geopandas.GeoDataFrame, wanted: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        chosen(outlines, **wanted)


@pytest.mark.parametrize("column", ["O1Region", "o1region"])
@pytest.mark.parametrize("form", [str, int, "{:02d}".format])
def test_choice_by_region(tmp_path: Path, column: str, form: Any) -> None:
    path = rgi6(tmp_path / "a.gpkg", **{column: [form(number) for number in (1, 15, 13, 13)]})
    outlines = read_outlines(path)
    assert chosen(outlines, region=13) == [2, 3]
    assert chosen(outlines, region=1) == [0]
    with pytest.raises(ConfigurationError, match=r"region 11 \(Central Europe\).*1 \(Alaska\), 13 \(Central Asia\)"):
        chosen(outlines, region=11)


def test_an_id_of_the_other_inventory_is_said(tmp_path: Path) -> None:
    old, new = read_outlines(rgi6(tmp_path / "old.gpkg")), read_outlines(rgi7(tmp_path / "new.gpkg"))
    with pytest.raises(ConfigurationError, match=r"is of RGI 6\.0, the outlines are of RGI 7\.0.*number glaciers diff"):
        chosen(new, ids=["RGI60-15.00001"])
    with pytest.raises(ConfigurationError, match=r"is of RGI 7\.0, the outlines are of RGI 6\.0.*RGI60-15\.00000"):
        chosen(old, ids=["RGI2000-v7.0-G-15-00001"])
    with pytest.raises(ConfigurationError, match=r"not among 4 outlines.*RGI2000-v7\.0-G-15-00001"):
        chosen(new, ids=["RGI2000-v7.0-G-15-00009"])


def test_near_ids_of_a_large_inventory_are_found_in_no_time() -> None:
    ids = [f"RGI2000-v7.0-G-13-{number:05d}" for number in range(40_000)]
    many = geopandas.GeoDataFrame({"glacier_id": ids}, geometry=[BOXES[0]] * len(ids), crs="EPSG:4326")
    began = time.perf_counter()
    for wanted, expected in (("RGI2000-v7.0-G-13-3733", "-03733"), ("RGI2000-v7.0-G-13-40001", "-399")):
        with pytest.raises(ConfigurationError, match=f"expected .*RGI2000-v7.0-G-13{expected}"):
            chosen(many, ids=[wanted])
    assert time.perf_counter() - began < 10


def test_own_polygons_have_no_region(tmp_path: Path) -> None:
    outlines = read_outlines(write(tmp_path / "a.gpkg"))
    with pytest.raises(ConfigurationError, match="outlines of the RGI, which tell their region"):
        chosen(outlines, region=13)


@pytest.mark.skipif(not (DATA / "outlines_and_dems").is_dir(), reason=f"GLACIER_DATA holds none ({DATA})")
def test_outlines_of_several_regions_in_one_folder_each() -> None:
    folder = DATA / "outlines_and_dems"
    columbia = read_outlines(folder, regions=[1])
    assert list(columbia["glacier_id"]) == ["RGI60-01.10689"]
    assert len(read_outlines(folder / "RGI60-14.03439.shp")) == 1


@pytest.mark.skipif(not (DATA / "everest").is_dir(), reason=f"GLACIER_DATA holds no extent/everest ({DATA})")
def test_everest_outlines() -> None:
    outlines = read_outlines(DATA / "everest/15_rgi60_glacier_outlines.gpkg")
    assert len(outlines) == 86
    assert outlines["glacier_id"].is_unique
    counts = outlines["date"].dt.strftime("%Y%m%d").value_counts().to_dict()
    assert counts == {"20100409": 53, "20020105": 23, "20001030": 10}


@pytest.mark.skipif(not (DATA / "gangotri_aoi").is_dir(), reason=f"GLACIER_DATA holds no extent/gangotri_aoi ({DATA})")
def test_gangotri_area_serves_as_an_outline() -> None:
    outlines = read_outlines(DATA / "gangotri_aoi/glacier_aoi_merged.shp")
    assert list(outlines["glacier_id"]) == ["G079314E30901N"]
    assert outlines["date"][0] == pd.Timestamp("2001-08-01")
    # the file's own area (0.03 km²) is that of one of the merged glaciers
    assert outlines["area_km2"][0] == pytest.approx(1491.6, abs=0.1)
