"""What is trained, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from glacier_core import recipes
from glacier_core.models import build_model
from glacier_core.prepare import Normalisation
from glacier_core.store import digest_of
from glacier_core.training.batches import Batches, ChipSource


@dataclass(frozen=True)
class Task:
    """All that decides the weights."""

    model: recipes.Model
    """Which network."""
    training: recipes.Training
    """How it is trained."""
    bands: int
    """Channels of the images."""
    classes: int
    """Classes of the targets."""
    train: ChipSource
    """Chips to learn from."""
    validation: ChipSource
    """Chips to judge by."""
    normalisation: Normalisation
    """Applied to every image."""

    def build(self) -> nn.Module:
        """The network with fresh weights, drawn from torch's global generator."""
        sizes = {"width": self.model.width, "depth": self.model.depth}
        return build_model(self.model.name, bands=self.bands, classes=self.classes, **sizes)

    def batches(self, *, rank: int, world: int) -> Batches:
        """The share of the process `rank` of `world` in every batch."""
        return Batches(
            train=self.train,
            validation=self.validation,
            normalisation=self.normalisation,
            size=self.training.batch,
            seed=self.training.seed,
            rank=rank,
            world=world,
        )

    def fingerprint(self) -> str:
        """Names this task, whatever number of processes does it."""
        parts = (self.model.model_dump(mode="json"), self.training.model_dump(mode="json", exclude={"processes"}))
        sizes = (self.bands, self.classes, len(self.train), len(self.validation))
        return digest_of([*parts, *sizes, self.normalisation.to_json()])


@dataclass(frozen=True)
class Trained:
    """What training gave."""

    state: dict[str, Tensor]
    """Weights of the epoch with the least validation loss, by name."""
    history: list[dict[str, float]]
    """For each epoch: epoch (from 1), train_loss, validation_loss, learning_rate and what `score` said."""
    best_epoch: int
    """The epoch that the weights are of."""
    stopped_epoch: int
    """The last epoch."""
    precision: str
    """fp32 or bf16."""
    seconds: float
    """Wall time, with that of earlier runs which this one went on from."""
