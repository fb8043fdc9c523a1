"""`report.html`: one self-contained page. Nothing is fetched: pictures, style and script are inside it."""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from glacier_core.recipes import dump_recipe
from glacier_core.report.charts import (
    CARD,
    LARGE,
    WIDE,
    Size,
    area_chart,
    outlines_chart,
    relative_change,
    relative_chart,
)
from glacier_core.report.frames import Frame, Strip, encoded, svg_path
from glacier_core.report.inputs import ReportInputs
from glacier_core.report.maps import legend, overview_map, shape_chart
from glacier_core.report.overview import Glacier, Overview
from glacier_core.report.pictures import length_label, nice_length
from glacier_core.report.score_charts import DASH, number_text, score_chart

PAGE_FILE = "report.html"
PICTURE_BYTES = 4_500_000
"""Room for pictures in the page, as data URLs; the most changed glaciers come first."""
CARDS = 60
"""Glaciers with a card of their own; the others stand in the table."""
CARDS_OPEN = 12
CHARTED = 30
"""Glaciers in the chart beside the outlines' areas."""

METRICS: Mapping[str, tuple[str, str]] = {
    "iou/glacier": ("IoU of ice", "intersection over union (Jaccard) of predicted and reference ice; 1 is perfect"),
    "f1/glacier": ("F1 of ice", "harmonic mean of precision and recall; 1 is perfect"),
    "precision/glacier": ("Precision", "part of the predicted ice that is ice"),
    "recall/glacier": ("Recall", "part of the ice that was found"),
    "area_error/mean": ("Mean area error", "mean of |measured / true - 1| over the test units"),
    "area_error/largest": ("Largest area error", "the worst test unit's |measured / true - 1|"),
    "interval_coverage": ("Interval coverage", "part of the test units whose interval holds the true area"),
    "iou_stale/glacier": ("IoU, stale labels", "agreement with outlines of another date: no accuracy"),
    "area_bias_stale": ("Area, stale labels", "mean of measured / outline - 1: a bias, which real change is part of"),
}
FLAGS: Mapping[str, str] = {
    "mostly_unobserved": "too little was seen (cloud, shadow, no data): hollow points, left out of trends and sums",
    "trained_on": "the model was trained or tuned on this glacier: expect smaller errors than elsewhere",
    "unpromoted": "made with a model that has not passed the promotion gate",
    "stale": "the label's date is too far from the image's",
}


@dataclass
class Gallery:
    """Pictures and shapes of glaciers for the page, collected while their arrays are at hand."""

    glaciers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By glacier: size, scale bar and years, as the page's script takes them."""
    shapes: dict[str, Markup] = field(default_factory=dict)
    """By glacier: the outlines of the first and the last year."""
    bytes_left: int = PICTURE_BYTES
    """Room that is left for pictures."""

    def show(self, strip: Strip) -> None:
        """Take what the page shows of a glacier: outlines of all years, and pictures while there is room."""
        glacier = strip.glacier
        if glacier.rank > CARDS or not strip.frames:
            return
        years = {frame.row.year: self._year(strip, frame) for frame in strip.frames}
        width, height = strip.frames[0].size
        metres = strip.frames[0].metres_per_pixel
        length = nice_length(width * metres)
        self.glaciers[glacier.glacier_id] = {
            "size": [width, height],
            "bar": [round(length / metres, 1), length_label(length)],
            "years": years,
            "first": strip.clear[0].row.year if strip.clear else strip.frames[0].row.year,
        }
        shown = strip.clear or strip.frames
        first, last = shown[0], shown[-1]
        length = nice_length(1.2 * max(width, height) * metres)
        label = f"Ice of {glacier.name} in {first.row.year}"
        self.shapes[glacier.glacier_id] = shape_chart(
            svg_path(first.shape),
            svg_path(last.shape) if last is not first else "",
            size=(width, height),
            bar=(length / metres, length_label(length)),
            label=label + (f" and {last.row.year}" if last is not first else ""),
        )

    def _year(self, strip: Strip, frame: Frame) -> dict[str, Any]:
        found: dict[str, Any] = {"path": svg_path(frame.edge)}
        if self.bytes_left > 0:
            picture = encoded(frame.rgb, strip.stretch)
            if len(picture) <= self.bytes_left:
                found["picture"] = picture
                self.bytes_left -= len(picture)
            else:
                # from here on none, or small pictures would fill the gaps at random
                self.bytes_left = 0
        return found


