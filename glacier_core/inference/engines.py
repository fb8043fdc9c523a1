"""What computes a network's class scores: torch, or OpenVINO where it is installed and the work is worth the wait.

Measured for the U-Net of width 16 and depth 3 on one core with avx512_bf16, seconds for a window of 640 x 640: torch in
fp32 0.48, torch in bf16 and channels_last 0.18, with normalisations folded 0.16, OpenVINO in bf16 0.15. OpenVINO first
takes one to three seconds to convert a network, once a process.

Both compute the same at the same number of threads. Which one it is follows from the network, the device, the size of
the scene and what is installed, so that a scene gives the same result each time.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from glacier_core.models import device_of
from glacier_core.training import Precision

Engine = Callable[[Tensor], Tensor]
"""Takes normalised images (1, bands, h, w) float32, gives class scores (1, classes, h, w) float32 on the CPU."""

WORTH_CONVERTING = 2**25
"""Pixels of a scene from which on the conversion takes less time than is won by it."""

_converted: weakref.WeakKeyDictionary[nn.Module, tuple[tuple[int, ...], Any]] = weakref.WeakKeyDictionary()
"""What OpenVINO made of a network, and the weights' versions of which it did so."""


def engine_for(model: nn.Module, *, channels: int, precision: Precision, pixels: int) -> Engine:
    """The fastest way to apply a network to the windows of a scene.

    Args:
        model: the network; it stays as it is, but for evaluation.
        channels: of its images.
        precision: how convolutions are computed, and where.
        pixels: of the scene.
    """
    model.eval()
    if device_of(model).type == "cpu" and pixels >= WORTH_CONVERTING and _openvino_installed():
        return openvino_engine(model, channels=channels, precision=precision)
    return torch_engine(model, precision=precision)


def torch_engine(model: nn.Module, *, precision: Precision) -> Engine:
    """The network under autocast, its normalisations folded into the convolutions before them."""
    folded = precision.placed(_folded(model))

    def scores(image_BCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        with torch.inference_mode(), precision.autocast():
            found: Tensor = folded(precision.image(image_BCHW))
        return found.float().cpu()

    return scores


def openvino_engine(model: nn.Module, *, channels: int, precision: Precision) -> Engine:
    """The network converted for images of any size, once a process, and compiled for this process's threads."""
    import openvino

    hints = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision.name == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        # other processes have their cores as well
        "ENABLE_CPU_PINNING": False,
    }
    request = openvino.Core().compile_model(_conversion(model, channels), "CPU", hints).create_infer_request()

    def scores(image_BCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        found: np.ndarray[Any, Any] = request.infer({0: image_BCHW.contiguous().numpy()}, share_inputs=True)[0]
        return torch.from_numpy(found.copy())

    return scores


def _folded(model: nn.Module) -> nn.Module:
    """A copy of the network in which what batch normalisation does is part of the convolution before it."""
    copied = copy.deepcopy(model).eval()
    for part in copied.modules():
        if isinstance(part, nn.Sequential):
            for index in range(len(part) - 1):
                first, second = part[index], part[index + 1]
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    part[index], part[index + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return copied


def _conversion(model: nn.Module, channels: int) -> Any:
    """The network as OpenVINO knows it; made anew when its weights have changed."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    version = tuple(tensor._version for tensor in model.state_dict().values())  # noqa: SLF001 - torch has no other
    found = _converted.get(model)
    if found is None or found[0] != version:
        # no multiple of any stride, so that the trace holds how the network pads
        example = torch.zeros(1, channels, 67, 69)
        with torch.no_grad():
            # torch's own check of the trace takes longer than all the rest
            traced = torch.jit.trace(model, example, check_trace=False)  # type: ignore[no-untyped-call]
        # not `openvino.convert_model`, which tells its makers of each use
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # the frontend does not keep it alive
        network = frontend.convert(frontend.load(decoder))
        network.reshape([1, channels, -1, -1])
        found = (version, network)
        _converted[model] = found
    return found[1]


@cache
def _openvino_installed() -> bool:
    return find_spec("openvino") is not None
