"""Baselines and scores of monthly ice cover: hand-worked cases, reference implementations, and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.measure.ice_cover import (
    BASELINES,
    FieldSums,
    Known,
    MemberSums,
    MonthlySeries,
    carried_on,
    choose_stretch,
    crps,
    field_sums,
    fit_climate,
    forecast,
    gain_over,
    interval_of,
    level_of,
    member_scores_of,
    member_sums,
    month_name,
    month_number,
    scores_of,
    stretched,
)
from glacier_core.measure.similarity import similarity_map

Floats = NDArray[np.float32]
YEARS = 12


def series_of(values: Floats, first: int = month_number("1980-01")) -> MonthlySeries:
    return MonthlySeries(first, values.astype(np.float32))


def seasonal(years: int = YEARS, cells: int = 3, *, slope: float = 0.0) -> Floats:
    """A season that repeats, and a line through the years."""
    at = np.arange(years * 12)
    season = 0.5 + 0.3 * np.cos(2 * np.pi * at / 12)
    return (season[:, None] + slope * (at // 12)[:, None] + np.zeros(cells)).astype(np.float32)


def all_rows(series: MonthlySeries) -> NDArray[np.bool_]:
    return np.ones(len(series), bool)


def forecasts(series: MonthlySeries, rows: NDArray[np.bool_], *, issue: int, lead: int) -> dict[str, Floats]:
    climate = fit_climate(series, rows, leads=lead)
    known = Known.of(series, climate)
    return {
        name: forecast(name, series=series, climate=climate, known=known, issue=issue, lead=lead) for name in BASELINES
    }


def test_months_have_names_and_missing_ones_are_rows_of_nothing() -> None:
    assert month_name(month_number("1999-12-01")) == "1999-12"
    found = MonthlySeries.of(["1987-03", "1987-01"], np.array([[3.0], [1.0]], np.float32))
    assert [found.name(row) for row in range(len(found))] == ["1987-01", "1987-02", "1987-03"]
    assert np.array_equal(found.seen, [True, False, True])
    with pytest.raises(DataError, match="1987-01 twice"):
        MonthlySeries.of(["1987-01", "1987-01-15"], np.zeros((2, 1), np.float32))


def test_values_last_only_as_long_as_they_may() -> None:
    values = np.array([[1.0], [np.nan], [np.nan], [np.nan], [2.0]], np.float32)
    assert np.allclose(carried_on(values, reach=2)[:, 0], [1, 1, 1, np.nan, 2], equal_nan=True)


def test_a_season_that_repeats_is_forecast_without_error() -> None:
    series = series_of(seasonal())
    issue = len(series) - 4
    found = forecasts(series, all_rows(series), issue=issue, lead=3)
    for name in set(BASELINES) - {"persistence"}:
        assert np.allclose(found[name], series.values_NP[issue + 3], atol=1e-5), name
    assert np.allclose(found["persistence"], series.values_NP[issue])


def test_a_trend_goes_on() -> None:
    series = series_of(seasonal(slope=-0.01))
    rows = series.years < 1990
    found = forecasts(series, rows, issue=10 * 12, lead=6)
    assert np.allclose(found["trend"], series.values_NP[10 * 12 + 6], atol=1e-4)
    assert np.allclose(found["trend_damped_anomaly"], found["trend"], atol=1e-3)
    assert found["climatology"][0] > found["climatology10"][0] - 1e-6 > found["trend"][0]


def test_damping_is_the_regression_of_what_came_on_what_was_known() -> None:
    rng = np.random.default_rng(0)
    anomaly = np.zeros((50 * 12, 1))
    for row in range(1, len(anomaly)):
        anomaly[row] = 0.8 * anomaly[row - 1] + rng.normal(0, 0.03)
    series = series_of((seasonal(50, 1) + anomaly).astype(np.float32))
    climate = fit_climate(series, all_rows(series), leads=2)
    assert np.mean(climate.damping[0]) == pytest.approx(0.8, abs=0.06)
    assert np.mean(climate.damping[1]) == pytest.approx(0.64, abs=0.08)
    month, own = 5, series.values_NP[:, 0].astype(float)
    at = np.arange(5, len(own), 12)
    before, came = (own[rows] - climate.mean[series.months[rows], 0] for rows in (at - 1, at))
    ridge = 1e-4 * len(at)
    assert climate.damping[0, month, 0] == pytest.approx((before @ came) / (before @ before + ridge), rel=1e-3)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), missing=st.integers(0, 30))
def test_what_is_not_fitted_on_changes_nothing_that_is_fitted(seed: int, missing: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((YEARS * 12, 4), np.float32)
    values[rng.integers(0, len(values), missing)] = np.nan
    series = series_of(values)
    rows = series.years < 1989
    changed = values.copy()
    changed[~rows] = rng.random(changed[~rows].shape, np.float32)
    one, other = (fit_climate(series_of(each), rows, leads=3) for each in (values, changed))
    for name in ("mean", "recent", "spread", "often", "level", "slope", "damping", "trend_damping"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), issue=st.integers(72, 130), lead=st.integers(1, 6))
def test_a_forecast_knows_nothing_of_later_months_and_stays_between_0_and_1(seed: int, issue: int, lead: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((YEARS * 12, 4), np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    rows = series_of(values).years < 1986
    later = values.copy()
    later[issue + 1 :] = 0.123
    one, other = (forecasts(series_of(each), rows, issue=issue, lead=lead) for each in (values, later))
    for name in BASELINES:
        assert np.array_equal(one[name], other[name]), name
        assert np.isfinite(one[name]).all()
        assert one[name].min() >= 0
        assert one[name].max() <= 1


def test_too_few_years_give_no_climatology() -> None:
    series = series_of(seasonal(4))
    with pytest.raises(ConfigurationError, match="too few frames"):
        fit_climate(series, all_rows(series), leads=1)
    whole = series_of(seasonal())
    climate = fit_climate(whole, all_rows(whole), leads=1)
    known = Known.of(whole, climate)
    with pytest.raises(ConfigurationError, match="unknown"):
        forecast("guess", series=whole, climate=climate, known=known, issue=3, lead=1)


def test_field_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    rows = []
    fields, truths, area = rng.random((24, 50)), rng.random((24, 50)), rng.uniform(400, 660, 50)
    for number, (field, truth) in enumerate(zip(fields, truths, strict=True)):
        sums = field_sums(field.astype(np.float32), truth.astype(np.float32), area, threshold=0.15)
        rows.append({"unit": str(number // 12), "lead": 1, "sums": {"model": sums.to_json()}})
    found = {name: score.value for name, score in scores_of(rows, "model", resamples=100, confidence=0.9).items()}
    weights = np.tile(area, 24)
    one, other = truths.astype(np.float32).ravel(), fields.astype(np.float32).ravel()
    assert found["mae/lead1"] == pytest.approx(mean_absolute_error(one, other, sample_weight=weights))
    assert found["rmse/lead1"] == pytest.approx(np.sqrt(mean_squared_error(one, other, sample_weight=weights)))
    assert found["r2/lead1"] == pytest.approx(r2_score(one, other, sample_weight=weights))
    assert "ssim/lead1" not in found


def test_the_edge_error_and_its_parts_by_hand() -> None:
    """Goessling et al. 2016: four cells of 1, 2, 3 and 4 million km²."""
    area = np.array([1.0, 2.0, 3.0, 4.0]) * 1e6
    found = field_sums(
        np.array([0.9, 0.2, 0.1, 0.15], np.float32), np.array([0.8, 0.0, 0.3, 0.5], np.float32), area, threshold=0.15
    )
    assert (found.over, found.under, found.extent) == (2e6, 3e6, 8e6)
    scores = scores_of(
        [{"unit": "a", "lead": 2, "sums": {"model": found.to_json()}}], "model", resamples=100, confidence=0.9
    )
    told = {name: round(score.value, 6) for name, score in scores.items()}
    assert told["iiee/lead2"] == 5.0
    assert told["iiee_over/lead2"] == 2.0
    assert told["iiee_under/lead2"] == 3.0
    assert told["iiee_fraction/lead2"] == 0.625
    assert told["extent_error/lead2"] == -1.0
    assert told["binary_accuracy/lead2"] == 0.5


def test_cells_that_were_not_seen_do_not_count() -> None:
    area = np.ones(3)
    field, truth = np.array([0.5, 0.5, 0.9], np.float32), np.array([0.5, np.nan, 0.4], np.float32)
    found = field_sums(field, truth, area, threshold=0.15)
    assert found.area == 2.0
    assert found.absolute == pytest.approx(0.5)
    with pytest.raises(DataError, match="not finite"):
        field_sums(truth, field, area, threshold=0.15)
    with pytest.raises(DataError, match="one shape"):
        field_sums(field[:2], truth, area, threshold=0.15)
    assert (found + found).area == 4.0
    assert FieldSums.from_json(found.to_json()).over == found.over


def test_similarity_is_that_of_scikit_image() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.random((2, 40, 36)).astype(np.float32)
    _, wanted = structural_similarity(  # type: ignore[no-untyped-call]
        one, other, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    found = similarity_map(one, other)
    assert np.allclose(found[5:-5, 5:-5], wanted[5:-5, 5:-5], atol=1e-5)
    assert np.isnan(found[:5]).all()
    other[20, 20] = np.nan
    assert np.isnan(similarity_map(one, other)[15:26, 15:26]).all()


def test_crps_by_its_definition() -> None:
    rng = np.random.default_rng(3)
    members, truth = rng.random((12, 20)).astype(np.float32), rng.random(20).astype(np.float32)
    apart = np.abs(members[:, None] - members[None]).astype(np.float64)
    wanted = np.abs(members - truth).mean(axis=0) - apart.sum(axis=(0, 1)) / (2 * 12 * 12)
    assert np.allclose(crps(members, truth), wanted, atol=1e-6)
    # the square of the distribution's distance from the truth's step: 1/4 over 0.2 between two members
    assert crps(np.array([[0.4], [0.6]], np.float32), np.array([0.5], np.float32))[0] == pytest.approx(0.05)
    assert crps(np.full((10, 1), 0.4, np.float32), np.array([0.1], np.float32))[0] == pytest.approx(0.3)
    with pytest.raises(DataError, match="at least one"):
        crps(members[:0], truth)


def test_members_in_pairs_gain_nothing_by_being_many() -> None:
    """Pairs on either side of the forecast: the score is the same however often they are repeated."""
    rng = np.random.default_rng(6)
    errors, truth = rng.normal(0, 0.1, (10, 300)), rng.normal(0.5, 0.1, 300).astype(np.float32)
    pairs = (0.5 + np.concatenate([errors, -errors])).astype(np.float32)
    one, many = (
        member_sums(members, truth, np.ones(300), confidence=0.9) for members in (pairs, np.tile(pairs, (5, 1)))
    )
    assert one.crps == pytest.approx(many.crps, rel=1e-6)
    assert one.variance == pytest.approx(many.variance, rel=1e-6)
    assert one.variance == pytest.approx(300 * (errors**2).mean(), rel=1e-4)


def test_what_rounds_to_an_intervals_end_counts_beside_the_plain_coverage() -> None:
    members = np.linspace(0.4, 0.6, 12, dtype=np.float32)[:, None] * np.ones(4, np.float32)
    truth = np.array([0.5, 0.61, 0.63, 0.7], np.float32)
    found = {level: member_sums(members, truth, np.ones(4), confidence=0.9, level=level) for level in (0.0, 0.02, 0.07)}
    assert {level: sums.covered for level, sums in found.items()} == {0.0: 1, 0.02: 2, 0.07: 3}
    assert {sums.covered_plain for sums in found.values()} == {1}


def test_the_level_of_fields_is_that_of_their_values() -> None:
    rng = np.random.default_rng(7)
    steps = np.array([0, *np.arange(0.175, 1, 0.05)], np.float32)
    pictures = rng.choice(steps, (30, 400))
    pictures[3] = np.nan
    assert level_of(pictures) == pytest.approx(0.05)
    assert level_of((rng.integers(0, 1001, 50_000) / 1000).astype(np.float32)) == pytest.approx(0.001)
    assert level_of(rng.random(200_000, np.float32)) <= 2e-4
    assert level_of(np.full(5, 0.3, np.float32)) == 0


def test_members_as_wide_as_their_error_cover_and_have_a_ratio_of_one() -> None:
    rng = np.random.default_rng(4)
    cells = 4000
    centre = rng.uniform(0.3, 0.7, cells)
    errors = rng.normal(0, 0.05, (20, cells))
    members = (centre + np.concatenate([errors, -errors])).astype(np.float32)
    truth = (centre + rng.normal(0, 0.05, cells)).astype(np.float32)
    sums = member_sums(members, truth, np.ones(cells), confidence=0.9)
    rows = [{"unit": str(number), "lead": 1, "members": sums.to_json()} for number in range(10)]
    found = member_scores_of(rows, resamples=100, confidence=0.9)
    assert found["spread_skill/lead1"].value == pytest.approx(1.0, abs=0.04)
    assert found["coverage_unsure/lead1"].value == pytest.approx(0.93, abs=0.05)
    assert found["crps/lead1"].n == 10
    with pytest.raises(DataError, match="at least 10"):
        member_sums(members[:9], truth, np.ones(cells), confidence=0.9)
    low, high = interval_of(members, confidence=0.9)
    assert (low <= high).all()


def test_the_stretch_that_covers_is_chosen() -> None:
    whole = MemberSums(unsure=100.0, unsure_covered=70.0)
    right = MemberSums(unsure=100.0, unsure_covered=91.0)
    wide = MemberSums(unsure=100.0, unsure_covered=99.0)
    assert choose_stretch({1.0: [whole], 1.5: [right], 2.0: [wide]}, confidence=0.9) == 1.5
    members = np.array([[0.4], [0.6]], np.float32)
    assert np.allclose(stretched(members, np.array([0.5], np.float32), 2.0)[:, 0], [0.3, 0.7])


def test_a_gain_in_every_year_has_an_interval_below_zero() -> None:
    rng = np.random.default_rng(5)
    area, rows = np.ones(30), []
    for month in range(120):
        truth = rng.random(30).astype(np.float32)
        near, far = (np.clip(truth + rng.normal(0, wide, 30), 0, 1).astype(np.float32) for wide in (0.05, 0.1))
        sums = {who: field_sums(each, truth, area, threshold=0.15).to_json() for who, each in (("a", near), ("b", far))}
        rows.append({"unit": f"{month // 12:02d}", "lead": 1, "sums": sums})
    for metric in ("mae", "rmse", "iiee"):
        found = gain_over(rows, "a", "b", metric=metric, lead=1, resamples=500, confidence=0.9)
        assert found.n == 10
        assert found.high is not None
        assert found.high < 0
        assert gain_over(rows, "a", "a", metric=metric, lead=1, resamples=100, confidence=0.9).value == 0
