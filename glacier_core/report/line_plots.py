"""Lines with intervals over time or over leads, several to a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glacier_core.errors import DataError
from glacier_core.report.palette import ICE, LOSS, MUTED
from glacier_core.report.plots import STYLE

# Okabe & Ito 2008; the first two are the page's own
_COLOURS = (ICE, LOSS, "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", MUTED)
_DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Series:
    """One line of a plot."""

    x: Sequence[Any]
    """Numbers, dates or datetimes, in order."""
    y: Sequence[float]
    """Values; NaN leaves a gap."""
    low: Sequence[float] | None = None
    """Lower ends of the intervals, drawn as a band; None: no band."""
    high: Sequence[float] | None = None
    """Upper ends."""
    points: bool = True
    """Whether each value is marked."""


def plot_series(
    path: Path, series: Mapping[str, Series], *, title: str, x_label: str, y_label: str, note: str = ""
) -> None:
    """Draw lines into a PNG (2000 pixels wide); the first one is the foremost.

    Args:
        path: the file.
        series: lines by name.
        title: headline.
        x_label: the axis' quantity, with its unit where it has one.
        y_label: likewise.
        note: what a reader must know, under the plot; may be empty.

    Raises:
        DataError: there is no line, or one whose x and y differ in length.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wrong = next((name for name, one in series.items() if len(one.x) != len(one.y)), None)
    if not series or wrong is not None:
        what = "a plot without a line" if wrong is None else f"the line '{wrong}' has {len(series[wrong].x)} x values"
        raise DataError(what, expected="lines with as many x as y values")
    with mpl.rc_context({**STYLE, "figure.dpi": 200, "legend.frameon": False}):
        figure: Any = Figure(figsize=(10, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for number, (name, one) in enumerate(series.items()):
            _draw(axes, name, one, number)
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.margins(x=0.02)
        figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold")
        if len(series) > 1:
            figure.legend(loc="outside right upper", fontsize=9)
        if note:
            figure.supxlabel(note, x=0.012, ha="left", fontsize=8, color=LOSS)
        # without the version in it equal numbers give equal bytes
        figure.savefig(path, metadata={"Software": None})


def _draw(axes: Any, name: str, one: Series, number: int) -> None:
    colour = _COLOURS[number % len(_COLOURS)]
    style = _DASHES[number // len(_COLOURS) % len(_DASHES)]
    if one.low is not None and one.high is not None:
        axes.fill_between(one.x, one.low, one.high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(
        one.x,
        one.y,
        style,
        color=colour,
        label=name,
        linewidth=2.0 if number == 0 else 1.3,
        marker="o" if one.points else "",
        markersize=4 if number == 0 else 3,
        # the first line lies over the others
        zorder=3 - 0.01 * number,
    )