def write_page(
    folder: Path, inputs: ReportInputs, *, overview: Overview, gallery: Gallery, files: Sequence[str]
) -> None:
    """Write the page.

    Args:
        folder: the products' folder.
        inputs: what was measured.
        overview: the ranked glaciers.
        gallery: pictures and shapes.
        files: other products, linked relative to the page.
    """
    recipe = inputs.recipe
    withheld = _by_unit(inputs.withheld)
    text = rendered(
        "page.html",
        title=recipe.title or recipe.name,
        recipe=recipe,
        recipe_yaml=dump_recipe(recipe),
        model=inputs.model,
        version=f"{inputs.model['name']}/{inputs.model['version']}",
        overview=overview,
        years=overview.years,
        single=len(overview.years) == 1,
        confidence=f"{100 * recipe.measure.confidence:g} %",
        figures=_figures(inputs, overview),
        total=_total(overview),
        relative=_relative(overview),
        beside=_beside(overview),
        map=overview_map(overview.glaciers, inputs.outlines),
        legend=legend(),
        cards=[_card(glacier, overview, gallery, withheld) for glacier in overview.glaciers[:CARDS]],
        cards_open=CARDS_OPEN,
        charted=CHARTED,
        rows=[_row(glacier) for glacier in overview.glaciers],
        scores=score_tables(inputs.scores, inputs.baselines),
        withheld=_reasons(inputs.withheld),
        flags=[(flag, FLAGS.get(flag, ""), count) for flag, count in overview.flags.items()],
        units=sum(len(glacier.rows) for glacier in overview.glaciers),
        lineage=inputs.lineage,
        packages=_packages(inputs.lineage),
        files=files,
        data=_data(overview, gallery, withheld),
    )
    (folder / PAGE_FILE).write_text(text, encoding="utf-8")


def rendered(template: str, **values: Any) -> str:
    """A page from its template; everything is escaped, and only the page's own script may run."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    here = Path(__file__).parent
    script = (here / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(here),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(score=number_text, km2=_km2, signed=_signed)
    return environment.get_template(template).render(
        **values,
        style=Markup((here / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def score_tables(
    scores: Mapping[str, Mapping[str, Any]], baselines: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, Any]:
    """What pages show of scores: a chart of the main metric, and every metric of every contender.

    The baselines are ordered by their main metric, the best first.
    """
    main = next((metric for metric in ("iou/glacier", "iou_stale/glacier") if metric in scores), "")
    ordered = sorted(baselines.items(), key=lambda entry: (-_value(entry[1].get(main)), entry[0]))
    contenders = [("model", scores), *ordered]
    shown = [(name, found[main]) for name, found in contenders if main in found]
    metrics = [*dict.fromkeys(metric for _, found in contenders for metric in found)]
    return {
        "main": METRICS.get(main, (main, "")),
        "main_score": scores.get(main),
        "main_stale": "stale" in main,
        "best": shown[1] if len(shown) > 1 else None,
        "chart": score_chart(shown, label=f"{main} of the model and of each baseline") if shown else None,
        "contenders": [name for name, _ in contenders],
        "stale": any("stale" in metric for metric in metrics),
        "unsure": [metric for metric in scores if scores[metric].get("low") is None],
        "metrics": [
            {
                "key": metric,
                "name": METRICS.get(metric, (metric, ""))[0],
                "what": METRICS.get(metric, ("", ""))[1],
                "stale": "stale" in metric,
                "scores": [found.get(metric) for _, found in contenders],
                "n": _same([found[metric]["n"] for _, found in contenders if metric in found]),
            }
            for metric in metrics
        ],
    }


def _figures(inputs: ReportInputs, overview: Overview) -> list[tuple[str, str, str]]:
    """Headline numbers: figure, what it is, and its fine print."""
    found: list[tuple[str, str, str]] = []
    many = len(overview.glaciers)
    if overview.total:
        last = overview.total[-1]
        found.append(
            (
                f"{_km2(last.area_km2)} km²",
                f"summed area in {last.year}",
                f"{_km2(last.low_km2)} to {_km2(last.high_km2)}; {_summed(overview)}",
            )
        )
    change = relative_change(overview)
    if change is not None:
        first, last = overview.total[0], overview.total[-1]
        difference = f"{_signed(last.area_km2 - first.area_km2, 2)} km² since {first.year}"
        found.append((f"{_signed(change, 1)} %", "change of their sum", difference))
    if any(glacier.trend.known for glacier in overview.glaciers):
        rest = many - overview.shrinking - overview.growing
        found.append(
            (
                f"{overview.shrinking} of {many}",
                "glaciers shrink",
                f"trend's interval below zero; {overview.growing} grow, {rest} without a clear trend",
            )
        )
    rates = sorted(g.trend.retreat_m_per_yr for g in overview.glaciers if g.trend.retreat_m_per_yr is not None)
    if rates and len(overview.years) > 1:
        middle = (rates[(len(rates) - 1) // 2] + rates[len(rates) // 2]) / 2
        fine = f"of {len(rates)} glaciers; + is retreat"
        found.append((f"{_signed(middle, 1)} m/yr", "median terminus retreat", fine))
    main = inputs.scores.get("iou/glacier")
    if main:
        interval = "no interval" if main["low"] is None else f"{main['low']:.3f} to {main['high']:.3f}"
        found.append((f"{main['value']:.3f}", "IoU on held-out glaciers", f"{interval}; n = {main['n']}"))
    return found


def _summed(overview: Overview) -> str:
    """Which glaciers the sum is of."""
    many = len(overview.glaciers)
    every = "" if len(overview.years) == 1 else " measured every year"
    return f"{many} glaciers" if overview.summed == many else f"the {overview.summed} of {many} glaciers{every}"


def _total(overview: Overview) -> Markup | None:
    if len(overview.total) < 2:
        return None
    return area_chart(
        overview.total,
        years=overview.years,
        label=f"Sum of the areas of {overview.summed} glaciers by year",
        size=WIDE,
    )


def _relative(overview: Overview) -> Markup | None:
    """What stands in for the sum where too few glaciers were measured in every year."""
    if overview.total or len(overview.years) < 2:
        return None
    return relative_chart(
        overview.glaciers, years=overview.years, label="Area of each glacier relative to its first year"
    )


def _beside(overview: Overview) -> Markup | None:
    if len(overview.years) != 1:
        return None
    shown = [glacier for glacier in overview.glaciers if glacier.rows][:CHARTED]
    return outlines_chart(shown, label="Measured area of each glacier beside the area of its outline")


def _card(
    glacier: Glacier, overview: Overview, gallery: Gallery, withheld: Mapping[str, Mapping[int, str]]
) -> dict[str, Any]:
    def chart(size: Size) -> Markup | None:
        if len(overview.years) < 2 or not glacier.rows:
            return None
        return area_chart(
            glacier.rows,
            years=overview.years,
            label=f"Area of {glacier.name} by year",
            size=size,
            trend=glacier.trend,
            withheld=withheld.get(glacier.glacier_id),
        )

    return {
        "glacier": glacier,
        "chart": chart(CARD),
        "large": chart(LARGE),
        "shape": gallery.shapes.get(glacier.glacier_id),
        "change": glacier.percent_per_yr,
    }


def _row(glacier: Glacier) -> dict[str, Any]:
    usable = glacier.usable or glacier.rows
    return {
        "glacier": glacier,
        "first": usable[0] if usable else None,
        "last": usable[-1] if usable else None,
        "measured": len(glacier.usable),
        "years": len(glacier.rows),
        "percent": glacier.percent_per_yr,
        "outline": glacier.outline_km2 if math.isfinite(glacier.outline_km2) else None,
    }


def _data(overview: Overview, gallery: Gallery, withheld: Mapping[str, Mapping[int, str]]) -> dict[str, Any]:
    """What the page's script shows when a glacier is chosen."""
    return {
        glacier.glacier_id: {
            "name": glacier.name,
            "rank": glacier.rank,
            **{key: gallery.glaciers[glacier.glacier_id][key] for key in ("size", "bar", "first")},
            "withheld": withheld.get(glacier.glacier_id, {}),
            "years": [
                {
                    "year": row.year,
                    "area": f"{row.area_km2:.3f} km²",
                    "interval": f"{row.low_km2:.3f} to {row.high_km2:.3f} km²",
                    "clear": f"{100 * row.clear_fraction:.0f} %",
                    "retreat": None if row.retreat_m is None else f"{_signed(row.retreat_m, 0)} m",
                    "scenes": list(row.scenes),
                    "flags": list(row.flags),
                    **gallery.glaciers[glacier.glacier_id]["years"].get(row.year, {}),
                }
                for row in glacier.rows
            ],
        }
        for glacier in overview.glaciers[:CARDS]
        if glacier.glacier_id in gallery.glaciers
    }


