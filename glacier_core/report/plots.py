"""The still picture: areas through the years, in all and for the most changed glaciers, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glacier_core.report.overview import Glacier, Overview, YearRow
from glacier_core.report.palette import FAINT, ICE, INK, LOSS, MUTED
from glacier_core.report.svg import log_ticks, shortened, value_range

GRAPH_FILE = "glacier_retreat_graph.png"
SHOWN = 12
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "figure.dpi": 150,
    "savefig.facecolor": "white",
}


def write_graph(folder: Path, overview: Overview, *, title: str, note: str, confidence: float) -> str:
    """Write the graph of areas.

    Args:
        folder: the products' folder.
        overview: the ranked glaciers.
        title: headline.
        note: what a reader must know; may be empty.
        confidence: coverage of the intervals, 0 to 1.

    Returns:
        The file's name.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure: Any = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        if len(overview.years) > 1:
            _through_time(figure, overview, confidence)
        else:
            _beside_outlines(figure, overview, confidence)
        figure.suptitle(_short(title, 90), x=0.012, ha="left", fontsize=13, fontweight="bold")
        if note:
            figure.text(0.012, 0.004, note, fontsize=7.5, color=LOSS, ha="left", va="bottom")
        figure.get_layout_engine().set(rect=(0, 0.02, 1, 0.98), h_pad=0.08, w_pad=0.08)
        # without the version in it equal numbers give equal bytes
        figure.savefig(folder / GRAPH_FILE, metadata={"Software": None})
    return GRAPH_FILE


