"""The animation: the most changed glaciers in true colour with their outlines, one frame a year."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glacier_core.report.animation import LARGEST_BYTES, animated
from glacier_core.report.frames import Frame, Strip
from glacier_core.report.palette import FAINT, INK, MUTED, OUTLINE_FIRST, OUTLINE_NOW, PAPER
from glacier_core.report.pictures import draw_outline, font, length_label, nice_length

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

TIMELAPSE_FILE = "glacier_retreat_timelapse.gif"
SHOWN = 6
YEAR_MS = 900
_HEADER, _CAPTION, _GAP = 92, 46, 14


@dataclass(frozen=True)
class _Layout:
    """Where panels stand, in pixels."""

    columns: int
    rows: int
    side: int

    @classmethod
    def of(cls, panels: int, scale: float) -> _Layout:
        columns = {1: 1, 2: 2, 3: 3, 4: 2}.get(panels, 3)
        side = {1: 560, 2: 430}.get(columns, 316)
        return cls(columns=columns, rows=math.ceil(panels / columns), side=round(side * scale))

    @property
    def size(self) -> tuple[int, int]:
        return (
            self.columns * (self.side + _GAP) + _GAP,
            _HEADER + self.rows * (self.side + _CAPTION + _GAP),
        )

    def corner(self, number: int) -> tuple[int, int]:
        row, column = divmod(number, self.columns)
        return _GAP + column * (self.side + _GAP), _HEADER + row * (self.side + _CAPTION + _GAP)


def write_timelapse(folder: Path, strips: Sequence[Strip], *, title: str, note: str) -> str:
    """Write the animation, smaller where it would exceed 6 MB.

    Args:
        folder: the products' folder.
        strips: glaciers to show, at most six.
        title: headline.
        note: what a reader must know (such as that the model is unpromoted); may be empty.

    Returns:
        The file's name.
    """
    years = sorted({frame.row.year for strip in strips for frame in strip.frames})
    data = b""
    for scale in (1.0, 0.8, 0.62, 0.45):
        data = animated([_drawn(strips, year, years, title, note, scale) for year in years] or [_empty(title)], YEAR_MS)
        if len(data) <= LARGEST_BYTES:
            break
    (folder / TIMELAPSE_FILE).write_bytes(data)
    return TIMELAPSE_FILE


def _drawn(strips: Sequence[Strip], year: int, years: Sequence[int], title: str, note: str, scale: float) -> Image:
    from PIL import Image as Images
    from PIL import ImageDraw

    layout = _Layout.of(len(strips), scale)
    canvas = Images.new("RGB", layout.size, PAPER)
    pen = ImageDraw.Draw(canvas)
    _header(pen, layout.size[0], year, years, title, note)
    for number, strip in enumerate(strips):
        left, top = layout.corner(number)
        frame = strip.frame(year)
        if frame is None:
            pen.rectangle((left, top, left + layout.side, top + layout.side), fill=FAINT)
            pen.text((left + 12, top + 12), f"no measurement in {year}", font=font(13), fill=MUTED)
        else:
            canvas.paste(_panel(strip, frame, layout.side), (left, top))
        _caption(pen, strip, frame, left=left, top=top + layout.side + 5, width=layout.side)
    return canvas


def _panel(strip: Strip, frame: Frame, side: int) -> Image:
    """A year's picture in a square, the whole window centred, with outlines, scale bar and north arrow."""
    from PIL import Image as Images
    from PIL import ImageDraw

    columns, rows = frame.size
    scale = side / max(columns, rows)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    picture = Images.fromarray(strip.stretch.apply(frame.rgb)).resize(size, Images.Resampling.BICUBIC)
    first = strip.clear[0] if strip.clear else frame
    if first.row.year < frame.row.year:
        picture = draw_outline(picture, first.edge, scale=scale, colour=OUTLINE_FIRST, width=1.1)
    picture = draw_outline(picture, frame.edge, scale=scale, colour=OUTLINE_NOW, width=1.7)
    pen = ImageDraw.Draw(picture)
    length = nice_length(size[0] / scale * frame.metres_per_pixel)
    _scale_bar(pen, size, length / frame.metres_per_pixel * scale, length_label(length))
    square = Images.new("RGB", (side, side), PAPER)
    square.paste(picture, ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def _header(pen: ImageDraw, width: int, year: int, years: Sequence[int], title: str, note: str) -> None:
    big = font(40, bold=True)
    pen.text((width - _GAP - pen.textlength(str(year), font=big), 10), str(year), font=big, fill=INK)
    room = width - 2 * _GAP - pen.textlength(str(year), font=big) - 16
    pen.text((_GAP, 14), _fitted(pen, title, 19, room, bold=True), font=font(19, bold=True), fill=INK)
    left = float(_GAP)
    for colour, text in ((OUTLINE_NOW, "glacier outline this year"), (OUTLINE_FIRST, "first year")):
        if colour == OUTLINE_FIRST and len(years) < 2:
            continue
        pen.line((left, 53, left + 20, 53), fill=INK, width=5)
        pen.line((left, 53, left + 20, 53), fill=colour, width=3)
        pen.text((left + 26, 45), text, font=font(13), fill=MUTED)
        left += 26 + pen.textlength(text, font=font(13)) + 18
    if note:
        pen.text((_GAP, 66), _fitted(pen, note, 12, width - 2 * _GAP), font=font(12), fill="#b34700")
    if len(years) > 1:
        x0, x1 = width - _GAP - 150, width - _GAP
        pen.line((x0, 68, x1, 68), fill=FAINT, width=3)
        pen.line((x0, 68, x0 + (x1 - x0) * (year - years[0]) / (years[-1] - years[0]), 68), fill=INK, width=3)


def _caption(pen: ImageDraw, strip: Strip, frame: Frame | None, *, left: int, top: int, width: int) -> None:
    name = f"{strip.glacier.rank}  {strip.glacier.name}"
    pen.text((left, top), _fitted(pen, name, 13, width, bold=True), font=font(13, bold=True), fill=INK)
    if frame is not None:
        row = frame.row
        text = f"{row.area_km2:.2f} km² ({row.low_km2:.2f} to {row.high_km2:.2f})"
        if not row.usable:
            text += ", mostly not seen"
        pen.text((left, top + 19), _fitted(pen, text, 13, width), font=font(13), fill=MUTED)


def _scale_bar(pen: ImageDraw, size: tuple[int, int], length: float, label: str) -> None:
    x, y, right = 12, size[1] - 14, size[0]
    pen.rectangle((x - 5, y - 22, x + max(length, pen.textlength(label, font=font(12))) + 6, y + 7), fill=(16, 28, 36))
    pen.rectangle((x, y - 1, x + length, y + 1), fill="white")
    pen.text((x, y - 18), label, font=font(12), fill="white")
    pen.rectangle((right - 26, 6, right - 6, 40), fill=(16, 28, 36))
    pen.polygon([(right - 16, 9), (right - 11, 21), (right - 21, 21)], fill="white")
    pen.text((right - 20, 22), "N", font=font(12, bold=True), fill="white")


def _fitted(pen: ImageDraw, text: str, size: int, room: float, *, bold: bool = False) -> str:
    face = font(size, bold=bold)
    if pen.textlength(text, font=face) <= room:
        return text
    while text and pen.textlength(text + "…", font=face) > room:
        text = text[:-1]
    return text + "…"


def _empty(title: str) -> Image:
    from PIL import Image as Images
    from PIL import ImageDraw

    canvas = Images.new("RGB", (560, 120), PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((_GAP, 20), _fitted(pen, title, 19, 530, bold=True), font=font(19, bold=True), fill=INK)
    pen.text((_GAP, 60), "No glacier was measured: there is nothing to show.", font=font(13), fill=MUTED)
    return canvas
