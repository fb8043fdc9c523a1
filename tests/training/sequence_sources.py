"""Small sources of sequences, importable by spawned training processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glacier_core.samples import SequenceSample

CHANNELS, KNOWN = 2, 2


@dataclass(frozen=True)
class Drifting:
    """A bright disc that moves by the same step each month, the land mask beside it; the base is its last place."""

    count: int
    seed: int
    size: int = 16
    past: int = 3
    leads: int = 2
    value: float = 1.0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> SequenceSample:
        rng = np.random.default_rng((self.seed, index))
        row, column = rng.uniform(0.3, 0.7, 2) * self.size
        down, right = rng.uniform(-0.08, 0.08, 2) * self.size
        y, x = np.mgrid[: self.size, : self.size]

        def frame(month: int) -> NDArray[np.float32]:
            distance = np.hypot(y - row - month * down, x - column - month * right)
            disc: NDArray[np.float32] = (self.value / (1 + np.exp(distance - self.size / 4))).astype(np.float32)
            return disc

        frames = np.stack([frame(month) for month in range(self.past + self.leads)])[:, None]
        land = np.zeros((1, 1, self.size, self.size), dtype=np.float32)
        land[..., :3] = 1
        months = np.arange(self.leads, dtype=np.float32)[:, None, None, None]
        past = frames[: self.past]
        known = np.concatenate(
            [np.broadcast_to(part, (self.leads, *land.shape[1:])) for part in (land, months)], axis=1
        )
        return SequenceSample(
            past=np.concatenate([past, np.broadcast_to(land, past.shape)], axis=1),
            known=np.ascontiguousarray(known, dtype=np.float32),
            base=np.repeat(past[-1:], self.leads, axis=0),
            future=frames[self.past :],
            weight=1 - land,
        )
