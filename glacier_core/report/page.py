"""`report.html`: one self-contained page. Nothing is fetched: pictures, style and script are inside it."""

from __future__ import annotations

import math
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
from glacier_core.report.provenance import grouped_reasons, package_versions
from glacier_core.report.rendering import km2_text, rendered, signed_text
from glacier_core.report.score_tables import score_tables

PAGE_FILE = "report.html"
PICTURE_BYTES = 4_500_000
"""Room for pictures in the page, as data URLs; the most changed glaciers come first."""
CARDS = 60
"""Glaciers with a card of their own; the others stand in the table."""
CARDS_OPEN = 12
CHARTED = 30
"""Glaciers in the chart beside the outlines' areas."""

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
        withheld=grouped_reasons(inputs.withheld),
        flags=[(flag, FLAGS.get(flag, ""), count) for flag, count in overview.flags.items()],
        units=sum(len(glacier.rows) for glacier in overview.glaciers),
        lineage=inputs.lineage,
        packages=package_versions(inputs.lineage),
        files=files,
        data=_data(overview, gallery, withheld),
    )
    (folder / PAGE_FILE).write_text(text, encoding="utf-8")


def _figures(inputs: ReportInputs, overview: Overview) -> list[tuple[str, str, str]]:
    """Headline numbers: figure, what it is, and its fine print."""
    found: list[tuple[str, str, str]] = []
    many = len(overview.glaciers)
    if overview.total:
        last = overview.total[-1]
        found.append(
            (
                f"{km2_text(last.area_km2)} km²",
                f"summed area in {last.year}",
                f"{km2_text(last.low_km2)} to {km2_text(last.high_km2)}; {_summed(overview)}",
            )
        )
    change = relative_change(overview)
    if change is not None:
        first, last = overview.total[0], overview.total[-1]
        difference = f"{signed_text(last.area_km2 - first.area_km2, 2)} km² since {first.year}"
        found.append((f"{signed_text(change, 1)} %", "change of their sum", difference))
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
        found.append((f"{signed_text(middle, 1)} m/yr", "median terminus retreat", fine))
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
                    "retreat": None if row.retreat_m is None else f"{signed_text(row.retreat_m, 0)} m",
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
