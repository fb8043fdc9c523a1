"""Losses of predicted fields, as functions of sums over pixels: exact whatever number of processes holds the batch.

- mse, mae: weighted mean of the squared or absolute difference.
- ssim: 1 - the structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004, doi:10.1109/TIP.2003.819861): Gaussian
  window of 11 x 11 pixels, sigma 1.5, K1 0.01, K2 0.03; mean over the windows that lie within the field, weighted by
  their central pixel.
- mse_mae: half the sum of the two: between the mean and the median of what may come.
- mse_ssim: mse and a tenth of ssim, both of about the same size at the start.
- adversarial: mse, and beside it how far the opponent is from being deceived (see `adversary`).

Shapes: B sequences, L leads, D channels, H rows, W columns.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the name by which everybody knows it
from torch import Tensor

from glacier_core.errors import ConfigurationError

FIELD_LOSSES = ("mse", "mae", "mse_mae", "ssim", "mse_ssim", "adversarial")
SSIM_SHARE = 0.1
MAE_SHARE = 2 / 3
"""Of the loss mse_mae, for fields that are normalised: squares of large errors outweigh it even so."""
_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03


def field_sums(
    predicted_BLDHW: Tensor,  # noqa: N803 - shape suffixes
    future_BLDHW: Tensor,  # noqa: N803
    weight_BLDHW: Tensor,  # noqa: N803
    *,
    loss: str = "mse",
    data_range: float = 1.0,
) -> Tensor:
    """What the losses need of a batch; sums of parts of a batch add up to those of the batch.

    Args:
        predicted_BLDHW: predicted fields.
        future_BLDHW: what came.
        weight_BLDHW: how much each pixel counts; 1 for D, and for L or not.
        loss: one of `FIELD_LOSSES`; similarity is computed only where it is needed.
        data_range: largest less smallest value that a field can take, for the similarity.

    Returns:
        (5,) float32: weighted sums of the squared difference, the absolute difference and of 1 - SSIM; the weights of
        the third; those of the first two.
    """
    predicted, future = predicted_BLDHW.float(), future_BLDHW.float()
    weight = weight_BLDHW.float().expand_as(future)
    difference = predicted - future
    square, absolute = (weight * difference**2).sum(), (weight * difference.abs()).sum()
    unlike, windows = square.new_zeros(()), square.new_zeros(())
    if loss in ("ssim", "mse_ssim"):
        # where nothing counts the prediction has no part in a window either
        seen = torch.where(weight > 0, predicted, future)
        similarity, border = structural_similarity(seen.flatten(0, 2), future.flatten(0, 2), data_range=data_range)
        inner = weight.flatten(0, 2)[:, border : weight.shape[-2] - border, border : weight.shape[-1] - border]
        unlike, windows = (inner * (1 - similarity)).sum(), inner.sum()
    return torch.stack([square, absolute, unlike, windows, weight.sum()])


def field_loss_of(sums: Tensor, *, loss: str) -> Tensor:
    """The loss from the sums of `field_sums`; that of `adversarial` without the opponent's part.

    Raises:
        ConfigurationError: the loss is unknown.
    """
    if loss not in FIELD_LOSSES:
        raise ConfigurationError(f"loss '{loss}' is unknown", expected=f"one of {', '.join(FIELD_LOSSES)}")
    weight = sums[4].clamp(min=1e-6)
    unlike = sums[2] / sums[3].clamp(min=1e-6)
    if loss == "mae":
        return sums[1] / weight
    if loss == "ssim":
        return unlike
    square = sums[0] / weight
    if loss == "mse_mae":
        return (1 - MAE_SHARE) * square + MAE_SHARE * sums[1] / weight
    return square + SSIM_SHARE * unlike if loss == "mse_ssim" else square


def structural_similarity(a_NHW: Tensor, b_NHW: Tensor, *, data_range: float) -> tuple[Tensor, int]:  # noqa: N803
    """The similarity in each window that lies within the images, differentiable.

    Args:
        a_NHW: images.
        b_NHW: others of the same shape.
        data_range: largest less smallest value that a pixel can take.

    Returns:
        (N, H - 2·border, W - 2·border), and the border; windows shrink for images that are smaller than they.
    """
    side = min(_WINDOW, *(size - 1 + size % 2 for size in a_NHW.shape[-2:]))
    at = torch.arange(side, device=a_NHW.device) - side // 2
    line = torch.exp(-(at**2) / (2 * _SIGMA**2)).float()
    line = line / line.sum()
    # float32 throughout: variances are small differences of large numbers
    with torch.autocast(a_NHW.device.type, enabled=False):
        stacked = torch.stack([a_NHW, b_NHW, a_NHW**2, b_NHW**2, a_NHW * b_NHW]).flatten(0, 1)[:, None]
        means = F.conv2d(F.conv2d(stacked, line[None, None, :, None]), line[None, None, None, :])
        a, b, a2, b2, ab = means[:, 0].chunk(5)
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    luminance = (2 * a * b + c1) / (a**2 + b**2 + c1)
    structure = (2 * (ab - a * b) + c2) / ((a2 - a**2) + (b2 - b**2) + c2)
    return luminance * structure, side // 2


def field_scores(sums: list[float]) -> dict[str, float]:
    """Root mean square error and mean absolute error from the sums of `field_sums`."""
    weight = max(sums[4], 1e-6)
    return {"validation_rmse": math.sqrt(sums[0] / weight), "validation_mae": sums[1] / weight}
