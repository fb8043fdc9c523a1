"""How near a predicted frame is to the one that came: mean errors and structural similarity.

SSIM: Wang, Bovik, Sheikh and Simoncelli 2004, doi 10.1109/TIP.2003.819861, with their Gaussian window of 1.5 pixels and
constants; pixels whose window holds what was not seen do not count.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError

WINDOW = 11
SIGMA = 1.5
STABILISERS = (0.01, 0.03)


def frame_errors(
    predicted: NDArray[np.float32], truth: NDArray[np.float32], *, seen: NDArray[np.bool_], data_range: float
) -> Mapping[str, float]:
    """MAE and RMSE in the frames' unit, and SSIM; NaN where no pixel counts.

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
    return {
        "mae": float(np.abs(difference).mean()),
        "rmse": float(np.sqrt((difference**2).mean())),
        "ssim": _ssim(predicted, truth, seen, data_range),
    }


def _ssim(
    predicted: NDArray[np.float32], truth: NDArray[np.float32], seen: NDArray[np.bool_], data_range: float
) -> float:
    import cv2

    def blurred(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(image, (WINDOW, WINDOW), SIGMA, borderType=cv2.BORDER_REFLECT_101))

    one, two = (np.where(seen, image, 0).astype(np.float64) for image in (predicted, truth))
    c1, c2 = ((part * data_range) ** 2 for part in STABILISERS)
    mean_one, mean_two = blurred(one), blurred(two)
    variance_one = blurred(one * one) - mean_one**2
    variance_two = blurred(two * two) - mean_two**2
    covariance = blurred(one * two) - mean_one * mean_two
    similarity = ((2 * mean_one * mean_two + c1) * (2 * covariance + c2)) / (
        (mean_one**2 + mean_two**2 + c1) * (variance_one + variance_two + c2)
    )
    radius = WINDOW // 2
    whole = cv2.erode(np.pad(seen, radius).astype(np.uint8), np.ones((WINDOW, WINDOW), np.uint8))
    counted = whole[radius:-radius, radius:-radius] > 0
    return float(similarity[counted].mean()) if counted.any() else float("nan")
