"""Chips: windows of prepared cubes with their labels, read straight from the cubes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import IGNORED, open_arrays
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
    """An image and its label; arrays are numpy's in memory or zarr's on disk."""

    imagery: Any
    clear: Any
    label: Any
    bands: tuple[int, ...]
    scale: np.float32
    offset: np.float32
    fill: int | None
    nbytes: int

    @classmethod
    def opened(cls, chip: Chip, bands: Sequence[str], label_variable: str, *, whole_below: int) -> _Scene:
        image, label = open_arrays(chip.image), open_arrays(chip.label)
        for name, group, path in (("imagery", image, chip.image), (label_variable, label, chip.label)):
            if name not in group:
                raise DataError(
                    f"the cube {path} has no variable {name}", expected=", ".join(sorted(group.array_keys()))
                )
        names: Any = image["band"]
        there = [str(band) for band in names[...]]
        missing = [band for band in bands if band not in there]
        if missing:
            raise ConfigurationError(
                f"the cube {chip.image} has no band {', '.join(missing)}", expected=f"bands among {', '.join(there)}"
            )
        imagery: Any = image["imagery"]
        arrays = [imagery, image.get("clear"), label[label_variable]]
        if imagery.shape[2:] != arrays[2].shape:
            raise DataError(
                f"the label {chip.label} has the shape {arrays[2].shape}", expected=f"{imagery.shape[2:]}, its image's"
            )
        nbytes = sum(array.nbytes for array in arrays if array is not None)
        attributes = imagery.attrs
        selected = tuple(there.index(band) for band in bands)
        if nbytes <= whole_below:
            arrays = [None if array is None else array[...] for array in arrays]
            arrays[0] = arrays[0][:, selected]
            nbytes = sum(array.nbytes for array in arrays if array is not None)
            selected = tuple(range(len(bands)))
        else:
            nbytes = 0
        return cls(
            imagery=arrays[0],
            clear=arrays[1],
            label=arrays[2],
            bands=selected,
            scale=np.float32(attributes.get("scale_factor", 1)),
            offset=np.float32(attributes.get("add_offset", 0)),
            fill=attributes.get("_FillValue"),
            nbytes=nbytes,
        )

    def window(self, chip: Chip) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """The chip's image and target."""
        rows = slice(chip.row, chip.row + chip.size)
        columns = slice(chip.column, chip.column + chip.size)
        packed = np.asarray(self.imagery[0, :, rows, columns])[list(self.bands)]
        label = np.asarray(self.label[rows, columns], dtype=np.uint8)
        seen = (np.isfinite(packed) if self.fill is None else packed != self.fill).all(axis=0)
        if self.clear is not None:
            seen &= np.asarray(self.clear[rows, columns]) == 1
        image = np.full((len(self.bands), chip.size, chip.size), np.nan, dtype=np.float32)
        target = np.full((chip.size, chip.size), IGNORED, dtype=np.uint8)
        height, width = label.shape
        physical = packed.astype(np.float32) * self.scale + self.offset
        image[:, :height, :width] = np.where(seen, physical, np.float32(np.nan))
        target[:height, :width] = np.where(seen, label, np.uint8(IGNORED))
        return image, target
