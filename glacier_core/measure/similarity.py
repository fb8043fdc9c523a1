"""Structural similarity of two fields (SSIM): Wang, Bovik, Sheikh and Simoncelli 2004, doi:10.1109/TIP.2003.819861.

Their Gaussian window of 11 x 11 pixels (sigma 1.5), whose weights sum to 1, and their constants; variances and
covariances are those of the window, without a correction for its size. Predicted images and forecast fields are both
scored with it, and the training loss of that name follows it too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError

Floats = NDArray[np.float32]
WINDOW = 11
SIGMA = 1.5
STABILISERS = (0.01, 0.03)


def similarity_map(one_HW: Floats, other_HW: Floats, *, data_range: float = 1.0) -> Floats:  # noqa: N803
    """SSIM at each pixel, (H, W); NaN where the window reaches beyond the field or a pixel that either does not know.

    Args:
        one_HW: values; NaN where nothing is known.
        other_HW: likewise.
        data_range: largest less smallest value that fields can have.

    Raises:
        DataError: the shapes differ.
    """
    import cv2

    if one_HW.shape != other_HW.shape:
        raise DataError(f"fields of the shapes {one_HW.shape} and {other_HW.shape}", expected="one shape")
    known = np.isfinite(one_HW) & np.isfinite(other_HW)
    one, other = (np.where(known, field, 0).astype(np.float64) for field in (one_HW, other_HW))

    def mean(field: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(field, (WINDOW, WINDOW), SIGMA, borderType=cv2.BORDER_REFLECT_101))

    c1, c2 = ((part * data_range) ** 2 for part in STABILISERS)
    mean_one, mean_other = mean(one), mean(other)
    var_one, var_other = (mean(field * field) - middle**2 for field, middle in ((one, mean_one), (other, mean_other)))
    together = mean(one * other) - mean_one * mean_other
    found = ((2 * mean_one * mean_other + c1) * (2 * together + c2)) / (
        (mean_one**2 + mean_other**2 + c1) * (var_one + var_other + c2)
    )
    radius = WINDOW // 2
    whole = cv2.erode(np.pad(known, radius).astype(np.uint8), np.ones((WINDOW, WINDOW), np.uint8))
    return np.where(whole[radius:-radius, radius:-radius] > 0, found, np.nan).astype(np.float32)
