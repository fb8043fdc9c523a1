"""Speed through time, a bar for each tracked pair; and the images of a place as an animation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.report.animation import write_animation
from glacier_core.report.palette import ICE, INK, MUTED
from glacier_core.report.plots import STYLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_PX = 720
DPI = 150


def draw_pairs(path: Path, pairs: Sequence[Mapping[str, Any]], *, title: str, factor: float, unit: str) -> None:
    """Write the median speed of each pair over the time between its images.

    Args:
        path: the PNG.
        pairs: rows of the table of pairs, of one place.
        title: headline.
        factor: what turns px/day into `unit`.
        unit: of speeds.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    known = [pair for pair in pairs if pair["median_px_per_day"] is not None]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 3.4), layout="constrained")
        axes = figure.subplots()
        for pair in known:
            share = pair["reliable"] / max(pair["vectors"], 1)
            times: Any = [datetime.fromisoformat(pair[key]) for key in ("first_time", "second_time")]
            speed = [pair["median_px_per_day"] * factor] * 2
            axes.plot(times, speed, color=ICE, alpha=0.15 + 0.75 * share, linewidth=2.2, solid_capstyle="round")
        axes.set_ylabel(f"median speed, {unit}")
        axes.set_ylim(0, 1.15 * max((pair["median_px_per_day"] * factor for pair in known), default=1.0) or 1.0)
        axes.set_title(title)
        axes.tick_params(axis="x", rotation=20)
        axes.annotate(
            "a line spans the time between both images of a pair; the paler, the fewer vectors are reliable",
            xy=(0, 0.02),
            xycoords="axes fraction",
            fontsize=7.5,
            color=MUTED,
            va="bottom",
        )
        figure.savefig(path, dpi=DPI, metadata={"Software": None})


def write_frames(path: Path, images: Sequence[NDArray[np.float32]], labels: Sequence[str]) -> None:
    """Write images as a GIF, all on one grey scale, each with its label.

    Args:
        path: the GIF.
        images: (y, x), NaN where nothing was seen.
        labels: what each is, such as its date.
    """
    from PIL import Image, ImageDraw

    from glacier_core.report.pictures import font

    seen = np.concatenate([image[np.isfinite(image)][::7] for image in images])
    low, high = (float(value) for value in np.percentile(seen, (1, 99))) if seen.size else (0.0, 1.0)
    drawn = []
    for image, label in zip(images, labels, strict=True):
        grey = np.clip((image - low) / max(high - low, 1e-9), 0, 1) * 255
        picture = Image.fromarray(np.where(np.isfinite(image), grey, 225).astype(np.uint8)).convert("RGB")
        scale = LONGEST_PX / max(picture.size)
        picture = picture.resize(
            (round(picture.width * scale), round(picture.height * scale)),
            Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST,
        )
        pen = ImageDraw.Draw(picture)
        box = pen.textbbox((10, 8), label, font=font(15, bold=True))
        pen.rectangle((box[0] - 5, box[1] - 4, box[2] + 5, box[3] + 4), fill="white")
        pen.text((10, 8), label, font=font(15, bold=True), fill=INK)
        drawn.append(picture)
    write_animation(path, drawn)
