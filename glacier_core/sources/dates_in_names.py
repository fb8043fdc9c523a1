"""Dates that stand in file names, found by a regular expression with named groups."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from glacier_core.errors import ConfigurationError

ISO_DATE = r"(?P<year>\d{4})-?(?P<month>\d{2})-?(?P<day>\d{2})"
"""Finds 2020-08-01 and 20200801."""
DATE_GROUPS = frozenset({"year", "month", "day", "doy", "hour", "minute", "second"})
"""Names of groups that make the date; every other named group tells something else."""


def compile_date_pattern(
    date_pattern: str, *, key: str = "imagery.date_pattern", months: bool = False
) -> re.Pattern[str]:
    """A date pattern, checked.

    Args:
        date_pattern: regular expression with the groups `year`, `month` and `day`, or `year` and `doy` (day of the
            year); `hour`, `minute` and `second` may follow.
        key: what the recipe calls it, for messages.
        months: whether `year` and `month` alone will do; they stand for the first of the month.

    Raises:
        ConfigurationError: it is no regular expression, or cannot find a date.
    """
    try:
        pattern = re.compile(date_pattern)
    except re.error as error:
        raise ConfigurationError(f"{key} is no regular expression ({error})") from None
    groups = set(pattern.groupindex)
    enough = [{"year", "month", "day"}, {"year", "doy"}, *([{"year", "month"}] if months else [])]
    if not any(names <= groups for names in enough):
        raise ConfigurationError(
            f"{key} has the groups {', '.join(sorted(groups)) or 'none'}",
            expected="year and month and day, or year and doy" + (", or year and month" if months else ""),
            do="name the groups as in (?P<year>\\d{4})",
        )
    return pattern


def moment_of(found: re.Match[str]) -> datetime | None:
    """The moment (UTC) that a match of a date pattern tells; None where there is no such date (month 13, day 366)."""
    groups = {name: text for name, text in found.groupdict().items() if text}
    try:
        clock = timedelta(
            hours=int(groups.get("hour", 0)), minutes=int(groups.get("minute", 0)), seconds=int(groups.get("second", 0))
        )
        if "doy" in groups:
            first = datetime(int(groups["year"]), 1, 1, tzinfo=UTC)
            moment = first + timedelta(days=int(groups["doy"]) - 1)
            return moment + clock if moment.year == first.year else None
        return datetime(int(groups["year"]), int(groups["month"]), int(groups.get("day", 1)), tzinfo=UTC) + clock
    except (KeyError, ValueError, OverflowError):
        return None
