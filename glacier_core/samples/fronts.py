"""Training samples of calving fronts: whole images or chips with targets made of their front lines or zones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import IGNORED, open_pixels
from glacier_core.labels.fronts import SIDES, Upstream, front_band, front_sides, signed_distance
from glacier_core.labels.zones import read_zones
from glacier_core.prepare.contrast import contrast, stretch_limits
from glacier_core.samples.front_warping import Warp, random_warp, repaint, water_of

ZONE_CODES = {64: 0, 127: 1, 254: 2}
"""CaFFe's codes of the zones and the numbers of their classes; no information is unlabelled."""
CLASSES: dict[str, tuple[str, ...]] = {
    "sides": SIDES,
    "zones": ("rock", "glacier", "ocean"),
    "line": ("other", "front"),
}
"""Classes of each target."""
CACHE_BYTES = 512 * 2**20
Image = NDArray[np.float32]


@dataclass(frozen=True)
class FrontSample:
    """An image, or a window of one, and its truth."""

    cube: str
    """Path or URL of the cube."""
    number: int
    """The image's number in the cube."""
    line: tuple[tuple[float, float], ...]
    """Row and column of the front's points, the glacier on the right hand; empty where the target is zones."""
    zones: str
    """Path or URL of the picture of zones; empty where the target is made of the line."""
    window: tuple[int, int, int, int]
    """First row and column, rows and columns."""


@dataclass(frozen=True)
class FrontLook:
    """What is made of an image and of its truth."""

    bands: tuple[str, ...]
    """Bands of the imagery."""
    target: Literal["sides", "zones", "line"]
    """What the network learns to see."""
    width_px: float
    """Width of the target's bands."""
    sees: Literal["contrast", "values"]
    """What the network is fed with."""
    contrast_px: float
    """Radius of the local contrast, in pixels of the image."""
    reduce: int
    """How much smaller the images are made."""
    upstream: Upstream
    """Where the glacier comes from."""


class FrontChips:
    """A sequence of samples: `chips[i]` is (image, target), see `glacier_core.training.ChipSource`.

    Images that are warped come out otherwise at each number, but always the same at the same number.

    Args:
        samples: which images or windows; their windows have one size.
        look: what is made of them.
        warped: how often each sample occurs, warped at random; 0: once, as it is.
        seed: all chance follows from it.
    """

    def __init__(self, samples: Sequence[FrontSample], look: FrontLook, *, warped: int = 0, seed: int = 0) -> None:
        self.samples = tuple(samples)
        self.look = look
        self.warped = warped
        self.seed = seed
        self._kept: OrderedDict[FrontSample, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self.samples) * max(1, self.warped)

    def __getitem__(self, index: int) -> tuple[Image, NDArray[np.uint8]]:
        sample = self.samples[index % len(self.samples)]
        window, look = self._window(sample), self.look
        rng = np.random.default_rng((self.seed, 7, index)) if self.warped else None
        height, width = sample.window[2:]
        warp = random_warp(rng, (height, width), upstream=look.upstream) if rng else Warp.none((height, width))
        image = repaint(window.image, window.water(), rng) if rng else window.image
        seen = reduced(image, warp, reduce=look.reduce, shape=(height, width))
        limits = stretch_limits(seen) if rng else window.limits
        return shown(seen, look, limits), self._target(window, warp, seen)

    def __getstate__(self) -> dict[str, Any]:
        """What was read stays behind."""
        return {**self.__dict__, "_kept": OrderedDict()}

    def _window(self, sample: FrontSample) -> _Window:
        found = self._kept.get(sample)
        if found is None:
            found = self._kept[sample] = _Window.read(sample, self.look)
            while sum(window.nbytes for window in self._kept.values()) > CACHE_BYTES and len(self._kept) > 1:
                self._kept.popitem(last=False)
        self._kept.move_to_end(sample)
        return found

    def _target(self, window: _Window, warp: Warp, seen: Image) -> NDArray[np.uint8]:
        look, shape = self.look, window.image.shape[1:]
        if window.zones is not None:
            target = warp.labels(window.zones, reduce=look.reduce, shape=shape, outside=IGNORED)
        else:
            # bands keep their width whatever the scale
            distance = warp.field(window.distance, reduce=look.reduce, shape=shape) * warp.scale
            beside = warp.labels(window.beside, reduce=look.reduce, shape=shape, outside=IGNORED)
            make = front_sides if look.target == "sides" else front_band
            target = make(distance, beside == 1, width=look.width_px)
            target[beside == IGNORED] = IGNORED
        target[~np.isfinite(seen).all(axis=0)] = IGNORED
        return target


