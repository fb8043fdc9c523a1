"""Which chips a step holds follows from seed and step, whatever number of processes shares it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glacier_core import recipes
from glacier_core.errors import ConfigurationError, DataError
from glacier_core.prepare import Normalisation
from glacier_core.training.batches import Batch, Batches
from glacier_core.training.segmentation import SegmentationTask
from tests.training.chip_sources import BANDS, NORMALISATION, Discs


@dataclass(frozen=True)
class Numbered:
    """Chips whose target is their number."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        return np.zeros((1, 2, 2), dtype=np.float32), np.full((2, 2), index, dtype=np.uint8)


def numbered(
    count: int, *, size: int, rank: int = 0, world: int = 1, seed: int = 0, parts: int = 1, readers: int = 1
) -> Batches:
    plan = recipes.Training(batch=size, seed=seed, accumulate=parts)
    task = SegmentationTask(
        model=recipes.Model(),
        training=plan,
        sizes={"bands": 1, "classes": 2},
        train=Numbered(count),
        validation=Numbered(count),
        normalisation=Normalisation(bands=("one",), mean=(0.0,), std=(1.0,)),
    )
    return task.batches(rank=rank, world=world, readers=readers)


def chips_of(parts: Iterable[Batch]) -> list[int]:
    return [int(number) for batch in parts for number in batch[1][:, 0, 0]]


def same(one: Iterable[Batch], other: Iterable[Batch]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a, b) for left, right in pairs for a, b in zip(left, right, strict=True))


@given(
    count=st.integers(1, 40),
    share=st.integers(1, 4),
    world=st.integers(1, 3),
    parts=st.integers(1, 3),
    step=st.integers(0, 30),
)
@settings(max_examples=25, deadline=None)
def test_processes_and_parts_share_the_batch_that_one_would_have(
    count: int, share: int, world: int, parts: int, step: int
) -> None:
    size = share * world * parts
    whole = numbered(count, size=size)
    shares = [numbered(count, size=size, rank=rank, world=world, parts=parts) for rank in range(world)]
    assert {len(each.training(step)) for each in shares} == {parts}
    assert sorted(chips_of(whole.training(step))) == sorted(
        chip for each in shares for chip in chips_of(each.training(step))
    )
    assert sorted(chip for each in shares for chip in chips_of(each.validating())) == list(range(count))


def test_each_pass_shows_each_chip_once_in_another_order() -> None:
    batches = numbered(12, size=4)
    passes = [[chip for step in range(3 * n, 3 * n + 3) for chip in chips_of(batches.training(step))] for n in (0, 1)]
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(12))
    assert passes[0] != passes[1]
    assert chips_of(numbered(12, size=4, seed=1).training(0)) != passes[0][:4]


def discs() -> Batches:
    task = SegmentationTask(
        model=recipes.Model(),
        training=recipes.Training(batch=4, augmentation=("flip", "rotate", "brightness", "holes", "noise", "shift")),
        sizes={"bands": BANDS, "classes": 2},
        train=Discs(9, 0),
        validation=Discs(9, 0),
        normalisation=NORMALISATION,
    )
    return task.batches(readers=3)


def test_a_step_is_the_same_whenever_it_is_asked_for() -> None:
    [(images, targets)] = discs().training(7)
    again = discs()
    again.training(3)
    assert same(again.training(7), [(images, targets)])
    assert images.dtype == torch.float32
    assert bool(torch.isfinite(images).all())
    assert int((targets == 255).sum()) > 0


def test_what_is_read_ahead_by_several_readers_comes_in_order() -> None:
    ahead = list(discs().training_ahead(range(4, 9)))
    assert [step for step, _ in ahead] == list(range(4, 9))
    assert all(same(parts, discs().training(step)) for step, parts in ahead)


def test_what_cannot_be_shared_or_is_empty_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"multiple of training\.processes"):
        numbered(5, size=3, world=2)
    with pytest.raises(ConfigurationError, match=r"training\.accumulate"):
        numbered(5, size=4, parts=3)
    with pytest.raises(DataError, match="training set holds no sample"):
        numbered(0, size=2)
