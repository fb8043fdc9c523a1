"""Windows of months: none reaches across the end of a period."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glacier_core.errors import ConfigurationError
from glacier_core.samples import issues_of, tiles_of


@given(
    lengths=st.tuples(st.integers(0, 40), st.integers(0, 20), st.integers(0, 20)),
    lookback=st.integers(1, 12),
    leads=st.integers(1, 6),
)
def test_targets_stay_in_their_period_and_no_window_knows_a_later_one(
    lengths: tuple[int, int, int], lookback: int, leads: int
) -> None:
    order = ("train", "validation", "test")
    parts = [name for name, length in zip(order, lengths, strict=True) for _ in range(length)]
    targets = {}
    for number, part in enumerate(order):
        try:
            issues = issues_of(parts, part=part, lookback=lookback, leads=leads)
        except ConfigurationError:
            continue
        for issue in issues:
            known, ahead = parts[issue - lookback + 1 : issue + 1], parts[issue + 1 : issue + leads + 1]
            assert len(known) == lookback
            assert ahead == [part] * leads
            assert all(order.index(one) <= number for one in known)
        targets[part] = {step for issue in issues for step in range(issue + 1, issue + leads + 1)}
    assert sum(len(steps) for steps in targets.values()) == len(set().union(*targets.values()))


def test_too_few_frames_are_refused_and_so_are_periods_out_of_order() -> None:
    with pytest.raises(ConfigurationError, match="too few frames"):
        issues_of(["train"] * 8, part="train", lookback=6, leads=3)
    with pytest.raises(ConfigurationError, match="each once"):
        issues_of(["train", "test", "train"], part="train", lookback=1, leads=1)


@given(
    rows=st.integers(1, 300), columns=st.integers(1, 300), first=st.integers(0, 50), size=st.sampled_from([32, 64, 128])
)
def test_tiles_cover_their_part_and_have_one_shape(rows: int, columns: int, first: int, size: int) -> None:
    tiles = tiles_of(slice(first, first + rows), slice(0, columns), size=size)
    assert {(row.stop - row.start, column.stop - column.start) for row, column in tiles} == {
        (min(size, rows), min(size, columns))
    }
    covered = {at for row, _ in tiles for at in range(row.start, row.stop)}
    assert covered == set(range(first, first + rows))
    assert {at for _, column in tiles for at in range(column.start, column.stop)} == set(range(columns))