def shown(image: Image, look: FrontLook, limits: list[tuple[float, float]]) -> Image:
    """What the network sees of an image (C, H, W) that is reduced already."""
    if look.sees == "values":
        return image
    return contrast(image, limits, radius=look.contrast_px / look.reduce)


def reduced(image: Image, warp: Warp, *, reduce: int, shape: tuple[int, int]) -> Image:
    """The image (C, H, W), warped and made smaller; NaN where nothing was seen, mirrored beyond its edges.

    Args:
        image: physical values.
        warp: how it is moved.
        reduce: how much smaller it becomes.
        shape: rows and columns of the image.
    """
    import cv2

    found = []
    for band in image:
        seen = np.isfinite(band)
        filled = np.where(seen, band, np.float32(np.median(band[seen]) if seen.any() else 0)).astype(np.float32)
        if reduce > 1:
            filled = np.asarray(cv2.GaussianBlur(filled, (0, 0), 0.4 * reduce), dtype=np.float32)
        moved = warp.field(filled, reduce=reduce, shape=shape, mirrored=True)
        if not seen.all():
            moved[warp.labels(seen.astype(np.uint8), reduce=reduce, shape=shape, outside=1) == 0] = np.nan
        found.append(moved)
    return np.stack(found)


@dataclass
class _Window:
    """What was read of a sample."""

    image: Image
    limits: list[tuple[float, float]]
    zones: NDArray[np.uint8] | None
    distance: Image
    beside: NDArray[np.uint8]
    wet: Image | None = None

    @classmethod
    def read(cls, sample: FrontSample, look: FrontLook) -> _Window:
        row, column, height, width = sample.window
        rows, columns = slice(row, row + height), slice(column, column + width)
        pixels = open_pixels(sample.cube)
        image = pixels.physical(
            times=slice(sample.number, sample.number + 1), bands=look.bands, rows=rows, columns=columns
        )[0]
        whole = image
        if look.sees == "contrast" and pixels.layout("imagery").shape[2:] != (height, width):
            whole = pixels.physical(times=slice(sample.number, sample.number + 1), bands=look.bands)[0]
        image, held = _padded(image, (height, width), np.float32(np.nan)), image.shape[1:]
        zones, distance, beside = None, np.zeros((1, 1), np.float32), np.zeros((1, 1), np.uint8)
        if look.target == "zones":
            zones = _padded(zone_classes(read_zones(sample.zones)[rows, columns]), (height, width), np.uint8(IGNORED))
        else:
            line = np.array(sample.line, dtype=np.float64) - [row, column]
            distance, near = signed_distance(line, (height, width))
            beside = near.astype(np.uint8)
            beside[held[0] :], beside[:, held[1] :] = IGNORED, IGNORED
        return cls(image=image, limits=stretch_limits(whole), zones=zones, distance=distance, beside=beside)

    @property
    def nbytes(self) -> int:
        return int(self.image.nbytes + self.distance.nbytes + self.beside.nbytes)

    def water(self) -> Image | None:
        """How much of each pixel is ocean near the front; None where the target is zones."""
        if self.zones is None and self.wet is None:
            self.wet = water_of(self.image[0], self.distance, self.beside == 1)
        return self.wet


def zone_classes(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """CaFFe's codes become the numbers of the classes of `CLASSES['zones']`, 255 where there is no information."""
    table = np.full(256, IGNORED, dtype=np.uint8)
    table[list(ZONE_CODES)] = list(ZONE_CODES.values())
    return table[codes]


def _padded(array: NDArray[Any], shape: tuple[int, int], fill: Any) -> NDArray[Any]:
    missing = [(0, wanted - there) for wanted, there in zip(shape, array.shape[-2:], strict=True)]
    return np.pad(array, [(0, 0)] * (array.ndim - 2) + missing, constant_values=fill)
