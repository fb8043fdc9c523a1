"""The gate lets a challenger through only on evidence."""

from __future__ import annotations

import json

import numpy as np

from glacier_core.registry import Verdict, gate


def scores(mean: float, *, units: int = 12, seed: int = 0, noise: float = 0.01) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    return {f"g{number}": mean + float(rng.normal(0, noise)) for number in range(units)}


def judged(
    challenger: dict[str, float], baseline: dict[str, float], champion: dict[str, float] | None = None
) -> Verdict:
    return gate(challenger=challenger, best_baseline=baseline, champion=champion, resamples=1000, confidence=0.9)


def test_a_first_model_that_beats_the_baseline_passes() -> None:
    verdict = judged(scores(0.9), scores(0.7, seed=1))
    assert verdict.passed
    assert verdict.decided
    assert verdict.n == 12
    assert verdict.differences["baseline"].value > 0.15
    assert verdict.reason.startswith("beats the baseline by +0.")


def test_an_advantage_within_the_noise_does_not_pass() -> None:
    verdict = judged(scores(0.801, noise=0.05), scores(0.8, noise=0.05, seed=1))
    assert not verdict.passed
    assert "does not beat the baseline" in verdict.reason


def test_the_champion_must_be_beaten_too() -> None:
    baseline, champion = scores(0.7, seed=1), scores(0.92, seed=2)
    verdict = judged(scores(0.9), baseline, champion)
    assert not verdict.passed
    assert "beats the baseline" in verdict.reason
    assert "does not beat the champion" in verdict.reason
    assert judged(scores(0.95), baseline, champion).passed
    assert not judged(champion, baseline, champion).passed


def test_below_eight_units_there_is_no_promotion_however_large_the_lead() -> None:
    verdict = judged(scores(0.99, units=7), scores(0.1, units=7))
    assert not verdict.passed
    assert not verdict.decided
    assert verdict.differences["baseline"].low is None
    assert "7 independent units" in verdict.reason
    assert judged(scores(0.99, units=8), scores(0.1, units=8, seed=1)).passed


def test_only_units_that_both_know_count() -> None:
    champion = dict(list(scores(0.5, seed=2).items())[:7])
    verdict = judged(scores(0.9), scores(0.7, seed=1), champion)
    assert not verdict.passed
    assert verdict.n == 7


def test_no_rival_is_no_evidence() -> None:
    verdict = judged(scores(0.9), {})
    assert not verdict.passed
    assert verdict.n == 0
    assert "baseline" in verdict.reason


def test_the_verdict_is_plain_json() -> None:
    value = judged(scores(0.9), scores(0.7, seed=1)).to_json()
    assert json.loads(json.dumps(value)) == value
    assert set(value) == {"passed", "decided", "reason", "differences", "n"}
