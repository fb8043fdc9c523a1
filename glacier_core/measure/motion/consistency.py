"""Whether vectors fit their neighbours."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

MEDIAN_NOISE_PX = 0.1
"""Disagreement of neighbours that is always allowed for in the median test."""

FEWEST_NEIGHBOURS = 3
"""A vector with fewer neighbours that were matched cannot be tested, and is not trusted."""


def consistent(
    dx: NDArray[np.float32],
    dy: NDArray[np.float32],
    *,
    largest_deviation: float = 3.0,
    noise_px: float = MEDIAN_NOISE_PX,
) -> NDArray[np.bool_]:
    """The normalised median test: which vectors fit the two rings of vectors around them.

    A vector passes if |u - median(neighbours)| / (median |neighbour - median| + noise) is at most `largest_deviation`
    (Westerweel and Scarano 2005, with 5 x 5 neighbours instead of 3 x 3, since many may be missing).

    Args:
        dx: (n, m), NaN where there is no vector.
        dy: (n, m), likewise.
        largest_deviation: see above; the paper's is 2 for 3 x 3 neighbours.
        noise_px: see above.
    """
    worst = np.zeros(dx.shape)
    counted = np.zeros(dx.shape, dtype=int)
    for component in (dx, dy):
        neighbours = _neighbours(component)
        counted = np.isfinite(neighbours).sum(axis=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=RuntimeWarning)
            middle = np.nanmedian(neighbours, axis=0)
            residual = np.nanmedian(np.abs(neighbours - middle), axis=0)
        worst = np.fmax(worst, np.abs(component - middle) / (residual + noise_px))
    passed: NDArray[np.bool_] = (
        np.isfinite(dx) & np.isfinite(dy) & (counted >= FEWEST_NEIGHBOURS) & (worst <= largest_deviation)
    )
    return passed


def _neighbours(field: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(field, 2, constant_values=np.nan)
    shifts = [(i, j) for i in range(5) for j in range(5) if (i, j) != (2, 2)]
    return np.stack([padded[i : i + field.shape[0], j : j + field.shape[1]] for i, j in shifts])
