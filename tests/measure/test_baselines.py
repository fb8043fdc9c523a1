"""Classical thresholds against scikit-image, and their tuning."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from glacier_core.errors import DataError
from glacier_core.measure import Baseline, Counts, fit_baselines, otsu_threshold

Sample = tuple[dict[str, NDArray[np.float32]], NDArray[np.bool_], NDArray[np.bool_]]


def sample(seed: int = 0, *, scale: float = 1.0) -> Sample:
    """Ice that is bright in green and dark in SWIR, on rock and vegetation."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((80, 90), dtype=bool)
    truth[20:60, 10:50] = True
    bands = {
        "green": np.where(truth, 0.6, 0.15),
        "red": np.where(truth, 0.55, 0.2),
        "swir": np.where(truth, 0.08, 0.25),
        "noise": np.full(truth.shape, 0.3),
    }
    light = rng.uniform(0.3, 1.0, truth.shape)  # shade, which ratios forgive and single bands do not
    noisy = {
        name: (scale * (light * band + rng.normal(0, 0.01, truth.shape))).astype(np.float32)
        for name, band in bands.items()
    }
    return noisy, truth, np.ones(truth.shape, dtype=bool)


def named(baselines: list[Baseline]) -> dict[str, Baseline]:
    return {baseline.name: baseline for baseline in baselines}


def iou(baseline: Baseline, of: Sample) -> float:
    bands, truth, where = of
    return Counts.of(baseline.apply(bands), truth, where).iou


@pytest.mark.parametrize("seed", range(5))
def test_otsu_agrees_with_scikit_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0.2, 0.1, 3000), rng.normal(0.7, 0.15, 1000 + 500 * seed)])
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[1:] + edges[:-1]) / 2
    theirs = threshold_otsu(hist=(counts, centres))  # type: ignore[no-untyped-call]  # a bin's centre: values above it belong to the next bin
    assert otsu_threshold(counts, edges) == pytest.approx(theirs + (edges[1] - edges[0]) / 2)


def test_every_classical_rule_is_there() -> None:
    found = named(fit_baselines([sample()], green="green", swir="swir"))
    assert set(found) == {
        "ndsi_0.4",
        "ndsi_tuned",
        "otsu_green",
        "otsu_red",
        "otsu_swir",
        "otsu_noise",
        "otsu_ratio",
        "tuned_band",
        "tuned_ratio",
    }
    assert found["ndsi_0.4"] == Baseline(name="ndsi_0.4", bands=("green", "swir"), threshold=0.4, above=True)


def test_tuned_rules_do_at_least_as_well_as_fixed_ones_and_transfer() -> None:
    train, test = [sample(1), sample(2)], sample(3)
    found = named(fit_baselines(train, green="green", swir="swir"))
    for data in train:
        assert iou(found["ndsi_tuned"], data) >= iou(found["ndsi_0.4"], data) - 1e-3
        assert iou(found["tuned_ratio"], data) >= iou(found["otsu_ratio"], data) - 1e-3
        best_band = max(iou(found[f"otsu_{band}"], data) for band in ("green", "red", "swir", "noise"))
        assert iou(found["tuned_band"], data) >= best_band - 0.01
    assert iou(found["ndsi_tuned"], test) > 0.97
    assert iou(found["ndsi_tuned"], test) > iou(found["tuned_band"], test)  # shade


def test_the_side_of_ice_is_chosen() -> None:
    bands, truth, where = sample()
    dark = {"dark": (1 - bands["green"] / bands["green"].max()).astype(np.float32)}
    found = named(fit_baselines([(dark, truth, where)], green="", swir=""))
    assert set(found) == {"otsu_dark", "tuned_band"}
    assert not found["otsu_dark"].above
    assert not found["tuned_band"].above


def test_digital_numbers_do_as_well_as_reflectance() -> None:
    found, counted = (named(fit_baselines([sample(scale=scale)], green="green", swir="swir")) for scale in (1.0, 255.0))
    assert counted["otsu_green"].threshold == pytest.approx(255 * found["otsu_green"].threshold, rel=0.02)
    assert iou(counted["tuned_ratio"], sample(scale=255.0)) == pytest.approx(
        iou(found["tuned_ratio"], sample()), abs=0.01
    )


def test_pixels_that_are_not_known_teach_nothing() -> None:
    bands, truth, where = sample()
    lying = {name: np.where(truth, band, 1 - band) for name, band in bands.items()}
    where = where.copy()
    where[:, 60:] = False
    mixed = {name: np.where(where, band, lying[name]).astype(np.float32) for name, band in bands.items()}
    assert fit_baselines([(mixed, truth, where)], green="green", swir="swir") == fit_baselines(
        [(bands, truth, where)], green="green", swir="swir"
    )


def test_nan_is_never_ice_on_either_side() -> None:
    image = {"a": np.array([[np.nan, 0.0, 1.0]], dtype=np.float32)}
    rules = [Baseline(name="x", bands=("a",), threshold=0.5, above=above) for above in (True, False)]
    assert rules[0].apply(image).tolist() == [[False, False, True]]
    assert rules[1].apply(image).tolist() == [[False, True, False]]
    zero = {"a": np.zeros((1, 1), dtype=np.float32), "b": np.zeros((1, 1), dtype=np.float32)}
    assert not Baseline(name="x", bands=("a", "b"), threshold=0.5, above=False).apply(zero).any()


def test_round_trip_and_words() -> None:
    rule = Baseline(name="ndsi_0.4", bands=("green", "swir"), threshold=0.4, above=True)
    assert Baseline.from_json(rule.to_json()) == rule
    assert rule.describe() == "(green - swir)/(green + swir) > 0.4"


def test_what_cannot_be_tuned_is_refused() -> None:
    bands, truth, where = sample()
    with pytest.raises(DataError, match="both ice and other ground"):
        fit_baselines([(bands, np.ones_like(truth), where)], green="green", swir="swir")
    with pytest.raises(DataError, match="no training image"):
        fit_baselines([], green="green", swir="swir")
    with pytest.raises(DataError, match="needs band swir"):
        Baseline(name="x", bands=("green", "swir"), threshold=0.4, above=True).apply({"green": bands["green"]})
