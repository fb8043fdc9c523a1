"""Animated GIFs with one palette for all pictures, so that nothing flickers."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glacier_core.errors import DataError
from glacier_core.report.palette import FAINT, INK, MUTED, OUTLINE_FIRST, OUTLINE_NOW, PAPER, UNOBSERVED

if TYPE_CHECKING:
    from PIL.Image import Image

LAST_LONGER = 2.9
"""The last picture stays this many times as long, so that the eye finds the end."""
LARGEST_BYTES = 6_000_000
"""Animations that would be larger are made smaller."""
_SCALES = (1.0, 0.8, 0.62, 0.45)
_COLOURS = 232


def write_animation(path: Path, pictures: Sequence[Image], *, milliseconds: int = 700) -> None:
    """Write pictures as a GIF that repeats, smaller where it would exceed 6 MB.

    Args:
        path: the file.
        pictures: RGB, all of one size, in order.
        milliseconds: for how long each is shown; the last one longer.

    Raises:
        DataError: there is no picture, or their sizes differ.
    """
    sizes = {picture.size for picture in pictures}
    if len(sizes) != 1:
        what = "no picture" if not sizes else f"pictures of the sizes {sorted(sizes)}"
        raise DataError(f"an animation was asked for of {what}", expected="at least one picture, all of one size")
    (width, height), data = next(iter(sizes)), b""
    for scale in _SCALES:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        data = animated(
            [picture if picture.size == size else picture.resize(size) for picture in pictures], milliseconds
        )
        if len(data) <= LARGEST_BYTES:
            break
    path.write_bytes(data)


def animated(frames: Sequence[Image], milliseconds: int) -> bytes:
    """The bytes of the GIF; the colours of outlines, text and paper are kept as they are."""
    from PIL import Image as Images

    frames = [frame.convert("RGB") for frame in frames]
    side = max(1, math.ceil(math.sqrt(len(frames))))
    small = [frame.resize((max(1, frame.width // 2), max(1, frame.height // 2))) for frame in frames]
    montage = Images.new("RGB", (small[0].width * side, small[0].height * side), PAPER)
    for number, frame in enumerate(small):
        montage.paste(frame, (number % side * frame.width, number // side * frame.height))
    reduced = montage.quantize(_COLOURS, method=Images.Quantize.MEDIANCUT)
    colours = (reduced.getpalette() or [])[: _COLOURS * 3]
    for kept in (OUTLINE_NOW, OUTLINE_FIRST, UNOBSERVED, *(_rgb(name) for name in (INK, MUTED, FAINT, PAPER))):
        colours.extend(kept)
    palette = Images.new("P", (1, 1))
    palette.putpalette(colours)
    indexed = [frame.quantize(palette=palette, dither=Images.Dither.NONE) for frame in frames]
    buffer = io.BytesIO()
    durations = [milliseconds] * (len(indexed) - 1) + [round(LAST_LONGER * milliseconds)]
    indexed[0].save(
        buffer, "GIF", save_all=True, append_images=indexed[1:], duration=durations, loop=0, optimize=False, disposal=1
    )
    return buffer.getvalue()


def _rgb(colour: str) -> tuple[int, int, int]:
    from PIL import ImageColor

    red, green, blue = ImageColor.getrgb(colour)[:3]
    return red, green, blue
