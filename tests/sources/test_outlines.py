"""Outlines of any origin get the same columns; glaciers are chosen by id, name, area or point."""

from __future__ import annotations

import logging
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
from glacier_core.sources.outlines import choose, read_outlines

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
