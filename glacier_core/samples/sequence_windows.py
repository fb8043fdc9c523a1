"""Which windows of a row of months (or frames) serve training, validation and test, so that none leaks."""

from __future__ import annotations

from collections.abc import Sequence

from glacier_core.errors import ConfigurationError


def issues_of(parts: Sequence[str], *, part: str, lookback: int, leads: int) -> list[int]:
    """The windows whose targets all lie in one period: the place of the last step that each knows.

    A window knows the steps issue - lookback + 1 .. issue and forecasts issue + 1 .. issue + leads. What it knows may
    lie in an earlier period, never in a later one; where the targets would reach across the period's end there is no
    window.

    Args:
        parts: the period of each step, in order of time; empty for none.
        part: the period that is wanted.
        lookback: steps that are known.
        leads: steps that are forecast.

    Raises:
        ConfigurationError: a later period comes before an earlier one, or the steps are too few for one window.
    """
    order = [name for name, before in zip(parts, ["", *parts], strict=False) if name and name != before]
    if len(order) != len(set(order)):
        raise ConfigurationError(
            f"periods follow each other as {', '.join(order)}", expected="each once", do="correct split"
        )
    found = [
        issue
        for issue in range(lookback - 1, len(parts) - leads)
        if all(parts[step] == part for step in range(issue + 1, issue + leads + 1))
    ]
    if not found:
        raise ConfigurationError(
            f"{sum(name == part for name in parts)} steps of {part} are too few frames for a window",
            expected=f"{lookback} steps before and {leads} steps within the period",
            do="add frames, or lower lookback, leads or change split",
        )
    return found


def tiles_of(rows: slice, columns: slice, *, size: int) -> list[tuple[slice, slice]]:
    """Windows of one size that cover a part of an image, overlapping by about half, in order of rows.

    Args:
        rows: the part's rows.
        columns: its columns.
        size: rows and columns of a window; a shorter part gets windows of its own length.
    """
    return [(row, column) for row in _starts(rows, size) for column in _starts(columns, size)]


def _starts(part: slice, size: int) -> list[slice]:
    length = part.stop - part.start
    side = min(size, length)
    steps = -(-2 * (length - side) // side) if length > side else 0
    starts = [part.start + round(number * (length - side) / max(steps, 1)) for number in range(steps + 1)]
    return [slice(start, start + side) for start in starts]
