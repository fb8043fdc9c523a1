"""What the training benchmarks train: a segmentation from chips of a cube, a forecast from a record of months."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from glacier_core import recipes
from glacier_core.cube import REFLECTANCE, make_cube, make_mask_cube, write_cube
from glacier_core.grids import Grid
from glacier_core.prepare import Normalisation
from glacier_core.samples import Chip, ChipReader, SequenceSample, chips_of
from glacier_core.training import Precision
from glacier_core.training.batches import Batch, Batches
from glacier_core.training.forecasting import SequenceTask
from glacier_core.training.groups import Group
from glacier_core.training.players import Player
from glacier_core.training.segmentation import SegmentationTask
from glacier_core.training.tasks import Task

SIDE = 1024
BANDS = ("red", "green", "swir")
MONTHS, TALL, WIDE = 240, 112, 96
PAST, LEADS = 12, 6


@dataclass(frozen=True)
class Months:
    """Windows of a record of months that lies in memory, as the ice-cover recipes read them."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> SequenceSample:
        record = _record()
        past, future = record[index : index + PAST], record[index + PAST : index + PAST + LEADS]
        month = np.cos(2 * np.pi * (np.arange(LEADS) + index) / 12).astype(np.float32)[:, None, None, None]
        base = np.repeat(past[-1:], LEADS, axis=0)
        known = np.concatenate([base, np.broadcast_to(month, base.shape)], axis=1)
        return SequenceSample(past=past, known=known, base=base, future=future, weight=np.ones_like(base[:1]))


_KEPT: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []


def _record() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    if not _KEPT:
        _KEPT.append(np.random.default_rng(0).random((MONTHS, 1, TALL, WIDE), dtype=np.float32))
    return _KEPT[0]


def segmentation(folder: Path, *, name: str, width: int, depth: int, chip: int, batch: int) -> SegmentationTask:
    """A segmentation of half-overlapping chips of one cube of 1024 x 1024 pixels, which is written to the folder."""
    rng = np.random.default_rng(0)
    image, label = str(folder / "image.zarr"), str(folder / "label.zarr")
    if not Path(image).exists():
        grid = Grid("EPSG:32645", (10.0, 0.0, 5e5, 0.0, -10.0, 3.1e6), SIDE, SIDE)
        pixels = rng.random((1, len(BANDS), SIDE, SIDE), dtype=np.float32)
        day = [np.datetime64("2020-08-15")]
        write_cube(image, make_cube(grid=grid, times=day, bands=BANDS, imagery=pixels, packing=REFLECTANCE))
        ice = rng.integers(0, 2, (SIDE, SIDE)).astype(np.uint8)
        write_cube(label, make_mask_cube(grid=grid, masks={"ice": ice}))
    chips = [
        Chip(image, label, row, column, chip) for row, column in chips_of((SIDE, SIDE), size=chip, stride=chip // 2)
    ]
    reader = ChipReader(chips, bands=BANDS)
    return SegmentationTask(
        model=recipes.Model(name=name, width=width, depth=depth),
        training=recipes.Training(chip=chip, batch=batch),
        sizes={"bands": len(BANDS), "classes": 2},
        train=reader,
        validation=reader,
        normalisation=Normalisation(bands=BANDS, mean=(0.5,) * 3, std=(0.3,) * 3),
    )


def forecast(*, name: str, width: int, depth: int, batch: int) -> SequenceTask:
    """Twelve months in, six out, 112 x 96 cells."""
    months = Months(MONTHS - PAST - LEADS)
    return SequenceTask(
        model=recipes.Model(name=name, width=width, depth=depth),
        training=recipes.Training(batch=batch, loss="mse"),
        channels=1,
        known=2,
        outputs=1,
        train=months,
        validation=months,
    )


def player_of(task: Task, network: nn.Module, precision: Precision) -> Player:
    """The library's own step."""
    return Player(task.aims(network)[0], network, plan=task.training, group=Group(), precision=precision)


def seconds_of(step: Callable[[], object], *, steps: int) -> list[float]:
    """Seconds of each of some steps, after one that does not count."""
    step()
    found = []
    for _ in range(steps):
        started = time.perf_counter()
        step()
        found.append(time.perf_counter() - started)
    return found


def loading(player: Player, batches: Batches, *, rounds: int, steps: int) -> tuple[float, float]:
    """Median seconds of a step on one batch in memory, and of one that reads its batch, in turns.

    Args:
        player: takes the steps.
        batches: what is read, ahead, as in training.
        rounds: how often both are measured.
        steps: steps of each in a round.
    """
    kept = batches.training(0)
    number = 0

    def in_memory() -> Iterator[list[Batch]]:
        for _ in range(steps):
            yield kept

    def read() -> Iterator[list[Batch]]:
        for _, parts in batches.training_ahead(range(number, number + steps)):
            yield parts

    timed: dict[str, list[float]] = {"memory": [], "read": []}
    for _ in range(rounds):
        for name, source in (("memory", in_memory()), ("read", read())):
            started = time.perf_counter()
            for parts in source:
                player.improve(parts, step=number)
                number += 1
            timed[name].append((time.perf_counter() - started) / steps)
    # the quickest of each: what else the machine does only ever adds
    return min(timed["memory"]), min(timed["read"])


def flops_of(task: Task, network: nn.Module, parts: list[Batch], precision: Precision) -> int:
    """Floating point operations of a forward and a backward pass, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    aim = task.aims(network)[0]
    with FlopCounterMode(display=False) as counter:
        for batch in parts:
            aim.loss(aim.sums(precision.moved(batch))).backward()  # type: ignore[no-untyped-call]
    network.zero_grad()
    return int(counter.get_total_flops())


def median(seconds: list[float]) -> float:
    """Of some seconds."""
    return statistics.median(seconds)


def networks(task: Task, device: torch.device) -> nn.Module:
    """The task's network in training, on a device, as PyTorch builds it."""
    torch.manual_seed(0)
    return task.build().to(device).train()
