"""What a calving front could have looked like: another size, direction and light, open water in place of melange.

A network that has seen a few glaciers takes their look for that of all: fronts of one width, in fjords full of bright
ice. So samples are scaled (more across the flow than along it), turned and sheared a little, shifted, mirrored,
blurred, noised, hazed and sometimes inverted; and the ocean before the front, as far as it looks like what lies right
before the front, is sometimes painted as dark water with icebergs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glacier_core.labels.fronts import Upstream

    Image = NDArray[np.float32]

SCALE = 1.5
"""Largest change of size, larger or smaller."""
NARROWER, WIDER = 0.8, 1.8
"""Change of size across the flow beyond that along it."""
TURN, SHEAR = 0.12, 0.1
"""Standard deviations: radians, and pixels a pixel."""
SHIFT_ACROSS, SHIFT_ALONG = 0.12, 0.15
"""Largest shifts, as parts of the image's sides."""
WATER, INVERTED, BLURRED, NOISED, HAZED = 0.3, 0.04, 0.3, 0.3, 0.3
"""How often each is done."""
MOST_ICEBERGS = 120
OCEAN_BAND_PX = 14.0
"""Width of the band before the front whose brightness is taken for the ocean's."""
LIKE_OCEAN = 3.0
"""Spreads within which a pixel looks like it."""


@dataclass(frozen=True)
class Warp:
    """An affine motion of an image about its middle."""

    matrix: NDArray[np.float64]
    """3 x 3, from (column, row) to (column, row), in pixels of the image."""
    scale: float
    """By how much lengths grow, in the mean."""

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Warp:  # noqa: ARG003
        """No motion."""
        return cls(matrix=np.eye(3), scale=1.0)

    def field(self, band: Image, *, reduce: int, shape: tuple[int, int], mirrored: bool = False) -> Image:
        """A field (H, W), moved and made smaller, bilinear; continued or mirrored at its edges."""
        import cv2

        edge = cv2.BORDER_REFLECT if mirrored else cv2.BORDER_REPLICATE
        found = cv2.warpAffine(band, self._onto(reduce), _size(shape, reduce), flags=cv2.INTER_LINEAR, borderMode=edge)
        return np.asarray(found, dtype=np.float32)

    def labels(
        self, codes: NDArray[np.uint8], *, reduce: int, shape: tuple[int, int], outside: int
    ) -> NDArray[np.uint8]:
        """Codes (H, W), moved and made smaller, of the nearest pixel; `outside` beyond the edges."""
        import cv2

        found = cv2.warpAffine(
            codes,
            self._onto(reduce),
            _size(shape, reduce),
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=outside,
        )
        return np.asarray(found, dtype=np.uint8)

    def _onto(self, reduce: int) -> NDArray[np.float64]:
        # the middle of a pixel stays the middle of `reduce` x `reduce` pixels
        half = (1 / reduce - 1) / 2
        smaller = np.array([[1 / reduce, 0, half], [0, 1 / reduce, half], [0, 0, 1]])
        return np.asarray((smaller @ self.matrix)[:2])


def _size(shape: tuple[int, int], reduce: int) -> tuple[int, int]:
    height, width = reduced_shape(shape, reduce)
    return width, height


