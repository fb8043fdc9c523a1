"""Sample pictures of a training run: what was seen, what is true, what was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glacier_core.report.palette import INK, MUTED, OUTLINE_FIRST, OUTLINE_NOW, UNOBSERVED
from glacier_core.report.pictures import Stretch, draw_outline, font, lines_of
from glacier_core.report.vectors import polygons_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

SIDE = 360
GAP = 16
HIT, MISSED, FALSE, LAND = (0, 114, 178), (213, 94, 0), (240, 228, 66), (236, 239, 241)


def draw_sample(
    path: Path,
    *,
    rgb: Sequence[NDArray[np.float32]],
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    title: str,
) -> None:
    """Write one picture (PNG): true colour with the outlines of truth and prediction, and where the two agree.

    Args:
        path: the file to write.
        rgb: red, green, blue, each (y, x), NaN where nothing was seen.
        truth: ice by the reference (y, x).
        predicted: ice by the network (y, x).
        title: headline.
    """
    from PIL import Image as Images
    from PIL import ImageDraw

    stacked = np.stack(rgb, axis=-1).astype(np.float32)
    height, width = truth.shape
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    photo = _resized(Stretch.of([stacked]).apply(stacked), size, smooth=True)
    outlined = draw_outline(photo, lines_of(polygons_of(truth).boundary), scale=scale, colour=OUTLINE_FIRST, width=2.4)
    outlined = draw_outline(
        outlined, lines_of(polygons_of(predicted).boundary), scale=scale, colour=OUTLINE_NOW, width=1.4
    )
    agreement = np.full((height, width, 3), LAND, dtype=np.uint8)
    for where, colour in ((truth & predicted, HIT), (truth & ~predicted, MISSED), (predicted & ~truth, FALSE)):
        agreement[where] = colour
    # where nothing was seen there is nothing to agree on
    agreement[~np.isfinite(stacked).all(axis=-1)] = UNOBSERVED
    panels: list[tuple[Image, list[tuple[str, tuple[int, int, int] | None]]]] = [
        (photo, [("true colour", None)]),
        (outlined, [("reference", OUTLINE_FIRST), ("predicted", OUTLINE_NOW)]),
        (
            _resized(agreement, size, smooth=False),
            [("both", HIT), ("missed", MISSED), ("too much", FALSE), ("not seen", UNOBSERVED)],
        ),
    ]
    sheet = Images.new("RGB", (3 * size[0] + 4 * GAP, size[1] + 76), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, 12), title, font=font(15, bold=True), fill=INK)
    for number, (panel, legend) in enumerate(panels):
        left = GAP + number * (size[0] + GAP)
        sheet.paste(panel, (left, 40))
        _legend(pen, left, 48 + size[1], legend)
    sheet.save(path)


def _resized(pixels: NDArray[np.uint8], size: tuple[int, int], *, smooth: bool) -> Image:
    from PIL import Image as Images

    how = Images.Resampling.BICUBIC if smooth else Images.Resampling.NEAREST
    return Images.fromarray(pixels).resize(size, how)


def _legend(pen: ImageDraw, left: int, top: int, entries: Sequence[tuple[str, tuple[int, int, int] | None]]) -> None:
    for text, colour in entries:
        if colour is not None:
            pen.rectangle((left, top + 3, left + 11, top + 14), fill=colour, outline=MUTED)
            left += 17
        pen.text((left, top), text, font=font(13), fill=MUTED)
        left += round(pen.textlength(text, font=font(13))) + 14