def _through_time(figure: Any, overview: Overview, confidence: float) -> None:
    chosen = overview.glaciers[:SHOWN]
    columns = 4 if len(chosen) > 4 else max(2, len(chosen))
    lines = -(-len(chosen) // columns)
    figure.set_size_inches(11, 4.0 + 1.9 * lines)
    grid = figure.add_gridspec(1 + lines, columns, height_ratios=[1.75, *[1.0] * lines])
    split = max(1, round(columns * 0.62))
    _total(figure.add_subplot(grid[0, :split]), overview, confidence)
    _retreats(figure.add_subplot(grid[0, split:]), overview)
    for number, glacier in enumerate(chosen):
        axes = figure.add_subplot(grid[1 + number // columns, number % columns])
        _curve(axes, glacier.rows, years=overview.years)
        _slope(axes, glacier)
        if number % columns == 0:
            axes.set_ylabel("area (km²)")


def _total(axes: Any, overview: Overview, confidence: float) -> None:
    percent = f"{100 * confidence:g} %"
    if overview.total:
        _curve(axes, overview.total, years=overview.years)
        axes.set_title(f"Sum of the {overview.summed} of {len(overview.glaciers)} glaciers measured in every year")
    else:
        for glacier in overview.glaciers:
            rows = glacier.usable
            if len(rows) > 1:
                relative = [100 * row.area_km2 / rows[0].area_km2 for row in rows]
                axes.plot([row.year for row in rows], relative, color=ICE, alpha=0.35, lw=1)
        axes.set_title("Area of each glacier relative to its first year")
    axes.set_ylabel("area (km²)" if overview.total else "percent of the first year")
    _year_ticks(axes, overview.years)
    if overview.total:
        axes.annotate(
            f"band: {percent} intervals, added up (widest case)",
            (0.015, 0.04),
            xycoords="axes fraction",
            fontsize=7.5,
            color=MUTED,
        )


def _retreats(axes: Any, overview: Overview) -> None:
    """Median terminus retreat with the middle half of the glaciers."""
    import numpy as np

    found: dict[int, list[float]] = {}
    for glacier in overview.glaciers:
        for row in glacier.usable:
            if row.retreat_m is not None:
                found.setdefault(row.year, []).append(row.retreat_m)
    axes.set_title("Terminus retreat along the flow line")
    axes.set_ylabel("metres since the first year")
    if not found:
        axes.text(0.5, 0.5, "no terminus known", transform=axes.transAxes, ha="center", color=MUTED)
        return
    years = sorted(found)
    low, middle, high = (np.array([np.percentile(found[year], q) for year in years]) for q in (25, 50, 75))
    axes.fill_between(years, low, high, color=LOSS, alpha=0.2, lw=0)
    axes.plot(years, middle, color=LOSS, lw=1.8, marker="o", ms=3.5)
    counts = [len(found[year]) for year in years]
    number = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    axes.annotate(
        f"median and middle half of {number} glaciers",
        (0.03, 0.93),
        xycoords="axes fraction",
        fontsize=7.5,
        color=MUTED,
        va="top",
    )
    _year_ticks(axes, overview.years)


def _curve(axes: Any, rows: Sequence[YearRow], *, years: Sequence[int]) -> None:
    import numpy as np

    span = np.arange(years[0], years[-1] + 1)
    low, middle, high = (np.full(len(span), np.nan) for _ in range(3))
    for row in rows:
        if row.usable:
            index = row.year - years[0]
            low[index], middle[index], high[index] = row.low_km2, row.area_km2, row.high_km2
    axes.fill_between(span, low, high, color=ICE, alpha=0.2, lw=0)
    axes.plot(span, middle, color=ICE, lw=1.6, marker="o", ms=3)
    if any(row.usable for row in rows):
        # wide intervals of years that were hardly seen are cut, or they would flatten everything else
        axes.set_ylim(*value_range([value for row in rows for value in _shown(row)]))
    for row in rows:
        neighbours = {row.year - 1, row.year + 1}
        if row.usable and not any(other.usable and other.year in neighbours for other in rows):
            axes.vlines(row.year, row.low_km2, row.high_km2, color=ICE, alpha=0.2, lw=5)
        if not row.usable:
            axes.errorbar(
                [row.year],
                [row.area_km2],
                yerr=[[row.area_km2 - row.low_km2], [row.high_km2 - row.area_km2]],
                color=MUTED,
                marker="o",
                mfc="white",
                ms=3.5,
                lw=0.8,
            )
    _year_ticks(axes, years)


def _shown(row: YearRow) -> tuple[float, ...]:
    return (row.low_km2, row.high_km2) if row.usable else (row.area_km2,)


def _slope(axes: Any, glacier: Glacier) -> None:
    """The trend as a second line of the title."""
    trend = glacier.trend
    text = "no trend: too few years"
    if trend.known:
        text = f"{trend.slope:+.3f} km²/yr ({trend.low:+.3f} to {trend.high:+.3f})".replace("-", "\N{MINUS SIGN}")
    colour = LOSS if trend.clear and trend.slope < 0 else MUTED
    axes.set_title(_short(f"{glacier.rank}  {glacier.name}"), pad=15)
    axes.annotate(
        text, (0, 1), xytext=(0, 4), xycoords="axes fraction", textcoords="offset points", fontsize=7.2, color=colour
    )


def _beside_outlines(figure: Any, overview: Overview, confidence: float) -> None:
    """One year only: each glacier's area beside that of its outline."""
    from matplotlib.ticker import FixedLocator

    chosen = [glacier for glacier in overview.glaciers if glacier.rows][:40]
    figure.set_size_inches(9, 2.6 + 0.22 * len(chosen))
    axes = figure.add_subplot()
    for place, glacier in enumerate(chosen):
        row = glacier.rows[-1]
        axes.plot([row.low_km2, row.high_km2], [place, place], color=ICE, alpha=0.35, lw=4, solid_capstyle="butt")
        axes.plot(row.area_km2, place, "o", color=ICE, ms=4, mfc=ICE if row.usable else "white")
        axes.plot(glacier.outline_km2, place, "|", color=LOSS, ms=9, mew=1.6)
    axes.set_yticks(range(len(chosen)), [_short(glacier.name) for glacier in chosen], fontsize=7.5)
    axes.set_ylim(len(chosen) - 0.4, -0.6)
    positive = [value for glacier in chosen for value in (glacier.rows[-1].area_km2, glacier.outline_km2) if value > 0]
    if positive and max(positive) > 30 * min(positive):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(log_ticks(math.log10(min(positive)), math.log10(max(positive)))))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.set_xlabel("area (km²)")
    axes.plot([], [], "o-", color=ICE, lw=4, ms=4, label=f"measured, with {100 * confidence:g} % interval")
    axes.plot([], [], "|", color=LOSS, ms=9, mew=1.6, ls="", label="the outlines file")
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    axes.set_title(f"Measured in {overview.years[0]}, beside the outlines" if overview.years else "Nothing measured")


def _year_ticks(axes: Any, years: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(years[0] - 0.3, years[-1] + 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=2))


def _short(text: str, most: int = 30) -> str:
    """Dollar signs would start mathematics."""
    return shortened(text, most).replace("$", "\\$")
