"""Every network by one name. Adding a model is one file and one entry here."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import torch
from torch import nn

from glacier_core.errors import ConfigurationError
from glacier_core.models.unet import UNet


class Segmenter(Protocol):
    """What training and inference ask of a segmentation network beyond being a `torch.nn.Module`."""

    @property
    def stride(self) -> int:
        """Tiles must start at multiples of this many pixels."""
        ...

    def halo(self) -> int:
        """Pixels around a tile that its result depends on; a multiple of `stride`."""
        ...


@dataclass(frozen=True)
class ModelFamily:
    """One network of the registry."""

    build: Callable[..., nn.Module]
    """Takes bands, classes, width and depth by keyword; returns a module that is also a `Segmenter`."""
    task: str
    """What it does: segmentation (B, bands, H, W) to logits (B, classes, H, W)."""
    source: str
    """DOI of its paper."""


MODELS: Mapping[str, ModelFamily] = MappingProxyType(
    {"unet": ModelFamily(build=UNet, task="segmentation", source="doi:10.1007/978-3-319-24574-4_28")}
)
"""All networks by name."""


def build_model(name: str, *, bands: int, classes: int, width: int, depth: int) -> nn.Module:
    """A network with fresh weights, drawn from torch's global generator.

    Args:
        name: a key of `MODELS`.
        bands: channels of the image.
        classes: channels of the result, at least 2.
        width: channels of the first level.
        depth: how often the resolution is halved.

    Raises:
        ConfigurationError: the name is unknown, or a size is not possible.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1)
        raise ConfigurationError(
            f"model '{name}' is unknown",
            expected=f"one of {', '.join(MODELS)}",
            do=f"did you mean '{near[0]}'?" if near else "correct model.name",
        )
    for key, value, least in (("bands", bands, 1), ("classes", classes, 2), ("width", width, 1), ("depth", depth, 1)):
        if value < least:
            raise ConfigurationError(f"model '{name}' got {key}={value}", expected=f"at least {least}")
    return MODELS[name].build(bands=bands, classes=classes, width=width, depth=depth)


def parameter_count(model: nn.Module) -> int:
    """Number of trained weights."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def tiling_of(model: nn.Module) -> tuple[int, int]:
    """Stride and halo of a segmentation network, in pixels.

    Raises:
        ConfigurationError: the module does not say; it cannot be used in tiles.
    """
    stride, halo = getattr(model, "stride", None), getattr(model, "halo", None)
    if not isinstance(stride, int) or not callable(halo):
        raise ConfigurationError(
            f"{type(model).__name__} names no stride and halo", expected="a segmentation network of glacier_core.models"
        )
    return stride, int(halo())


def device_of(model: nn.Module) -> torch.device:
    """Where the network's weights lie."""
    return next(model.parameters()).device
