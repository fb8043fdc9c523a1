"""What several kinds of work use: places, seasons, pixel sizes, outlines of grids and tables as files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer

from glacier_core import Grid, Store
from glacier_core.steps.kinds.product_parts import footprint, table_files
from glacier_core.steps.kinds.series import metres_per_pixel, season_of
from glacier_core.steps.splitting import joined, place_names
from glacier_core.steps.tables import to_parquet

UTM = Grid(crs="EPSG:32645", transform=(30, 0, 400_000, 0, -30, 3_100_000), width=200, height=100)
DEGREES = Grid(crs="EPSG:4326", transform=(0.001, 0, 86.0, 0, -0.001, 28.0), width=200, height=100)
PIXELS = Grid(crs="", transform=(1.0, 0.0, 0.0, 0.0, -1.0, 4.0), width=5, height=4)


def test_groups_share_a_place_and_absent_series_are_passed_over() -> None:
    places = {"a": 0, "b": 1, "c": 2, "d": 3}
    assert joined(places, [["b", "d", "absent"], ["gone"]]) == {"a": 0, "b": 1, "c": 2, "d": 1}
    # a chain of groups is one place
    assert joined(places, [["a", "b"], ["c", "d"], ["b", "c"]]) == dict.fromkeys("abcd", 0)
    assert joined(places, []) == places


def test_a_place_has_the_name_of_its_first_unit() -> None:
    units = {name: SimpleNamespace(place=place) for name, place in (("c", 1), ("b", 0), ("a", 1))}
    assert place_names(units) == {"a": "a", "b": "b", "c": "a"}


def test_months_belong_to_quarters() -> None:
    assert [season_of(month) for month in (12, 1, 2, 3, 5, 6, 9, 11)] == [
        "DJF", "DJF", "DJF", "MAM", "MAM", "JJA", "SON", "SON",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("grid", "stated", "metres"),
    [(UTM, None, 30), (UTM, 10, 30), (DEGREES, 25, 25), (DEGREES, None, None), (PIXELS, 12, 12), (PIXELS, None, None)],
)
def test_a_pixel_is_as_large_as_a_projected_crs_or_else_the_recipe_says(
    grid: Grid, stated: float | None, metres: float | None
) -> None:
    recipe = SimpleNamespace(imagery=SimpleNamespace(pixel_size_m=stated))
    assert metres_per_pixel(grid, recipe) == metres


def test_a_footprint_is_the_grids_corners_in_degrees() -> None:
    found = footprint(UTM)
    assert found is not None
    ring = np.asarray(found["coordinates"][0])
    east, north = Transformer.from_crs("EPSG:4326", UTM.crs, always_xy=True).transform(*ring.T)
    left, bottom, right, top = UTM.bounds
    assert np.allclose(east, [left, right, right, left, left], atol=1e-3)
    assert np.allclose(north, [bottom, bottom, top, top, bottom], atol=1e-3)
    assert footprint(PIXELS) is None


def test_tables_are_written_as_they_are_and_as_csv(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    content = to_parquet(pd.DataFrame({"area": [1 / 3]}))
    output = store.publish_content("aggregate", {"areas.parquet": content})
    files = table_files(output, tmp_path, {"areas": "areas of all", "absent": "nothing"})
    assert files == [("areas.parquet", "areas of all"), ("areas.csv", "areas of all")]
    assert (tmp_path / "areas.parquet").read_bytes() == content
    assert (tmp_path / "areas.csv").read_text(encoding="utf-8").split() == ["area", "0.333333"]


def test_the_models_line_says_whether_it_was_promoted() -> None:
    from glacier_core.steps.kinds.product_parts import model_told

    plan: Any = SimpleNamespace(
        model={"name": "m", "version": "2", "alias": "", "weights": "train/x"}, promoted=lambda: False
    )
    assert model_told(plan) == {"name": "m", "version": "2", "alias": "", "promoted": False}
