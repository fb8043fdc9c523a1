"""Training of a network of either family, top to bottom.

Random state is a function of seed and step, and losses are functions of sums over the global batch: a training that
was killed goes on to the same weights, and several processes compute what one computes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from glacier_core import recipes
from glacier_core.prepare import Normalisation
from glacier_core.samples import SequenceSource
from glacier_core.training.batches import ChipSource
from glacier_core.training.checkpoints import Checkpoints
from glacier_core.training.forecasting import SequenceTask
from glacier_core.training.groups import Group
from glacier_core.training.hardware import choose_precision, compile_in_place
from glacier_core.training.losses import intersection_over_union
from glacier_core.training.optimizing import learning_rate
from glacier_core.training.players import Player
from glacier_core.training.processes import run_together
from glacier_core.training.segmentation import Score, SegmentationTask, balanced_weights
from glacier_core.training.signals import stop_requests
from glacier_core.training.tasks import Task, Trained
from glacier_core.training.validating import validate

Track = Callable[[int, dict[str, float]], None]

_CHECKPOINT_EVERY_S = 120.0
_MOST_READERS = 8


def train(  # noqa: PLR0913 - all that decides the weights, and how it is run
    *,
    model: recipes.Model,
    training: recipes.Training,
    bands: int,
    classes: int = 2,
    train: ChipSource,
    validation: ChipSource,
    normalisation: Normalisation,
    checkpoints: str,
    threads: int,
    track: Track,
    score: Score = intersection_over_union,
    class_weights: Sequence[float] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Trained:
    """Train a segmentation network until its validation loss no longer falls; goes on from the last checkpoint.

    Args:
        model: which network.
        training: how it is trained.
        bands: channels of the images.
        classes: classes of the targets.
        train: chips to learn from.
        validation: chips to stop by.
        normalisation: fitted on `train`.
        checkpoints: path or fsspec URL of a folder; a checkpoint of another task in it is not gone on from.
        threads: of this machine, shared by the processes.
        track: called with the epoch (from 1) and what was found, after each epoch; by the first process alone.
        score: scores from the validation set's confusion matrix (true classes in rows, predicted in columns).
        class_weights: how much each class counts; where absent, what `training.class_weights` says.
        sizes: what else the network is built with, such as dates.

    Raises:
        ConfigurationError: the model, the loss, or the batch for the number of processes is wrong.
        DataError: a set is empty or has no pixel that counts, or the loss is no longer finite (names the step).
        KeyboardInterrupt: SIGTERM or SIGINT came; the state was saved.
    """
    if class_weights is None and training.class_weights == "balanced":
        class_weights = balanced_weights(train, classes=classes)
    task = SegmentationTask(
        model=model,
        training=training,
        sizes={"bands": bands, "classes": classes, **(sizes or {})},
        train=train,
        validation=validation,
        normalisation=normalisation,
        weights=tuple(class_weights or ()),
        score=score,
    )
    return _together(task, checkpoints=checkpoints, threads=threads, track=track)


def train_sequences(  # noqa: PLR0913 - the same
    *,
    model: recipes.Model,
    training: recipes.Training,
    channels: int,
    known: int,
    outputs: int = 1,
    train: SequenceSource,
    validation: SequenceSource,
    checkpoints: str,
    threads: int,
    track: Track,
    data_range: float = 1.0,
    limits: tuple[float, float] | None = None,
    turns: bool = False,
) -> Trained:
    """Train a forecast network until its validation loss no longer falls; goes on from the last checkpoint.

    Args:
        model: which network.
        training: how it is trained.
        channels: channels of the past.
        known: channels that are known of each lead.
        outputs: channels that are predicted.
        train: sequences to learn from.
        validation: sequences to stop by.
        checkpoints: path or fsspec URL of a folder; a checkpoint of another task in it is not gone on from.
        threads: of this machine, shared by the processes.
        track: called with the epoch (from 1) and what was found, after each epoch; by the first process alone.
        data_range: largest less smallest value that a field can take, for the structural similarity.
        limits: least and largest value that a field can take, where forecasts are cut at them.
        turns: whether sequences may be flipped and turned where `training.augmentation` says so; all frames alike.

    Raises:
        ConfigurationError: the model, the loss, or the batch for the number of processes is wrong.
        DataError: a set is empty or has no pixel that counts, or the loss is no longer finite (names the step).
        KeyboardInterrupt: SIGTERM or SIGINT came; the state was saved.
    """
    task = SequenceTask(
        model=model,
        training=training,
        channels=channels,
        known=known,
        outputs=outputs,
        train=train,
        validation=validation,
        data_range=data_range,
        limits=limits,
        turns=turns,
    )
    return _together(task, checkpoints=checkpoints, threads=threads, track=track)


def _together(task: Task, *, checkpoints: str, threads: int, track: Track) -> Trained:
    task.check()
    task.batches(world=task.training.processes)  # what cannot be shared is refused before processes start
    return run_together(
        task.training.processes,
        threads=threads,
        lead=lambda group: _fit(group, task, checkpoints, track),
        follow=_follow,
        arguments=(task, checkpoints),
    )


def _follow(group: Group, task: Task, checkpoints: str) -> Trained:
    """What processes other than the first do: the same, and they tell nobody."""
    return _fit(group, task, checkpoints, lambda _epoch, _found: None)


def _fit(group: Group, task: Task, checkpoints: str, track: Track) -> Trained:
    plan, started = task.training, time.monotonic()
    torch.manual_seed(plan.seed)
    precision = choose_precision(plan.precision, device=group.device)
    network = precision.placed(task.build())
    group.share_statistics(network)
    if plan.compile:
        compile_in_place(network)
    players = [Player(aim, network, plan=plan, group=group, precision=precision) for aim in task.aims(network)]
    readers = _MOST_READERS if precision.device.type == "cuda" else 1
    batches = task.batches(rank=group.rank, world=group.world, readers=readers, pinned=precision.device.type == "cuda")
    keeper = Checkpoints(checkpoints, fingerprint=task.fingerprint(), describes=task.describe())
    progress, best = keeper.restore(network=network, optimizers=[player.optimizer for player in players])
    group.check_together(progress.step)
    started -= progress.seconds
    kept = time.monotonic()

    def save() -> None:
        nonlocal kept
        kept = time.monotonic()
        progress.seconds = kept - started
        if group.rank == 0:
            keeper.save(progress, network=network, optimizers=[player.optimizer for player in players], best=best)

    with stop_requests() as stop:
        while not progress.finished:
            network.train()
            steps = range(progress.step, (progress.epoch + 1) * plan.steps_per_epoch)
            for step, parts in batches.training_ahead(steps):
                torch.manual_seed(_seed(plan.seed, step, group.rank))
                losses = [player.improve(parts, step=step) for player in players]
                progress.losses.append(losses[0])
                progress.step = step + 1
                asked = group.any(stop.is_set())
                if asked or time.monotonic() - kept > _CHECKPOINT_EVERY_S:
                    save()
                if asked:
                    raise KeyboardInterrupt
            found = {
                "epoch": float(progress.epoch + 1),
                "train_loss": math.fsum(progress.losses) / len(progress.losses),
                "learning_rate": learning_rate(progress.step - 1, plan),
            }
            found |= validate(
                network, batches.validating(), task=task, group=group, precision=precision, step=progress.step
            )
            if progress.enter(found, patience=plan.patience, epochs=plan.epochs):
                best = _kept(network)
            save()
            track(progress.epoch, found)
    return Trained(
        state=best,
        history=progress.history,
        best_epoch=progress.best_epoch,
        stopped_epoch=progress.epoch,
        precision=precision.name,
        seconds=progress.seconds,
    )


def _kept(network: nn.Module) -> dict[str, Tensor]:
    """The weights as they are now, in the plain memory layout."""
    state = network.state_dict()
    return {name: value.cpu().clone(memory_format=torch.contiguous_format) for name, value in state.items()}


def _seed(seed: int, step: int, rank: int) -> int:
    """The state of torch's generator at a step: what networks draw at random follows from it."""
    return hash((seed, step, rank)) & (2**63 - 1)
