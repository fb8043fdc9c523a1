"""Sequences of fields: some months or frames of the past, and what came after them.

Shapes: T times of the past, L leads, C channels of the past, K channels that are known of each lead, D channels that
are predicted, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError


@dataclass(frozen=True)
class SequenceSample:
    """One sequence, float32, finite and normalised. A network predicts the change from `base` to `future`."""

    past: NDArray[np.float32]
    """(T, C, H, W): what was seen, earliest first."""
    known: NDArray[np.float32]
    """(L, K, H, W): what is known of each lead beforehand, such as the month, baseline forecasts and masks."""
    base: NDArray[np.float32]
    """(L, D, H, W): the forecast that the network's change is added to."""
    future: NDArray[np.float32]
    """(L, D, H, W): what came."""
    weight: NDArray[np.float32]
    """(L, 1, H, W) or (1, 1, H, W), not negative: how much each pixel counts, such as its area; 0 where it does not."""

    def __post_init__(self) -> None:
        arrays = (self.past, self.known, self.base, self.future, self.weight)
        shapes = f"past {self.past.shape}, known {self.known.shape}, base {self.base.shape}, future "
        shapes += f"{self.future.shape}, weight {self.weight.shape}"
        if any(array.ndim != 4 for array in arrays) or not self._consistent():
            raise DataError(
                f"a sequence has the shapes {shapes}", expected="(T,C,H,W), (L,K,H,W), (L,D,H,W) twice, (L or 1,1,H,W)"
            )

    def _consistent(self) -> bool:
        leads, _, height, width = self.future.shape
        return (
            self.base.shape == self.future.shape
            and self.past.shape[2:] == (height, width)
            and (self.known.shape[0], *self.known.shape[2:]) == (leads, height, width)
            and self.weight.shape[0] in (1, leads)
            and self.weight.shape[1:] == (1, height, width)
        )


class SequenceSource(Protocol):
    """Sequences by number, all of one shape; must survive pickling when there are several processes."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> SequenceSample:
        """The sequence of that number."""
        ...
