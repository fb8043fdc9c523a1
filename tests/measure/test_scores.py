"""Scores against scikit-learn, bootstrap intervals against scipy and their own promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.measure import Counts, bootstrap, bootstrap_counts, bootstrap_groups, paired_difference


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), share=st.floats(0.05, 0.95))
def test_scores_agree_with_scikit_learn(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    truth, found, where = rng.random((3, 20, 30)) < np.array([share, 0.5, 0.8])[:, None, None]
    counts = Counts.of(found, truth, where)
    true, predicted = truth[where], found[where]
    assert counts.iou == pytest.approx(metrics.jaccard_score(true, predicted))
    assert counts.f1 == pytest.approx(metrics.f1_score(true, predicted))
    assert counts.accuracy == pytest.approx(metrics.accuracy_score(true, predicted))
    assert counts.precision == pytest.approx(metrics.precision_score(true, predicted))
    assert counts.recall == pytest.approx(metrics.recall_score(true, predicted))
    assert Counts.from_json(counts.to_json()) == counts
    halves = [Counts.of(found[rows], truth[rows], where[rows]) for rows in (slice(0, 9), slice(9, 20))]
    assert halves[0] + halves[1] == counts


def test_nothing_to_find() -> None:
    nothing = Counts(tp=0, fp=0, fn=0, tn=9)
    assert (nothing.iou, nothing.f1, nothing.precision, nothing.recall, nothing.accuracy) == (1, 1, 1, 1, 1)
    assert Counts(tp=0, fp=0, fn=3, tn=6).precision == 0
    assert Counts(tp=0, fp=3, fn=0, tn=6).recall == 0
    assert Counts(tp=0, fp=3, fn=0, tn=6).iou == 0


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="one shape"):
        Counts.of(np.ones((2, 2), bool), np.ones((2, 3), bool), np.ones((2, 2), bool))


@pytest.mark.parametrize("n", [1, 7])
def test_below_eight_units_there_is_no_interval(n: int) -> None:
    score = bootstrap(list(range(n)), resamples=200, confidence=0.9)
    assert (score.low, score.high, score.n) == (None, None, n)
    assert score.value == np.mean(range(n))
    counts = bootstrap_counts([Counts(9, 1, 1, 9)] * n, metric="iou", resamples=200, confidence=0.9)
    assert counts.low is None


def test_eight_units_have_one() -> None:
    score = bootstrap(list(range(8)), resamples=200, confidence=0.9)
    assert score.low is not None
    assert score.high is not None
    assert score.low < 3.5 < score.high


def test_a_large_sample_gives_scipys_percentile_interval() -> None:
    values = np.random.default_rng(0).exponential(1, 400)
    found = bootstrap(values.tolist(), resamples=20_000, confidence=0.9)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, confidence_level=0.9, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_few_units_are_covered_about_as_promised() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for seed in range(600):
        score = bootstrap(rng.normal(0, 1, 8).tolist(), resamples=400, confidence=0.9, seed=seed)
        assert score.low is not None
        assert score.high is not None
        hits += score.low <= 0 <= score.high
    assert hits / 600 == pytest.approx(0.9, abs=0.035)  # plain percentiles reach 0.83


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random(12).tolist()
    first, again = (bootstrap(values, resamples=300, confidence=0.9, seed=4) for _ in range(2))
    assert first == again
    assert bootstrap(values, resamples=300, confidence=0.9, seed=5) != first


def test_groups_are_resampled_whole() -> None:
    """Nine equal years of a glacier say no more than one: the interval must not become narrower."""
    means = np.random.default_rng(0).normal(0, 1, 12)
    single = bootstrap(means.tolist(), resamples=500, confidence=0.9)
    grouped = bootstrap_groups([[mean] * 9 for mean in means], resamples=500, confidence=0.9)
    assert (grouped.low, grouped.high) == pytest.approx((single.low, single.high))
    assert grouped.n == 12


def test_groups_of_different_sizes_weigh_by_their_values() -> None:
    score = bootstrap_groups([[1.0, 1.0, 1.0], [5.0], []], resamples=200, confidence=0.9, unit="%")
    assert score.to_json() == {"value": 2.0, "low": None, "high": None, "n": 2, "unit": "%"}


def test_a_metric_of_pooled_counts() -> None:
    rng = np.random.default_rng(1)
    counts = [Counts(*(int(c) for c in rng.integers(1, 100, 4))) for _ in range(10)]
    total = sum(counts[1:], counts[0])
    for metric in ("iou", "f1", "accuracy", "precision", "recall"):
        score = bootstrap_counts(counts, metric=metric, resamples=500, confidence=0.9)
        assert score.value == pytest.approx(getattr(total, metric))
        assert score.low is not None
        assert score.high is not None
        assert score.low < score.value < score.high
    with pytest.raises(ConfigurationError, match="iou, f1"):
        bootstrap_counts(counts, metric="kappa", resamples=100, confidence=0.9)


def test_differences_are_paired_by_unit() -> None:
    rng = np.random.default_rng(0)
    names = [f"g{number}" for number in range(10)]
    level = {name: float(rng.normal(0, 10)) for name in names}  # glaciers differ far more than models do
    better = {name: level[name] + 0.1 + 0.02 * float(rng.normal()) for name in reversed(names)}
    score = paired_difference({**better, "only here": 99.0}, level, resamples=1000, confidence=0.9)
    assert score.n == 10
    assert score.low is not None
    assert score.high is not None
    assert 0.05 < score.low < 0.1 < score.high < 0.15
    with pytest.raises(DataError, match="no unit in common"):
        paired_difference({"a": 1.0}, {"b": 1.0}, resamples=100, confidence=0.9)


def test_no_values_are_refused() -> None:
    with pytest.raises(DataError, match="no value"):
        bootstrap([], resamples=100, confidence=0.9)
    with pytest.raises(DataError, match="no counts"):
        bootstrap_counts([], metric="iou", resamples=100, confidence=0.9)
