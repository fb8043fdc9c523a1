"""Forecasts of sequences: the same in any batch, members by noise, wrong inputs refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.inference import predict_sequences
from glacier_core.training import ModelSpec

torch.set_num_threads(1)


@dataclass(frozen=True)
class Issue:
    past: NDArray[np.float32]
    known: NDArray[np.float32]
    base: NDArray[np.float32]


def network(name: str, *, trained: bool = True) -> tuple[nn.Module, ModelSpec]:
    sizes = {"channels": 2, "known": 3, "outputs": 1}
    spec = ModelSpec(name=name, bands=(), classes=(), width=8, depth=2, normalisation=None, sizes=sizes)
    torch.manual_seed(0)
    model = spec.build()
    if trained:
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval(), spec


def issues(number: int = 5, known: int = 3) -> list[Issue]:
    rng = np.random.default_rng(0)
    shapes = ((4, 2, 9, 11), (3, known, 9, 11), (3, 1, 9, 11))
    return [Issue(*(rng.standard_normal(shape, dtype=np.float32) for shape in shapes)) for _ in range(number)]


def forecast(name: str, batch: int, members: int = 1, seed: int = 0) -> list[NDArray[np.float32]]:
    model, spec = network(name)
    settings = {"members": members, "seed": seed, "batch": batch}
    return list(predict_sequences(model, spec, issues(), precision="fp32", **settings))


@pytest.mark.parametrize(("name", "members"), [("convlstm", 1), ("gan", 1), ("gan", 3)])
def test_a_forecast_does_not_depend_on_its_batch(name: str, members: int) -> None:
    alone, together = forecast(name, 1, members), forecast(name, 8, members)
    assert len(alone) == len(together) == 5
    for one, other in zip(alone, together, strict=True):
        assert one.shape == (members, 3, 1, 9, 11)
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_fresh_network_gives_the_base() -> None:
    model, spec = network("transformer", trained=False)
    for issue, found in zip(issues(2), predict_sequences(model, spec, issues(2)), strict=True):
        np.testing.assert_array_equal(found[0], issue.base)


def test_members_differ_and_come_again_with_the_seed() -> None:
    first, again, other = (np.stack(forecast("gan", 4, 3, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    assert (first.std(axis=1) > 0).mean() > 0.9
    # sequences have noise of their own
    assert (
        np.abs((first - first.mean(axis=1, keepdims=True))[0] - (first - first.mean(axis=1, keepdims=True))[1]).max()
        > 1e-3
    )


def test_members_are_refused_where_there_is_no_noise() -> None:
    model, spec = network("convlstm")
    with pytest.raises(ConfigurationError, match=r"'convlstm' is asked for 10 members; .*takes no noise"):
        list(predict_sequences(model, spec, issues(), members=10))
    model, spec = network("gan")
    with pytest.raises(ConfigurationError, match="at least one"):
        list(predict_sequences(model, spec, issues(), members=0))


def test_other_channels_are_refused() -> None:
    model, spec = network("lstm_attention")
    with pytest.raises(DataError, match=r"4 known.*3 known"):
        list(predict_sequences(model, spec, issues(known=4)))
