"""Weights from outside: what fits a network by name and shape is taken, and it is said what was not."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fsspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from glacier_core.errors import DataError

_ENVELOPES = ("state_dict", "model_state_dict", "model")
"""Keys under which training programmes keep weights beside other things."""
_PREFIXES = ("module.", "model.", "_orig_mod.")
"""What wrappers put before every name."""


@dataclass(frozen=True)
class WeightsReport:
    """What became of the weights in a file."""

    taken: tuple[str, ...]
    """Names in the network that have the file's weights now."""
    left: tuple[str, ...]
    """Names in the network that the file has nothing for, or nothing of their shape: they stay as they were."""
    unknown: tuple[str, ...]
    """Names in the file that the network does not have."""
    adapted: tuple[str, ...] = ()
    """Those among `taken` that were made for another number of bands."""


def load_weights(module: nn.Module, path: str) -> WeightsReport:
    """Put weights that were trained elsewhere into a network, in place.

    A first convolution that was made for another number of bands is adapted: the file's bands are repeated in their
    order until there are enough, and divided by how often each counts, so that its answers keep their size.

    Args:
        module: the network.
        path: path or fsspec URL of a `.safetensors` file, or of one that `torch.save` wrote with weights alone.

    Raises:
        DataError: the file is missing, damaged or not of weights alone; a weight is not finite; or nothing in it fits.
    """
    found = _stripped(_read(path), wanted=module.state_dict())
    own = module.state_dict()
    first = next((name for name, value in own.items() if value.ndim == 4), "")
    taken: dict[str, Tensor] = {}
    adapted = []
    for name, value in found.items():
        if name not in own:
            continue
        if value.shape == own[name].shape:
            taken[name] = value
        elif name == first and _differs_in_bands(value, own[name]):
            taken[name] = _for_bands(value, own[name].shape[1])
            adapted.append(name)
    if not taken:
        raise DataError(
            f"no weight in {path} fits the network by name and shape",
            expected=f"names such as {', '.join(list(own)[:3])}",
            do="choose the model, the width and the depth that it was trained with",
        )
    wrong = [name for name, value in taken.items() if not torch.isfinite(value).all()]
    if wrong:
        raise DataError(f"weight '{wrong[0]}' in {path} is not finite", expected="weights of a trained network")
    module.load_state_dict(taken, strict=False)
    return WeightsReport(
        taken=tuple(taken),
        left=tuple(name for name in own if name not in taken),
        unknown=tuple(name for name in found if name not in own),
        adapted=tuple(adapted),
    )


def _read(path: str) -> dict[str, Tensor]:
    """All tensors of a file by name."""
    try:
        fs, name = fsspec.core.url_to_fs(str(path))
        content = fs.cat_file(name)
        if name.endswith(".safetensors"):
            return dict(load(content))
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"there are no weights at {path}", expected="a file", do="correct model.weights") from None
    except pickle.UnpicklingError:
        raise DataError(
            f"{path} holds more than weights, or is damaged; it was not read",
            expected="a file of weights alone",
            do="save its state_dict as safetensors",
        ) from None
    except (SafetensorError, RuntimeError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"the weights at {path} are damaged ({problem})", expected="a complete file of weights"
        ) from error
    return _tensors(state)


def _tensors(state: Any) -> dict[str, Tensor]:
    """The weights in what `torch.load` gave."""
    while isinstance(state, Mapping):
        inner = next((state[key] for key in _ENVELOPES if isinstance(state.get(key), Mapping)), None)
        if inner is None:
            return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
        state = inner
    return {}


def _stripped(state: dict[str, Tensor], *, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the prefixes that all names share and the network does not have."""
    while state and not wanted.keys() & state.keys():
        prefix = next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in state)), None)
        if prefix is None:
            return state
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _differs_in_bands(value: Tensor, own: Tensor) -> bool:
    return value.ndim == own.ndim and value.shape[0] == own.shape[0] and value.shape[2:] == own.shape[2:]


def _for_bands(weight_OIHW: Tensor, bands: int) -> Tensor:  # noqa: N803 - shape suffixes
    """A convolution's weights for another number of input channels."""
    given = weight_OIHW.shape[1]
    chosen = torch.arange(bands) % given
    return weight_OIHW[:, chosen] * (given / bands)
