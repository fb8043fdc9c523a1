"""Forecasting: sequences of fields go in, the change from a base forecast to each lead comes out.

Shapes: B sequences, T times, C and K channels, L leads, D predicted channels, H rows, W columns, Z latent numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from glacier_core import recipes
from glacier_core.errors import ConfigurationError, DataError
from glacier_core.samples import SequenceSample, SequenceSource, augment_sequence
from glacier_core.store import digest_of
from glacier_core.training.adversary import deception_sums, detection_sums, opponent_of
from glacier_core.training.batches import Batch, Batches, Item
from glacier_core.training.field_losses import FIELD_LOSSES, field_loss_of, field_sums
from glacier_core.training.tasks import Aim, build_network, check_fits

_TURNS = ("flip", "rotate")
BEYOND = 0.05
"""Part of what is predicted beyond the limits that stays: without any no gradient would bring it back."""
_FIELDS = 5
"""Sums of `field_sums`; behind them the auxiliary loss and its number, the deception and its number."""


@dataclass(frozen=True)
class SequenceTask:
    """Sequences to learn forecasts from. Prediction = base + network(past, known)."""

    model: recipes.Model
    """Which network."""
    training: recipes.Training
    """How it is trained."""
    channels: int
    """C: channels of the past."""
    known: int
    """K: channels that are known of each lead."""
    outputs: int
    """D: channels that are predicted."""
    train: SequenceSource
    """Sequences to learn from."""
    validation: SequenceSource
    """Sequences to judge by."""
    data_range: float = 1.0
    """Largest less smallest value that a field can take."""
    limits: tuple[float, float] | None = None
    """Least and largest value that a field can take: what is predicted beyond them hardly counts as wrong."""
    turns: bool = False
    """Whether sequences may be flipped and turned where the recipe's augmentation says so."""

    def check(self) -> None:
        """Raises ConfigurationError where model, loss and data do not fit."""
        check_fits(self.model, self.training, task="forecast", losses=FIELD_LOSSES)
        sample = self.train[0] if len(self.train) else None
        if sample is None:
            return  # an empty set is told by the batches
        found = {"channels": sample.past.shape[1], "known": sample.known.shape[1], "outputs": sample.future.shape[1]}
        wanted = {name: getattr(self, name) for name in found}
        if found != wanted:
            raise ConfigurationError(f"sequences have {found}", expected=f"{wanted}, as the network is built")

    def build(self) -> nn.Module:
        """The network with its first weights.

        Raises:
            ConfigurationError: the loss is adversarial and the network has no opponent.
        """
        network = build_network(self.model, channels=self.channels, known=self.known, outputs=self.outputs)
        if self.training.loss == "adversarial" and opponent_of(network) is None:
            raise ConfigurationError(
                f"loss 'adversarial' needs a model with a discriminator, and '{self.model.name}' has none",
                expected="model.name gan, or another loss",
            )
        return network

    def batches(self, *, rank: int = 0, world: int = 1, readers: int = 1, pinned: bool = False) -> Batches:
        """The share of the process `rank` of `world`: past, known, base, future, weight, and a seed for noise."""
        return Batches(
            train=self.train,
            validation=self.validation,
            teach=self._taught,
            judge=_item,
            size=self.training.batch,
            seed=self.training.seed,
            rank=rank,
            world=world,
            parts=self.training.accumulate,
            readers=readers,
            pinned=pinned,
        )

    def aims(self, network: nn.Module) -> Sequence[Aim]:
        """The forecast's loss; where it is adversarial, then the opponent's."""
        opponent = opponent_of(network)
        theirs = {id(parameter) for parameter in opponent.parameters()} if opponent else set()
        own = tuple(parameter for parameter in network.parameters() if id(parameter) not in theirs)
        over = 3 if self.training.loss == "ssim" else 4  # windows or pixels
        aims = [Aim(own, sums=partial(self._sums, network), loss=self._loss, amount=lambda sums: sums[over])]
        if opponent is not None and self.training.loss == "adversarial":
            aims.append(
                Aim(
                    tuple(opponent.parameters()),
                    sums=partial(self._detection, network, opponent),
                    loss=lambda sums: sums[0] / sums[1],
                    amount=lambda sums: sums[1],
                )
            )
        return aims

    def judged(self, network: nn.Module, batch: Batch) -> Tensor:
        """The sums of `field_sums` for the forecast, and for the base alone."""
        _, _, base, future, weight, _ = batch
        sums = partial(field_sums, loss=self.training.loss, data_range=self.data_range)
        predicted = base + network.forward(*_inputs(network, batch)).float()
        if self.limits:
            predicted = predicted.clamp(*self.limits)
        return torch.cat([sums(predicted, future, weight), sums(base, future, weight)]).double()

    def figures(self, totals: Tensor) -> dict[str, float]:
        """validation_loss, validation_rmse, validation_mae, and validation_skill: 1 - MSE / MSE of the base.

        Raises:
            DataError: no pixel counts.
        """
        sums, of_base = totals[:_FIELDS], totals[_FIELDS:]
        square, absolute, weight, base_square = (float(value) for value in (*sums[:2], sums[4], of_base[0]))
        if not weight:
            raise DataError("no pixel of the validation set counts", expected="weights above 0")
        return {
            "validation_loss": float(field_loss_of(sums, loss=self.training.loss)),
            "validation_rmse": math.sqrt(square / weight),
            "validation_mae": absolute / weight,
            "validation_skill": 1 - square / base_square if base_square else 0.0,
        }

    def describe(self) -> str:
        """This task in words."""
        network = f"{self.model.name} of width {self.model.width} and depth {self.model.depth}"
        sizes = f"{self.channels} channels, {self.known} known, {self.outputs} outputs"
        return f"{network} ({sizes}, loss {self.training.loss}, seed {self.training.seed}, {len(self.train)} sequences)"

    def fingerprint(self) -> str:
        """Names this task, whatever number of processes does it."""
        parts = (self.model.model_dump(mode="json"), self.training.model_dump(mode="json", exclude={"processes"}))
        sizes = (self.channels, self.known, self.outputs, self.data_range, self.limits, self.turns)
        return digest_of([*parts, *sizes, len(self.train), len(self.validation)])

    def _taught(self, sample: SequenceSample, rng: np.random.Generator) -> Item:
        changes = [change for change in _TURNS if self.turns and change in self.training.augmentation]
        return _item(augment_sequence(sample, rng, changes=changes) if changes else sample, rng)

    def _sums(self, network: nn.Module, batch: Batch) -> Tensor:
        past, known, base, future, weight, _ = batch
        predicted = within(base + network(*_inputs(network, batch)).float(), self.limits)
        sums = [field_sums(predicted, future, weight, loss=self.training.loss, data_range=self.data_range)]
        sequences = future.new_tensor([float(len(future))])
        auxiliary = getattr(network, "auxiliary_loss", None)
        beside = auxiliary(past).float() if callable(auxiliary) else future.new_zeros(())
        sums += [beside * sequences, sequences]
        opponent = opponent_of(network)
        if opponent is not None and self.training.loss == "adversarial":
            sums.append(deception_sums(opponent, past, known, predicted))
        return torch.cat(sums)

    def _loss(self, sums: Tensor) -> Tensor:
        loss = field_loss_of(sums, loss=self.training.loss) + sums[_FIELDS] / sums[_FIELDS + 1]
        if len(sums) > _FIELDS + 2:
            loss = loss + self.training.adversarial_weight * sums[_FIELDS + 2] / sums[_FIELDS + 3]
        return loss

    def _detection(self, network: nn.Module, opponent: nn.Module, batch: Batch) -> Tensor:
        past, known, base, future, _, _ = batch
        with torch.no_grad():
            predicted = base + network(*_inputs(network, batch)).float()
        return detection_sums(opponent, past, known, future, predicted)


def within(values: Tensor, limits: tuple[float, float] | None) -> Tensor:
    """Values drawn back to the limits that forecasts are cut at, but for a part that brings wrong ones back."""
    if limits is None:
        return values
    inside = values.clamp(*limits)
    return inside + BEYOND * (values - inside)


def _item(sample: SequenceSample, rng: np.random.Generator) -> Item:
    seed = np.asarray(rng.integers(2**62))
    return sample.past, sample.known, sample.base, sample.future, sample.weight, seed


def _inputs(network: nn.Module, batch: Batch) -> tuple[Tensor, ...]:
    """What the network is given; noise follows from each sequence's own seed, on whatever process it is."""
    past, known, *_, seeds = batch
    latent = int(getattr(network, "latent", 0))
    if not latent:
        return past, known
    noise = [np.random.default_rng(int(seed)).standard_normal(latent, dtype=np.float32) for seed in seeds.tolist()]
    return past, known, torch.from_numpy(np.stack(noise)).to(past.device)
