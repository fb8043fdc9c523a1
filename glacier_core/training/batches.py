"""Which samples make up which step. Everything is a function of seed and step: nothing has to be remembered."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glacier_core.errors import ConfigurationError, DataError

Batch = tuple[Tensor, ...]
"""What a task makes of some samples: tensors whose first dimension counts them."""
Item = tuple[NDArray[Any], ...]
"""The same of one sample, without that dimension."""
MakeItem = Callable[[Any, np.random.Generator], Item]
"""Makes an item of a sample; all chance comes from the generator."""

Found = TypeVar("Found")


class ChipSource(Protocol):
    """Chips by number; must survive pickling when there are several processes."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Image (C, H, W) float32 in physical values, NaN where nothing was seen; target (H, W) uint8, 255 ignored."""
        ...


class Source(Protocol):
    """Samples of any kind by number."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """One of them."""
        ...


@dataclass(frozen=True)
class Batches:
    """One process's share of every global batch: each `world`-th sample."""

    train: Source
    """Samples to learn from, all of one size."""
    validation: Source
    """Samples to judge by."""
    teach: MakeItem
    """What is made of a training sample: it may be changed at random."""
    judge: MakeItem
    """What is made of a validation sample."""
    size: int
    """Samples in a global batch."""
    seed: int
    """Order and augmentation follow from it."""
    rank: int = 0
    """Which process this is."""
    world: int = 1
    """How many processes there are."""
    parts: int = 1
    """Parts in which a batch passes through the network."""
    readers: int = 1
    """Threads that read ahead."""
    pinned: bool = False
    """Whether tensors lie where an accelerator fetches them itself."""
    _reading: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, source in (("training", self.train), ("validation", self.validation)):
            if not len(source):
                raise DataError(f"the {name} set holds no sample", expected="at least one", do="add places or years")
        if self.size % (self.world * self.parts):
            raise ConfigurationError(
                f"training.batch {self.size} cannot be shared by {self.world} processes in {self.parts} parts",
                expected="a multiple of training.processes times training.accumulate",
            )

    def training(self, step: int) -> list[Batch]:
        """The parts of a step's batch (steps count from 0)."""
        mine = [step * self.size + i for i in range(self.rank, self.size, self.world)]
        share = len(mine) // self.parts
        return [
            self._stack([self._drawn(position) for position in mine[first : first + share]])
            for first in range(0, len(mine), share)
        ]

    def training_ahead(self, steps: range) -> Iterator[tuple[int, list[Batch]]]:
        """Each step with its batch; the next ones are read while this one is used."""
        yield from _ahead(self.training, steps, readers=self.readers)

    def validating(self) -> Iterator[Batch]:
        """The whole validation set, as it is; read ahead as well."""
        mine = range(self.rank, len(self.validation), self.world)
        batch = max(1, self.size // self.world // self.parts)

        def stacked(first: int) -> Batch:
            return self._stack([self._judged(index) for index in mine[first : first + batch]])

        for _, found in _ahead(stacked, range(0, len(mine), batch), readers=self.readers):
            yield found

    def _drawn(self, position: int) -> Item:
        """The sample at a position of the endless sequence of shuffled passes through the training set."""
        number, place = divmod(position, len(self.train))
        index = int(_shuffled(len(self.train), self.seed, number)[place])
        return self.teach(self._read(self.train, index), np.random.default_rng((self.seed, 1, position)))

    def _judged(self, index: int) -> Item:
        return self.judge(self._read(self.validation, index), np.random.default_rng((self.seed, 2, index)))

    def _read(self, source: Source, index: int) -> Any:
        with self._reading:  # sources keep open files and need not bear several readers at once
            return source[index]

    def _stack(self, items: Sequence[Item]) -> Batch:
        stacked = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*items, strict=True))
        return tuple(tensor.pin_memory() if self.pinned else tensor for tensor in stacked)


def _ahead(make: Callable[[int], Found], numbers: range, *, readers: int) -> Iterator[tuple[int, Found]]:
    """Each number with what is made of it, in order; the next ones are made by threads meanwhile."""
    with ThreadPoolExecutor(readers, thread_name_prefix="samples") as pool:
        coming: deque[tuple[int, Future[Found]]] = deque()
        try:
            for number in numbers:
                coming.append((number, pool.submit(make, number)))
                if len(coming) > readers:
                    first, future = coming.popleft()
                    yield first, future.result()
            while coming:
                first, future = coming.popleft()
                yield first, future.result()
        finally:
            for _, future in coming:
                future.cancel()


@lru_cache(maxsize=4)
def _shuffled(count: int, seed: int, number: int) -> NDArray[np.int64]:
    """The order of the samples in pass `number`."""
    return np.random.default_rng((seed, 0, number)).permutation(count)
