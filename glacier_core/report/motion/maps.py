"""The velocity map: speed in colour and direction as arrows on an image, unreliable vectors left out; the error beside.

The colour map is perceptually even (viridis); grey shows the image where no reliable vector is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.report.palette import FAINT, INK, MUTED
from glacier_core.report.pictures import length_label, nice_length
from glacier_core.report.plots import STYLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH_IN = 10.0
WIDE = 1.25
"""Images wider than so many times their height have their two maps one above the other."""
LEFT_IN, BOTTOM_IN, SIDE_IN, EDGE_IN = 0.65, 0.5, 1.55, 0.85
"""Room left of and below a map; beside it in all, for the colour bar; above and below it in all."""
DPI = 150
ARROWS_ALONG = 34
"""Arrows along the longer side, at most."""
TOP = 99.0
"""Percentile of the speeds that has the brightest colour."""


@dataclass(frozen=True)
class VelocityMap:
    """What a velocity map shows."""

    title: str
    """Headline: the place and the period."""
    image: NDArray[np.float32]
    """(y, x), the image behind; NaN where nothing was seen."""
    rows: NDArray[np.float64]
    """(n,), row of each vector."""
    columns: NDArray[np.float64]
    """(m,), column of each vector."""
    right: NDArray[np.float32]
    """(n, m), component to the right in `unit`; NaN where it is not shown."""
    down: NDArray[np.float32]
    """(n, m), component down in `unit`."""
    spread: NDArray[np.float32]
    """(n, m), disagreement of the pairs in `unit`; NaN where unknown."""
    unit: str
    """Unit of speeds."""
    pixel_size_m: float | None
    """Size of a pixel; None where it is not known."""


def draw_velocity(path: Path, shown: VelocityMap) -> None:
    """Write the map as a PNG: speed with arrows, and below it how far the pairs disagree.

    Args:
        path: the file.
        shown: what it shows.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    height, width = shown.image.shape
    stacked = width > WIDE * height
    across = (WIDTH_IN if stacked else WIDTH_IN / 2) - SIDE_IN
    # a map's place and its colour bar's are stated: matplotlib's own layouts take seconds a picture
    tall = across * height / width
    page = WIDTH_IN, (1 + stacked) * (tall + EDGE_IN)
    corners = ((0.0, tall + EDGE_IN), (0.0, 0.0)) if stacked else ((0.0, 0.0), (WIDTH_IN / 2, 0.0))
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=page)
        upper, lower = (
            [
                figure.add_axes(
                    (
                        (left + LEFT_IN + start) / page[0],
                        (bottom + BOTTOM_IN) / page[1],
                        wide / page[0],
                        tall / page[1],
                    )
                )
                for start, wide in ((0.0, across), (across + 0.1, 0.12))
            ]
            for left, bottom in corners
        )
        speed = np.hypot(shown.right, shown.down)
        _layer(figure, upper, shown, speed, f"speed, {shown.unit}")
        _arrows(upper[0], shown)
        _length(upper[0], shown)
        upper[0].set_title(shown.title)
        _layer(figure, lower, shown, shown.spread, f"scatter, {shown.unit}", colours="cividis")
        lower[0].set_title("how far the pairs disagree")
        figure.savefig(path, dpi=DPI, metadata={"Software": None})


def _layer(
    figure: Any, places: Any, shown: VelocityMap, values: NDArray[np.float32], label: str, *, colours: str = "viridis"
) -> None:
    height, width = shown.image.shape
    axes, beside = places
    low, high = _limits(shown.image, 1, 99)
    axes.set_facecolor(FAINT)
    axes.imshow(shown.image, cmap="gray", vmin=low, vmax=high + (high - low) * 0.4, interpolation="nearest")
    _, top = _limits(values, 0, TOP)
    drawn = axes.pcolormesh(
        _edges(shown.columns), _edges(shown.rows), values, cmap=colours, vmin=0, vmax=top, alpha=0.78, linewidth=0
    )
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_xlabel("columns, px", color=MUTED)
    axes.set_ylabel("rows, px", color=MUTED)
    bar = figure.colorbar(drawn, cax=beside, extend="max")
    bar.set_label(label)
    bar.outline.set_visible(False)


def _arrows(axes: Any, shown: VelocityMap) -> None:
    """Arrows of equal spacing, as long as the ice is fast, white with a dark rim so that they read on any colour."""
    from matplotlib.patheffects import withStroke

    every = max(1, int(np.ceil(max(len(shown.rows), len(shown.columns)) / ARROWS_ALONG)))
    part = (slice(every // 2, None, every),) * 2
    columns, rows = np.meshgrid(shown.columns, shown.rows)
    right, down = shown.right[part], shown.down[part]
    speed = np.hypot(right, down)
    known = np.isfinite(speed)
    if not known.any() or not np.nanmax(speed) > 0:
        return
    spacing = every * (shown.columns[1] - shown.columns[0]) if len(shown.columns) > 1 else 10.0
    longest = max(float(np.nanpercentile(speed, 98)), 1e-9)
    axes.quiver(
        columns[part][known],
        rows[part][known],
        right[known],
        down[known],
        angles="xy",
        scale_units="xy",
        scale=longest / (1.25 * spacing),
        color="white",
        width=0.0017,
        headwidth=4.2,
        path_effects=[withStroke(linewidth=1.1, foreground=INK)],
    )


def _length(axes: Any, shown: VelocityMap) -> None:
    """A scale bar, in pixels where nothing tells their size."""
    width = shown.image.shape[1]
    size = shown.pixel_size_m or 1.0
    metres = nice_length(width * size / 4)
    label = length_label(metres) if shown.pixel_size_m else f"{metres:g} px"
    axes.annotate(
        "",
        xy=(0.03, 0.045),
        xytext=(0.03 + metres / size / width, 0.045),
        xycoords="axes fraction",
        arrowprops={"arrowstyle": "|-|,widthA=0.3,widthB=0.3", "color": INK, "lw": 1.2},
    )
    axes.text(
        0.03 + metres / size / width / 2,
        0.06,
        label,
        transform=axes.transAxes,
        ha="center",
        fontsize=8,
        color=INK,
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5},
    )


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    step = centres[1] - centres[0] if len(centres) > 1 else 1.0
    return np.append(centres - step / 2, centres[-1] + step / 2)


def _limits(values: NDArray[np.float32], low: float, high: float) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    first, last = (float(value) for value in np.percentile(finite, (low, high)))
    return first, last if last > first else first + 1.0
