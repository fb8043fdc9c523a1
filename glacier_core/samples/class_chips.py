"""Chips of several images of one cube beside each other, with the classes of the last of them."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import IGNORED, IMAGERY, CubePixels, open_pixels
from glacier_core.prepare.features import PLACE_CHANNELS, TERRAIN_CHANNELS

CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class ClassChip:
    """One window of one image, the images before it, and its classes."""

    image: str
    """Path or URL of the cube of features."""
    label: str
    """Path or URL of the cube of classes, on the same grid and times."""
    time: int
    """Number of the image whose classes are wanted."""
    row: int
    """First row."""
    column: int
    """First column."""
    size: int
    """Rows and columns; what reaches beyond the image is unobserved."""


def images_seen(time: int, dates: int) -> list[int]:
    """Numbers of the images that are seen together: the one at `time` last; the first one stands for those before it.

    Args:
        time: number of the image that is classified.
        dates: how many images are seen.
    """
    return [max(0, time - back) for back in reversed(range(dates))]


class ClassChips:
    """A sequence of chips: `chips[i]` is (image, target).

    image is (dates * channel, y, x) float32, date by date, NaN where nothing was seen; target is (y, x) uint8, 255
    where there is no label, where the classified image shows nothing, and beyond the image's edge.

    Cubes are opened when they are first needed and kept while they fit; a copy in another process opens them anew.

    Args:
        chips: which windows.
        channels: the channels wanted, in this order.
        dates: images that are seen together.
        cache_bytes: memory for cubes; a cube larger than half of it is read window by window.
    """

    def __init__(
        self, chips: Sequence[ClassChip], *, channels: Sequence[str], dates: int = 1, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.chips = tuple(chips)
        self.channels = tuple(channels)
        self.dates = dates
        self.cache_bytes = cache_bytes
        self._kept: OrderedDict[str, tuple[CubePixels, CubePixels, NDArray[np.float32] | None]] = OrderedDict()

    @property
    def steady(self) -> tuple[int, ...]:
        """Numbers of the channels that are no light, of all images: heights, slopes, distances from the middle."""
        return tuple(
            number
            for number, channel in enumerate(self.channels * self.dates)
            if channel in (*itertools.chain.from_iterable(TERRAIN_CHANNELS.values()), *PLACE_CHANNELS)
        )

    def __len__(self) -> int:
        return len(self.chips)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        chip = self.chips[index]
        window = slice(chip.row, chip.row + chip.size), slice(chip.column, chip.column + chip.size)
        seen = np.concatenate([self._pixels(chip, time, window) for time in images_seen(chip.time, self.dates)])
        label = np.asarray(self._opened(chip)[1].read(IMAGERY, (slice(chip.time, chip.time + 1), slice(1), *window)))
        height, width = label.shape[2:]
        image = np.full((len(seen), chip.size, chip.size), np.nan, dtype=np.float32)
        target = np.full((chip.size, chip.size), IGNORED, dtype=np.uint8)
        known = np.isfinite(seen[-len(self.channels) :]).all(axis=0)
        image[:, :height, :width] = seen
        target[:height, :width] = np.where(known, label[0, 0], np.uint8(IGNORED))
        return image, target

    def __getstate__(self) -> dict[str, Any]:
        """Open cubes stay behind: they do not survive a fork."""
        return {**self.__dict__, "_kept": OrderedDict()}

    def _pixels(self, chip: ClassChip, time: int, window: tuple[slice, slice]) -> NDArray[np.float32]:
        cube, _, whole = self._opened(chip)
        if whole is not None:
            found: NDArray[np.float32] = whole[(time, slice(None), *window)]
            return found
        rows, columns = window
        read = cube.physical(times=slice(time, time + 1), bands=self.channels, rows=rows, columns=columns)
        return np.asarray(read[0], dtype=np.float32)

    def _opened(self, chip: ClassChip) -> tuple[CubePixels, CubePixels, NDArray[np.float32] | None]:
        if chip.image not in self._kept:
            cube, label = open_pixels(chip.image), open_pixels(chip.label)
            fits = 4 * int(np.prod(cube.layout(IMAGERY).shape)) <= self.cache_bytes // 2
            whole = cube.physical(bands=self.channels) if fits else None
            self._kept[chip.image] = cube, label, whole
            held = [array.nbytes for _, _, array in self._kept.values() if array is not None]
            while sum(held) > self.cache_bytes and len(self._kept) > 1:
                self._kept.popitem(last=False)
                held.pop(0)
        self._kept.move_to_end(chip.image)
        return self._kept[chip.image]
