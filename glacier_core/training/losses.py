"""Losses as functions of sums over pixels, so that they are exact whatever number of processes holds the batch.

Dice: Milletari, Navab and Ahmadi 2016 (doi:10.1109/3DV.2016.79), over all pixels of the global batch, mean over the
classes. Cross-entropy: mean over the pixels that count.

Shapes: B images, C classes, H rows, W columns.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name by which everybody knows it
from numpy.typing import NDArray
from torch import Tensor

from glacier_core.errors import ConfigurationError

IGNORE = 255
"""Target value of pixels that count neither in losses nor in scores."""
LOSSES = ("dice_cross_entropy", "cross_entropy", "dice")
_SMOOTH = 1.0


def pixel_sums(logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
    """What the losses need of a batch; sums of parts of a batch add up to those of the batch.

    Args:
        logits_BCHW: class scores.
        target_BHW: classes as integers; `IGNORE` does not count.

    Returns:
        (3·C + 2,) float32: per class the overlap, the predicted and the true amount; the cross-entropy; the pixels.
    """
    logits = logits_BCHW.float()
    log_p = F.log_softmax(logits, dim=1)
    p = log_p.exp()
    truth = torch.stack([target_BHW == index for index in range(logits.shape[1])], dim=1).float()
    counts = truth.sum(1, keepdim=True)
    per_class = [(p * truth).sum((0, 2, 3)), (p * counts).sum((0, 2, 3)), truth.sum((0, 2, 3))]
    return torch.cat([*per_class, -(log_p * truth).sum()[None], counts.sum()[None]])


def loss_of(sums: Tensor, *, loss: str) -> Tensor:
    """The loss from the sums of `pixel_sums`.

    Raises:
        ConfigurationError: the loss is unknown.
    """
    if loss not in LOSSES:
        raise ConfigurationError(f"loss '{loss}' is unknown", expected=f"one of {', '.join(LOSSES)}")
    overlap, predicted, true = sums[:-2].chunk(3)
    dice = 1 - ((2 * overlap + _SMOOTH) / (predicted + true + _SMOOTH)).mean()
    cross_entropy = sums[-2] / sums[-1].clamp(min=1)
    if loss == "dice":
        return dice
    return cross_entropy if loss == "cross_entropy" else dice + cross_entropy


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