def _by_unit(withheld: Sequence[Mapping[str, str]]) -> dict[str, dict[int, str]]:
    """Reasons by glacier and year; units are named <glacier>_<year>."""
    found: dict[str, dict[int, str]] = {}
    for entry in withheld:
        glacier, _, year = entry["unit"].rpartition("_")
        if glacier and year.isdigit():
            found.setdefault(glacier, {})[int(year)] = entry["reason"]
    return found


def _reasons(withheld: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Units without a result, those of one state and reason together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in withheld:
        groups.setdefault((entry["state"], entry["reason"]), []).append(entry["unit"])
    return [
        {"state": state, "reason": reason, "units": sorted(units)} for (state, reason), units in sorted(groups.items())
    ]


def _packages(lineage: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Package versions behind the products: the most frequent one of each."""
    counted: dict[str, Counter[str]] = {}
    for entry in lineage:
        for name, version in dict(entry.get("packages") or {}).items():
            counted.setdefault(name, Counter())[str(version)] += 1
    return [(name, versions.most_common(1)[0][0]) for name, versions in sorted(counted.items())]


def _same(numbers: Sequence[int]) -> int | None:
    """The number that all are equal to; None where they differ."""
    return numbers[0] if len(set(numbers)) == 1 else None


def _value(score: Mapping[str, Any] | None) -> float:
    return float(score["value"]) if score else -math.inf


def _km2(value: float | None) -> str:
    """An area with about four significant digits."""
    if value is None or not math.isfinite(value):
        return DASH
    decimals = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{decimals}f}"


def _signed(value: float | None, decimals: int = 2) -> str:
    """A number with its sign, the minus a real one; a dash where it is unknown."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{round(value, decimals) + 0.0:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")
