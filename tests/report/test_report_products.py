"""The products of a report: tables, masks, outlines, pictures, catalog."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shapely.affinity import scale

from glacier_core.report import ReportInputs, write_products
from glacier_core.report.naming import file_name
from glacier_core.report.overview import overview_of
from glacier_core.report.vectors import acquisition_date, polygons_of

MakeInputs = Callable[..., ReportInputs]
COLUMNS = "glacier_id,year,area_km2,area_low_km2,area_high_km2,clear_fraction,scenes,model,flags"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, module_inputs: ReportInputs) -> tuple[Path, list[str], ReportInputs]:
    folder = tmp_path_factory.mktemp("products")
    return folder, write_products(folder, module_inputs), module_inputs


def test_every_product_is_written_and_listed(made: tuple[Path, list[str], ReportInputs]) -> None:
    folder, files, inputs = made
    expected = {
        "glacier_area_by_year.csv",
        "glacier_retreat_graph.png",
        "glacier_retreat_timelapse.gif",
        "outlines.gpkg",
        "outlines.parquet",
        "report.html",
        "catalog.json",
        *(f"masks/{row.glacier_id}/{row.year}.tif" for row in inputs.areas.itertuples()),
    }
    assert expected <= set(files)
    on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert on_disk == set(files)
    assert files == sorted(files)


def test_the_table_has_the_promised_columns_sorted(made: tuple[Path, list[str], ReportInputs]) -> None:
    folder, _, inputs = made
    text = (folder / "glacier_area_by_year.csv").read_bytes().decode()
    assert "\r" not in text
    assert text.splitlines()[0] == COLUMNS
    rows = list(csv.DictReader(text.splitlines()))
    keys = [(row["glacier_id"], int(row["year"])) for row in rows]
    assert keys == sorted(keys)
    assert len(rows) == len(inputs.areas)
    frame = pd.read_csv(folder / "glacier_area_by_year.csv")
    expected = inputs.areas.sort_values(["glacier_id", "year"])["area_km2"].to_numpy()
    np.testing.assert_allclose(frame["area_km2"], expected, atol=5.1e-5)


def test_equal_inputs_give_equal_products(made: tuple[Path, list[str], ReportInputs], tmp_path: Path) -> None:
    folder, files, inputs = made
    again = write_products(tmp_path, replace(inputs, areas=inputs.areas.sample(frac=1.0, random_state=11)))
    assert again == files
    for name in files:
        first, second = ((root / name).read_bytes() for root in (folder, tmp_path))
        assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest(), name


def test_masks_are_georeferenced_cogs_that_tell_land_from_unseen(
    made: tuple[Path, list[str], ReportInputs],
) -> None:
    folder, _, inputs = made
    glacier = str(inputs.areas["glacier_id"].min())
    for year in (2022, 2023, 2024):
        image = inputs.image(glacier, year)
        assert image is not None
        with rasterio.open(folder / "masks" / glacier / f"{year}.tif") as file:
            values = file.read(1)
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert file.crs.to_epsg() == 32645
            assert tuple(file.transform)[:6] == image.grid.transform
            assert file.nodata == 255
        known = image.observed & image.domain
        np.testing.assert_array_equal(values == 1, image.ice & known)
        np.testing.assert_array_equal(values == 255, ~known)


def test_outlines_carry_rgi_names_and_the_ice_itself(made: tuple[Path, list[str], ReportInputs]) -> None:
    folder, _, inputs = made
    package = gpd.read_file(folder / "outlines.gpkg", layer="outlines")
    parquet = gpd.read_parquet(folder / "outlines.parquet")
    for frame in (package, parquet):
        assert {"rgi_id", "glac_name", "src_date", "area_km2", "cenlon", "cenlat", "o1region", "year"} <= set(frame)
        assert frame.crs.to_epsg() == 4326
        assert len(frame) == len(inputs.areas)
        assert frame.geometry.is_valid.all()
    assert package.geometry.geom_equals_exact(parquet.geometry, 1e-12).all()
    assert parquet["src_date"].iloc[0] == "2022-09-01T00:00:00"
    first = parquet.iloc[0]
    image = inputs.image(first["rgi_id"], first["year"])
    assert image is not None
    drawn = float(parquet.iloc[[0]].to_crs(image.grid.crs).area.iloc[0])
    assert drawn == pytest.approx(float(image.ice.sum()) * 100.0, rel=1e-6)


def test_the_timelapse_has_a_frame_a_year_and_stays_small(made: tuple[Path, list[str], ReportInputs]) -> None:
    folder, _, _ = made
    path = folder / "glacier_retreat_timelapse.gif"
    with Image.open(path) as animation:
        assert getattr(animation, "n_frames", 1) == 3
    assert path.stat().st_size < 6_000_000


def test_the_catalog_is_valid_and_its_assets_exist(made: tuple[Path, list[str], ReportInputs]) -> None:
    folder, _, inputs = made
    catalog = pystac.Catalog.from_file(str(folder / "catalog.json"))
    catalog.validate()
    items = list(catalog.get_items())
    assert len(items) == len(inputs.areas) + 1
    for item in items:
        item.validate()
        for asset in item.assets.values():
            href = asset.get_absolute_href()
            assert href is not None
            assert Path(href).is_file(), href


def test_ids_that_are_no_file_names_stay_inside_the_folder(make_inputs: MakeInputs, tmp_path: Path) -> None:
    inputs = make_inputs(count=1, years=(2024, 2024))
    odd = "../../<script>alert(1)</script>"
    image = inputs.image

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(glacier_id=odd)

    known = str(inputs.areas["glacier_id"].iloc[0])
    inputs = replace(
        inputs,
        areas=renamed(inputs.areas),
        trends=renamed(inputs.trends),
        outlines=inputs.outlines.assign(glacier_id=odd, name="<img src=x onerror=alert(1)>"),
        image=lambda _, year: image(known, year),
        withheld=[{"unit": f"{odd}_2023", "state": "failed", "reason": "<script>alert(2)</script>"}],
    )
    folder = tmp_path / "deep" / "products"
    files = write_products(folder, inputs)
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and folder not in path.parents]
    assert outside == []
    assert all((folder / name).is_file() for name in files)
    page = (folder / "report.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_a_run_without_any_result_still_reports(make_inputs: MakeInputs, tmp_path: Path) -> None:
    inputs = make_inputs(count=2)
    files = write_products(tmp_path, replace(inputs, areas=inputs.areas.head(0), trends=inputs.trends.head(0)))
    assert {"report.html", "glacier_area_by_year.csv", "catalog.json"} <= set(files)
    assert "nothing clear" in (tmp_path / "report.html").read_text()


def test_a_unit_without_a_picture_keeps_its_row(make_inputs: MakeInputs, tmp_path: Path) -> None:
    inputs = make_inputs(count=1)
    image = inputs.image
    write_products(tmp_path, replace(inputs, image=lambda g, year: None if year == 2023 else image(g, year)))
    assert len(pd.read_csv(tmp_path / "glacier_area_by_year.csv")) == 3
    assert len(gpd.read_parquet(tmp_path / "outlines.parquet")) == 2


def test_totals_count_only_glaciers_measured_in_every_year(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(count=3)
    areas = inputs.areas.sort_values(["glacier_id", "year"], ignore_index=True)
    areas["flags"] = ""
    areas.loc[0, "flags"] = "mostly_unobserved"
    overview = overview_of(replace(inputs, areas=areas))
    assert overview.summed == 2
    assert overview.total[0].area_km2 == pytest.approx(areas["area_km2"].to_numpy()[[3, 6]].sum())
    areas.loc[3, "flags"] = "mostly_unobserved"
    assert overview_of(replace(inputs, areas=areas)).total == ()


def test_the_most_changed_glaciers_come_first(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(count=4)
    trends = inputs.trends.assign(
        slope_km2_per_yr=[-0.01, -0.5, 0.3, -0.2],
        slope_low=[-0.02, -0.6, 0.2, -0.5],
        slope_high=[-0.005, -0.4, 0.4, 0.1],
    )
    order = [glacier.glacier_id[-1] for glacier in overview_of(replace(inputs, trends=trends)).glaciers]
    assert order == ["2", "3", "1", "4"]


def test_acquisition_dates_come_from_scene_ids_else_from_the_season(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(count=1)
    row = overview_of(inputs).glaciers[0].rows[0]
    assert acquisition_date(inputs.recipe, row, ["2022-08-01", "2022-08-20", "20220910"]).isoformat() == "2022-08-20"
    middle = inputs.recipe.mid_season(2022).date()
    assert acquisition_date(inputs.recipe, row, ["LE71400412000304SGS00", "x19990101"]) == middle


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=120), st.text(min_size=1, max_size=120))
def test_file_names_are_safe_and_distinct(one: str, other: str) -> None:
    name = file_name(one)
    assert name == Path(name).name
    assert name not in {"", ".", ".."}
    assert len(name) <= 100
    assert (file_name(other) == name) == (one == other)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_polygons_have_the_area_of_the_pixels(seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((9, 13)) < share
    polygons = polygons_of(mask)
    assert polygons.area == pytest.approx(mask.sum())
    assert scale(polygons, 1, -1).is_valid
