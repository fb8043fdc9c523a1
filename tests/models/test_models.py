"""Networks: any size, a halo that is neither too small nor much too large, errors that help."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from glacier_core.errors import ConfigurationError
from glacier_core.models import MODELS, build_model, device_of, parameter_count, tiling_of

torch.set_num_threads(1)


def small(depth: int = 2, bands: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return build_model("unet", bands=bands, classes=2, width=4, depth=depth).eval()


@given(height=st.integers(1, 37), width=st.integers(1, 37), depth=st.integers(1, 3))
@settings(max_examples=12, deadline=None)
def test_any_size_goes_in_and_comes_out(height: int, width: int, depth: int) -> None:
    with torch.inference_mode():
        assert small(depth)(torch.zeros(2, 3, height, width)).shape == (2, 2, height, width)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_halo_is_what_a_pixel_depends_on(depth: int) -> None:
    network = small(depth).double()
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


def test_weights_follow_from_the_seed_and_are_counted() -> None:
    first, second = small().state_dict(), small().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    convolution = nn.Conv2d(2, 3, kernel_size=1)
    assert parameter_count(convolution) == 2 * 3 + 3
    assert device_of(convolution).type == "cpu"


def test_an_unknown_name_is_answered_with_a_near_one() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'unet'"):
        build_model("u-net", bands=3, classes=2, width=4, depth=2)
    assert all(family.source.startswith("doi:") for family in MODELS.values())


@pytest.mark.parametrize("wrong", [{"bands": 0}, {"classes": 1}, {"width": 0}, {"depth": 0}])
def test_impossible_sizes_are_refused(wrong: dict[str, int]) -> None:
    sizes = {"bands": 3, "classes": 2, "width": 4, "depth": 2} | wrong
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        build_model("unet", **sizes)


def test_a_network_without_stride_cannot_be_tiled() -> None:
    with pytest.raises(ConfigurationError, match="stride"):
        tiling_of(nn.Conv2d(1, 1, 1))
