"""What the loop asks of a family of networks, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from glacier_core import recipes
from glacier_core.errors import ConfigurationError
from glacier_core.models import build_model, family_of, load_weights
from glacier_core.training.batches import Batch, Batches


@dataclass(frozen=True)
class Aim:
    """What one optimizer strives for. A loss is a function of sums, which add up over parts and processes."""

    parameters: tuple[nn.Parameter, ...]
    """What it changes."""
    sums: Callable[[Batch], Tensor]
    """The sums of a batch, with gradients; called with the batch on the device, under autocast."""
    loss: Callable[[Tensor], Tensor]
    """The loss from the sums."""
    amount: Callable[[Tensor], Tensor]
    """What the loss is a mean over, from the sums: parts of a batch count by it."""


class Task(Protocol):
    """All that decides the weights. Must survive pickling when there are several processes."""

    @property
    def model(self) -> recipes.Model:
        """Which network."""
        ...

    @property
    def training(self) -> recipes.Training:
        """How it is trained."""
        ...

    def check(self) -> None:
        """Raises ConfigurationError where model, loss and data do not fit each other."""
        ...

    def build(self) -> nn.Module:
        """The network with its first weights, drawn from torch's global generator or read."""
        ...

    def batches(self, *, rank: int = 0, world: int = 1, readers: int = 1, pinned: bool = False) -> Batches:
        """The share of the process `rank` of `world` in every batch."""
        ...

    def aims(self, network: nn.Module) -> Sequence[Aim]:
        """What is striven for in each step, one after the other; the first loss is the one that is told."""
        ...

    def judged(self, network: nn.Module, batch: Batch) -> Tensor:
        """Sums (float64) over a batch of the validation set, of which `figures` makes figures."""
        ...

    def figures(self, totals: Tensor) -> dict[str, float]:
        """What the sums over the validation set say, validation_loss among it.

        Raises:
            DataError: nothing counts.
        """
        ...

    def describe(self) -> str:
        """This task in words, for messages."""
        ...

    def fingerprint(self) -> str:
        """Names this task, whatever number of processes does it."""
        ...


@dataclass(frozen=True)
class Trained:
    """What training gave."""

    state: dict[str, Tensor]
    """Weights of the epoch with the least validation loss, by name."""
    history: list[dict[str, float]]
    """For each epoch: epoch (from 1), train_loss, validation_loss, learning_rate and what else was found."""
    best_epoch: int
    """The epoch that the weights are of."""
    stopped_epoch: int
    """The last epoch."""
    precision: str
    """fp32 or bf16."""
    seconds: float
    """Wall time, with that of earlier runs which this one went on from."""


def check_fits(model: recipes.Model, training: recipes.Training, *, task: str, losses: Sequence[str]) -> None:
    """Raises ConfigurationError where the model or the loss is one for another kind of work.

    Args:
        model: names the network.
        training: names the loss.
        task: what the network is to do (`ModelFamily.task`).
        losses: the losses that make sense for it.
    """
    family_of(model.name, task=task)
    if training.loss not in losses:
        raise ConfigurationError(
            f"loss '{training.loss}' does not fit {task}",
            expected=f"one of {', '.join(losses)}",
            do="correct training.loss",
        )


def build_network(model: recipes.Model, **sizes: int) -> nn.Module:
    """The recipe's network with fresh weights, or those of `model.weights` as far as they fit.

    Args:
        model: which network.
        sizes: what the data decide (`ModelFamily`).
    """
    network = build_model(model.name, width=model.width, depth=model.depth, **sizes)
    if model.weights:
        load_weights(network, model.weights)
    return network
