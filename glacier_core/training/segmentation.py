"""Segmentation: an image goes in, a class for each pixel comes out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from glacier_core import recipes
from glacier_core.errors import ConfigurationError, DataError
from glacier_core.prepare import Normalisation
from glacier_core.samples import augment
from glacier_core.store import digest_of
from glacier_core.training.batches import Batch, Batches, ChipSource, Item
from glacier_core.training.losses import (
    IGNORE,
    LOSSES,
    confusion,
    intersection_over_union,
    loss_of,
    pixel_sums,
    signed_distance,
)
from glacier_core.training.tasks import Aim, build_network, check_fits

log = logging.getLogger(__name__)

Score = Callable[[NDArray[np.float64]], Mapping[str, float]]
_MOST_COUNTED = 1000


@dataclass(frozen=True)
class SegmentationTask:
    """Chips to learn a segmentation from."""

    model: recipes.Model
    """Which network."""
    training: recipes.Training
    """How it is trained."""
    sizes: Mapping[str, int]
    """bands, classes, and what else the network is built with."""
    train: ChipSource
    """Chips to learn from."""
    validation: ChipSource
    """Chips to judge by."""
    normalisation: Normalisation
    """Applied to every image."""
    weights: tuple[float, ...] = ()
    """How much each class counts; all alike if empty."""
    score: Score = field(default=intersection_over_union, compare=False)
    """Scores from the confusion matrix of the validation set."""

    def __getstate__(self) -> dict[str, Any]:
        """Scores are made in the first process only, by any function."""
        return {**self.__dict__, "score": intersection_over_union}

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.sizes["classes"]

    def check(self) -> None:
        """Raises ConfigurationError where model, loss and class weights do not fit."""
        check_fits(self.model, self.training, task="segmentation", losses=LOSSES)
        if self.weights and (len(self.weights) != self.classes or min(self.weights) < 0 or not sum(self.weights)):
            raise ConfigurationError(
                f"class weights are {self.weights}", expected=f"{self.classes} numbers, none below 0 and not all 0"
            )

    def build(self) -> nn.Module:
        """The network with its first weights."""
        return build_network(self.model, **self.sizes)

    def batches(self, *, rank: int = 0, world: int = 1, readers: int = 1, pinned: bool = False) -> Batches:
        """The share of the process `rank` of `world`: image (C, H, W), target (H, W), for boundaries distances."""
        return Batches(
            train=self.train,
            validation=self.validation,
            teach=self._taught,
            judge=self._judged_item,
            size=self.training.batch,
            seed=self.training.seed,
            rank=rank,
            world=world,
            parts=self.training.accumulate,
            readers=readers,
            pinned=pinned,
        )

    def aims(self, network: nn.Module) -> Sequence[Aim]:
        """The one loss, in all weights."""
        return [
            Aim(
                parameters=tuple(network.parameters()),
                sums=partial(self._sums, network),
                loss=partial(loss_of, loss=self.training.loss, weights=self.weights),
                amount=lambda sums: sums[-2],
            )
        ]

    def judged(self, network: nn.Module, batch: Batch) -> Tensor:
        """The sums of the loss and the confusion matrix, as one vector."""
        logits = network.forward(batch[0])
        matrix = confusion(logits, batch[1])
        return torch.cat([self._sums_of(logits, batch).double(), matrix.flatten()])

    def figures(self, totals: Tensor) -> dict[str, float]:
        """validation_loss and what `score` says.

        Raises:
            DataError: no pixel counts.
        """
        sums, matrix = totals[: -(self.classes**2)], totals[-(self.classes**2) :].reshape(self.classes, self.classes)
        if not float(sums[-1]):
            raise DataError("no pixel of the validation set counts", expected="labelled pixels that were seen")
        loss = loss_of(sums, loss=self.training.loss, weights=self.weights)
        return {"validation_loss": float(loss), **self.score(matrix.cpu().numpy())}

    def describe(self) -> str:
        """This task in words."""
        network = f"{self.model.name} of width {self.model.width} and depth {self.model.depth}"
        sizes = ", ".join(f"{value} {name}" for name, value in self.sizes.items())
        return f"{network} ({sizes}, loss {self.training.loss}, seed {self.training.seed}, {len(self.train)} chips)"

    def fingerprint(self) -> str:
        """Names this task, whatever number of processes does it."""
        parts = (self.model.model_dump(mode="json"), self.training.model_dump(mode="json", exclude={"processes"}))
        counts = (dict(self.sizes), list(self.weights), len(self.train), len(self.validation))
        return digest_of([*parts, *counts, self.normalisation.to_json()])

    def _taught(self, sample: Any, rng: np.random.Generator) -> Item:
        image, target = sample
        steady = getattr(self.train, "steady", ())
        return self._item(*augment(image, target, rng, changes=self.training.augmentation, steady=steady))

    def _judged_item(self, sample: Any, _rng: np.random.Generator) -> Item:
        return self._item(*sample)

    def _item(self, image: NDArray[np.float32], target: NDArray[np.uint8]) -> Item:
        normalised = self.normalisation.apply(image)
        if self.training.loss != "boundary":
            return normalised, target
        return normalised, target, signed_distance(target, classes=self.classes)

    def _sums(self, network: nn.Module, batch: Batch) -> Tensor:
        return self._sums_of(network(batch[0]), batch)

    def _sums_of(self, logits: Tensor, batch: Batch) -> Tensor:
        distance = batch[2] if len(batch) > 2 else None
        return pixel_sums(logits, batch[1], loss=self.training.loss, weights=self.weights, distance_BCHW=distance)


def balanced_weights(source: ChipSource, *, classes: int) -> tuple[float, ...]:
    """How much each class shall count so that all count alike: pixels / (classes x pixels of the class).

    A class that never occurs gets 0, and a warning says so. Of many chips a thousand, evenly spread, are counted.

    Args:
        source: training chips.
        classes: how many classes there are.

    Raises:
        DataError: no pixel has a class.
    """
    counts = np.zeros(IGNORE + 1, dtype=np.int64)
    for index in np.unique(np.linspace(0, len(source) - 1, min(len(source), _MOST_COUNTED)).round().astype(int)):
        counts += np.bincount(source[int(index)][1].ravel(), minlength=IGNORE + 1)
    counts = counts[:classes]
    if not counts.sum():
        raise DataError("no pixel of the training set counts", expected="labelled pixels that were seen")
    absent = [str(index) for index in np.flatnonzero(counts == 0)]
    if absent:
        log.warning("class %s never occurs in the training set; it gets no weight", ", ".join(absent))
    present = np.flatnonzero(counts)
    weights = np.zeros(classes)
    weights[present] = counts.sum() / (len(present) * counts[present])
    return tuple(float(weight) for weight in weights)
