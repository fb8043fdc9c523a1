"""Theil-Sen and Mann-Kendall against scipy, tables and hand-worked cases."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from glacier_core.errors import DataError
from glacier_core.measure import mann_kendall, theil_sen


@pytest.mark.parametrize("n", [10, 40, 90])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_theil_sen_agrees_with_scipy(n: int, confidence: float) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        years = np.sort(rng.choice(np.arange(1800, 2000), n, replace=False))
        values = 5 - 0.03 * years + rng.normal(0, 2, n)
        found = theil_sen(years, values, confidence=confidence)
        slope, _, low, high = stats.theilslopes(values, years, alpha=confidence)
        assert found.slope == pytest.approx(slope)
        slopes = np.sort([(values[j] - values[i]) / (years[j] - years[i]) for i in range(n) for j in range(i + 1, n)])
        # counted out, the rank may differ by one from the normal approximation's
        step = 0 if n == 90 else 2
        for ours, theirs in ((found.low, low), (found.high, high)):
            assert abs(int(np.argmin(abs(slopes - ours))) - int(np.argmin(abs(slopes - theirs)))) <= step


def test_theil_sen_with_ties_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    years = np.repeat(np.arange(2000, 2012), 2)
    values = np.round(100 - 0.7 * (years - 2000) + rng.normal(0, 2, years.size))
    found = theil_sen(years, values, confidence=0.9)
    slope, _, low, high = stats.theilslopes(values, years, alpha=0.9)
    assert (found.slope, found.low, found.high) == pytest.approx((slope, low, high))


def test_theil_sen_by_hand() -> None:
    # slopes of pairs: 1, 2, 3, 3, 4, 5: the interval of four values at 90 % is all of them (1 - 2/4! = 0.917)
    found = theil_sen([0, 1, 2, 3], [0, 1, 4, 9], confidence=0.9)
    assert (found.slope, found.low, found.high, found.n) == (3.0, 1.0, 5.0, 4)


def test_nine_years_are_covered_as_promised() -> None:
    rng = np.random.default_rng(5)
    years = np.arange(2016, 2025)
    hits = 0
    for _ in range(1500):
        found = theil_sen(years, -0.2 * years + rng.standard_t(2, 9), confidence=0.9)
        hits += found.low <= -0.2 <= found.high
    # P(|S| <= 16) for n = 9 is 1 - 2 * 0.038 (Kendall's table)
    assert hits / 1500 == pytest.approx(0.924, abs=0.02)


def test_too_few_values_give_no_interval_or_no_slope() -> None:
    three = theil_sen([0, 1, 2], [0, 1, 2], confidence=0.9)
    assert three.slope == 1.0
    assert math.isnan(three.low)
    assert math.isnan(three.high)
    assert math.isnan(theil_sen([0, 1], [0, 1], confidence=0.9).slope)
    assert math.isnan(theil_sen([], [], confidence=0.9).slope)
    assert math.isnan(theil_sen([2000, 2000, 2000], [1, 2, 3], confidence=0.9).slope)


def test_missing_years_are_left_out() -> None:
    found = theil_sen([0, 1, 2, 3, 4], [0, 1, float("nan"), 3, 4], confidence=0.9)
    assert (found.slope, found.n) == (1.0, 4)


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError, match="two series of one length"):
        theil_sen([1, 2], [1], confidence=0.9)


def test_mann_kendall_with_ties_by_hand() -> None:
    """n = 8, ties of two and three: S = 18, Var = (8·7·21 - 2·1·9 - 3·2·11)/18 = 1092/18."""
    found = mann_kendall([10, 12, 12, 15, 14, 14, 14, 18])
    assert found.z == pytest.approx(17 / math.sqrt(1092 / 18))
    assert found.p_value == pytest.approx(0.02907, abs=1e-5)
    assert found.tau == pytest.approx(18 / math.sqrt(28 * (28 - 1 - 3)))


@pytest.mark.parametrize("n", [3, 5, 9, 30])
def test_mann_kendall_agrees_with_scipys_exact_test(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(10):
        values = rng.permutation(n).astype(float)
        theirs = stats.kendalltau(np.arange(n), values, method="exact")
        found = mann_kendall(values)
        assert found.tau == pytest.approx(theirs.statistic)
        assert found.p_value == pytest.approx(theirs.pvalue)


def test_mann_kendall_counts_every_order() -> None:
    series = [1.0, 2.0, 4.0, 3.0, 5.0]

    def s(values: tuple[float, ...] | list[float]) -> int:
        return sum(int(np.sign(b - a)) for i, a in enumerate(values) for b in values[i + 1 :])

    extreme = [abs(s(order)) >= abs(s(series)) for order in permutations(series)]
    assert mann_kendall(series).p_value == pytest.approx(np.mean(extreme))


def test_long_series_use_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(0, 1, 80) + 0.01 * np.arange(80)
    found = mann_kendall(values)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(found.z)))
    assert found.p_value == pytest.approx(stats.kendalltau(np.arange(80), values, method="exact").pvalue, abs=0.01)


def test_a_constant_series_has_no_trend_and_two_values_no_test() -> None:
    assert mann_kendall([3.0, 3.0, 3.0, 3.0]).p_value == 1.0
    assert math.isnan(mann_kendall([1.0, 2.0]).p_value)
    assert mann_kendall([1.0, float("nan"), 2.0, 3.0]).n == 3
