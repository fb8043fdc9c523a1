"""Which chips make up which step. Everything is a function of seed and step: nothing has to be remembered.

Shapes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.prepare import Normalisation
from glacier_core.samples import augment

Labelled = tuple[NDArray[np.float32], NDArray[np.uint8]]


class ChipSource(Protocol):
    """Chips by number; must survive pickling when there are several processes."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> Labelled:
        """Image (C, H, W) float32 in physical values, NaN where nothing was seen; target (H, W) uint8, 255 ignored."""
        ...


@dataclass(frozen=True)
class Batches:
    """One process's share of every global batch: each `world`-th chip."""

    train: ChipSource
    """Chips to learn from, all of one size."""
    validation: ChipSource
    """Chips to judge by."""
    normalisation: Normalisation
    """Applied to every image."""
    size: int
    """Chips in a global batch."""
    seed: int
    """Order and augmentation follow from it."""
    rank: int
    """Which process this is."""
    world: int
    """How many processes there are."""

    def __post_init__(self) -> None:
        for name, source in (("training", self.train), ("validation", self.validation)):
            if not len(source):
                raise DataError(f"the {name} set holds no chip", expected="at least one", do="add glaciers or years")
        if self.size % self.world:
            raise ConfigurationError(
                f"training.batch {self.size} cannot be shared by {self.world} processes",
                expected="a multiple of training.processes",
            )

    def training(self, step: int) -> tuple[Tensor, Tensor]:
        """Augmented images (B, C, H, W) and targets (B, H, W) of a step (from 0)."""
        return self._stack([self._drawn(step * self.size + i) for i in range(self.rank, self.size, self.world)])

    def training_ahead(self, steps: range) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Each step with its images and targets; the next one is read while this one is used."""
        for step, (images, targets) in _ahead(self.training, steps):
            yield step, images, targets

    def validating(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All images and targets of the validation set, as they are; read ahead as well."""
        mine = range(self.rank, len(self.validation), self.world)
        batch = max(1, self.size // self.world)

        def stacked(first: int) -> tuple[Tensor, Tensor]:
            return self._stack([self.validation[index] for index in mine[first : first + batch]])

        for _, found in _ahead(stacked, range(0, len(mine), batch)):
            yield found

    def _drawn(self, position: int) -> Labelled:
        """The chip at a position of the endless sequence of shuffled passes through the training set."""
        number, place = divmod(position, len(self.train))
        image, target = self.train[int(_shuffled(len(self.train), self.seed, number)[place])]
        return augment(image, target, np.random.default_rng((self.seed, 1, position)))

    def _stack(self, chips: Sequence[Labelled]) -> tuple[Tensor, Tensor]:
        images = self.normalisation.apply(np.stack([image for image, _ in chips]))
        return torch.from_numpy(images), torch.from_numpy(np.stack([target for _, target in chips]))


def _ahead(make: Callable[[int], tuple[Tensor, Tensor]], numbers: range) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    """Each number with what is made of it; the next is made by one thread meanwhile, in the same order."""
    with ThreadPoolExecutor(1, thread_name_prefix="chips") as reader:
        coming = [reader.submit(make, number) for number in numbers[:1]]
        for number, following in zip_longest(numbers, numbers[1:]):
            found = coming.pop().result()
            if following is not None:
                coming.append(reader.submit(make, following))
            yield number, found


@lru_cache(maxsize=4)
def _shuffled(count: int, seed: int, number: int) -> NDArray[np.int64]:
    """The order of the chips in pass `number`."""
    return np.random.default_rng((seed, 0, number)).permutation(count)