def reduced_shape(shape: tuple[int, int], reduce: int) -> tuple[int, int]:
    """Rows and columns of an image that is made smaller."""
    return -(-shape[0] // reduce), -(-shape[1] // reduce)


def random_warp(rng: np.random.Generator, shape: tuple[int, int], *, upstream: Upstream) -> Warp:
    """A warp as the module's text describes.

    Args:
        rng: the source of all chance.
        shape: rows and columns of the image.
        upstream: where the glacier comes from; images are stretched and mirrored across the flow.
    """
    height, width = shape
    along = float(np.exp(rng.uniform(-np.log(SCALE), np.log(SCALE))))
    across = along * float(np.exp(rng.uniform(np.log(NARROWER), np.log(WIDER))))
    turn, shear = rng.normal(0, TURN), rng.normal(0, SHEAR)
    flip = 1.0 if rng.random() < 0.5 else -1.0
    shift_across, shift_along = rng.uniform(-SHIFT_ACROSS, SHIFT_ACROSS), rng.uniform(-SHIFT_ALONG, SHIFT_ALONG)
    stretch = np.array([flip * across, along])
    shift = np.array([shift_across * width, shift_along * height])
    if upstream in ("left", "right"):
        stretch, shift = stretch[::-1], np.array([shift_along * width, shift_across * height])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = rotation @ np.array([[1, shear], [0, 1]]) @ np.diag(stretch)
    middle = np.array([width / 2, height / 2])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, middle + shift - linear @ middle
    return Warp(matrix=matrix, scale=float(np.sqrt(along * across)))


def repaint(image: Image, water: Image | None, rng: np.random.Generator) -> Image:
    """An image (C, H, W) in another light, with water where `water` says (see `water_of`)."""
    import cv2

    found = []
    paint, inverted, change, hazed = (float(value) for value in rng.random(4))
    height, width = image.shape[1:]
    for band in image:
        seen = np.isfinite(band)
        low, high = (float(v) for v in np.percentile(band[seen], [1, 99])) if seen.any() else (0.0, 1.0)
        reach = max(high - low, 1e-6)
        new = np.where(seen, band, np.float32(low)).astype(np.float32)
        if water is not None and paint < WATER:
            new = _with_water(new, water, rng, low=low, reach=reach)
        if inverted < INVERTED:
            new = np.float32(low + high) - new
        if change < BLURRED:
            new = np.asarray(cv2.GaussianBlur(new, (0, 0), rng.uniform(0.4, 1.2)), dtype=np.float32)
        elif change < BLURRED + NOISED:
            new = new + rng.normal(0, rng.uniform(0, 0.08) * float(new.std()), new.shape).astype(np.float32)
        if hazed < HAZED:
            new = new + _smooth_field(rng, (4, 3), (height, width)) * np.float32(new.std() * rng.uniform(0, 1))
        gamma = float(np.exp(rng.uniform(-0.5, 0.5)))
        unit = np.clip((new - low) / reach, 0, 1.5) ** gamma
        found.append(np.where(seen, low + unit * reach, np.nan).astype(np.float32))
    return np.stack(found)


def water_of(band: Image, distance: Image, beside: NDArray[np.bool_]) -> Image:
    """How much of each pixel is ocean that looks like what lies right before the front.

    Args:
        band: (H, W) brightness, NaN where nothing was seen.
        distance: signed distance from the front, below zero on the ocean's side.
        beside: where the front is beside the pixel.
    """
    import cv2
    from scipy import ndimage

    seen = np.isfinite(band)
    near = (distance < -1) & (distance > -OCEAN_BAND_PX) & beside & seen
    if np.count_nonzero(near) < 2:
        return np.zeros(band.shape, np.float32)
    low, high = np.percentile(band[seen], [1, 99])
    unit = np.where(seen, np.clip((band - low) / max(high - low, 1e-6), 0, 1), 0).astype(np.float32)
    smooth = cv2.GaussianBlur(unit, (0, 0), 1.2)
    middle = float(np.median(smooth[near]))
    spread = 1.48 * float(np.median(np.abs(smooth[near] - middle)))
    ocean = distance < -0.5
    alike = ((np.abs(smooth - middle) < max(LIKE_OCEAN * spread, 0.1)) | near) & ocean
    pieces, _ = ndimage.label(ndimage.binary_opening(alike))
    joined = np.isin(pieces, np.setdiff1d(np.unique(pieces[near]), [0]))
    joined = ndimage.binary_fill_holes(ndimage.binary_closing(joined, iterations=4) & ocean)
    return np.asarray(cv2.GaussianBlur(joined.astype(np.float32), (0, 0), 0.7), dtype=np.float32)


def _with_water(band: Image, water: Image, rng: np.random.Generator, *, low: float, reach: float) -> Image:
    import cv2

    height, width = band.shape
    sea = np.full((height, width), low + reach * rng.uniform(0, 0.15), np.float32)
    sea += rng.normal(0, 0.01 * reach, band.shape).astype(np.float32)
    for _ in range(int(rng.integers(MOST_ICEBERGS))):
        middle = int(rng.integers(width)), int(rng.integers(height))
        axes = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        brightness = low + reach * float(rng.uniform(0.3, 1))
        cv2.ellipse(sea, middle, axes, float(rng.uniform(0, 180)), 0, 360, (brightness,), -1)
    sea = np.asarray(cv2.GaussianBlur(sea, (0, 0), 0.5), dtype=np.float32)
    # two thirds are all water; in the others melange is left in places
    cover = float(rng.choice([0.0, 0.0, rng.uniform(0, 1)]))
    field = _smooth_field(rng, (int(rng.integers(3, 9)), int(rng.integers(3, 7))), band.shape)
    part = water / (1 + np.exp(-(field - cover) * rng.uniform(5, 40)))
    return np.asarray(band * (1 - part) + sea * part, dtype=np.float32)


def _smooth_field(rng: np.random.Generator, knots: tuple[int, int], shape: tuple[int, ...]) -> Image:
    import cv2

    coarse = rng.uniform(0, 1, knots).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
