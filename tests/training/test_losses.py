"""Losses of segmentation are sums over pixels that count, and agree with others' and with what is worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.training.losses import (
    IGNORE,
    LOSSES,
    confusion,
    intersection_over_union,
    loss_of,
    pixel_sums,
    signed_distance,
)
from glacier_core.training.segmentation import balanced_weights

CLASSES = 3


def batch(seed: int, images: int = 4, classes: int = CLASSES) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, 6, 5, generator=generator)
    target = torch.randint(0, classes, (images, 6, 5), generator=generator, dtype=torch.uint8)
    target[:, 0] = IGNORE
    return logits, target


def value(logits: torch.Tensor, target: torch.Tensor, loss: str, weights: tuple[float, ...] = ()) -> torch.Tensor:
    distance = None
    if loss == "boundary":
        maps = [signed_distance(one.numpy(), classes=logits.shape[1]) for one in target]
        distance = torch.from_numpy(np.stack(maps))
    sums = pixel_sums(logits, target, loss=loss, weights=weights, distance_BCHW=distance)
    return loss_of(sums, loss=loss, weights=weights)


@given(seed=st.integers(0, 1000), cut=st.integers(0, 4), loss=st.sampled_from(LOSSES))
@settings(max_examples=15, deadline=None)
def test_parts_add_up(seed: int, cut: int, loss: str) -> None:
    logits, target = batch(seed)
    distance = torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))

    def sums(of: slice) -> torch.Tensor:
        return pixel_sums(logits[of], target[of], loss=loss, weights=(1.0, 2.0, 0.5), distance_BCHW=distance[of])

    torch.testing.assert_close(sums(slice(cut)) + sums(slice(cut, None)), sums(slice(None)))


@pytest.mark.parametrize("loss", LOSSES)
def test_ignored_pixels_change_nothing(loss: str) -> None:
    logits, target = batch(1)
    logits.requires_grad_()
    found = value(logits, target, loss)
    found.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert not logits.grad[:, :, 0].any()
    other = logits.detach().clone()
    other[:, :, 0] = 50
    torch.testing.assert_close(value(other, target, loss), found.detach())


@pytest.mark.parametrize("weights", [(), (0.2, 1.0, 3.0)])
def test_cross_entropy_is_that_of_torch(weights: tuple[float, ...]) -> None:
    logits, target = batch(2)
    share = torch.tensor(weights) if weights else None
    expected = F.cross_entropy(logits, target.long(), ignore_index=IGNORE, weight=share)
    torch.testing.assert_close(value(logits, target, "cross_entropy", weights), expected)


def test_the_overlap_of_hard_answers_is_that_of_torchmetrics() -> None:
    from torchmetrics.functional import f1_score

    logits, target = batch(7, images=400)
    hard = 100 * F.one_hot(logits.argmax(1), CLASSES).movedim(-1, 1).float()
    expected = f1_score(
        hard.argmax(1), target.long(), task="multiclass", num_classes=CLASSES, average="macro", ignore_index=IGNORE
    )
    assert float(value(hard, target, "dice")) == pytest.approx(1 - float(expected), abs=1e-3)


def test_focal_dice_and_tversky_as_worked_by_hand() -> None:
    # two pixels of class 1, of which one is found for certain and one with probability 0.25; one pixel of class 0 with
    # probability 0.5
    p = torch.tensor([[1e-9, 0.75, 0.5], [1 - 1e-9, 0.25, 0.5]])
    logits, target = p.log()[None, :, None], torch.tensor([[[1, 1, 0]]], dtype=torch.uint8)
    focal = (0.75**2 * math.log(4) + 0.5**2 * math.log(2)) / 3
    assert float(value(logits, target, "focal")) == pytest.approx(focal, rel=1e-5)
    overlap, predicted, true = np.array([0.5, 1.25]), np.array([1.25, 1.75]), np.array([1, 2])
    dice = 1 - ((2 * overlap + 1) / (predicted + true + 1)).mean()
    assert float(value(logits, target, "dice")) == pytest.approx(dice, rel=1e-5)
    errors = 0.3 * (predicted - overlap) + 0.7 * (true - overlap)
    tversky = 1 - ((overlap + 1) / (overlap + errors + 1)).mean()
    assert float(value(logits, target, "tversky")) == pytest.approx(tversky, rel=1e-5)
    weighted = 1 - np.average((2 * overlap + 1) / (predicted + true + 1), weights=[3, 1])
    assert float(value(logits, target, "dice", (3.0, 1.0))) == pytest.approx(weighted, rel=1e-5)


def test_distances_are_those_of_scipy_and_the_boundary_loss_rewards_being_inside() -> None:
    target = np.full((20, 30), 0, dtype=np.uint8)
    target[5:12, 8:25] = 1
    target[0] = IGNORE
    found = signed_distance(target, classes=3)
    inside = target == 1
    expected = np.where(inside, 0.5 - distance_transform_edt(inside), distance_transform_edt(~inside) - 0.5) / 30
    np.testing.assert_allclose(found[1], expected, atol=1e-6)
    assert not found[2].any()

    def boundary(mask: NDArray[np.bool_]) -> float:
        logits = torch.from_numpy(np.stack([~mask, mask, np.zeros_like(mask)])[None] * 20.0)
        return float(value(logits, torch.from_numpy(target)[None], "boundary"))

    near, far = inside.copy(), inside.copy()
    near[5:12, 25] = True
    far[14, 0:7] = True
    assert boundary(inside) < boundary(near) < boundary(far)


def test_balanced_weights_make_every_class_count_alike(caplog: pytest.LogCaptureFixture) -> None:
    class Few:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int, /) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
            target = np.array([[0, 0, 0], [0, index, IGNORE]], dtype=np.uint8)
            return np.zeros((1, 2, 3), dtype=np.float32), target

    # nine pixels of class 0, one of class 1, none of class 2
    assert balanced_weights(Few(), classes=3) == pytest.approx((10 / 18, 10 / 2, 0))
    assert "class 2 never occurs" in caplog.text
    with pytest.raises(DataError, match="no pixel of the training set"):
        balanced_weights(Nothing(), classes=2)


class Nothing:
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int, /) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        return np.zeros((1, 2, 2), dtype=np.float32), np.full((2, 2), IGNORE, dtype=np.uint8)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_perfect_answer_costs_least_and_nothing_to_learn_from_gives_no_nan(loss: str) -> None:
    logits, target = batch(3)
    perfect = 50 * F.one_hot(torch.where(target == IGNORE, 0, target).long(), CLASSES).movedim(-1, 1).float()
    assert float(value(perfect, target, loss)) < float(value(logits, target, loss))
    if loss != "boundary":
        assert float(value(perfect, target, loss)) == pytest.approx(0, abs=1e-4)
    nothing = torch.full_like(target, IGNORE)
    assert float(value(logits, nothing, loss)) == 0
    assert float(confusion(logits, nothing).sum()) == 0


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cross_entropy"):
        loss_of(torch.zeros(9), loss="hinge")


def test_confusion_and_overlap() -> None:
    logits = torch.tensor([[[[1.0, 0.0, 0.0, 9.0]], [[0.0, 1.0, 1.0, 0.0]]]])
    target = torch.tensor([[[0, 1, 0, IGNORE]]], dtype=torch.uint8)
    matrix = confusion(logits, target).numpy()
    assert matrix.tolist() == [[1, 1], [0, 1]]
    assert intersection_over_union(matrix)["validation_iou"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert intersection_over_union(np.diag([3.0, 0.0]))["validation_iou"] == 1
