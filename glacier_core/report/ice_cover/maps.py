"""Maps of fractions side by side: forecasts, what came, and how far they differ, with the observed edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from glacier_core.report.palette import FAINT, INK
from glacier_core.report.plots import STYLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

PANEL_IN = 2.9
DPI = 150
LAND_GREY = "#c9c2b8"
EDGE_COLOUR = "#ffb000"
COLOURS = {"fraction": "Blues_r", "melt": "YlOrRd", "probability": "viridis", "spread": "magma_r", "difference": "RdBu"}
"""A map for each of what panels show; all but the last are even in lightness."""


@dataclass(frozen=True)
class Panel:
    """One map."""

    title: str
    """Headline, one or two lines."""
    values: NDArray[np.float32]
    """(y, x); NaN where there is nothing to show."""
    shows: Literal["fraction", "melt", "probability", "spread", "difference"]
    """What the values are; panels that show the same share one scale and one bar."""
    edge: NDArray[np.float32] | None = None
    """(y, x) a field whose threshold is drawn as a line, such as the observation."""


def draw_panels(
    path: Path, panels: Sequence[Sequence[Panel]], *, land: NDArray[np.bool_], threshold: float, note: str = ""
) -> None:
    """Write rows of maps as a PNG.

    Args:
        path: the file.
        panels: rows of maps, each row showing one quantity or several.
        land: (y, x) land, drawn grey.
        threshold: of the edge's line.
        note: said under the maps; may be empty.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = _part_with_values(panels, land)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    across = max(len(row) for row in panels)
    size = (across * PANEL_IN + 1.0, len(panels) * (PANEL_IN * height / width + 0.45) + 0.3)
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure: Any = Figure(figsize=size, layout="constrained", dpi=DPI)
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(panels), across, squeeze=False)
        scales = _scales(panels)
        for places, row in zip(grid, panels, strict=True):
            shown: dict[str, tuple[Any, list[Any]]] = {}
            for axes, panel in zip(places, row, strict=False):
                image = _draw(axes, panel, scales[panel.shows], land, (rows, columns), threshold)
                shown.setdefault(panel.shows, (image, []))[1].append(axes)
            for axes in places[len(row) :]:
                axes.axis("off")
            for what, (image, own) in shown.items():
                bar = figure.colorbar(image, ax=own, shrink=0.8, aspect=28, pad=0.01, location="right")
                bar.set_label(_LABELS[what], fontsize=8)
                bar.outline.set_visible(False)
        if note:
            figure.supxlabel(note, x=0.012, ha="left", fontsize=8, color=INK)
        figure.savefig(path, metadata={"Software": None})


_LABELS = {
    "fraction": "fraction of ice",
    "melt": "part of the days with melt",
    "probability": "probability",
    "spread": "standard deviation",
    "difference": "forecast less observed",
}


def _scales(panels: Sequence[Sequence[Panel]]) -> dict[str, tuple[float, float]]:
    found = {"fraction": (0.0, 1.0), "probability": (0.0, 1.0)}
    for what in ("melt", "spread", "difference"):
        own = [panel.values for row in panels for panel in row if panel.shows == what]
        values = np.abs(np.concatenate([one[np.isfinite(one)] for one in own])) if own else np.zeros(1)
        values = values[values > 0]
        top = float(np.percentile(values, 98)) if values.size else 1.0
        top = max(round(top, 2), 0.02)
        found[what] = (-top, top) if what == "difference" else (0.0, top)
    return found


def _draw(
    axes: Any,
    panel: Panel,
    scale: tuple[float, float],
    land: NDArray[np.bool_],
    part: tuple[slice, slice],
    threshold: float,
) -> Any:
    import matplotlib as mpl
    from matplotlib.colors import ListedColormap

    colours = mpl.colormaps[COLOURS[panel.shows]].copy()
    colours.set_bad((0, 0, 0, 0))
    axes.set_facecolor("#eef2f4" if panel.shows != "fraction" else "#dfe5e9")
    image = axes.imshow(panel.values[part], cmap=colours, vmin=scale[0], vmax=scale[1], interpolation="nearest")
    ground = np.where(land[part], 1.0, np.nan)
    axes.imshow(ground, cmap=ListedColormap([LAND_GREY]), interpolation="nearest")
    if panel.edge is not None:
        # masked, so that no edge is drawn along the coast
        field = np.ma.masked_invalid(panel.edge[part])
        if (field >= threshold).any() and (field < threshold).any():
            axes.contour(field, levels=[threshold], colors=EDGE_COLOUR, linewidths=0.9)
    axes.set_title(panel.title, fontsize=8.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(FAINT)
    return image


def _part_with_values(panels: Sequence[Sequence[Panel]], land: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The part of the grid that any panel shows something of, with a margin."""
    shown = np.zeros(land.shape, bool)
    for row in panels:
        for panel in row:
            shown |= np.isfinite(panel.values)
    if not shown.any():
        return slice(0, land.shape[0]), slice(0, land.shape[1])
    found = []
    for axis, size in ((1, land.shape[0]), (0, land.shape[1])):
        at = np.flatnonzero(shown.any(axis=axis))
        found.append(slice(max(0, int(at[0]) - 4), min(size, int(at[-1]) + 5)))
    return found[0], found[1]
