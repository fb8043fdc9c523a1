"""Forecasts from sequences, with members where a network takes noise.

Shapes: M members, T past steps, L leads, C channels of the past, K channels known of each lead, D channels that are
predicted, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.models import device_of
from glacier_core.training import ModelSpec, choose_precision, tune_allocator

Field = NDArray[np.float32]


class Beginning(Protocol):
    """What is known when a forecast is issued; a `SequenceSample` is one."""

    @property
    def past(self) -> Field:
        """(T, C, H, W): what was seen, earliest first."""
        ...

    @property
    def known(self) -> Field:
        """(L, K, H, W): what is known of each lead beforehand."""
        ...

    @property
    def base(self) -> Field:
        """(L, D, H, W): the forecast that the network's change is added to."""
        ...


def predict_sequences(
    model: nn.Module,
    spec: ModelSpec,
    sequences: Iterable[Beginning],
    *,
    members: int = 1,
    seed: int = 0,
    batch: int = 4,
    precision: str = "auto",
) -> Iterator[Field]:
    """Forecasts (M, L, D, H, W) float32 of sequences, in their order, in the memory of one batch.

    A forecast is a function of the sequence, of `seed` and of the sequence's number alone: members have independent
    noise of unit spread, a single member has none.

    Args:
        model: a network that forecasts, on the device where it shall run.
        spec: its description.
        sequences: all of one shape.
        members: of each forecast.
        seed: of the noise.
        batch: members that go through the network together; those of one sequence always do.
        precision: auto (bf16 where the device computes with it), fp32 or bf16.

    Raises:
        ConfigurationError: several members are asked of a network that takes no noise, or none at all.
        DataError: a sequence has other channels than the network.
    """
    latent = int(getattr(model, "latent", 0))
    if members < 1 or (members > 1 and not latent):
        raise ConfigurationError(
            f"model '{spec.name}' is asked for {members} members",
            expected="at least one" if latent else "one: it takes no noise",
            do="choose a model that takes noise, such as 'gan'",
        )
    tune_allocator()
    chosen = choose_precision(precision, device=device_of(model))
    model = chosen.placed(model).eval()
    waiting, number = iter(sequences), 0
    while together := list(islice(waiting, max(1, batch // members))):
        for sequence in together:
            _check(sequence, spec)
        past, known = (
            torch.from_numpy(np.stack([getattr(sequence, name) for sequence in together]))
            .repeat_interleave(members, dim=0)
            .to(chosen.device)
            for name in ("past", "known")
        )
        noise = None
        if members > 1:
            draws = [_noise(seed, number + index, (members, latent)) for index in range(len(together))]
            noise = torch.cat(draws).to(chosen.device)
        with torch.inference_mode(), chosen.autocast():
            changes = model(past, known, noise)
        number += len(together)
        for sequence, change in zip(together, changes.float().cpu().split(members), strict=True):
            forecast: Field = sequence.base + change.numpy()
            yield forecast


def _noise(seed: int, number: int, shape: tuple[int, int]) -> Tensor:
    """Draws that belong to one sequence, whatever it is computed together with."""
    return torch.from_numpy(np.random.default_rng([seed, number]).standard_normal(shape, dtype=np.float32))


def _check(sequence: Beginning, spec: ModelSpec) -> None:
    found = {"channels": sequence.past.shape[1], "known": sequence.known.shape[1], "outputs": sequence.base.shape[1]}
    expected = {name: spec.sizes.get(name, 1) for name in found}
    if found != expected:
        raise DataError(
            f"a sequence has {', '.join(f'{number} {name}' for name, number in found.items())}",
            expected=", ".join(f"{number} {name}" for name, number in expected.items()) + f": model '{spec.name}'",
        )
