"""The next image: what was seen last, what came, what the network predicted, and both errors on one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.report.palette import FAINT
from glacier_core.report.plots import STYLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

PANEL_IN = 3.1
GAP_IN = 0.15
TITLE_IN = 0.5
BAR_IN = 0.9
DPI = 150


def draw_forecast(
    path: Path,
    *,
    last: NDArray[np.float32],
    mean: NDArray[np.float32],
    came: NDArray[np.float32],
    predicted: NDArray[np.float32],
    titles: Sequence[str],
    label: str,
) -> None:
    """Write six panels as a PNG: last image in, image that came, prediction; below, the errors of three forecasts.

    Args:
        path: the file.
        last: (y, x), the last image in: the forecast "no change".
        mean: (y, x), the mean of the images in, another forecast.
        came: (y, x), what came; NaN where nothing was seen.
        predicted: (y, x), the prediction.
        titles: of the first three panels.
        label: what the values are, with their unit.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    height, width = came.shape
    seen = np.concatenate([panel[np.isfinite(panel)] for panel in (last, came)])
    low, high = np.percentile(seen, (1, 99)) if seen.size else (0.0, 1.0)
    errors = [last - came, mean - came, predicted - came]
    known = np.abs(np.concatenate([error[np.isfinite(error)] for error in errors]))
    reach = float(np.percentile(known, 97)) if known.size and known.max() > 0 else 1.0
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        page = _Layout(height / width)
        figure = Figure(figsize=page.size)
        for column, values, title in zip(range(3), (last, came, predicted), titles, strict=True):
            shown = _panel(page.axes(figure, 0, column), values, title, cmap="gray", low=low, high=high)
        page.bar(figure, 0, shown, label)
        for column, values, name in zip(range(3), errors, ("no change", "mean of those in", "prediction"), strict=True):
            wrong = float(np.nanmean(np.abs(values))) if np.isfinite(values).any() else float("nan")
            title = f"{name} less what came\nmean absolute error {wrong:.4g}"
            shown = _panel(page.axes(figure, 1, column), values, title, cmap="RdBu_r", low=-reach, high=reach)
        page.bar(figure, 1, shown, f"error, {label}")
        figure.savefig(path, dpi=DPI, metadata={"Software": None})


class _Layout:
    """Two rows of three panels and a colour bar each, in inches; matplotlib's own layouts take seconds a picture."""

    def __init__(self, ratio: float) -> None:
        self.tall = PANEL_IN * ratio
        self.size = 3 * PANEL_IN + 4 * GAP_IN + BAR_IN, 2 * (self.tall + TITLE_IN) + GAP_IN

    def axes(self, figure: Any, row: int, column: int) -> Any:
        return self._at(figure, row, GAP_IN + column * (PANEL_IN + GAP_IN), PANEL_IN)

    def bar(self, figure: Any, row: int, shown: Any, label: str) -> None:
        bar = figure.colorbar(shown, cax=self._at(figure, row, 3 * (PANEL_IN + GAP_IN) + GAP_IN, 0.13), extend="both")
        bar.set_label(label, fontsize=8)
        bar.outline.set_visible(False)

    def _at(self, figure: Any, row: int, left: float, wide: float) -> Any:
        width, height = self.size
        bottom = GAP_IN + (1 - row) * (self.tall + TITLE_IN)
        return figure.add_axes((left / width, bottom / height, wide / width, self.tall / height))


def _panel(place: Any, values: NDArray[np.float32], title: str, *, cmap: str, low: float, high: float) -> Any:
    place.set_facecolor(FAINT)
    shown = place.imshow(values, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    place.set_title(title, fontsize=8)
    place.set_xticks([])
    place.set_yticks([])
    return shown
