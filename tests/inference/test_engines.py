"""OpenVINO and torch compute the same, the same each time, and with the weights of the moment."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from torch import nn

from glacier_core.inference import engines
from glacier_core.inference.engines import engine_for, openvino_engine, torch_engine
from glacier_core.training import Precision
from tests.inference.test_tiled import network, scene, tiled

torch.set_num_threads(1)

CPU = torch.device("cpu")
FP32, BF16 = Precision("fp32", CPU), Precision("bf16", CPU)


@pytest.fixture(scope="module")
def converted() -> nn.Module:
    """A network that one conversion serves all tests of."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed (extra 'serve')")
    return network(depth=1)[0]


def image(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(scene(height, width)[None] * 2 - 1)


@pytest.mark.parametrize("size", [(64, 64), (37, 50), (5, 130)])
def test_both_compute_the_same_for_any_size(converted: nn.Module, size: tuple[int, int]) -> None:
    expected = torch_engine(converted, precision=FP32)(image(*size))
    found = openvino_engine(converted, channels=2, precision=FP32)(image(*size))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    rounded = openvino_engine(converted, channels=2, precision=BF16)(image(*size))
    torch.testing.assert_close(rounded.softmax(1), expected.softmax(1), atol=1e-2, rtol=0)


def test_the_same_comes_out_each_time(converted: nn.Module) -> None:
    for engine in ("torch", "openvino"):
        found = [
            torch_engine(converted, precision=BF16)
            if engine == "torch"
            else openvino_engine(converted, channels=2, precision=BF16)
            for _ in range(2)
        ]
        assert torch.equal(found[0](image(40, 56)), found[1](image(40, 56)))


def test_a_network_is_converted_once_and_again_when_its_weights_change(
    converted: nn.Module,
) -> None:
    openvino_engine(converted, channels=2, precision=FP32)
    _, kept = engines._converted[converted]
    before = openvino_engine(converted, channels=2, precision=FP32)(image(16, 16))
    assert engines._converted[converted][1] is kept
    with torch.no_grad():
        head = converted.head
        assert isinstance(head, nn.Conv2d)
        assert head.bias is not None
        head.bias += 1.0
    after = openvino_engine(converted, channels=2, precision=FP32)(image(16, 16))
    assert engines._converted[converted][1] is not kept
    torch.testing.assert_close(after, before + 1.0, atol=1e-5, rtol=1e-5)


def test_large_scenes_alone_are_worth_a_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed (extra 'serve')")
    model, spec = network(depth=1)
    plain = tiled(model, spec, scene(72, 88), tile=32)
    assert model not in engines._converted
    monkeypatch.setattr(engines, "WORTH_CONVERTING", 72 * 88)
    np.testing.assert_allclose(tiled(model, spec, scene(72, 88), tile=32), plain, atol=1e-5)
    assert model in engines._converted
    # nothing is kept of a network that is gone
    kept = len(engines._converted)
    del model
    gc.collect()
    assert len(engines._converted) < kept


def test_without_openvino_torch_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_openvino_installed", lambda: False)
    model, _ = network()
    engine = engine_for(model, channels=2, precision=FP32, pixels=10**9)
    assert engine(image(24, 24)).shape == (1, 2, 24, 24)
    assert model not in engines._converted
