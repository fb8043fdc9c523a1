"""Losses of fields agree with numpy, torchmetrics and scikit-image, count by weight, and add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity as peer
from torch import Tensor

from glacier_core.errors import ConfigurationError
from glacier_core.training.adversary import deception_sums, detection_sums
from glacier_core.training.field_losses import FIELD_LOSSES, field_loss_of, field_sums, structural_similarity


def fields(seed: int, size: int = 24) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    future = torch.rand(3, 2, 1, size, size, generator=generator)
    predicted = (future + 0.2 * torch.randn(future.shape, generator=generator)).requires_grad_()
    weight = torch.rand(3, 1, 1, size, size, generator=generator)
    weight[..., :4] = 0
    return predicted, future, weight


@given(seed=st.integers(0, 1000), cut=st.integers(0, 3))
@settings(max_examples=10, deadline=None)
def test_parts_add_up(seed: int, cut: int) -> None:
    whole = fields(seed)

    def sums(of: slice) -> Tensor:
        return field_sums(*(part[of] for part in whole), loss="ssim")

    torch.testing.assert_close(sums(slice(cut)) + sums(slice(cut, None)), sums(slice(None)))


def test_errors_are_means_weighted_by_area() -> None:
    predicted, future, weight = fields(0)
    difference = (predicted - future).detach().numpy()
    share = np.broadcast_to(weight.numpy(), difference.shape)
    sums = field_sums(predicted, future, weight)
    assert field_loss_of(sums, loss="mse").item() == pytest.approx(np.average(difference**2, weights=share), rel=1e-5)
    assert field_loss_of(sums, loss="mae").item() == pytest.approx(np.average(abs(difference), weights=share), rel=1e-5)


@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_similarity_is_that_of_scikit_image_and_torchmetrics(data_range: float) -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    predicted, future, _ = fields(1)
    a, b = predicted.detach().flatten(0, 2), future.flatten(0, 2)
    found, border = structural_similarity(a, b, data_range=data_range)
    assert border == 5
    for one, other, own in zip(a, b, found, strict=True):
        expected = peer(  # type: ignore[no-untyped-call]
            one.numpy(), other.numpy(), data_range=data_range, gaussian_weights=True, use_sample_covariance=False
        )
        assert own.mean().item() == pytest.approx(expected, abs=1e-4)
    _, whole = structural_similarity_index_measure(
        a[:, None], b[:, None], data_range=data_range, return_full_image=True
    )
    torch.testing.assert_close(found, whole[:, 0, border:-border, border:-border], atol=1e-4, rtol=0)
    sums = field_sums(predicted, future, torch.ones(1, 1, 1, 24, 24), loss="ssim", data_range=data_range)
    assert field_loss_of(sums, loss="ssim").item() == pytest.approx(1 - found.mean().item(), abs=1e-5)


@pytest.mark.parametrize("loss", [*FIELD_LOSSES])
def test_pixels_without_weight_change_nothing_and_a_perfect_forecast_costs_nothing(loss: str) -> None:
    predicted, future, weight = fields(2)

    def value(of: Tensor) -> Tensor:
        return field_loss_of(field_sums(of, future, weight, loss=loss), loss=loss)

    value(predicted).backward()  # type: ignore[no-untyped-call]
    assert predicted.grad is not None
    assert not predicted.grad[..., :4].any()
    assert predicted.grad[..., 10:].any()
    other = predicted.detach().clone()
    other[..., :4] = 99
    torch.testing.assert_close(value(other), value(predicted).detach())
    assert value(future).item() == pytest.approx(0, abs=1e-6)


def test_fields_smaller_than_the_window_have_a_smaller_one() -> None:
    found, border = structural_similarity(torch.rand(2, 8, 20), torch.rand(2, 8, 20), data_range=1)
    assert border == 3
    assert found.shape == (2, 2, 14)


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="mse_ssim"):
        field_loss_of(torch.zeros(5), loss="dice")


def test_the_opponent_is_paid_for_telling_and_the_generator_for_deceiving() -> None:
    class Sure(torch.nn.Module):
        """Says how bright a field is."""

        def forward(self, _past: Tensor, _known: Tensor, field: Tensor) -> Tensor:
            return field.mean((1, 2, 3, 4), keepdim=True)

    nothing = torch.zeros(2, 1, 1, 4, 4)
    real, fake = nothing + 3, nothing - 2
    told = detection_sums(Sure(), nothing, nothing, real, fake)
    entropy = -2 * np.log(1 / (1 + np.exp(-3.0))) - 2 * np.log(1 - 1 / (1 + np.exp(2.0)))
    assert told.tolist() == pytest.approx([entropy, 4], rel=1e-5)
    deceived = deception_sums(Sure(), nothing, nothing, fake)
    assert deceived.tolist() == pytest.approx([2 * np.log(1 + np.exp(2.0)), 2], rel=1e-5)
