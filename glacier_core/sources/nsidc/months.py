"""Months: how they are written, which were asked for, and which are missing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from glacier_core.errors import ConfigurationError
from glacier_core.sources.reading import SceneTrouble


class Month(NamedTuple):
    """A month of a year; in order of time when sorted."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """A month from `YYYY-MM`.

        Raises:
            ConfigurationError: it is written otherwise, or no such month exists.
        """
        year, _, month = text.partition("-")
        if len(year) == 4 and len(month) == 2 and (year + month).isdecimal() and 1 <= int(month) <= 12:
            return cls(int(year), int(month))
        raise ConfigurationError(f"month {text!r} cannot be read", expected="a month such as 1979-01")

    @property
    def start(self) -> datetime:
        """Its first instant (UTC)."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def following(self) -> Month:
        """The next month."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    def __str__(self) -> str:
        """As `parse` takes it."""
        return f"{self.year:04d}-{self.month:02d}"


class Period(NamedTuple):
    """From one month to another, both included."""

    first: Month | None
    last: Month | None

    @classmethod
    def parse(cls, months: tuple[str, str] | None) -> Period:
        """A period from its first and last month (`YYYY-MM`); None: all there is.

        Raises:
            ConfigurationError: a month cannot be read, or the last comes before the first.
        """
        if months is None:
            return cls(None, None)
        first, last = (Month.parse(month) for month in months)
        if last < first:
            raise ConfigurationError(f"months end {last}, before they begin {first}", do="name the first month first")
        return cls(first, last)

    def __contains__(self, month: object) -> bool:
        """Whether a month lies in it."""
        return (
            isinstance(month, Month)
            and (self.first is None or self.first <= month)
            and (self.last is None or month <= self.last)
        )


def missing_months(present: Iterable[Month], *, period: Period, reported: Iterable[Month] = ()) -> list[SceneTrouble]:
    """A trouble for each month without a file, from the first that was asked for or is present to the last.

    Args:
        present: months that have a file.
        period: the months that were asked for.
        reported: months whose trouble is told elsewhere.
    """
    known = {*present, *reported}
    if not known:
        return []
    month, last = period.first or min(known), period.last or max(known)
    troubles = []
    while month <= last:
        if month not in known:
            troubles.append(SceneTrouble(str(month), "no file for this month"))
        month = month.following
    return troubles
