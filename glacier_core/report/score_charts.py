"""Charts of scores, of learning and of errors, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from glacier_core.report.svg import Drawing, Scale, log_ticks, points, shortened, tick_label, ticks, value_range

DASH = "\N{EN DASH}"
"""Stands for what is unknown."""


def score_chart(
    found: Sequence[tuple[str, Mapping[str, Any]]], *, label: str, limits: tuple[float, float] | None = None
) -> Markup:
    """A score of the model and of each baseline, with intervals; the first one is the model.

    Args:
        found: name and score {value, low, high, n, unit}.
        label: what is shown, for readers who do not see it.
        limits: ends of the axis; None: from the values.
    """
    texts = [number_text(score["value"], score.get("unit", "")) for _, score in found]
    line, left, width = 24.0, 168.0, 640.0
    right = max(60.0, 18.0 + 7.5 * max(map(len, texts), default=0))
    drawing = Drawing(width, 34 + line * len(found), label=label, kind="chart big score-chart")
    values = [v for _, s in found for v in (s["value"], s.get("low"), s.get("high")) if v is not None]
    low, high = limits or value_range(values)
    x = Scale((low, high), (left, width - right))
    marks = ticks(low, high, most=6)
    base = 8 + line * len(found)
    for value in marks:
        drawing.add("line", x1=x(value), x2=x(value), y1=6.0, y2=base, class_="grid")
        drawing.add("text", text=tick_label(value, marks), x=x(value), y=base + 14, class_="tick", text_anchor="middle")
    for number, (name, score) in enumerate(found):
        y = 6 + line * (number + 0.5)
        who = "model" if number == 0 else "baseline"
        shown = shortened(name, 25)
        drawing.add("text", text=shown, x=left - 10, y=y + 4, class_=f"name {who}", text_anchor="end", title=name)
        if score.get("low") is not None:
            drawing.add("line", x1=x(score["low"]), x2=x(score["high"]), y1=y, y2=y, class_=f"bar {who}")
        drawing.add("circle", cx=x(score["value"]), cy=y, r=4.2, class_=f"dot {who}")
        drawing.add(
            "text",
            text=texts[number],
            x=width - right + 10,
            y=y + 4,
            class_=f"value {who}",
        )
    return drawing.markup()


def curves_chart(series: Mapping[str, Sequence[tuple[float, float]]], *, label: str, best: float | None) -> Markup:
    """Curves over epochs; the first is drawn as the model's, the others muted, and the best epoch is marked."""
    width, height, left, right, top, bottom = 640.0, 240.0, 52.0, 110.0, 14.0, 34.0
    drawing = Drawing(width, height, label=label, kind="chart big curves-chart")
    everything = [pair for curve in series.values() for pair in curve]
    xs, ys = [pair[0] for pair in everything], [pair[1] for pair in everything]
    x = Scale((min(xs), max(*xs, min(xs) + 1)), (left, width - right))
    low, high = value_range(ys)
    y = Scale((low, high), (height - bottom, top))
    marks = ticks(low, high, most=5)
    _levels(drawing, y, marks, ends=(left, width - right))
    for value in (mark for mark in ticks(min(xs), max(xs), most=8) if mark == int(mark)):
        text = f"{value:g}"
        drawing.add("text", text=text, x=x(value), y=height - bottom + 15, class_="tick", text_anchor="middle")
    drawing.add("text", text="epoch", x=(left + width - right) / 2, y=height - 4, class_="unit", text_anchor="middle")
    if best is not None:
        drawing.add("line", x1=x(best), x2=x(best), y1=top, y2=height - bottom, class_="best")
        drawing.add("text", text="best", x=x(best) - 4, y=top + 9, class_="unit", text_anchor="end")
    taken: list[float] = []
    for number, (name, curve) in enumerate(series.items()):
        kind = f"series s{number % 4}"
        drawing.add("polyline", points=points([(x(a), y(b)) for a, b in curve]), class_=f"line {kind}")
        at = y(curve[-1][1])
        while any(abs(at - other) < 13 for other in taken):
            at += 13 if number else -13
        taken.append(at)
        drawing.add("text", text=name, x=width - right + 6, y=at + 4, class_=f"name {kind}")
    return drawing.markup()


def truth_chart(rows: Sequence[Mapping[str, Any]], *, label: str) -> Markup:
    """Measured beside true area of the test units: relative error with its interval, against the true area."""
    width, height, left, right, top, bottom = 640.0, 280.0, 52.0, 16.0, 22.0, 40.0
    drawing = Drawing(width, height, label=label, kind="chart big truth-chart")
    known = [row for row in rows if row["true_area_km2"] > 0]

    def percent(row: Mapping[str, Any], key: str) -> float:
        return 100 * (float(row[key]) / float(row["true_area_km2"]) - 1)

    errors = [percent(row, key) for row in known for key in ("area_km2", "area_low_km2", "area_high_km2")]
    low, high = value_range([0.0, *(max(-60.0, min(60.0, error)) for error in errors)])
    areas = [math.log10(row["true_area_km2"]) for row in known]
    x = Scale((min(areas, default=0) - 0.05, max(areas, default=1) + 0.05), (left, width - right))
    y = Scale((low, high), (height - bottom, top))
    marks = ticks(low, high, most=6)
    drawing.add("text", text="measured minus true area (%)", x=left - 44, y=11.0, class_="unit")
    _levels(drawing, y, marks, ends=(left, width - right))
    for area in log_ticks(x.low, x.high):
        at = x(math.log10(area))
        drawing.add("line", x1=at, x2=at, y1=top, y2=height - bottom, class_="grid")
        drawing.add("text", text=f"{area:g}", x=at, y=height - bottom + 15, class_="tick", text_anchor="middle")
    drawing.add(
        "text", text="true area (km²)", x=(left + width - right) / 2, y=height - 6, class_="unit", text_anchor="middle"
    )
    for row in known:
        low_end, middle, high_end = (percent(row, key) for key in ("area_low_km2", "area_km2", "area_high_km2"))
        at = x(math.log10(row["true_area_km2"]))
        kind = "stale" if row.get("stale") else "covered" if low_end <= 0 <= high_end else "outside"
        drawing.add("line", x1=at, x2=at, y1=y.clamped(low_end), y2=y.clamped(high_end), class_=f"bar {kind}")
        title = f"{row['unit']}: {row['area_km2']:.3f} km², true {row['true_area_km2']:.3f} km²"
        drawing.add("circle", cx=at, cy=y.clamped(middle), r=2.6, class_=f"dot {kind}", title=title)
    return drawing.markup()


def number_text(value: float | None, unit: str = "") -> str:
    """A score as people write it."""
    if value is None or not math.isfinite(value):
        return DASH
    if unit == "%":
        return f"{value:.1f} %"
    decimals = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
    return f"{value:,.{decimals}f}" + (f" {unit}" if unit not in ("", "1") else "")


def _levels(drawing: Drawing, y: Scale, marks: Sequence[float], *, ends: tuple[float, float]) -> None:
    for value in marks:
        kind = "grid zero" if value == 0 else "grid"
        drawing.add("line", x1=ends[0], x2=ends[1], y1=y(value), y2=y(value), class_=kind)
        text = tick_label(value, marks)
        drawing.add("text", text=text, x=ends[0] - 5, y=y(value) + 4, class_="tick", text_anchor="end")
