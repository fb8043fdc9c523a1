"""Outlines on a grid, the ground of each glacier, and dated outlines."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from glacier_core.errors import ConfigurationError, WithheldError
from glacier_core.grids import Grid
from glacier_core.labels import glacier_domain, label_at, rasterize

GRID = Grid("EPSG:32645", (10.0, 0.0, 500_000.0, 0.0, -10.0, 3_100_000.0), 40, 30)


def frame(shapes: dict[str, Any], *, crs: str | None = "EPSG:32645", dates: list[Any] | None = None) -> Any:
    moved = [shapely.affinity.translate(shape, 500_000, 3_100_000) for shape in shapes.values()]
    return geopandas.GeoDataFrame(
        {"glacier_id": list(shapes), "date": pd.to_datetime(dates or ["2020-08-15"] * len(shapes))},
        geometry=moved,
        crs=crs,
    )


def centres(grid: Grid) -> tuple[Any, Any]:
    left, _, _, top = grid.bounds
    return np.meshgrid(left + 10 * (np.arange(grid.width) + 0.5), top - 10 * (np.arange(grid.height) + 0.5))


# corners off the lattice of centres, so that no centre lies on an edge
corner = st.tuples(st.integers(0, 400), st.integers(0, 300)).map(lambda at: (at[0] + 0.137, -at[1] - 0.291))
polygon = st.lists(corner, min_size=3, max_size=6, unique=True).map(
    lambda at: shapely.convex_hull(shapely.MultiPoint(at))
)
glacier = polygon.filter(lambda shape: shape.geom_type == "Polygon" and shape.area > 900)


@given(st.lists(glacier, min_size=1, max_size=3))
@settings(max_examples=25, deadline=None)
def test_a_pixel_is_ice_where_its_centre_lies_inside(shapes: list[Any]) -> None:
    outlines = frame({str(number): shape for number, shape in enumerate(shapes)})
    x, y = centres(GRID)
    whole = shapely.union_all(list(outlines.geometry))
    clear = shapely.distance(shapely.boundary(whole), shapely.points(x, y)) > 1e-3
    np.testing.assert_array_equal(rasterize(outlines, GRID)[clear], shapely.contains_xy(whole, x, y)[clear])


def test_outlines_in_degrees_fall_on_the_same_pixels() -> None:
    outlines = frame({"a": shapely.box(51, -203, 204, -52)})
    mask = rasterize(outlines.to_crs("EPSG:4326"), GRID)
    np.testing.assert_array_equal(mask, rasterize(outlines, GRID))
    assert mask[5:20, 5:20].all()
    assert mask.sum() == 225


def test_no_outlines_are_no_ice_and_no_crs_is_an_error() -> None:
    assert not rasterize(frame({"a": shapely.box(0, -9, 9, 0)}).iloc[:0], GRID).any()
    assert not rasterize(frame({"far": shapely.box(9e4, 0, 9.1e4, 1e3)}), GRID).any()
    somewhere = frame({"a": shapely.box(0, -9, 9, 0)}, crs=None)
    with pytest.raises(ConfigurationError, match="no CRS"):
        rasterize(somewhere, GRID)
    with pytest.raises(ConfigurationError, match="no CRS"):
        glacier_domain(somewhere, "a", GRID, buffer_m=10)


@given(st.lists(glacier, min_size=2, max_size=3), st.floats(0, 200))
@settings(max_examples=25, deadline=None)
def test_domains_are_near_their_glacier_disjoint_and_outside_other_outlines(shapes: list[Any], buffer_m: float) -> None:
    shapes = [
        shape for number, shape in enumerate(shapes) if not any(shape.intersects(other) for other in shapes[:number])
    ]
    outlines = frame({str(number): shape for number, shape in enumerate(shapes)})
    covered = np.zeros(GRID.shape, dtype=int)
    for glacier_id in outlines["glacier_id"]:
        try:
            domain = glacier_domain(outlines, glacier_id, GRID, buffer_m=buffer_m)
        except WithheldError:
            # so small between two centres that only pixels of a neighbour touch it
            continue
        own = rasterize(outlines[outlines["glacier_id"] == glacier_id], GRID)
        others = rasterize(outlines[outlines["glacier_id"] != glacier_id], GRID)
        assert (domain | ~own).all()
        assert not (domain & others).any()
        x, y = centres(GRID)
        distance = shapely.distance(outlines.geometry.iloc[int(glacier_id)], shapely.points(x, y))
        # between centres and to the outline differ by less than a pixel's diagonal
        assert (distance[domain] <= buffer_m + 15).all()
        if len(outlines) == 1 and own.any():
            pixels = shapely.MultiPoint(np.column_stack([x[own], y[own]]))
            np.testing.assert_array_equal(domain, shapely.distance(pixels, shapely.points(x, y)) <= buffer_m)
        covered += domain
    assert covered.max() <= 1


def test_the_divide_between_neighbours_stays_half_way() -> None:
    outlines = frame({"west": shapely.box(0, -300, 100, 0), "east": shapely.box(200, -300, 400, 0)})
    west = glacier_domain(outlines, "west", GRID, buffer_m=1000)
    assert west[:, :15].all()
    assert not west[:, 15:].any()


def test_a_glacier_smaller_than_a_pixel_has_its_pixel() -> None:
    outlines = frame({"tiny": shapely.box(101, -104, 104, -101)})
    assert not rasterize(outlines, GRID).any()
    domain = glacier_domain(outlines, "tiny", GRID, buffer_m=0)
    assert np.argwhere(domain).tolist() == [[10, 10]]


def test_a_glacier_beside_its_imagery_is_withheld() -> None:
    outlines = frame({"a": shapely.box(9000, -100, 9100, 0), "b": shapely.box(0, -100, 100, 0)})
    with pytest.raises(WithheldError, match="no part of glacier a"):
        glacier_domain(outlines, "a", GRID, buffer_m=100)


def test_the_buffer_is_in_metres_in_degrees_too() -> None:
    # 60° north: a degree of longitude is half one of latitude
    grid = Grid("EPSG:4326", (0.0002, 0.0, 7.0, 0.0, -0.0001, 60.0), 101, 101)
    left, bottom, right, top = grid.bounds
    x, y = (left + right) / 2, (bottom + top) / 2
    outlines = geopandas.GeoDataFrame(
        {"glacier_id": ["a"]}, geometry=[shapely.box(x - 1e-4, y - 5e-5, x + 1e-4, y + 5e-5)], crs="EPSG:4326"
    )
    domain = glacier_domain(outlines, "a", grid, buffer_m=300)
    rows, columns = (np.flatnonzero(domain.any(axis=axis)) for axis in (1, 0))
    assert abs(len(rows) * 11.14 / 2 - 300) < 12
    assert abs(len(columns) * 11.16 / 2 - 300) < 12


def test_the_nearest_outline_stands_for_a_date() -> None:
    square = shapely.box(0, -100, 100, 0)
    outlines = geopandas.GeoDataFrame(
        {
            "glacier_id": ["a", "a", "a", "b", "c"],
            "date": pd.to_datetime(["2016-08-15", "2018-08-15", "2018-08-15", "2002-01-01", "NaT"]),
            "row": range(5),
        },
        geometry=[square] * 5,
        crs="EPSG:32645",
    )
    found = label_at(outlines, when=datetime(2018, 9, 1, tzinfo=UTC), tolerance_days=200)
    assert found.outlines["row"].tolist() == [1, 2, 3, 4]
    own = found.of("a")
    assert own is not None
    assert (own.date, own.age_days, own.stale) == (date(2018, 8, 15), 17, False)
    other = found.of("b")
    assert other is not None
    assert other.stale
    assert other.age_days == (date(2018, 9, 1) - date(2002, 1, 1)).days
    assert found.of("c") is None
    assert found.of("unknown") is None
    assert found.stale


def test_of_two_equally_near_outlines_the_earlier_is_taken_and_the_tolerance_is_inclusive() -> None:
    shapes = {"late": shapely.box(0, -9, 9, 0), "early": shapely.box(0, -9, 9, 0)}
    outlines = frame(shapes, dates=["2020-08-21", "2020-08-01"]).assign(glacier_id="a")
    found = label_at(outlines, when=datetime(2020, 8, 11), tolerance_days=10)  # noqa: DTZ001
    own = found.of("a")
    assert own is not None
    assert (own.date, own.age_days, own.stale) == (date(2020, 8, 1), 10, False)
    assert not found.stale
    assert label_at(outlines, when=datetime(2020, 8, 11, tzinfo=UTC), tolerance_days=9).stale


def test_no_outlines_have_no_dates() -> None:
    empty = frame({"a": shapely.box(0, -9, 9, 0)}).iloc[:0]
    found = label_at(empty, when=datetime(2020, 8, 11, tzinfo=UTC), tolerance_days=10)
    assert len(found.outlines) == 0
    assert found.of("a") is None
