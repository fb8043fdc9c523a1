"""Charts of areas as SVG."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from glacier_core.report.overview import Glacier, Overview, Trend, YearRow
from glacier_core.report.svg import Drawing, Scale, log_ticks, points, shortened, tick_label, ticks, value_range


@dataclass(frozen=True)
class Size:
    """Size and margins of a chart of years."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    kind: str

    @property
    def base(self) -> float:
        """Where the axis of years runs."""
        return self.height - self.bottom


CARD = Size(width=190, height=92, left=30, right=6, top=13, bottom=15, kind="chart area-chart small")
LARGE = Size(width=520, height=250, left=50, right=14, top=22, bottom=26, kind="chart area-chart big")
WIDE = Size(width=640, height=290, left=56, right=14, top=22, bottom=26, kind="chart area-chart big")


def area_chart(
    rows: Sequence[YearRow],
    *,
    years: Sequence[int],
    label: str,
    size: Size,
    trend: Trend | None = None,
    withheld: Mapping[int, str] | None = None,
) -> Markup:
    """Area through the years: points, the interval as a band, the trend where it is clear.

    Years in which most was not seen are hollow points outside the line, their intervals cut at the chart's edge;
    years without a result are crosses.

    Args:
        rows: measured years.
        years: the axis.
        label: what is shown, for readers who do not see it.
        size: size and margins.
        trend: drawn dashed where its interval excludes zero.
        withheld: reasons by year.
    """
    drawing = Drawing(size.width, size.height, label=label, kind=size.kind)
    usable = [row for row in rows if row.usable]
    shown = [value for row in usable for value in (row.low_km2, row.high_km2)] + [row.area_km2 for row in rows]
    x, y = _axes(drawing, size, years, value_range(shown), unit="km²")
    for run in _runs(usable):
        _band(drawing, run, x, y)
    if trend is not None and trend.clear and len(usable) > 2:
        offset = statistics.median(row.area_km2 - trend.slope * row.year for row in usable)
        ends = [(x(year), y(offset + trend.slope * year)) for year in (usable[0].year, usable[-1].year)]
        drawing.add("polyline", points=points(ends), class_="trend")
    for row in rows:
        _point(drawing, row, x(row.year), y)
    for year, reason in sorted((withheld or {}).items()):
        if years[0] <= year <= years[-1]:
            cross = f"M{x(year) - 2.5:.1f} {size.base - 7.5:.1f}l5 5m0 -5l-5 5"
            drawing.add("path", d=cross, class_="cross", title=f"{year}: no result: {reason}")
    drawing.add("line", x1=-9.0, x2=-9.0, y1=size.top - 4, y2=size.base, class_="cursor")
    return drawing.markup()


def relative_chart(glaciers: Sequence[Glacier], *, years: Sequence[int], label: str) -> Markup:
    """Area of each glacier in percent of its first usable year: for when too few were measured in every year to sum."""
    curves = [
        [(row.year, 100 * row.area_km2 / glacier.usable[0].area_km2) for row in glacier.usable]
        for glacier in glaciers
        if len(glacier.usable) > 1 and glacier.usable[0].area_km2 > 0
    ]
    drawing = Drawing(WIDE.width, WIDE.height, label=label, kind=WIDE.kind)
    limits = value_range([value for curve in curves for _, value in curve] or [100.0])
    x, y = _axes(drawing, WIDE, years, limits, unit="%")
    for curve in curves:
        drawing.add("polyline", points=points([(x(year), y(value)) for year, value in curve]), class_="line thin")
    return drawing.markup()


def outlines_chart(glaciers: Sequence[Glacier], *, label: str) -> Markup:
    """One year only: the measured area of each glacier with its interval beside the area of its outline.

    The axis is logarithmic where glaciers differ more than thirtyfold.
    """
    line, left, right, width = 19.0, 150.0, 22.0, 460.0
    drawing = Drawing(width, 40 + line * len(glaciers), label=label, kind="chart big outlines-chart")
    values = [
        v for g in glaciers for v in (g.rows[-1].low_km2, g.rows[-1].high_km2, g.rows[-1].area_km2, g.outline_km2)
    ]
    positive = [value for value in values if math.isfinite(value) and value > 0] or [1.0]
    high, least = max(positive) * 1.04, min(positive) / 1.1
    logarithmic = high > 30 * least
    inner = Scale((math.log10(least), math.log10(high)) if logarithmic else (0.0, high), (left, width - right))

    def x(value: float) -> float:
        return inner(math.log10(max(value, least)) if logarithmic else value)

    marks = log_ticks(math.log10(least), math.log10(high)) if logarithmic else ticks(0.0, high, most=5)
    base = 12 + line * len(glaciers)
    for value in marks:
        drawing.add("line", x1=x(value), x2=x(value), y1=8.0, y2=base, class_="grid")
        text = (f"{value:g}" if logarithmic else tick_label(value, marks)) + (" km²" if value == marks[-1] else "")
        drawing.add("text", text=text, x=x(value), y=base + 14, class_="tick", text_anchor="middle")
    for number, glacier in enumerate(glaciers):
        row, y = glacier.rows[-1], 8 + line * (number + 0.5)
        title = f"{glacier.name}: {row.area_km2:.2f} km² ({row.low_km2:.2f} to {row.high_km2:.2f})"
        name = f"{glacier.rank}  {glacier.name}"
        shown = shortened(name, 18)
        drawing.add("text", text=shown, x=left - 8, y=y + 3.5, class_="name", text_anchor="end", title=glacier.name)
        drawing.add("line", x1=x(row.low_km2), x2=x(row.high_km2), y1=y, y2=y, class_="bar", title=title)
        if math.isfinite(glacier.outline_km2):
            at = x(glacier.outline_km2)
            told = f"outline of {glacier.outline_date or 'unknown date'}: {glacier.outline_km2:.2f} km²"
            drawing.add("line", x1=at, x2=at, y1=y - 6, y2=y + 6, class_="reference", title=told)
        kind = "dot" if row.usable else "dot hollow"
        drawing.add("circle", cx=x(row.area_km2), cy=y, r=3.4, class_=kind, title=title)
    return drawing.markup()


