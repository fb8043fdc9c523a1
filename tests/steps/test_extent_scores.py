"""Scores of extents, in all and by stratum."""

from __future__ import annotations

from typing import Any

import pytest

from glacier_core.measure import Counts
from glacier_core.recipes import Measure
from glacier_core.steps.kinds.extent.scoring import summary


def row(glacier: str, *, tp: int, area: float) -> dict[str, Any]:
    return {
        "glacier_id": glacier,
        "year": 2020,
        "stale": False,
        "clear_fraction": 1.0,
        "area_km2": 1.1 * area,
        "area_low_km2": area,
        "area_high_km2": 2 * area,
        "true_area_km2": area,
        "counts": {"model": Counts(tp=tp, fp=100 - tp, fn=0, tn=0).to_json()},
    }


def test_extents_are_scored_by_region_and_size() -> None:
    rows = [
        row("RGI60-15.03733", tp=90, area=0.5),
        row("RGI60-15.03734", tp=70, area=3.0),
        row("RGI2000-v7.0-G-08-00001", tp=50, area=9.0),
        row("mine", tp=10, area=9.0),
    ]
    model = summary(rows, measure=Measure(resamples=100), baselines=[])["model"]
    assert model["iou/glacier"]["value"] == pytest.approx(0.55)
    assert model["iou/glacier@region=15"]["value"] == pytest.approx(0.8)
    assert model["iou/glacier@region=08"]["value"] == pytest.approx(0.5)
    assert model["iou/glacier@size=below_1_km2"]["value"] == pytest.approx(0.9)
    assert model["f1/glacier@size=5_km2_or_more"]["n"] == 2
    assert model["area_error/mean@region=15"]["value"] == pytest.approx(10)
    assert model["iou/glacier@region=15"]["low"] is None


def test_one_stratum_alone_is_not_told_again() -> None:
    model = summary([row("RGI60-15.03733", tp=90, area=0.5)], measure=Measure(resamples=100), baselines=[])["model"]
    assert not [name for name in model if "@" in name]
