"""True-colour pictures: shrinking, stretching, marking what was not seen, drawing outlines over them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.report.palette import UNOBSERVED

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

Line = tuple[tuple[float, float], ...]
"""Positions in pixels, x east and y south."""
GAMMA = 1 / 1.5
"""Lifts rock and debris, which are dark beside snow."""
BRIGHTEST = 3.0
"""Beyond any reflectance: larger values are digital numbers, which are made for display as they are."""


@dataclass(frozen=True)
class Stretch:
    """The range of values that is shown; one for all years of a glacier, so that years compare."""

    low: float
    """Shown black."""
    high: float
    """Shown white."""

    @classmethod
    def of(cls, images: Iterable[NDArray[np.float32]]) -> Stretch:
        """The middle 99 percent of all finite values of some (y, x, 3) images."""
        finite = [image[np.isfinite(image)] for image in images]
        values = np.concatenate(finite) if finite else np.empty(0, np.float32)
        if values.size == 0:
            return cls(0.0, 1.0)
        low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
        return cls(low, high if high > low else low + 1.0)

    def apply(self, rgb: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Colours (y, x, 3); grey hatching where nothing was seen."""
        scaled = np.clip((rgb - self.low) / (self.high - self.low), 0, 1)
        if self.high < BRIGHTEST:
            scaled = scaled**GAMMA
        seen = np.asarray(np.isfinite(rgb).all(axis=-1))
        rows, columns = np.mgrid[: seen.shape[0], : seen.shape[1]]
        hatch = np.where(((rows + columns) // 3) % 3 == 0, 0.82, 1.0)[..., None] * np.array(UNOBSERVED)
        shown = np.where(seen[..., None], np.nan_to_num(scaled) * 255, hatch)
        return np.asarray(np.round(shown), dtype=np.uint8)


def shrunk(rgb: NDArray[np.float32], *, longest: int) -> NDArray[np.float32]:
    """The image (y, x, 3) by means over whole blocks, so that no side is longer than `longest`; NaN stays out."""
    factor = math.ceil(max(rgb.shape[:2]) / longest)
    if factor <= 1:
        return np.asarray(rgb, dtype=np.float32)
    height, width = (-(-side // factor) * factor for side in rgb.shape[:2])
    padded = np.full((height, width, 3), np.nan, dtype=np.float32)
    padded[: rgb.shape[0], : rgb.shape[1]] = rgb
    blocks = padded.reshape(height // factor, factor, width // factor, factor, 3)
    seen = np.isfinite(blocks)
    count = seen.sum(axis=(1, 3))
    total = np.where(seen, blocks, 0).sum(axis=(1, 3))
    # a block counts as seen where most of it was
    enough = count * 2 >= factor * factor
    return np.where(enough, total / np.maximum(count, 1), np.nan).astype(np.float32)


@cache
def font(size: int, *, bold: bool = False) -> FreeTypeFont:
    """The typeface that matplotlib brings along: the same letters on every machine."""
    import matplotlib as mpl
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / name), size)


def lines_of(geometry: Any) -> list[Line]:
    """Every line of a geometry made of lines."""
    parts = getattr(geometry, "geoms", [geometry])
    return [tuple((float(x), float(y)) for x, y in part.coords) for part in parts if not part.is_empty]


def draw_outline(
    picture: Image,
    lines: Sequence[Line],
    *,
    scale: float,
    colour: tuple[int, int, int],
    width: float = 2.0,
) -> Image:
    """The picture with lines (in pixels, times `scale`) in `colour` on a dark casing, drawn smoothly."""
    from PIL import Image as Images
    from PIL import ImageDraw

    layer = Images.new("RGBA", (picture.width * 2, picture.height * 2), (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    for shade, wide in (((10, 20, 28, 150), width + 1.6), ((*colour, 255), width)):
        for line in lines:
            drawn = [(2 * scale * x, 2 * scale * y) for x, y in line]
            pen.line(drawn, fill=shade, width=round(2 * wide), joint="curve")
    smooth = layer.resize(picture.size, Images.Resampling.BOX)
    return Images.alpha_composite(picture.convert("RGBA"), smooth).convert("RGB")


def nice_length(span: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is at most a third of `span`."""
    if not (span > 0 and math.isfinite(span)):
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / 3))
    return max(step * power for step in (1, 2, 5) if step * power <= span / 3 * (1 + 1e-9))


def length_label(metres: float) -> str:
    """A length for a scale bar."""
    return f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
