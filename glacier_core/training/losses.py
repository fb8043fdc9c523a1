"""Losses of segmentation, as functions of sums over pixels: exact whatever number of processes holds the batch.

- dice: Milletari, Navab and Ahmadi 2016 (doi:10.1109/3DV.2016.79), over all pixels of the global batch, mean over the
  classes.
- cross_entropy: mean over the pixels that count, as `torch.nn.functional.cross_entropy` has it with class weights.
- focal: Lin et al. 2017 (doi:10.1109/ICCV.2017.324), gamma 2, mean as in the cross-entropy.
- tversky: Salehi, Erdogmus and Gholipour 2017 (doi:10.1007/978-3-319-67389-9_44), false alarms 0.3, misses 0.7.
- boundary: Kervadec et al. 2019 (doi:10.1016/j.media.2020.101851): Dice, and the probability of each class times the
  signed distance to its boundary (in units of the chip's longer side), mean over the pixels that count.

Shapes: B images, C classes, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name by which everybody knows it
from numpy.typing import NDArray
from torch import Tensor

from glacier_core.errors import ConfigurationError

IGNORE = 255
"""Target value of pixels that count neither in losses nor in scores."""
LOSSES = ("dice_cross_entropy", "cross_entropy", "dice", "focal", "tversky", "boundary")
_SMOOTH = 1.0
_FOCUS = 2.0
_FALSE_ALARM, _MISS = 0.3, 0.7


def pixel_sums(
    logits_BCHW: Tensor,  # noqa: N803 - shape suffixes
    target_BHW: Tensor,  # noqa: N803
    *,
    loss: str = "dice_cross_entropy",
    weights: Sequence[float] = (),
    distance_BCHW: Tensor | None = None,  # noqa: N803
) -> Tensor:
    """What the losses need of a batch; sums of parts of a batch add up to those of the batch.

    Args:
        logits_BCHW: class scores.
        target_BHW: classes as integers; `IGNORE` does not count.
        loss: one of `LOSSES`.
        weights: how much each class counts; all alike if empty.
        distance_BCHW: what `signed_distance` gave, for the loss boundary.

    Returns:
        (3·C + 3,) float32: per class the overlap, the predicted and the true amount; the loss's own sum over pixels
        (the cross-entropy, say) and the weight that it is divided by; the pixels that count.
    """
    logits = logits_BCHW.float()
    log_p = F.log_softmax(logits, dim=1)
    p = log_p.exp()
    truth = torch.stack([target_BHW == index for index in range(logits.shape[1])], dim=1).float()
    counts = truth.sum(1, keepdim=True)
    per_class = [(p * truth).sum((0, 2, 3)), (p * counts).sum((0, 2, 3)), truth.sum((0, 2, 3))]
    weighted, pixels = truth, counts.sum()
    if weights:
        weighted = truth * torch.tensor(weights, device=truth.device)[:, None, None]
    if loss == "boundary" and distance_BCHW is not None:
        own, divisor = (p * counts * distance_BCHW).sum(), pixels
    elif loss == "focal":
        own, divisor = -((1 - p) ** _FOCUS * log_p * weighted).sum(), weighted.sum()
    else:
        own, divisor = -(log_p * weighted).sum(), weighted.sum()
    return torch.cat([*per_class, torch.stack([own, divisor, pixels])])


def loss_of(sums: Tensor, *, loss: str, weights: Sequence[float] = ()) -> Tensor:
    """The loss from the sums of `pixel_sums`.

    Raises:
        ConfigurationError: the loss is unknown.
    """
    if loss not in LOSSES:
        raise ConfigurationError(f"loss '{loss}' is unknown", expected=f"one of {', '.join(LOSSES)}")
    overlap, predicted, true = sums[:-3].chunk(3)
    own = sums[-3] / sums[-2].clamp(min=1e-6)
    if loss in ("cross_entropy", "focal"):
        return own
    if loss == "tversky":
        errors = _FALSE_ALARM * (predicted - overlap) + _MISS * (true - overlap)
        return 1 - _mean((overlap + _SMOOTH) / (overlap + errors + _SMOOTH), weights)
    dice = 1 - _mean((2 * overlap + _SMOOTH) / (predicted + true + _SMOOTH), weights)
    return dice if loss == "dice" else dice + own


def _mean(per_class: Tensor, weights: Sequence[float]) -> Tensor:
    if not weights:
        return per_class.mean()
    share = torch.tensor(weights, device=per_class.device, dtype=per_class.dtype)
    return (per_class * share).sum() / share.sum()


def signed_distance(target: NDArray[np.uint8], *, classes: int) -> NDArray[np.float32]:
    """How far each pixel lies from each class's boundary: negative within the class, 0 where a class does not occur.

    Args:
        target: (H, W) classes; ignored pixels belong to no class.
        classes: how many there are.

    Returns:
        (C, H, W) in units of the longer side, between centres of pixels, less half a pixel.
    """
    from cv2 import DIST_L2, DIST_MASK_PRECISE, distanceTransform

    distance = np.zeros((classes, *target.shape), dtype=np.float32)
    for index in range(classes):
        inside = (target == index).astype(np.uint8)
        if inside.any() and not inside.all():
            within = distanceTransform(inside, DIST_L2, DIST_MASK_PRECISE)
            beyond = distanceTransform(1 - inside, DIST_L2, DIST_MASK_PRECISE)
            distance[index] = np.where(inside == 1, 0.5 - within, beyond - 0.5)
    distance /= max(target.shape)
    return distance


def confusion(logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
    """Pixels by true class (rows) and predicted class (columns): (C, C) float64."""
    classes = logits_BCHW.shape[1]
    counts = target_BHW != IGNORE
    pairs = target_BHW[counts].long() * classes + logits_BCHW.argmax(1)[counts]
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).double()


def intersection_over_union(matrix: NDArray[np.float64]) -> dict[str, float]:
    """Overlap by union, mean over the classes that occur (Jaccard 1901, doi:10.5169/seals-266450).

    Args:
        matrix: pixels by true class (rows) and predicted class (columns).
    """
    overlap = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - overlap
    return {"validation_iou": float((overlap[union > 0] / union[union > 0]).mean())}
