"""Training of a segmentation network, top to bottom.

Random state is a function of seed and step, and losses are functions of sums over the global batch: a training that
was killed goes on to the same weights, and several processes compute what one computes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from glacier_core import recipes
from glacier_core.prepare import Normalisation
from glacier_core.training.batches import ChipSource
from glacier_core.training.checkpoints import Checkpoints, stop_requests
from glacier_core.training.hardware import choose_precision
from glacier_core.training.losses import intersection_over_union, loss_of, pixel_sums
from glacier_core.training.optimizing import check_finite, learning_rate, make_optimizer, set_learning_rate
from glacier_core.training.processes import Group, training_group
from glacier_core.training.tasks import Task, Trained
from glacier_core.training.validating import validate

Track = Callable[[int, dict[str, float]], None]
Score = Callable[[NDArray[np.float64]], Mapping[str, float]]

_LARGEST_GRADIENT = 1.0


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
) -> Trained:
    """Train a network until its validation loss no longer falls; goes on from the last checkpoint.

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
        track: called with the epoch (from 1) and what was found, after each epoch.
        score: scores from the validation set's confusion matrix (true classes in rows, predicted in columns).

    Raises:
        ConfigurationError: the model, the loss, or the batch for the number of processes is wrong.
        DataError: a set is empty or has no pixel that counts, or the loss is no longer finite (names the step).
        KeyboardInterrupt: SIGTERM or SIGINT came; the state was saved.
    """
    task = Task(model, training, bands, classes, train, validation, normalisation)
    task.batches(rank=0, world=training.processes)  # what cannot be shared is refused before processes start
    with training_group(training.processes, threads=threads, follow=_follow, arguments=(task, checkpoints)) as group:
        return _fit(group, task, checkpoints, track, score)


def _follow(group: Group, task: Task, checkpoints: str) -> None:
    """What processes other than the first do: the same, and they tell nobody."""
    _fit(group, task, checkpoints, lambda _epoch, _found: None, intersection_over_union)


def _fit(group: Group, task: Task, checkpoints: str, track: Track, score: Score) -> Trained:
    plan, started = task.training, time.monotonic()
    torch.manual_seed(plan.seed)
    precision = choose_precision(plan.precision, device=group.device)
    network = precision.placed(task.build())
    parallel = group.parallel(network)
    optimizer = make_optimizer(network, plan)
    batches = task.batches(rank=group.rank, world=group.world)
    keeper = Checkpoints(checkpoints, fingerprint=task.fingerprint())
    progress, best = keeper.restore(network=network, optimizer=optimizer)
    started -= progress.seconds

    def save() -> None:
        progress.seconds = time.monotonic() - started
        if group.rank == 0:
            keeper.save(progress, network=network, optimizer=optimizer, best=best)

    with stop_requests() as stop:
        while not progress.finished:
            network.train()
            steps = range(progress.step, (progress.epoch + 1) * plan.steps_per_epoch)
            for step, images, targets in batches.training_ahead(steps):
                set_learning_rate(optimizer, step=step, plan=plan)
                with precision.autocast():
                    logits = parallel(precision.image(images))
                sums = group.sum(pixel_sums(logits, targets.to(group.device)))
                loss = loss_of(sums, loss=plan.loss)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                gradient = nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
                progress.losses.append(loss.item())
                check_finite(step, loss=loss.item(), gradient=gradient.item())
                optimizer.step()
                progress.step = step + 1
                if stop.is_set():
                    save()
                    raise KeyboardInterrupt
            validation_loss, matrix = validate(network, batches.validating(), task, group, precision)
            found = {
                "epoch": float(progress.epoch + 1),
                "train_loss": math.fsum(progress.losses) / len(progress.losses),
                "validation_loss": validation_loss,
                "learning_rate": learning_rate(progress.step - 1, plan),
                **score(matrix),
            }
            if progress.enter(found, patience=plan.patience, epochs=plan.epochs):
                best = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
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
