"""A network on disk: `weights.safetensors` and `model.json`, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import fsspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from glacier_core.errors import DataError
from glacier_core.models import build_model
from glacier_core.prepare import Normalisation

WEIGHTS = "weights.safetensors"
SPEC = "model.json"


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed to build a network again and to feed it, and where it comes from."""

    name: str
    """Its name in `glacier_core.models.MODELS`."""
    bands: tuple[str, ...]
    """Bands that it sees, in its order."""
    classes: tuple[str, ...]
    """Names of its classes, in its order."""
    width: int
    """Channels of the first level."""
    depth: int
    """How often the resolution is halved."""
    normalisation: Normalisation | None
    """Fitted on its training data; None where `extra` says how its fields are scaled."""
    split: str = ""
    """Hash of the split that it was trained on."""
    kind: str = ""
    """Kind of the recipes that it serves."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Anything else, as plain JSON."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """What it is built with beside width and depth; bands and classes, counted, if empty."""

    def to_json(self) -> dict[str, Any]:
        """A plain object that `from_json` takes back."""
        return {
            "name": self.name,
            "bands": list(self.bands),
            "classes": list(self.classes),
            "width": self.width,
            "depth": self.depth,
            "normalisation": self.normalisation.to_json() if self.normalisation else None,
            "split": self.split,
            "kind": self.kind,
            "extra": dict(self.extra),
            "sizes": dict(self.sizes),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ModelSpec:
        """The inverse of `to_json`."""
        return cls(
            name=value["name"],
            bands=tuple(value["bands"]),
            classes=tuple(value["classes"]),
            width=value["width"],
            depth=value["depth"],
            normalisation=Normalisation.from_json(value["normalisation"]) if value["normalisation"] else None,
            split=value["split"],
            kind=value["kind"],
            extra=value["extra"],
            sizes=value.get("sizes", {}),
        )

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        sizes = self.sizes or {"bands": len(self.bands), "classes": len(self.classes)}
        return build_model(self.name, width=self.width, depth=self.depth, **sizes)


def save_model(folder: str, *, state: Mapping[str, Tensor], spec: ModelSpec) -> None:
    """Write a network's weights and description.

    Args:
        folder: path or fsspec URL.
        state: the network's weights by name (`state_dict`).
        spec: its description.
    """
    fs, root = fsspec.core.url_to_fs(str(folder))
    root = root.rstrip("/")
    fs.makedirs(root, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    fs.pipe_file(f"{root}/{WEIGHTS}", save(tensors))
    fs.pipe_file(f"{root}/{SPEC}", (json.dumps(spec.to_json(), indent=1) + "\n").encode())


def load_model(folder: str, *, device: torch.device | None = None) -> tuple[nn.Module, ModelSpec]:
    """A network ready to predict, and its description.

    Args:
        folder: path or fsspec URL with what `save_model` wrote.
        device: where it shall lie; the CPU if not given.

    Raises:
        DataError: a file is missing or damaged, or the weights are those of another network.
    """
    fs, root = fsspec.core.url_to_fs(str(folder))
    root = root.rstrip("/")
    try:
        spec = ModelSpec.from_json(json.loads(fs.cat_file(f"{root}/{SPEC}")))
        state = load(fs.cat_file(f"{root}/{WEIGHTS}"))
        network = spec.build()
        network.load_state_dict(state)
    except FileNotFoundError as error:
        raise DataError(f"{folder} holds no model ({error})", expected=f"{WEIGHTS} and {SPEC}") from None
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"the model in {folder} is damaged ({problem})", expected=f"a {SPEC} and the {WEIGHTS} that it describes"
        ) from error
    return network.to(device or torch.device("cpu")).eval(), spec
