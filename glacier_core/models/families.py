"""Every network by one name. Adding a model is one file and one entry here."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor, nn

from glacier_core.errors import ConfigurationError
from glacier_core.models.autoencoder import Autoencoder
from glacier_core.models.cnn3d import CNN3D
from glacier_core.models.convlstm import ConvLSTM
from glacier_core.models.gan import GAN
from glacier_core.models.lstm_attention import LSTMAttention
from glacier_core.models.transformer import Transformer
from glacier_core.models.unet import UNet
from glacier_core.models.unet_aspp import UNetASPP
from glacier_core.models.unet_scse import UNetScSE

SEGMENTATION = "segmentation"
FORECAST = "forecast"


class Segmenter(Protocol):
    """What training and inference ask of a segmentation network beyond being a `torch.nn.Module`."""

    @property
    def stride(self) -> int:
        """Tiles must start at multiples of this many pixels."""
        ...

    def halo(self) -> int:
        """Pixels around a tile that its result depends on; a multiple of `stride`."""
        ...


class Forecaster(Protocol):
    """What training and inference ask of a network that forecasts beyond being a `torch.nn.Module`.

    It may also have `auxiliary_loss(past_BTCHW)`, a scalar that training adds, and `discriminator`, a module that takes
    past, known and a future and gives logits.
    """

    latent: int
    """Length of the noise vector; 0 if its forecast is one."""

    def __call__(self, past_BTCHW: Tensor, known_BLKHW: Tensor, noise_BZ: Tensor | None = None) -> Tensor:  # noqa: N803 - shape suffixes
        """The change (B, L, outputs, H, W) to the forecast that the caller has."""
        ...


@dataclass(frozen=True)
class ModelFamily:
    """One network of the registry."""

    build: Callable[..., nn.Module]
    """Takes width, depth and the task's sizes by keyword."""
    task: str
    """What it does. segmentation: images (B, dates * bands, H, W) to logits (B, classes, H, W), a `Segmenter`;
    forecast: the past (B, T, channels, H, W) and what is known of the leads (B, L, known, H, W) to the change of each
    lead (B, L, outputs, H, W), a `Forecaster`."""
    source: str
    """DOI or arXiv number of its paper."""


MODELS: Mapping[str, ModelFamily] = MappingProxyType(
    {
        "unet": ModelFamily(UNet, SEGMENTATION, "doi:10.1007/978-3-319-24574-4_28"),
        "unet_scse": ModelFamily(UNetScSE, SEGMENTATION, "doi:10.1007/978-3-030-00928-1_48"),
        "unet_aspp": ModelFamily(UNetASPP, SEGMENTATION, "doi:10.1109/TPAMI.2017.2699184"),
        "cnn3d": ModelFamily(CNN3D, SEGMENTATION, "doi:10.1007/978-3-319-46723-8_49"),
        "convlstm": ModelFamily(ConvLSTM, FORECAST, "arXiv:1506.04214"),
        "lstm_attention": ModelFamily(LSTMAttention, FORECAST, "doi:10.18653/v1/D15-1166"),
        "lstm": ModelFamily(partial(LSTMAttention, attention=False), FORECAST, "arXiv:1409.3215"),
        "transformer": ModelFamily(Transformer, FORECAST, "arXiv:2102.05095"),
        "autoencoder": ModelFamily(Autoencoder, FORECAST, "doi:10.1126/science.1127647"),
        "gan": ModelFamily(GAN, FORECAST, "doi:10.1109/CVPR.2017.632"),
    }
)
"""All networks by name."""

_SIZES: Mapping[str, Mapping[str, tuple[int, int | None]]] = {
    SEGMENTATION: {"bands": (1, None), "classes": (2, None), "dates": (1, 1)},
    FORECAST: {"channels": (1, None), "known": (1, None), "outputs": (1, 1)},
}
"""For each task, the sizes beside width and depth: the least that is possible, and what holds where none is given."""


def build_model(name: str, *, width: int, depth: int, **sizes: int) -> nn.Module:
    """A network with fresh weights, drawn from torch's global generator.

    Args:
        name: a key of `MODELS`.
        width: channels of the first level (segmentation), or of all features (forecast).
        depth: how often the resolution is halved.
        sizes: of a segmentation network `bands`, `classes` (at least 2) and, where there are several, `dates`; of one
            that forecasts `channels`, `known` and, where there are several, `outputs`.

    Raises:
        ConfigurationError: the name is unknown, or a size is not possible, absent or of another task.
    """
    family = family_of(name)
    known = _SIZES[family.task]
    strange = [key for key in sizes if key not in known]
    absent = [key for key, (_, otherwise) in known.items() if key not in sizes and otherwise is None]
    if strange or absent:
        raise ConfigurationError(
            f"model '{name}' got sizes {', '.join(sizes) or 'none'}",
            expected=f"{', '.join(known)}: it is a model for {family.task}",
        )
    least = {"width": 1, "depth": 1, **{key: lowest for key, (lowest, _) in known.items()}}
    for key, value in {"width": width, "depth": depth, **sizes}.items():
        if value < least[key]:
            raise ConfigurationError(f"model '{name}' got {key}={value}", expected=f"at least {least[key]}")
    return family.build(width=width, depth=depth, **sizes)


def family_of(name: str, *, task: str = "", kind: str = "") -> ModelFamily:
    """The registry's entry of a name.

    Args:
        name: a key of `MODELS`.
        task: what it has to do, segmentation or forecast; anything if empty.
        kind: kind of the recipe that asks, for the message.

    Raises:
        ConfigurationError: the name is unknown, or it is that of a model for another task.
    """
    fitting = [other for other, family in MODELS.items() if task in ("", family.task)]
    if name not in MODELS:
        near = difflib.get_close_matches(name, fitting, n=1)
        raise ConfigurationError(
            f"model '{name}' is unknown",
            expected=f"one of {', '.join(fitting)}",
            do=f"did you mean '{near[0]}'?" if near else "correct model.name",
        )
    if name not in fitting:
        raise ConfigurationError(
            f"model '{name}' is one for {MODELS[name].task}, {f'kind {kind!r}' if kind else 'the recipe'} needs {task}",
            expected=f"one of {', '.join(fitting)}",
            do="correct model.name",
        )
    return MODELS[name]


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
