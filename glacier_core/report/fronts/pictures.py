"""Fronts drawn over images: predicted beside drawn, and the positions of all dates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.report.palette import INK, LOSS, OUTLINE_FIRST, OUTLINE_NOW
from glacier_core.report.plots import STYLE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    Line = NDArray[np.float64]

LEAST_SIDE = 480
"""Small images are enlarged to about so many pixels."""
MOST_LINES = 400


def stretched(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A band (y, x) as grey values, its 1st percentile black and its 99th white."""
    seen = image[np.isfinite(image)]
    low, high = np.percentile(seen, [1, 99]) if seen.size else (0, 1)
    unit = np.clip((np.nan_to_num(image, nan=low) - low) / max(high - low, 1e-6), 0, 1)
    return np.asarray(unit * 255).astype(np.uint8)


def front_frames(
    images: Sequence[NDArray[np.float32]],
    lines: Sequence[Line],
    titles: Sequence[str],
    *,
    drawn: Sequence[Line | None] | None = None,
) -> list[Image]:
    """One picture an image, with the predicted front, the first one for comparison, and the drawn one where known."""
    from PIL import Image as Images
    from PIL import ImageDraw

    found = []
    for number, (image, line, title) in enumerate(zip(images, lines, titles, strict=True)):
        height, width = image.shape
        grow = max(1, round(LEAST_SIDE / max(height, width)))
        grey = Images.fromarray(stretched(image)).resize((width * grow, height * grow), Images.Resampling.BICUBIC)
        picture = Images.merge("RGB", [grey] * 3)
        pen = ImageDraw.Draw(picture)
        if number:
            _stroke(pen, lines[0], grow, OUTLINE_FIRST, width=1)
        if drawn is not None and drawn[number] is not None:
            _stroke(pen, np.asarray(drawn[number]), grow, (255, 80, 60), width=2)
        _stroke(pen, line, grow, OUTLINE_NOW, width=2)
        pen.rectangle((0, 0, picture.width, 15), fill=(0, 0, 0))
        pen.text((4, 2), title, fill=(255, 255, 255))
        found.append(picture)
    return found


def draw_positions(
    path: Path, image: NDArray[np.float32], lines: Sequence[Line], years: Sequence[float], *, title: str, note: str
) -> None:
    """All fronts of a place over one of its images, coloured by time.

    Args:
        path: the PNG.
        image: (y, x).
        lines: fronts in order of time.
        years: when each was, as fractions of years.
        title: headline.
        note: what a reader must know; may be empty.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    height, width = image.shape
    with mpl.rc_context({**STYLE, "figure.dpi": 200}):
        size = (5.6 * width / height + 1.5, 6.2) if height > width else (7.5, 5.7 * height / width + 1.1)
        figure: Any = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.imshow(stretched(image), cmap="gray", interpolation="bilinear")
        axes.grid(visible=False)
        scale = Normalize(min(years), max(years) if max(years) > min(years) else min(years) + 1)
        colours = mpl.colormaps["plasma"]
        step = max(1, -(-len(lines) // MOST_LINES))
        for line, year in list(zip(lines, years, strict=True))[::step]:
            axes.plot(line[:, 1], line[:, 0], color=colours(scale(year)), linewidth=1.0)
        axes.set(xlabel="column (px)", ylabel="row (px)", xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        bar = figure.colorbar(ScalarMappable(scale, colours), ax=axes, shrink=0.6, label="year")
        bar.ax.yaxis.get_major_formatter().set_useOffset(False)
        figure.suptitle(title, x=0.02, ha="left", fontsize=12, fontweight="bold")
        if note:
            figure.supxlabel(note, x=0.02, ha="left", fontsize=7, color=LOSS)
        figure.savefig(path, metadata={"Software": None})


def draw_comparison(path: Path, image: NDArray[np.float32], *, drawn: Line, predicted: Line, title: str) -> None:
    """A test image as it was seen, and with the drawn and the predicted front."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = image.shape
    with mpl.rc_context({**STYLE, "figure.dpi": 200}):
        figure: Any = Figure(figsize=(7.2, 3.6 * height / width + 0.7), layout="constrained")
        FigureCanvasAgg(figure)
        for number, name in enumerate(("seen", "drawn and predicted")):
            axes = figure.add_subplot(1, 2, number + 1)
            axes.imshow(stretched(image), cmap="gray", interpolation="bilinear")
            axes.grid(visible=False)
            if number:
                axes.plot(drawn[:, 1], drawn[:, 0], color=LOSS, linewidth=1.6, label="drawn")
                colour = tuple(value / 255 for value in OUTLINE_FIRST)
                axes.plot(predicted[:, 1], predicted[:, 0], color=colour, linewidth=1.2, label="predicted")
                axes.legend(loc="lower right", fontsize=7, framealpha=0.8)
            axes.set_title(name, fontsize=9, color=INK)
            axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xlabel="column (px)", ylabel="row (px)")
        figure.suptitle(title, x=0.02, ha="left", fontsize=10, fontweight="bold")
        figure.savefig(path, metadata={"Software": None})


def _stroke(pen: Any, line: Line, grow: int, colour: tuple[int, int, int], *, width: int) -> None:
    if len(line) > 1:
        points = [((column + 0.5) * grow, (row + 0.5) * grow) for row, column in line]
        pen.line(points, fill=colour, width=width, joint="curve")
