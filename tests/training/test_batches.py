"""Which chips a step holds follows from seed and step, whatever number of processes shares it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.prepare import Normalisation
from glacier_core.training.batches import Batches
from tests.training.chip_sources import NORMALISATION, Discs


@dataclass(frozen=True)
class Numbered:
    """Chips whose target is their number."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        return np.zeros((1, 2, 2), dtype=np.float32), np.full((2, 2), index, dtype=np.uint8)


def numbered(count: int, *, size: int, rank: int = 0, world: int = 1, seed: int = 0) -> Batches:
    flat = Normalisation(bands=("one",), mean=(0.0,), std=(1.0,))
    source = Numbered(count)
    return Batches(train=source, validation=source, normalisation=flat, size=size, seed=seed, rank=rank, world=world)


def chips_of(target: torch.Tensor) -> list[int]:
    return [int(number) for number in target[:, 0, 0]]


@given(count=st.integers(1, 40), share=st.integers(1, 4), world=st.integers(1, 3), step=st.integers(0, 30))
@settings(max_examples=25, deadline=None)
def test_processes_share_the_batch_that_one_would_have(count: int, share: int, world: int, step: int) -> None:
    size = share * world
    whole = numbered(count, size=size)
    parts = [numbered(count, size=size, rank=rank, world=world) for rank in range(world)]
    assert sorted(chips_of(whole.training(step)[1])) == sorted(
        chip for part in parts for chip in chips_of(part.training(step)[1])
    )
    judged = sorted(chip for part in parts for _, target in part.validating() for chip in chips_of(target))
    assert judged == list(range(count))


def test_each_pass_shows_each_chip_once_in_another_order() -> None:
    batches = numbered(12, size=4)
    passes = [
        [chip for step in range(3 * n, 3 * n + 3) for chip in chips_of(batches.training(step)[1])] for n in (0, 1)
    ]
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(12))
    assert passes[0] != passes[1]
    assert chips_of(numbered(12, size=4, seed=1).training(0)[1]) != passes[0][:4]


def test_a_step_is_the_same_whenever_it_is_asked_for() -> None:
    def batches() -> Batches:
        discs = Discs(9, 0)
        return Batches(train=discs, validation=discs, normalisation=NORMALISATION, size=4, seed=0, rank=0, world=1)

    images, targets = batches().training(7)
    again = batches()
    again.training(3)
    assert torch.equal(again.training(7)[0], images)
    assert torch.equal(again.training(7)[1], targets)
    assert images.dtype == torch.float32
    assert bool(torch.isfinite(images).all())
    assert int((targets == 255).sum()) > 0


def test_what_cannot_be_shared_or_is_empty_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"multiple of training\.processes"):
        numbered(5, size=3, world=2)
    with pytest.raises(DataError, match="training set holds no chip"):
        numbered(0, size=2)
