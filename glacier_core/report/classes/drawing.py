"""Class maps as pictures: beside the image that they were made from, with a legend that tells every colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glacier_core.report.classes.colours import Colour, class_colours
from glacier_core.report.palette import INK, MUTED, UNOBSERVED
from glacier_core.report.pictures import Stretch, font

if TYPE_CHECKING:
    from PIL.Image import Image

UNKNOWN = 255
SIDE = 560
GAP = 20
TOP, LINE = 74, 24
STAYED: Colour = (233, 236, 238)
LARGEST_SCALE = 6.0
MOST_CHANGES = 8
"""So many kinds of change have a colour of their own, the largest ones."""


@dataclass(frozen=True)
class MapSheet:
    """One panel of a sheet."""

    title: str
    """Above it."""
    pixels: NDArray[np.uint8]
    """(y, x, 3)."""
    legend: Sequence[tuple[str, Colour]] = ()
    """What the colours stand for."""


def true_colour(bands: Sequence[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """A picture (y, x, 3) of red, green and blue, each (y, x), stretched so that snow and rock are both seen.

    Args:
        bands: NaN where nothing was seen.
    """
    stacked = np.stack(bands, axis=-1).astype(np.float32)
    if not np.isfinite(stacked).any():
        return np.broadcast_to(np.asarray(UNOBSERVED, np.uint8), stacked.shape).copy()
    return Stretch.of([stacked]).apply(stacked)


def draw_classes(
    codes: NDArray[np.uint8], names: Sequence[str], *, unknown: str = "not seen"
) -> tuple[NDArray[np.uint8], list[tuple[str, Colour]]]:
    """A class map in colours (y, x, 3), and its legend: the classes that occur.

    Args:
        codes: (y, x) numbers of classes, 255 where unknown.
        names: the classes.
        unknown: what 255 means.
    """
    colours = class_colours(names)
    painted = np.broadcast_to(np.asarray(UNOBSERVED, np.uint8), (*codes.shape, 3)).copy()
    legend: list[tuple[str, Colour]] = []
    for number, (name, colour) in enumerate(zip(names, colours, strict=True)):
        here = codes == number
        if here.any():
            painted[here] = colour
            legend.append((name.replace("_", " "), colour))
    if (codes == UNKNOWN).any():
        legend.append((unknown, UNOBSERVED))
    return painted, legend


def draw_change(
    before: NDArray[np.uint8], after: NDArray[np.uint8], names: Sequence[str]
) -> tuple[NDArray[np.uint8], list[tuple[str, Colour]]]:
    """What became of what, in colours (y, x, 3), and its legend: the commonest changes first.

    Args:
        before: (y, x) numbers of classes, 255 where unknown.
        after: (y, x), likewise.
        names: the classes.
    """
    colours = class_colours(names)
    known = (before != UNKNOWN) & (after != UNKNOWN)
    painted = np.broadcast_to(np.asarray(UNOBSERVED, np.uint8), (*before.shape, 3)).copy()
    painted[known] = STAYED
    count = len(names)
    pairs = before.astype(np.int64) * count + after
    changed = known & (before != after)
    found = np.bincount(pairs[changed], minlength=count**2)
    legend: list[tuple[str, Colour]] = []
    used: set[Colour] = set()
    for pair in np.argsort(found)[::-1]:
        if not found[pair] or len(legend) == MOST_CHANGES:
            break
        first, second = divmod(int(pair), count)
        # the colour of what it became; a second way to the same class is a shade darker
        colour = colours[second]
        while colour in used:
            colour = (int(0.72 * colour[0]), int(0.72 * colour[1]), int(0.72 * colour[2]))
        used.add(colour)
        painted[changed & (pairs == pair)] = colour
        legend.append((f"{names[first]} → {names[second]}".replace("_", " "), colour))
    rest = changed & ~np.isin(pairs, [index for index in np.argsort(found)[::-1][:MOST_CHANGES] if found[index]])
    if rest.any():
        painted[rest] = (20, 20, 20)
        legend.append(("other change", (20, 20, 20)))
    legend.insert(0, ("as before", STAYED))
    if not known.all():
        legend.append(("not seen", UNOBSERVED))
    return painted, legend


def draw_sheet(path: Path | None, panels: Sequence[MapSheet], *, title: str, note: str = "") -> Image:
    """Panels of one ground beside each other, each with its legend; written as PNG where a path is given.

    Args:
        path: the file; None: it is not written.
        panels: of one size.
        title: headline.
        note: under the headline; may be empty.
    """
    from PIL import Image as Images
    from PIL import ImageDraw

    height, width = panels[0].pixels.shape[:2]
    scale = min(SIDE / max(height, width), LARGEST_SCALE)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    column = max(size[0], 300)
    lines = max(_lines(panel, column) for panel in panels)
    sheet = Images.new("RGB", (len(panels) * (column + GAP) + GAP, TOP + size[1] + 14 + LINE * lines), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, 12), title, font=font(19, bold=True), fill=INK)
    if note:
        pen.text((GAP + pen.textlength(title, font=font(19, bold=True)) + 18, 16), note, font=font(14), fill=MUTED)
    for number, panel in enumerate(panels):
        left = GAP + number * (column + GAP)
        pen.text((left, TOP - 25), panel.title, font=font(15), fill=MUTED)
        smooth = not panel.legend and scale > 1
        how = Images.Resampling.BICUBIC if smooth else Images.Resampling.NEAREST
        if scale < 1:
            how = Images.Resampling.BOX
        sheet.paste(Images.fromarray(panel.pixels).resize(size, how), (left, TOP))
        for row, column_of, (text, colour) in _placed(panel, column):
            x, y = left + column_of, TOP + size[1] + 12 + row * LINE
            pen.rectangle((x, y + 2, x + 15, y + 15), fill=colour, outline=MUTED)
            pen.text((x + 22, y - 1), text, font=font(14), fill=INK)
    if path is not None:
        sheet.save(path)
    return sheet


def _lines(panel: MapSheet, column: int) -> int:
    placed = _placed(panel, column)
    return placed[-1][0] + 1 if placed else 0


def _placed(panel: MapSheet, column: int) -> list[tuple[int, int, tuple[str, Colour]]]:
    """Line and offset of each entry of a legend that wraps."""
    row, at, found = 0, 0, []
    for text, colour in panel.legend:
        wide = 40 + round(font(14).getlength(text))
        if at and at + wide > column:
            row, at = row + 1, 0
        found.append((row, at, (text, colour)))
        at += wide
    return found
