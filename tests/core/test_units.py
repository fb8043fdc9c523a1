from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from glacier_core import Grid, SeriesUnit, Unit, pack

grids = st.builds(
    Grid,
    crs=st.just("EPSG:32645"),
    transform=st.tuples(
        st.just(10.0), st.just(0.0), st.floats(-1e6, 1e6), st.just(0.0), st.just(-10.0), st.floats(-1e7, 1e7)
    ),
    width=st.integers(1, 600),
    height=st.integers(1, 600),
)
units = st.builds(
    Unit,
    glacier_id=st.integers(0, 30).map("g{:02d}".format),
    year=st.integers(2000, 2030),
    place=st.integers(0, 8),
    part=st.sampled_from(["train", "validation", "test", ""]),
    grid=grids,
    scenes=st.lists(st.text("abc", min_size=1, max_size=3), max_size=5).map(tuple),
)

series_units = st.builds(
    SeriesUnit,
    name=st.integers(0, 99).map("s{:02d}".format),
    place=st.integers(0, 8),
    part=st.sampled_from(["train", "all", ""]),
    grid=grids,
    frames=st.lists(st.text("abc", min_size=1, max_size=3), max_size=5).map(tuple),
    times=st.just(("2020-01-01T00:00:00Z",)),
)


@given(series_units)
@settings(deadline=None)
def test_a_series_unit_survives_the_trip_through_json(unit: SeriesUnit) -> None:
    assert SeriesUnit.from_json(unit.to_json()) == unit
    assert unit.unit_id == unit.name


@given(st.lists(series_units, min_size=1, max_size=40), st.integers(1, 12))
@settings(deadline=None)
def test_series_are_packed_once_and_in_order(given_units: list[SeriesUnit], count: int) -> None:
    packed = [unit for batch in pack(given_units, batches=count) for unit in batch]
    assert sorted(map(repr, packed)) == sorted(map(repr, given_units))
    assert [unit.order for unit in packed] == sorted(unit.order for unit in packed)


@given(units)
@settings(deadline=None)
def test_a_unit_survives_the_trip_through_json(unit: Unit) -> None:
    assert Unit.from_json(unit.to_json()) == unit


@given(st.lists(units, min_size=1, max_size=60), st.integers(1, 12))
@settings(deadline=None)
def test_batches_hold_every_unit_once_in_balance_with_neighbours_together(given_units: list[Unit], count: int) -> None:
    batches = pack(given_units, batches=count)
    packed = [unit for batch in batches for unit in batch]
    assert sorted(map(repr, packed)) == sorted(map(repr, given_units))
    assert 1 <= len(batches) <= count
    assert all(batches)
    assert [unit.place for unit in packed] == sorted(unit.place for unit in packed)
    mean = sum(unit.cost for unit in given_units) / count
    largest = max(unit.cost for unit in given_units)
    assert all(sum(unit.cost for unit in batch) <= mean + largest + 1e-9 for batch in batches)


@given(grids)
@settings(deadline=None)
def test_a_grid_covers_its_own_bounds_exactly(grid: Grid) -> None:
    left, _, _, top = grid.bounds
    again = Grid.covering(grid.bounds, crs=grid.crs, resolution=grid.resolution, origin=(left, top))
    assert (again.width, again.height) == (grid.width, grid.height)


@given(
    st.floats(-1e5, 1e5),
    st.floats(-1e5, 1e5),
    st.floats(1, 5e3),
    st.floats(1, 5e3),
    st.sampled_from([10.0, 15.0, 30.0]),
)
@settings(deadline=None)
def test_a_covering_grid_holds_the_bounds_and_little_more(
    left: float, bottom: float, width: float, height: float, resolution: float
) -> None:
    bounds = (left, bottom, left + width, bottom + height)
    x0, y0, x1, y1 = Grid.covering(bounds, crs="EPSG:32645", resolution=resolution).bounds
    slack = resolution * 1e-4
    assert x0 <= bounds[0] + slack
    assert y0 <= bounds[1] + slack
    assert x1 >= bounds[2] - slack
    assert y1 >= bounds[3] - slack
    assert max(bounds[0] - x0, bounds[1] - y0, x1 - bounds[2], y1 - bounds[3]) <= resolution + slack
