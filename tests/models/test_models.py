"""The registry, and networks that segment: any size, a halo that is neither too small nor much too large."""

from __future__ import annotations

import re
import sys

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name by which everybody knows it
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from glacier_core.errors import ConfigurationError
from glacier_core.models import (
    FORECAST,
    MODELS,
    SEGMENTATION,
    build_model,
    device_of,
    family_of,
    parameter_count,
    tiling_of,
)
from glacier_core.models.autoencoder import Autoencoder
from glacier_core.models.cnn3d import Convolution3d
from glacier_core.models.gan import GAN
from glacier_core.models.unet_scse import SqueezeExcitation

torch.set_num_threads(1)

SEGMENTERS = [name for name, family in MODELS.items() if family.task == SEGMENTATION]
SIZES = {SEGMENTATION: {"bands": 3, "classes": 2}, FORECAST: {"channels": 2, "known": 3}}
DOCUMENTED = re.compile(r"`(\w+)`\s+([\d,]+)\s+with\s+((?:\w+=\d+(?:,\s+)?)+)")


def small(name: str = "unet", depth: int = 2, bands: int = 3, dates: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, bands=bands, dates=dates, classes=2, width=4, depth=depth).eval()


def documented() -> list[tuple[str, int, dict[str, int]]]:
    """What the networks' modules say of their parameters."""
    modules = {getattr(family.build, "func", family.build).__module__ for family in MODELS.values()}
    texts = [sys.modules[module].__doc__ or "" for module in sorted(modules)]
    return [
        (name, int(count.replace(",", "")), {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", sizes)})
        for text in texts
        for name, count, sizes in DOCUMENTED.findall(text)
    ]


@pytest.mark.parametrize("name", MODELS)
def test_every_network_has_the_parameters_that_its_docstring_counts(name: str) -> None:
    found = [(count, sizes) for other, count, sizes in documented() if other == name]
    assert found, f"no docstring counts the parameters of {name}"
    for count, sizes in found:
        assert parameter_count(build_model(name, **sizes)) == count


def test_every_network_names_its_paper() -> None:
    assert all(family.source.startswith(("doi:10.", "arXiv:")) for family in MODELS.values())


@given(
    name=st.sampled_from(SEGMENTERS),
    height=st.integers(1, 37),
    width=st.integers(1, 37),
    depth=st.integers(1, 3),
    dates=st.integers(1, 3),
    bands=st.integers(1, 4),
)
@settings(max_examples=30, deadline=None)
def test_any_size_number_of_bands_and_dates_goes_in(
    name: str, height: int, width: int, depth: int, dates: int, bands: int
) -> None:
    with torch.inference_mode():
        found = small(name, depth, bands=bands, dates=dates)(torch.zeros(2, dates * bands, height, width))
    assert found.shape == (2, 2, height, width)


def ungated(_: Tensor) -> Tensor:
    """In place of what a channel's gate sees of the whole image."""
    return torch.zeros(1, 1, 1, 1, dtype=torch.float64).expand(1, _.shape[1], 1, 1)


@pytest.mark.parametrize("name", SEGMENTERS)
@pytest.mark.parametrize("depth", [1, 2])
def test_the_halo_is_what_a_pixel_depends_on(name: str, depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # the gates of channels alone see more, which the network's docstring says
    monkeypatch.setattr(SqueezeExcitation, "squeeze", staticmethod(ungated))
    network = small(name, depth).double()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            # nothing cancels, and nothing is rectified away
            nn.init.constant_(module.weight, 1 / module.in_channels)
            assert module.bias is None or nn.init.zeros_(module.bias) is module.bias
    stride, halo = tiling_of(network)
    assert halo % stride == 0
    size = 2 * halo + 4 * stride
    centre = size // 2 // stride * stride
    reach = 0
    for phase in range(stride):
        # distinct values, so that pooling does not always choose the same corner
        image = torch.rand(1, 3, size, size, dtype=torch.float64, requires_grad=True)
        pixel = centre + phase
        network(image)[0, 0, pixel, pixel].backward()
        assert image.grad is not None
        rows = image.grad[0].abs().sum((0, 2)).nonzero().flatten()
        reach = max(reach, pixel - int(rows[0]), int(rows[-1]) - pixel)
    assert halo - 2 * stride < reach <= halo


@pytest.mark.parametrize("name", MODELS)
def test_every_weight_learns(name: str) -> None:
    torch.manual_seed(1)
    family = MODELS[name]
    network = build_model(name, width=16, depth=2, **SIZES[family.task])
    if family.task == SEGMENTATION:
        loss = F.cross_entropy(network(torch.randn(2, 3, 16, 16)), torch.randint(2, (2, 16, 16)))
    else:
        for parameter in network.parameters():
            parameter.data += 0.01 * torch.randn_like(parameter)  # last layers that are zero let nothing through
        past, known, future = torch.randn(2, 3, 2, 9, 10), torch.randn(2, 2, 3, 9, 10), torch.randn(2, 2, 1, 9, 10)
        noise = torch.randn(2, network.latent) if isinstance(network, GAN) else None
        change = network(past, known, noise)
        loss = (change - future).square().mean()
        if isinstance(network, Autoencoder):
            loss = loss + network.auxiliary_loss(past)
        if isinstance(network, GAN):
            loss = loss + network.discriminator(past, known, change).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    idle = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    assert not [key for key in idle if ".bias" not in key], idle


@pytest.mark.parametrize("name", MODELS)
def test_weights_follow_from_the_seed(name: str) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(build_model(name, width=4, depth=2, **SIZES[MODELS[name].task]).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_weights_are_counted() -> None:
    convolution = nn.Conv2d(2, 3, kernel_size=1)
    assert parameter_count(convolution) == 2 * 3 + 3
    assert device_of(convolution).type == "cpu"


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_slices_are_convolved_in_three_dimensions(slices: int) -> None:
    layer = Convolution3d(3, 4, slices=slices).eval()
    x = torch.randn(2, slices, 3, 6, 7)
    convolution, *after = layer.convolution
    assert isinstance(convolution, nn.Conv2d)
    kernel = convolution.weight.reshape(4, 3, 3, 3, 3).transpose(1, 2)
    found = F.conv3d(x.transpose(1, 2), kernel, padding=1).transpose(1, 2).flatten(0, 1)
    expected = nn.Sequential(*after)(found)
    torch.testing.assert_close(layer(x.flatten(0, 1)), expected)


def test_features_are_weighed_by_channel_and_by_pixel() -> None:
    layer = SqueezeExcitation(2)
    for part in layer.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.zeros_(part.weight)
            assert part.bias is not None
            nn.init.zeros_(part.bias)
    x = torch.randn(1, 2, 3, 3)
    # both gates stand half open
    torch.testing.assert_close(layer(x), x)
    pixel = layer.pixel[0]
    assert isinstance(pixel, nn.Conv2d)
    nn.init.constant_(pixel.weight, 100.0)
    x = x.abs() + 1
    torch.testing.assert_close(layer(x), 1.5 * x)


def test_an_unknown_name_is_answered_with_a_near_one() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'unet'"):
        build_model("u-net", bands=3, classes=2, width=4, depth=2)
    with pytest.raises(ConfigurationError, match="did you mean 'convlstm'"):
        family_of("conv_lstm", task=FORECAST)


def test_a_model_for_other_work_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigurationError) as refused:
        family_of("unet", task=FORECAST, kind="ice_cover")
    assert str(refused.value) == (
        "model 'unet' is one for segmentation, kind 'ice_cover' needs forecast; expected one of convlstm, "
        "lstm_attention, lstm, transformer, autoencoder, gan; correct model.name"
    )
    with pytest.raises(ConfigurationError, match="it is a model for forecast"):
        build_model("convlstm", bands=3, classes=2, width=4, depth=2)
    with pytest.raises(ConfigurationError, match="expected bands, classes, dates"):
        build_model("unet", bands=3, width=4, depth=2)


@pytest.mark.parametrize("wrong", [{"bands": 0}, {"classes": 1}, {"width": 0}, {"depth": 0}, {"dates": 0}])
def test_impossible_sizes_are_refused(wrong: dict[str, int]) -> None:
    sizes = {"bands": 3, "classes": 2, "width": 4, "depth": 2} | wrong
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        build_model("unet", **sizes)


def test_a_network_without_stride_cannot_be_tiled() -> None:
    with pytest.raises(ConfigurationError, match="stride"):
        tiling_of(nn.Conv2d(1, 1, 1))
