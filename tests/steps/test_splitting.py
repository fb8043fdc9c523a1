"""Splits of series: no two sets share a place or a time, and what would leak is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glacier_core import Grid
from glacier_core.errors import ConfigurationError
from glacier_core.recipes import Split
from glacier_core.sources.series import Frame, Series
from glacier_core.steps.splitting import (
    PARTS,
    check_split,
    part_of,
    period_of,
    places_of,
    split_series,
    untrained,
    without_what_was_seen,
)

SPACING = 100_000.0


def series(name: str, *, east: float | None = None, months: int = 12, dated: bool = True) -> Series:
    """A series of monthly images; without `east`, on ground without a CRS."""
    left = 0.0 if east is None else 400_000.0 + east
    grid = Grid(crs="" if east is None else "EPSG:32624", transform=(100, 0, left, 0, -100, 7e6), width=100, height=100)
    start = datetime(2000, 1, 1, tzinfo=UTC)
    frames = tuple(
        Frame(id=f"{name}-{month}", time=start + timedelta(days=30 * month), read=lambda _: np.zeros((1, 1, 1), "f4"))
        for month in range(months)
    )
    return Series(name=name, grid=grid, bands=("a",), quantities=("index",), frames=frames, dated=dated)


def test_series_whose_ground_meets_share_a_place() -> None:
    found = [series("a", east=0), series("b", east=5_000), series("c", east=SPACING), series("d"), series("e")]
    places = places_of(found)
    assert places["a"] == places["b"]
    assert len({places[name] for name in "acde"}) == 4


@given(count=st.integers(3, 30), seed=st.integers(0, 5))
@settings(deadline=None, max_examples=25)
def test_a_split_by_place_shares_none(count: int, seed: int) -> None:
    found = [series(f"s{number:02d}", east=SPACING * (number // 2) + 3_000 * (number % 2)) for number in range(count)]
    places = places_of(found)
    if len(set(places.values())) < 3:
        return
    split = split_series(Split(seed=seed), found, places)
    check_split(split)
    grounds = [{places[name] for name in split[part]} for part in PARTS]
    assert all(grounds)
    assert not (grounds[0] & grounds[1])
    assert not (grounds[0] & grounds[2])
    assert not (grounds[1] & grounds[2])
    assert {part_of(split, each.name) for each in found} == set(PARTS)


def test_a_named_split_of_series_on_one_ground_is_refused() -> None:
    found = [series("a", east=0), series("b", east=5_000), series("c", east=SPACING)]
    named = Split(by="named", validation_places=("c",), test_places=("b",))
    with pytest.raises(ConfigurationError, match="the split leaks: place 0 serves both"):
        split_series(named, found, places_of(found))


@given(days=st.lists(st.integers(1, 330), min_size=2, max_size=2, unique=True))
@settings(deadline=None, max_examples=25)
def test_a_split_by_time_shares_none(days: list[int]) -> None:
    first, second = (datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in sorted(days))
    found = [series("a", months=12)]
    split = Split(by="time", train_to=first.date(), validation_to=second.date())
    try:
        file = split_series(split, found, {"a": 0})
    except ConfigurationError as error:
        assert "no image lies in the period" in str(error)  # noqa: PT017
        return
    check_split(file)
    parts = [period_of(file, frame.time.isoformat()) for frame in found[0].frames]
    # periods follow each other
    assert parts == sorted(parts, key=PARTS.index)
    assert part_of(file, "a") == "all"


def test_a_split_by_time_that_was_changed_is_refused() -> None:
    split = Split(by="time", train_to="2000-04-15", validation_to="2000-08-15")
    file = split_series(split, [series("a")], {"a": 0})
    with pytest.raises(ConfigurationError, match="the split leaks"):
        check_split({**file, "validation_to": "2000-03-01"})
    with pytest.raises(ConfigurationError, match="the split leaks"):
        check_split({**file, "test_to": "2001-03-01"})


def test_periods_that_overlap_are_no_recipe() -> None:
    with pytest.raises(ValueError, match="follow each other"):
        Split(by="time", train_to="2000-08-15", validation_to="2000-04-15")


def test_images_without_dates_cannot_be_split_by_time() -> None:
    split = Split(by="time", train_to="2000-04-15", validation_to="2000-08-15")
    with pytest.raises(ConfigurationError, match="have no dates"):
        split_series(split, [series("a", dated=False)], {"a": 0})


def test_an_evaluation_leaves_out_the_time_that_the_model_saw() -> None:
    split = Split(by="time", train_to="2000-04-15", validation_to="2000-08-15")
    seen = split_series(split, [series("a")], {"a": 0})
    same = without_what_was_seen(untrained(["a"], tested=True), seen=seen)
    assert [period_of(same, day) for day in ("2000-03-01", "2000-08-15", "2000-08-16")] == ["", "", "test"]
    other = without_what_was_seen(untrained(["b"], tested=True), seen=seen)
    assert period_of(other, "2000-03-01") == "test"
