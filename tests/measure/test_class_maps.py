"""Class maps against the truth: hand-worked cases, scikit-learn, torchmetrics; areas, change, classical maps."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn import metrics
from torchmetrics.functional import jaccard_index

from glacier_core.errors import DataError
from glacier_core.grids import Grid
from glacier_core.measure import classes as class_maps
from glacier_core.measure import pixel_areas
from glacier_core.prepare.features import place_channels

NAMES = ("rock", "ice", "snow")
MAPS = npst.arrays(np.uint8, st.just((6, 7)), elements=st.sampled_from([0, 1, 2, 255]))


def noisy(*, seed: int, wrong: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (40, 50)).astype(np.uint8)
    predicted = np.where(rng.random(truth.shape) < wrong, rng.integers(0, 3, truth.shape), truth).astype(np.uint8)
    return truth, predicted


def test_a_hand_worked_confusion_matrix() -> None:
    truth = np.array([[0, 0, 1], [1, 2, 255]], dtype=np.uint8)
    predicted = np.array([[0, 1, 1], [255, 0, 2]], dtype=np.uint8)
    matrix = class_maps.confusion_matrix(truth, predicted, classes=3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert class_maps.counts_of(matrix, 0).iou == pytest.approx(1 / 3)
    assert class_maps.mean_iou(matrix) == pytest.approx((1 / 3 + 1 / 2 + 0) / 3)


def test_scores_are_those_of_scikit_learn_and_torchmetrics() -> None:
    truth, predicted = noisy(seed=1)
    matrix = class_maps.confusion_matrix(truth, predicted, classes=3)
    found = class_maps.class_scores([matrix], classes=NAMES, resamples=100, confidence=0.9)
    flat, guess = truth.ravel(), predicted.ravel()
    for number, name in enumerate(NAMES):
        for metric, theirs in (
            ("iou", metrics.jaccard_score),
            ("f1", metrics.f1_score),
            ("precision", metrics.precision_score),
            ("recall", metrics.recall_score),
        ):
            expected = theirs(flat, guess, average=None)[number]
            assert found[f"{metric}/{name}"].value == pytest.approx(expected, abs=1e-12)
    assert found["accuracy/all"].value == pytest.approx(metrics.accuracy_score(flat, guess))
    theirs = jaccard_index(
        torch.from_numpy(predicted.astype(np.int64)),
        torch.from_numpy(truth.astype(np.int64)),
        task="multiclass",
        num_classes=3,
        average="macro",
    )
    assert found["iou/mean"].value == pytest.approx(float(theirs), abs=1e-6)
    assert found["iou/mean"].low is None  # one place is no sample of places


def test_intervals_resample_places() -> None:
    matrices = [class_maps.confusion_matrix(*noisy(seed=seed, wrong=0.1 * seed), classes=3) for seed in range(9)]
    score = class_maps.mean_iou_score(matrices, resamples=500, confidence=0.9)
    assert score.n == 9
    assert score.low is not None
    assert score.high is not None
    assert score.low < score.value < score.high


def test_a_class_that_nobody_has_gets_no_score() -> None:
    matrix = np.array([[5, 1, 0], [0, 4, 0], [0, 0, 0]])
    found = class_maps.class_scores([matrix], classes=NAMES, resamples=100, confidence=0.9)
    assert "iou/snow" not in found
    assert found["iou/mean"].value == pytest.approx((5 / 6 + 4 / 5) / 2)


def test_maps_of_different_shapes_or_unknown_classes_are_refused() -> None:
    truth = np.zeros((3, 3), np.uint8)
    with pytest.raises(DataError, match="shapes"):
        class_maps.confusion_matrix(truth, truth[:2], classes=2)
    with pytest.raises(DataError, match="class 7"):
        class_maps.confusion_matrix(truth, truth + 7, classes=2)


@given(before=MAPS, after=MAPS)
def test_transitions_add_up_to_the_ground_that_both_know(before: np.ndarray, after: np.ndarray) -> None:
    area = np.linspace(1, 2, 6)[:, None]
    table = class_maps.transition_areas(before, after, area, classes=3)
    known = (before != 255) & (after != 255)
    assert table.sum() == pytest.approx(np.broadcast_to(area, known.shape)[known].sum())
    same = class_maps.transition_areas(before, before, area, classes=3)
    assert np.allclose(np.diag(same), class_maps.class_areas(before, area, classes=3))
    codes = class_maps.change_codes(before, after, classes=3)
    assert np.array_equal(codes[known], before[known] * 3 + after[known])
    assert (codes[~known] == 255).all()


def test_areas_are_those_of_the_ellipsoid() -> None:
    grid = Grid(crs="EPSG:32645", transform=(30.0, 0.0, 480_000.0, 0.0, -30.0, 3_100_000.0), width=7, height=6)
    codes = np.full((6, 7), 1, np.uint8)
    assert class_maps.class_areas(codes, pixel_areas(grid), classes=2)[1] == pytest.approx(42 * 9e-4, rel=1e-3)


def pixels(*, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Three surfaces that two channels tell apart, one of them only by their covariance."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (30, 30)).astype(np.uint8)
    green = np.choose(truth, [0.2, 0.5, 0.8]) + rng.normal(0, 0.05, truth.shape)
    swir = np.choose(truth, [0.3, 0.1, 0.1]) + rng.normal(0, 0.02, truth.shape)
    return {"green": green.astype(np.float32), "swir1": swir.astype(np.float32)}, truth


def test_classical_maps_learn_what_channels_tell_and_come_back_from_json() -> None:
    rules = class_maps.fit_classical([pixels(seed=1)], classes=3, spectral=("green", "swir1"))
    assert [rule.name for rule in rules] == ["majority", "nearest_mean", "maximum_likelihood"]
    channels, truth = pixels(seed=2)
    scores = {}
    for rule in rules:
        again = class_maps.read_classical(json.loads(json.dumps(rule.to_json())))
        assert np.array_equal(again.apply(channels), rule.apply(channels))
        scores[rule.name] = class_maps.mean_iou(class_maps.confusion_matrix(truth, rule.apply(channels), classes=3))
    assert scores["maximum_likelihood"] > 0.95
    assert scores["majority"] < 0.4
    assert scores["nearest_mean"] > 0.9


def test_what_a_classical_map_does_not_know_is_unknown() -> None:
    (rule,) = [
        rule
        for rule in class_maps.fit_classical([pixels(seed=1)], classes=3, spectral=("green", "swir1"))
        if rule.name == "maximum_likelihood"
    ]
    channels, _ = pixels(seed=2)
    channels["green"][3, 4] = np.nan
    assert rule.apply(channels)[3, 4] == 255
    with pytest.raises(DataError, match="swir1"):
        rule.apply({"green": channels["green"]})


def test_place_and_snow_index_beat_either_where_the_middle_is_meant() -> None:
    rows, columns = np.mgrid[:64, :64]
    near = np.hypot(rows - 32, columns - 32)
    snow = np.where((near < 18) | ((near > 26) & (columns > 32)), 0.7, -0.3).astype(np.float32)
    round_, square = place_channels((64, 64))
    channels = {"ndsi": snow, "green": snow, "middle_round": round_, "middle_square": square}
    truth = (near < 18).astype(np.uint8)
    rules = {
        rule.name: rule for rule in class_maps.fit_classical([(channels, truth)], classes=2, spectral=("green", "ndsi"))
    }

    def iou(name: str) -> float:
        matrix = class_maps.confusion_matrix(truth, rules[name].apply(channels), classes=2)
        return class_maps.counts_of(matrix, 1).iou

    assert iou("ndsi_place") > 0.98
    assert iou("tuned_band") < 0.6


def test_labels_without_a_pixel_fit_nothing() -> None:
    channels, truth = pixels(seed=1)
    with pytest.raises(DataError, match="no training pixel is labelled"):
        class_maps.fit_classical([(channels, np.full_like(truth, 255))], classes=3, spectral=("green",))