def relative_change(overview: Overview) -> float | None:
    """Change of the total from the first to the last year in percent; None if unknown."""
    if len(overview.total) < 2 or overview.total[0].area_km2 <= 0:
        return None
    return 100 * (overview.total[-1].area_km2 / overview.total[0].area_km2 - 1)


def _axes(
    drawing: Drawing, size: Size, years: Sequence[int], limits: tuple[float, float], *, unit: str
) -> tuple[Scale, Scale]:
    small = size is CARD
    last = max(years[-1], years[0] + 1)
    x = Scale((years[0], last), (size.left + 6, size.width - size.right - 6))
    y = Scale(limits, (size.base, size.top))
    marks = ticks(*limits, most=3 if small else 6)
    right = size.width - size.right
    drawing.add("text", text=unit, x=size.left - 4, y=size.top - 5, class_="unit", text_anchor="end")
    for value in marks:
        drawing.add("line", x1=size.left, x2=right, y1=y(value), y2=y(value), class_="grid")
        text = tick_label(value, marks)
        drawing.add("text", text=text, x=size.left - 4, y=y(value) + 3, class_="tick", text_anchor="end")
    drawing.add("line", x1=size.left, x2=right, y1=size.base, y2=size.base, class_="axis")
    step = max(1, math.ceil(len(range(years[0], last + 1)) / 10))
    for year in range(years[0], last + 1):
        ends = year in (years[0], last)
        even = (year - years[0]) % step == 0 and last - year >= step
        if not (ends or even):
            continue
        drawing.add("line", x1=x(year), x2=x(year), y1=size.base, y2=size.base + 3, class_="axis")
        if ends or not small:
            anchor = "middle" if not small else "start" if year == years[0] else "end"
            at = x(year) + (0 if not small else -6 if year == years[0] else 6)
            low = size.base + (11 if small else 17)
            spaced = (year - years[0]) % (2 * step) == 0 and last - year >= 2 * step
            kind = "tick" if ends or spaced else "tick fine"
            drawing.add("text", text=str(year), x=at, y=low, class_=kind, text_anchor=anchor)
    return x, y


def _band(drawing: Drawing, run: Sequence[YearRow], x: Scale, y: Scale) -> None:
    if len(run) == 1:
        row = run[0]
        drawing.add("line", x1=x(row.year), x2=x(row.year), y1=y(row.low_km2), y2=y(row.high_km2), class_="lone")
        return
    band = [(x(row.year), y(row.high_km2)) for row in run]
    band += [(x(row.year), y(row.low_km2)) for row in reversed(run)]
    drawing.add("polygon", points=points(band), class_="band")
    drawing.add("polyline", points=points([(x(row.year), y(row.area_km2)) for row in run]), class_="line")


def _point(drawing: Drawing, row: YearRow, x: float, y: Scale) -> None:
    title = f"{row.year}: {row.area_km2:.3f} km² ({row.low_km2:.3f} to {row.high_km2:.3f})"
    marked: dict[str, Any] = {"data_year": row.year, "data_x": round(x, 1)}
    if row.usable:
        drawing.add("circle", cx=x, cy=y(row.area_km2), r=2.2, class_="dot", title=title, **marked)
        return
    title += f", {100 * row.clear_fraction:.0f} % seen"
    drawing.add("line", x1=x, x2=x, y1=y.clamped(row.low_km2), y2=y.clamped(row.high_km2), class_="whisker")
    drawing.add("circle", cx=x, cy=y(row.area_km2), r=2.4, class_="dot hollow", title=title, **marked)


def _runs(rows: Sequence[YearRow]) -> list[list[YearRow]]:
    """Years in stretches without gaps: a line over a gap would claim what nobody saw."""
    runs: list[list[YearRow]] = []
    for row in rows:
        if runs and row.year == runs[-1][-1].year + 1:
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs
