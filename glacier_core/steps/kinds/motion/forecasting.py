"""The next images that a network predicts, tile by tile, and the baselines beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from glacier_core.samples.frame_sequences import FrameScale

TILE = 192
"""Rows and columns of a tile's result."""
HALO = 24
"""Pixels around it that the network also sees; what it makes of them is dropped."""
BASELINES = ("no_change", "mean_of_inputs")


def baseline_frames(inputs: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
    """The same forecast for every lead, (H, W): the last image, and the mean of all; NaN where none shows anything.

    Args:
        inputs: the images in (T, H, W), NaN where nothing was seen.
    """
    import numpy as np

    from glacier_core.samples.frame_sequences import latest

    seen = np.isfinite(inputs)
    count = seen.sum(axis=0)
    mean = np.where(count > 0, np.where(seen, inputs, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
    return {"no_change": latest(inputs), "mean_of_inputs": mean.astype(np.float32)}


def predicted_frames(
    module: nn.Module, inputs: NDArray[np.float32], *, days: Sequence[float], scale: FrameScale
) -> NDArray[np.float32]:
    """The images to come (L, H, W), physical, NaN where no image in shows anything.

    Args:
        module: the network.
        inputs: the images in (T, H, W), physical, NaN where nothing was seen.
        days: times of all images in and out, in days after the last one in.
        scale: how the network's values are normalised.
    """
    import numpy as np

    from glacier_core.samples.frame_sequences import latest

    _, height, width = inputs.shape
    leads = len(days) - len(inputs)
    found = np.full((leads, height, width), np.nan, dtype=np.float32)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            rows, columns = slice(max(top - HALO, 0), top + TILE + HALO), slice(max(left - HALO, 0), left + TILE + HALO)
            part = inputs[:, rows, columns]
            if np.isfinite(part).any():
                tile = _tile(module, part, days, scale)
                inner = tile[:, top - rows.start :, left - columns.start :][:, :TILE, :TILE]
                found[:, top : top + TILE, left : left + TILE] = inner
    return np.where(np.isfinite(latest(inputs)), found, np.float32(np.nan))


def _tile(
    module: nn.Module, inputs: NDArray[np.float32], days: Sequence[float], scale: FrameScale
) -> NDArray[np.float32]:
    import numpy as np
    import torch

    from glacier_core.samples.frame_sequences import sequence_of

    leads = len(days) - len(inputs)
    to_come = np.full((leads, *inputs.shape[1:]), np.nan, dtype=np.float32)
    sequence = sequence_of(np.concatenate([inputs, to_come]), inputs=len(inputs), days=days, scale=scale)
    past, known = (torch.from_numpy(array)[None] for array in (sequence.past, sequence.known))
    with torch.inference_mode():
        change = module(past, known)[0].float().numpy()
    return scale.undo(sequence.base + change)[:, 0]


def scale_of(extra: Mapping[str, Any]) -> FrameScale:
    """How a model's values are normalised, from its description."""
    from glacier_core.samples.frame_sequences import FrameScale

    return FrameScale(**extra["scale"])
