"""Which of a glacier's dated outlines may stand for a date, and how old they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geopandas import GeoDataFrame


@dataclass(frozen=True)
class OutlineDate:
    """The date of one glacier's outline, beside the date that it is to stand for."""

    date: date
    """When the outline was true."""
    age_days: int
    """Distance between the two dates in days, never negative."""
    stale: bool
    """Whether the distance is beyond the tolerance."""


@dataclass(frozen=True)
class DatedOutlines:
    """For each glacier the outline nearest to a date."""

    outlines: GeoDataFrame
    """The chosen rows; glaciers without any date are kept as they are, for they are ice all the same."""
    dates: Mapping[str, OutlineDate]
    """By glacier; none for a glacier without any date."""

    def of(self, glacier_id: str) -> OutlineDate | None:
        """The date of a glacier's outline; None when it has no outline or no date."""
        return self.dates.get(glacier_id)

    @property
    def stale(self) -> bool:
        """Whether any of the outlines is stale or has no date."""
        return len(self.dates) < self.outlines["glacier_id"].nunique() or any(
            found.stale for found in self.dates.values()
        )


def label_at(outlines: GeoDataFrame, *, when: datetime, tolerance_days: int) -> DatedOutlines:
    """For each glacier the outline nearest in date to `when`; of two equally near, the earlier.

    Args:
        outlines: with the columns glacier_id and date (NaT: unknown); rows of one glacier and date belong together.
        when: naive ones are UTC.
        tolerance_days: an outline that is farther away than this is stale.
    """
    import pandas as pd

    instant = pd.Timestamp(when.astimezone(UTC).replace(tzinfo=None) if when.tzinfo else when).normalize()
    day = pd.to_datetime(outlines["date"], utc=True).dt.tz_localize(None).dt.normalize()
    table = pd.DataFrame({"glacier": outlines["glacier_id"].astype(str), "day": day, "age": (day - instant).abs()})
    dated = table.dropna(subset="day").sort_values(["age", "day"], kind="stable").drop_duplicates("glacier")
    nearest = {
        glacier: OutlineDate(date=found.date(), age_days=age.days, stale=age.days > tolerance_days)
        for glacier, found, age in zip(dated["glacier"], dated["day"], dated["age"], strict=True)
    }
    chosen = [
        glacier not in nearest or (not pd.isna(found) and found.date() == nearest[glacier].date)
        for glacier, found in zip(table["glacier"], table["day"], strict=True)
    ]
    return DatedOutlines(outlines=outlines[chosen], dates=dict(sorted(nearest.items())))
