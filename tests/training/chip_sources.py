"""Small sources of chips, importable by spawned training processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError
from glacier_core.prepare import Normalisation

BANDS = 3
NORMALISATION = Normalisation(bands=("red", "green", "swir"), mean=(0.4, 0.4, 0.4), std=(0.3, 0.3, 0.3))


@dataclass(frozen=True)
class Discs:
    """Bright discs (class 1) on dark ground, with a strip that was not seen."""

    count: int
    seed: int
    size: int = 32
    broken: int = -1
    inverted: bool = False
    unseen: bool = False

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        if index == self.broken:
            raise DataError(f"chip {index} is damaged")
        rng = np.random.default_rng((self.seed, index))
        row, column = rng.uniform(0.2, 0.8, 2) * self.size
        y, x = np.mgrid[: self.size, : self.size]
        disc = np.hypot(y - row, x - column) < self.size / 4
        image = (0.2 + 0.4 * disc + rng.normal(0, 0.1, (BANDS, self.size, self.size))).astype(np.float32)
        target = (disc != self.inverted).astype(np.uint8)
        image[:, :, :2] = np.nan
        target[:, : self.size if self.unseen else 2] = 255
        return image, target


@dataclass(frozen=True)
class Overflowing:
    """Chips whose values are too large to compute with."""

    count: int = 4

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        return np.full((BANDS, 32, 32), np.inf, dtype=np.float32), np.ones((32, 32), dtype=np.uint8)
