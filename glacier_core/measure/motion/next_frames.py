"""How near a predicted frame is to the one that came: mean errors and structural similarity."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError
from glacier_core.measure.similarity import similarity_map


def frame_errors(
    predicted: NDArray[np.float32], truth: NDArray[np.float32], *, seen: NDArray[np.bool_], data_range: float
) -> Mapping[str, float]:
    """MAE and RMSE in the frames' unit, and SSIM; NaN where no pixel counts (for SSIM: no whole window).

    Args:
        predicted: (y, x).
        truth: (y, x); of any value where it was not seen.
        seen: (y, x), pixels that count.
        data_range: largest less smallest value that frames can have, for SSIM's constants.

    Raises:
        DataError: the shapes differ.
    """
    if not predicted.shape == truth.shape == seen.shape:
        raise DataError(
            f"a prediction of the shape {predicted.shape} for a frame of {truth.shape}", expected="one shape"
        )
    if not seen.any():
        return {"mae": np.nan, "rmse": np.nan, "ssim": np.nan}
    difference = (predicted - truth)[seen].astype(np.float64)
    similarity = similarity_map(
        np.where(seen, predicted, np.float32(np.nan)), np.where(seen, truth, np.float32(np.nan)), data_range=data_range
    )
    counted = np.isfinite(similarity)
    return {
        "mae": float(np.abs(difference).mean()),
        "rmse": float(np.sqrt((difference**2).mean())),
        "ssim": float(similarity[counted].mean(dtype=np.float64)) if counted.any() else float("nan"),
    }
