"""Chips: windows of prepared cubes with their labels, read straight from the cubes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import IGNORED, IMAGERY, open_pixels, unpacked
from glacier_core.errors import ConfigurationError, DataError

CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Chip:
    """One window of one image and its label."""

    image: str
    """Path or URL of the prepared cube."""
    label: str
    """Path or URL of the label cube, on the same grid."""
    row: int
    """First row."""
    column: int
    """First column."""
    size: int
    """Rows and columns; what reaches beyond the image is unobserved."""


def chips_of(shape: tuple[int, int], *, size: int, stride: int) -> list[tuple[int, int]]:
    """First rows and columns of windows that cover an image; the last ones are shifted inside.

    Args:
        shape: rows and columns of the image; where it is smaller than `size`, one window begins at 0.
        size: rows and columns of a window.
        stride: distance between windows, at most `size`.

    Raises:
        ConfigurationError: windows would leave gaps, or have no size.
    """
    if not 0 < stride <= size:
        raise ConfigurationError(f"chips of {size} pixels every {stride}", expected="0 < stride <= size")
    rows, columns = (_starts(length, size, stride) for length in shape)
    return [(row, column) for row in rows for column in columns]


def _starts(length: int, size: int, stride: int) -> list[int]:
    last = max(length - size, 0)
    return [*range(0, last, stride), last]


class ChipReader:
    """A sequence of chips: `reader[i]` is (image, target).

    image is (band, y, x) float32 with NaN in every band where the surface was not seen; target is (y, x) uint8, 0 or 1,
    255 where there is no label, where nothing was seen, and beyond the image's edge.

    Cubes are opened when they are first needed and kept, packed, while they fit; a copy in another process opens them
    anew.

    Args:
        chips: which windows.
        bands: the bands wanted, in this order.
        label_variable: variable of the label cube.
        cache_bytes: memory for packed cubes; a cube larger than half of it is read window by window.
    """

    def __init__(
        self,
        chips: Sequence[Chip],
        *,
        bands: Sequence[str],
        label_variable: str = "ice",
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.chips = tuple(chips)
        self.bands = tuple(bands)
        self.label_variable = label_variable
        self.cache_bytes = cache_bytes
        self._kept: OrderedDict[tuple[str, str], _Scene] = OrderedDict()

    def __len__(self) -> int:
        return len(self.chips)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        chip = self.chips[index]
        return self._scene(chip).window(chip)

    def __getstate__(self) -> dict[str, Any]:
        """Open cubes stay behind: they do not survive a fork."""
        return {**self.__dict__, "_kept": OrderedDict()}

    def _scene(self, chip: Chip) -> _Scene:
        key = chip.image, chip.label
        found = self._kept.get(key)
        if found is None:
            found = _Scene.opened(chip, self.bands, self.label_variable, whole_below=self.cache_bytes // 2)
            self._kept[key] = found
            while sum(scene.nbytes for scene in self._kept.values()) > self.cache_bytes and len(self._kept) > 1:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return found


@dataclass(frozen=True)
class _Scene:
    """An image and its label; each array is in memory, or is read window by window."""

    imagery: Callable[[slice, slice], NDArray[Any]]
    clear: Callable[[slice, slice], NDArray[Any]] | None
    label: Callable[[slice, slice], NDArray[Any]]
    attributes: Mapping[str, Any]
    nbytes: int

    @classmethod
    def opened(cls, chip: Chip, bands: Sequence[str], label_variable: str, *, whole_below: int) -> _Scene:
        image, label = open_pixels(chip.image), open_pixels(chip.label)
        imagery, target = image.layout(IMAGERY), label.layout(label_variable)
        missing = [band for band in bands if band not in image.bands]
        if missing:
            raise ConfigurationError(
                f"the cube {chip.image} has no band {', '.join(missing)}",
                expected=f"bands among {', '.join(image.bands)}",
            )
        if imagery.shape[2:] != target.shape:
            raise DataError(
                f"the label {chip.label} has the shape {target.shape}", expected=f"{imagery.shape[2:]}, its image's"
            )
        numbers = image.band_numbers(bands)

        def pixels(rows: slice, columns: slice) -> NDArray[Any]:
            found: NDArray[Any] = image.read(IMAGERY, (slice(1), slice(None), rows, columns))[0][numbers]
            return found

        arrays: list[Callable[[slice, slice], NDArray[Any]]] = [
            pixels,
            lambda rows, columns: label.read(label_variable, (rows, columns)),
        ]
        if "clear" in image:
            arrays.append(lambda rows, columns: image.read("clear", (rows, columns)))
        # one byte for the label and one for what is clear
        nbytes = int(np.prod(target.shape)) * (len(numbers) * imagery.dtype.itemsize + len(arrays) - 1)
        if nbytes <= whole_below:
            arrays = [_in_memory(array(slice(None), slice(None))) for array in arrays]
        else:
            nbytes = 0
        return cls(
            imagery=arrays[0],
            label=arrays[1],
            clear=arrays[2] if len(arrays) > 2 else None,
            attributes=imagery.attributes,
            nbytes=nbytes,
        )

    def window(self, chip: Chip) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """The chip's image and target."""
        window = slice(chip.row, chip.row + chip.size), slice(chip.column, chip.column + chip.size)
        physical = unpacked(self.imagery(*window), self.attributes)
        label = np.asarray(self.label(*window), dtype=np.uint8)
        seen = np.isfinite(physical).all(axis=0)
        if self.clear is not None:
            seen &= self.clear(*window) == 1
        image = np.full((len(physical), chip.size, chip.size), np.nan, dtype=np.float32)
        target = np.full((chip.size, chip.size), IGNORED, dtype=np.uint8)
        height, width = label.shape
        image[:, :height, :width] = np.where(seen, physical, np.float32(np.nan))
        target[:height, :width] = np.where(seen, label, np.uint8(IGNORED))
        return image, target


def _in_memory(whole: NDArray[Any]) -> Callable[[slice, slice], NDArray[Any]]:
    def window(rows: slice, columns: slice) -> NDArray[Any]:
        found: NDArray[Any] = whole[..., rows, columns]
        return found

    return window
