"""Areas of classes through the years, and the table of what became of what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.report.classes.colours import class_colours
from glacier_core.report.palette import INK, LOSS, MUTED
from glacier_core.report.plots import STYLE

DARK_FROM = 0.55
"""Part of the colour scale from which letters are white."""


def plot_areas(
    path: Path,
    areas: NDArray[np.float64],
    *,
    periods: Sequence[str],
    names: Sequence[str],
    unit: str,
    title: str,
    note: str = "",
) -> None:
    """Stacked bars of the classes' areas (PNG, 2000 pixels wide).

    Args:
        path: the file.
        areas: (period, class).
        periods: years.
        names: the classes.
        unit: of the areas.
        title: headline.
        note: what a reader must know; may be empty.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    colours = [tuple(part / 255 for part in colour) for colour in class_colours(names)]
    with mpl.rc_context({**STYLE, "figure.dpi": 200, "legend.frameon": False}):
        figure: Any = Figure(figsize=(10, 1.7 + 0.42 * len(periods)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        left = np.zeros(len(periods))
        places = np.arange(len(periods))[::-1]
        for number, name in enumerate(names):
            axes.barh(
                places,
                areas[:, number],
                left=left,
                height=0.72,
                color=colours[number],
                edgecolor="white",
                linewidth=0.6,
                label=name.replace("_", " "),
            )
            left += areas[:, number]
        axes.set_yticks(places, periods)
        axes.set_xlabel(f"area in {_unit(unit)}")
        axes.grid(visible=False, axis="y")
        figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold")
        figure.legend(loc="outside right upper", fontsize=9)
        if note:
            figure.supxlabel(note, x=0.012, ha="left", fontsize=8, color=LOSS)
        figure.savefig(path, metadata={"Software": None})


def plot_transitions(
    path: Path, table: NDArray[np.float64], *, names: Sequence[str], unit: str, before: str, after: str, title: str
) -> None:
    """The table of areas by class before (rows) and after (columns) (PNG).

    Args:
        path: the file.
        table: (class, class).
        names: the classes.
        unit: of the areas.
        before: the earlier period.
        after: the later period.
        title: headline.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    texts = [name.replace("_", " ") for name in names]
    size = 2.6 + 0.72 * len(names)
    with mpl.rc_context({**STYLE, "figure.dpi": 200, "axes.grid": False}):
        figure: Any = Figure(figsize=(size + 1.2, size * 0.86), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        off = np.where(np.eye(len(names), dtype=bool), np.nan, table)
        largest = float(np.nanmax(off)) if np.isfinite(off).any() else 0.0
        shades = np.sqrt(off / largest) if largest > 0 else np.zeros_like(off)
        axes.imshow(shades, cmap="Oranges", vmin=0, vmax=1.15)
        for row, column in np.ndindex(table.shape):
            value = table[row, column]
            same = row == column
            dark = not same and np.nan_to_num(shades[row, column]) > DARK_FROM
            text = "" if not same and value == 0 else f"{value:.3g}"
            colour = MUTED if same else ("white" if dark else INK)
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
        axes.set_xticks(range(len(names)), texts, rotation=30, ha="right")
        axes.set_yticks(range(len(names)), texts)
        axes.set_xlabel(f"class in {after}")
        axes.set_ylabel(f"class in {before}")
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
        figure.suptitle(f"{title}, {_unit(unit)}", x=0.02, ha="left", fontsize=11, fontweight="bold")
        figure.savefig(path, metadata={"Software": None})


def _unit(unit: str) -> str:
    return {"km2": "km²", "px": "pixels"}.get(unit, unit)
