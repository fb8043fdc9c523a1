"""Networks that forecast: any number of steps and leads, any size, no look ahead, no change before training."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from glacier_core.models import FORECAST, MODELS, build_model
from glacier_core.models.autoencoder import Autoencoder
from glacier_core.models.forecasting import FrameEncoder, LeadDecoder
from glacier_core.models.gan import GAN
from glacier_core.models.lstm_attention import LSTMAttention

torch.set_num_threads(1)

NAMES = [name for name, family in MODELS.items() if family.task == FORECAST]


def network(name: str, *, depth: int = 2, outputs: int = 1, fresh: bool = False, width: int = 8) -> nn.Module:
    torch.manual_seed(0)
    built = build_model(name, channels=2, known=3, outputs=outputs, width=width, depth=depth).eval()
    if not fresh:
        for parameter in built.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return built


def inputs(
    *, batch: int = 2, steps: int = 4, leads: int = 3, height: int = 10, width: int = 13
) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    return torch.randn(batch, steps, 2, height, width), torch.randn(batch, leads, 3, height, width)


@given(
    name=st.sampled_from(NAMES),
    steps=st.integers(2, 13),
    leads=st.integers(1, 6),
    height=st.integers(1, 21),
    width=st.integers(1, 21),
    depth=st.integers(1, 3),
    outputs=st.integers(1, 2),
)
@settings(max_examples=40, deadline=None)
def test_any_number_of_steps_and_leads_and_any_size_go_in(
    name: str, steps: int, leads: int, height: int, width: int, depth: int, outputs: int
) -> None:
    past, known = inputs(steps=steps, leads=leads, height=height, width=width)
    with torch.inference_mode():
        assert network(name, depth=depth, outputs=outputs)(past, known).shape == (2, leads, outputs, height, width)


@pytest.mark.parametrize("width", [1, 5, 24])
@pytest.mark.parametrize("name", NAMES)
def test_any_width_is_possible(name: str, width: int) -> None:
    assert network(name, width=width)(*inputs()).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_network_changes_nothing_and_learns_at_once(name: str) -> None:
    fresh = network(name, fresh=True)
    past, known = inputs()
    change = fresh(past, known)
    assert (change == 0).all()
    (change - 1).square().mean().backward()
    gradients = [parameter.grad.abs().sum() for parameter in fresh.parameters() if parameter.grad is not None]
    assert sum(float(gradient) for gradient in gradients) > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_lead_does_not_see_later_ones(name: str) -> None:
    past, known = inputs(leads=4)
    other = known.clone()
    other[:, 2:] += 1
    with torch.inference_mode():
        model = network(name)
        found, changed = model(past, known), model(past, other)
        alone = model(past, known[:, :2])
    torch.testing.assert_close(found[:, :2], changed[:, :2])
    torch.testing.assert_close(found[:, :2], alone)
    assert not torch.allclose(found[:, 2:], changed[:, 2:])


@pytest.mark.parametrize("name", NAMES)
def test_every_past_step_counts(name: str) -> None:
    past, known = inputs()
    past.requires_grad_()
    network(name)(past, known).square().sum().backward()
    assert past.grad is not None
    reached = past.grad.abs().sum((0, 2, 3, 4))
    assert (reached > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_sequences_of_a_batch_do_not_touch_each_other(name: str) -> None:
    past, known = inputs()
    with torch.inference_mode():
        model = network(name)
        torch.testing.assert_close(model(past, known)[1:], model(past[1:], known[1:]), atol=1e-5, rtol=1e-4)


def test_known_forecasts_can_be_mixed_exactly() -> None:
    # change = 0.25 times the second known field: what the coarse weights can say at once, at full resolution
    decoder = LeadDecoder(4, known=3, outputs=1, width=4, depth=2)
    assert decoder.weigh.bias is not None
    with torch.no_grad():
        decoder.weigh.bias[1] = 0.25
    known = torch.randn(2, 3, 3, 10, 13)
    coarse = FrameEncoder(3, width=4, depth=2)(known)
    torch.testing.assert_close(decoder(coarse, known), 0.25 * known[:, :, 1:2])


def test_attention_weights_are_shares() -> None:
    model = network("lstm_attention")
    assert isinstance(model, LSTMAttention)
    past, known = inputs(steps=5)
    shares = model.attended(past, known)
    assert shares.shape == (2, 3, 5, 3, 4)
    assert (shares > 0).all()
    torch.testing.assert_close(shares.sum(dim=2), torch.ones(2, 3, 3, 4))
    without = network("lstm")
    assert isinstance(without, LSTMAttention)
    assert without.attention is None
    with pytest.raises(AttributeError, match="without attention"):
        without.attended(past, known)


def test_attention_reaches_the_first_step_past_a_state_that_forgets() -> None:
    past, known = inputs(steps=12)
    reached = {}
    for name in ("lstm", "lstm_attention"):
        model = network(name)
        assert isinstance(model, LSTMAttention)
        with torch.no_grad():
            model.encoder.input.bias[8:16] = -20.0
        seen = past.clone().requires_grad_()
        model(seen, known).square().sum().backward()
        assert seen.grad is not None
        reached[name] = float(seen.grad[:, 0].abs().sum() / seen.grad[:, -1].abs().sum())
    assert reached["lstm_attention"] > 10 * reached["lstm"]


def test_noise_gives_members_and_none_is_the_middle() -> None:
    past, known = inputs(batch=1)
    model = network("gan")
    assert isinstance(model, GAN)
    with torch.inference_mode():
        one, two = (model(past, known, torch.randn(1, model.latent)) for _ in range(2))
        middle, zero = model(past, known), model(past, known, torch.zeros(1, model.latent))
    assert not torch.allclose(one, two)
    torch.testing.assert_close(middle, zero)
    assert all(getattr(network(name), "latent") == 0 for name in NAMES if name != "gan")  # noqa: B009 - Module's type


def test_the_adversary_judges_patches_of_each_lead() -> None:
    model = network("gan", depth=2, outputs=2)
    assert isinstance(model, GAN)
    past, known = inputs()
    assert model.discriminator(past, known, torch.randn(2, 3, 2, 10, 13)).shape == (2, 3, 1, 3, 4)


def test_the_autoencoder_learns_to_reconstruct() -> None:
    model = network("autoencoder", depth=1, fresh=True, width=16)
    assert isinstance(model, Autoencoder)
    y, x = torch.meshgrid(torch.linspace(0, 3, 15), torch.linspace(0, 3, 17), indexing="ij")
    past = torch.stack([torch.sin(x + y), torch.cos(x - y)]).expand(1, 3, 2, 15, 17)
    assert model.reconstruct(past).shape == past.shape
    latent = model.encode(past[0])
    assert latent.shape == (3, 16, 8, 9)
    assert model.decode(latent).shape == (3, 2, 16, 18)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = model.auxiliary_loss(past)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_bf16_is_near_fp32(name: str) -> None:
    past, known = inputs(height=24, width=24)
    with torch.inference_mode():
        model = network(name)
        exact = model(past, known)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            coarse = model(past, known).float()
    assert (coarse - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_a_blend_that_depends_on_the_place_is_learnt_in_a_few_steps(name: str) -> None:
    model = network(name, depth=1, width=16, fresh=True).train()
    weights = [value for key, value in model.named_parameters() if not key.startswith("discriminator.")]
    optimizer = torch.optim.AdamW(weights, lr=5e-3)
    share = torch.linspace(0, 1, 12).expand(12, 12)
    errors = []
    for _ in range(30):
        past, known = torch.randn(4, 3, 2, 12, 12), torch.randn(4, 2, 3, 12, 12)
        known[:, :, 2] = share
        future = share * known[:, :, :1] + 0.3 * past[:, -1:, :1]
        optimizer.zero_grad()
        loss = (model(past, known) - future).square().mean()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    assert sum(errors[-3:]) < 0.5 * sum(errors[:3])
