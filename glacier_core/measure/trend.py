"""Trends of short yearly series: the Theil-Sen slope with its interval, and the Mann-Kendall test.

Sen 1968, doi 10.1080/01621459.1968.10480934; Mann 1945, doi 10.2307/1907187; Kendall 1975, Rank Correlation Methods.
Both treat the years' errors as independent: positively autocorrelated ones make intervals too narrow.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from glacier_core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Up to here the null distribution of Kendall's S is counted out; beyond, the normal approximation is as good.
EXACT_UP_TO = 60


@dataclass(frozen=True)
class Trend:
    """A slope with its interval."""

    slope: float
    """Median of the slopes of all pairs, in units of the series a year; NaN below three values."""
    low: float
    """Lower end of the interval; NaN where so few values cannot give one of this confidence."""
    high: float
    """Upper end of the interval; NaN likewise."""
    n: int
    """Number of values."""


@dataclass(frozen=True)
class TrendTest:
    """A test of no monotonic trend."""

    tau: float
    """Kendall's tau-b of value against order, -1 to 1; NaN below three values."""
    z: float
    """Normal score of S with continuity and tie correction."""
    p_value: float
    """Two-sided p-value: counted out where no values are equal and n <= 60, else from z; NaN below three values."""
    n: int
    """Number of values."""


def theil_sen(years: ArrayLike, values: ArrayLike, *, confidence: float) -> Trend:
    """The Theil-Sen slope and its distribution-free interval.

    The interval lies between two of the sorted pairwise slopes, whose ranks follow from the null distribution of
    Kendall's S: counted out for up to 60 distinct values (Hollander, Wolfe and Chicken 2014, section 9.3), so that
    short series are covered as promised; the normal approximation with Sen's tie correction, as in
    `scipy.stats.theilslopes`, otherwise.

    Args:
        years: (n,) times, in years; pairs of the same time give no slope.
        values: (n,) values; NaN are left out.
        confidence: coverage of the interval, between 0 and 1.

    Raises:
        DataError: the lengths differ.
    """
    x, y = _paired(years, values)
    if x.size < 3 or np.unique(x).size < 2:
        return Trend(slope=math.nan, low=math.nan, high=math.nan, n=int(x.size))
    first, second = np.triu_indices(x.size, k=1)
    apart = x[first] != x[second]
    slopes = np.sort(((y[second] - y[first])[apart]) / ((x[second] - x[first])[apart]))
    low, high = _interval_of_slopes(slopes, x, y, confidence)
    return Trend(slope=float(np.median(slopes)), low=low, high=high, n=int(x.size))


def mann_kendall(values: ArrayLike) -> TrendTest:
    """The Mann-Kendall test of a series against no trend, with tie correction.

    Args:
        values: (n,) values in the order of time; NaN are left out.
    """
    y = np.asarray(values, dtype=np.float64)
    y = y[np.isfinite(y)]
    n = int(y.size)
    if n < 3:
        return TrendTest(tau=math.nan, z=math.nan, p_value=math.nan, n=n)
    first, second = np.triu_indices(n, k=1)
    statistic = int(np.sign(y[second] - y[first]).sum())
    ties = _tie_sizes(y)
    variance = _variance_of_s(n, ties)
    if variance <= 0:
        return TrendTest(tau=0.0, z=0.0, p_value=1.0, n=n)
    pairs = n * (n - 1) / 2
    tied_pairs = sum(size * (size - 1) / 2 for size in ties)
    tau = statistic / math.sqrt(pairs * (pairs - tied_pairs))
    z = math.copysign(max(abs(statistic) - 1, 0), statistic) / math.sqrt(variance)
    p_value = 2 * NormalDist().cdf(-abs(z)) if ties or n > EXACT_UP_TO else _p_of_s(n, statistic)
    return TrendTest(tau=tau, z=z, p_value=min(1.0, p_value), n=n)


def _paired(years: ArrayLike, values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(years, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise DataError(f"years of shape {x.shape} and values of shape {y.shape}", expected="two series of one length")
    known = np.isfinite(x) & np.isfinite(y)
    return x[known], y[known]


def _interval_of_slopes(
    slopes: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    n, count = x.size, slopes.size
    ties_x, ties_y = _tie_sizes(x), _tie_sizes(y)
    if n <= EXACT_UP_TO and not ties_x and not ties_y:
        dropped = _slopes_outside(n, confidence)
    else:
        deviation = math.sqrt(max(_variance_of_s(n, ties_x) + _variance_of_s(n, ties_y) - _variance_of_s(n, []), 0.0))
        dropped = round((count - NormalDist().inv_cdf((1 + confidence) / 2) * deviation) / 2) - 1
    if dropped < 0 or 2 * dropped >= count:
        return math.nan, math.nan
    return float(slopes[dropped]), float(slopes[count - 1 - dropped])


def _slopes_outside(n: int, confidence: float) -> int:
    """How many of the sorted slopes may lie below the interval; -1 where not even the smallest and largest suffice."""
    ways = _inversions(n)
    tail = 0
    # the number of pairwise slopes below the true one is distributed as the number of inversions of a permutation
    for dropped in range(len(ways)):
        tail += ways[dropped]
        if 2 * tail > (1 - confidence) * math.factorial(n) * (1 + 1e-12):
            return dropped - 1
    return len(ways) - 1


def _p_of_s(n: int, statistic: int) -> float:
    ways = _inversions(n)
    most = (len(ways) - 1 - abs(statistic)) // 2
    return 2 * sum(ways[: most + 1]) / math.factorial(n)


@lru_cache(maxsize=128)
def _inversions(n: int) -> tuple[int, ...]:
    """Number of permutations of n elements with 0, 1, ... inversions (Kendall 1938, doi 10.1093/biomet/30.1-2.81)."""
    ways = [1]
    for size in range(2, n + 1):
        longer = len(ways) + size - 1
        sums = [0, *np.cumsum(np.array(ways + [0] * (size - 1), dtype=object)).tolist()]
        ways = [sums[k + 1] - sums[max(0, k + 1 - size)] for k in range(longer)]
    return tuple(ways)


def _tie_sizes(values: NDArray[np.float64]) -> list[int]:
    return [count for count in Counter(values.tolist()).values() if count > 1]


def _variance_of_s(n: int, ties: list[int]) -> float:
    return (n * (n - 1) * (2 * n + 5) - sum(size * (size - 1) * (2 * size + 5) for size in ties)) / 18
