"""Glaciers ranked and totalled: the numbers that plots, pages and the timelapse share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glacier_core.report.inputs import ReportInputs

if TYPE_CHECKING:
    import pandas as pd

UNOBSERVED_FLAG = "mostly_unobserved"


@dataclass(frozen=True)
class YearRow:
    """One glacier, or the sum of several, in one year."""

    year: int
    """Calendar year."""
    area_km2: float
    """Area in km²."""
    low_km2: float
    """Lower end of the area's interval."""
    high_km2: float
    """Upper end of the area's interval."""
    clear_fraction: float = 1.0
    """Part of the domain that was seen, 0 to 1."""
    scenes: tuple[str, ...] = ()
    """Scenes used."""
    flags: tuple[str, ...] = ()
    """What a reader should mind."""
    retreat_m: float | None = None
    """Terminus retreat since the first year in metres; None if unknown."""

    @property
    def usable(self) -> bool:
        """Whether enough was seen to count in trends and sums."""
        return UNOBSERVED_FLAG not in self.flags and math.isfinite(self.area_km2)


@dataclass(frozen=True)
class Trend:
    """Theil-Sen slope of the area with its interval, and Mann-Kendall's p."""

    slope: float
    """km² a year."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    p_value: float
    """Mann-Kendall test, two-sided."""
    retreat_m_per_yr: float | None
    """Theil-Sen slope of the terminus retreat, metres a year."""

    @property
    def known(self) -> bool:
        """Whether there were years enough."""
        return math.isfinite(self.slope)

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.known and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Glacier:
    """One glacier through the years."""

    rank: int
    """Place in the order of change, from 1."""
    glacier_id: str
    """RGI id."""
    name: str
    """Its name, or its id where it has none."""
    outline_km2: float
    """Area by the outlines file."""
    outline_date: str
    """Date of that outline (ISO), empty if unknown."""
    rows: tuple[YearRow, ...]
    """Measured years in order."""
    trend: Trend
    """Change of its area."""

    @property
    def usable(self) -> tuple[YearRow, ...]:
        """The years in which enough was seen."""
        return tuple(row for row in self.rows if row.usable)

    @property
    def percent_per_yr(self) -> float | None:
        """Slope relative to the mean area, percent a year; None if unknown."""
        areas = [row.area_km2 for row in self.usable]
        mean = sum(areas) / len(areas) if areas else 0.0
        return 100 * self.trend.slope / mean if self.trend.known and mean > 0 else None

    @property
    def flags(self) -> tuple[str, ...]:
        """Every flag of its years, each once."""
        return tuple(sorted({flag for row in self.rows for flag in row.flags}))


@dataclass(frozen=True)
class Overview:
    """All glaciers of a report."""

    glaciers: tuple[Glacier, ...]
    """The most changed first."""
    years: tuple[int, ...]
    """Years with at least one measurement."""
    total: tuple[YearRow, ...]
    """Sums over the glaciers that were measured in every year; empty where these are fewer than half."""
    summed: int
    """Number of glaciers in `total`."""

    @property
    def shrinking(self) -> int:
        """Glaciers whose trend's interval lies below zero."""
        return sum(glacier.trend.clear and glacier.trend.slope < 0 for glacier in self.glaciers)

    @property
    def growing(self) -> int:
        """Glaciers whose trend's interval lies above zero."""
        return sum(glacier.trend.clear and glacier.trend.slope > 0 for glacier in self.glaciers)

    @property
    def flags(self) -> dict[str, int]:
        """Units by flag."""
        counted = Counter(flag for glacier in self.glaciers for row in glacier.rows for flag in row.flags)
        return dict(sorted(counted.items()))


def overview_of(inputs: ReportInputs) -> Overview:
    """Rank and total the glaciers of a report.

    Glaciers whose trend is clear come first, by the size of the slope in km² a year; then the others by area.
    """
    trends = {str(row["glacier_id"]): _trend(row) for row in inputs.trends.to_dict("records")}
    known: dict[str, Any] = {}
    for record in inputs.outlines.drop(columns="geometry").to_dict("records"):
        known.setdefault(str(record["glacier_id"]), record)
    unknown = Trend(slope=math.nan, low=math.nan, high=math.nan, p_value=math.nan, retreat_m_per_yr=None)
    found = []
    for glacier_id, table in inputs.areas.sort_values(["glacier_id", "year"]).groupby("glacier_id"):
        key = str(glacier_id)
        record = known.get(key, {})
        found.append(
            Glacier(
                rank=0,
                glacier_id=key,
                name=_text(record.get("name")) or key,
                outline_km2=_number(record.get("area_km2")),
                outline_date=_date(record.get("date")),
                rows=_rows(table),
                trend=trends.get(key, unknown),
            )
        )
    ranked = sorted(found, key=_order)
    glaciers = tuple(Glacier(**{**vars(glacier), "rank": number}) for number, glacier in enumerate(ranked, start=1))
    years = tuple(sorted({row.year for glacier in glaciers for row in glacier.rows}))
    total, summed = _total(glaciers, years)
    return Overview(glaciers=glaciers, years=years, total=total, summed=summed)


def _order(glacier: Glacier) -> tuple[bool, float, str]:
    largest = max((row.area_km2 for row in glacier.usable), default=0.0)
    size = abs(glacier.trend.slope) if glacier.trend.clear else largest
    return not glacier.trend.clear, -size, glacier.glacier_id


def _total(glaciers: Sequence[Glacier], years: Sequence[int]) -> tuple[tuple[YearRow, ...], int]:
    """Sums with the intervals' ends summed too: errors count as fully correlated, the widest case."""
    whole = [glacier for glacier in glaciers if len(glacier.usable) == len(years)]
    if len(whole) * 2 < len(glaciers) or not whole:
        return (), 0
    rows = []
    for index, year in enumerate(years):
        same = [glacier.usable[index] for glacier in whole]
        rows.append(
            YearRow(
                year=year,
                area_km2=sum(row.area_km2 for row in same),
                low_km2=sum(row.low_km2 for row in same),
                high_km2=sum(row.high_km2 for row in same),
            )
        )
    return tuple(rows), len(whole)


def _rows(table: pd.DataFrame) -> tuple[YearRow, ...]:
    return tuple(
        YearRow(
            year=int(record["year"]),
            area_km2=float(record["area_km2"]),
            low_km2=float(record["area_low_km2"]),
            high_km2=float(record["area_high_km2"]),
            clear_fraction=float(record["clear_fraction"]),
            scenes=_split(record["scenes"]),
            flags=_split(record["flags"]),
            retreat_m=_or_none(record.get("terminus_retreat_m")),
        )
        for record in table.to_dict("records")
    )


def _trend(row: Mapping[Any, Any]) -> Trend:
    return Trend(
        slope=_number(row["slope_km2_per_yr"]),
        low=_number(row["slope_low"]),
        high=_number(row["slope_high"]),
        p_value=_number(row["p_value"]),
        retreat_m_per_yr=_or_none(row.get("retreat_m_per_yr")),
    )


def _split(text: Any) -> tuple[str, ...]:
    return tuple(part for part in _text(text).split(";") if part)


def _text(value: Any) -> str:
    """Text of a table's cell; empty for None and NaN."""
    return value.strip() if isinstance(value, str) else ""


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _or_none(value: Any) -> float | None:
    number = _number(value)
    return number if math.isfinite(number) else None


def _date(value: Any) -> str:
    """ISO date; empty for None and NaT."""
    try:
        text = value.date().isoformat()
    except (AttributeError, ValueError):
        return ""
    return "" if text == "NaT" else str(text)
