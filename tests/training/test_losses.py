"""Losses are sums over pixels that count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from glacier_core.errors import ConfigurationError
from glacier_core.training.losses import IGNORE, LOSSES, confusion, intersection_over_union, loss_of, pixel_sums


def batch(seed: int, images: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, 2, 6, 5, generator=generator)
    target = torch.randint(0, 2, (images, 6, 5), generator=generator, dtype=torch.uint8)
    target[:, 0] = IGNORE
    return logits, target


@given(seed=st.integers(0, 1000), cut=st.integers(0, 4))
@settings(max_examples=15, deadline=None)
def test_parts_add_up(seed: int, cut: int) -> None:
    logits, target = batch(seed)
    parts = pixel_sums(logits[:cut], target[:cut]) + pixel_sums(logits[cut:], target[cut:])
    torch.testing.assert_close(parts, pixel_sums(logits, target))


@pytest.mark.parametrize("loss", LOSSES)
def test_ignored_pixels_change_nothing(loss: str) -> None:
    logits, target = batch(1)
    logits.requires_grad_()
    value = loss_of(pixel_sums(logits, target), loss=loss)
    value.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert not logits.grad[:, :, 0].any()
    other = logits.detach().clone()
    other[:, :, 0] = 50
    torch.testing.assert_close(loss_of(pixel_sums(other, target), loss=loss), value.detach())


def test_cross_entropy_is_that_of_torch_and_a_perfect_answer_costs_nothing() -> None:
    logits, target = batch(2)
    expected = F.cross_entropy(logits, target.long(), ignore_index=IGNORE)
    torch.testing.assert_close(loss_of(pixel_sums(logits, target), loss="cross_entropy"), expected)
    perfect = 50 * F.one_hot(torch.where(target == IGNORE, 0, target).long(), 2).movedim(-1, 1).float()
    assert float(loss_of(pixel_sums(perfect, target), loss="dice_cross_entropy")) < 1e-4


def test_nothing_to_learn_from_gives_no_nan() -> None:
    logits, target = batch(3)
    nothing = torch.full_like(target, IGNORE)
    assert float(loss_of(pixel_sums(logits, nothing), loss="dice_cross_entropy")) == 0
    assert float(confusion(logits, nothing).sum()) == 0


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cross_entropy"):
        loss_of(torch.zeros(8), loss="hinge")


def test_confusion_and_overlap() -> None:
    logits = torch.tensor([[[[1.0, 0.0, 0.0, 9.0]], [[0.0, 1.0, 1.0, 0.0]]]])
    target = torch.tensor([[[0, 1, 0, IGNORE]]], dtype=torch.uint8)
    matrix = confusion(logits, target).numpy()
    assert matrix.tolist() == [[1, 1], [0, 1]]
    assert intersection_over_union(matrix)["validation_iou"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert intersection_over_union(np.diag([3.0, 0.0]))["validation_iou"] == 1
