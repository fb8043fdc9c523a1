"""Split conformal intervals: finite-sample coverage, too few units, round trips."""

from __future__ import annotations

import numpy as np
import pytest

from glacier_core.errors import DataError
from glacier_core.measure import AreaEstimate, Calibration, calibrate


def estimate(area: float, spread: float, domain: float = 1e9) -> AreaEstimate:
    return AreaEstimate(
        area_km2=area,
        spread_km2=spread,
        clear_fraction=1.0,
        observed_ice_km2=area,
        unobserved_km2=0.0,
        domain_km2=domain,
    )


def simulated(rng: np.random.Generator, count: int) -> tuple[list[AreaEstimate], list[float]]:
    """Areas whose errors are skewed, heavy-tailed, biased and only roughly as large as the spreads say."""
    truths = rng.lognormal(1, 1, count) + 1
    spreads = 0.02 * truths * rng.uniform(0.5, 2, count)
    errors = spreads * (rng.standard_t(3, count) + rng.exponential(1, count)) * rng.uniform(0.5, 2, count)
    return [estimate(float(t + e), float(s)) for t, e, s in zip(truths, errors, spreads, strict=True)], truths.tolist()


@pytest.mark.parametrize("count", [19, 60])
def test_coverage_of_new_units_is_as_promised_whatever_the_errors(count: int) -> None:
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(1500):
        estimates, truths = simulated(rng, count + 10)
        calibration = calibrate(estimates[:count], truths[:count], confidence=0.9)
        assert calibration.exact
        for new, truth in zip(estimates[count:], truths[count:], strict=True):
            low, high = calibration.interval(new)
            covered.append(low <= truth <= high)
    expected = np.ceil((count + 1) * 0.9) / (count + 1)  # exact for continuous scores
    assert np.mean(covered) == pytest.approx(expected, abs=0.012)


def test_the_quantile_is_the_rank_of_the_finite_sample() -> None:
    truths = [10.0 + score for score in range(1, 20)]  # scores 1 ... 19
    calibration = calibrate([estimate(10.0, 1.0)] * 19, truths, confidence=0.9)
    assert calibration == Calibration(quantile=18.0, confidence=0.9, n=19, exact=True)


def test_nine_units_are_just_enough_at_ninety_percent() -> None:
    truths = [10.0 + score for score in range(1, 10)]
    assert calibrate([estimate(10.0, 1.0)] * 9, truths, confidence=0.9) == Calibration(
        quantile=9.0, confidence=0.9, n=9, exact=True
    )
    assert not calibrate([estimate(10.0, 1.0)] * 8, truths[:8], confidence=0.9).exact


def test_without_units_the_interval_is_the_normal_one() -> None:
    calibration = calibrate([], [], confidence=0.9)
    assert calibration.quantile == pytest.approx(1.6448536)
    assert (calibration.n, calibration.exact) == (0, False)


def test_few_units_with_large_errors_widen_the_default() -> None:
    assert calibrate([estimate(10.0, 1.0)] * 3, [10.0, 11.0, 15.0], confidence=0.9).quantile == 5.0
    assert calibrate([estimate(10.0, 1.0)] * 3, [10.0, 10.1, 10.2], confidence=0.9).quantile == pytest.approx(1.6448536)


def test_intervals_stay_within_what_can_be() -> None:
    calibration = Calibration(quantile=3.0, confidence=0.9, n=20, exact=True)
    assert calibration.interval(estimate(1.0, 1.0, domain=2.0)) == (0.0, 2.0)
    assert calibration.interval(estimate(10.0, 1.0)) == (7.0, 13.0)


def test_round_trip() -> None:
    calibration = Calibration(quantile=1.23, confidence=0.9, n=20, exact=True)
    assert Calibration.from_json(calibration.to_json()) == calibration


def test_what_cannot_be_calibrated_on_is_refused() -> None:
    with pytest.raises(DataError, match="one truth for each estimate"):
        calibrate([estimate(1.0, 1.0)], [], confidence=0.9)
    with pytest.raises(DataError, match="positive spread"):
        calibrate([estimate(1.0, 0.0)], [1.0], confidence=0.9)
    with pytest.raises(DataError, match="finite"):
        calibrate([estimate(1.0, 1.0)], [float("nan")], confidence=0.9)
