"""The shipped recipes of glacier classification through the command, as a user runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glacier_core.settings import Settings
from tests.pipelines.commands import run_json

SURFACES = ("rock", "vegetation", "water", "debris", "ice", "snow")
NORWAY = Path(Settings().data) / "extent" / "norway_chips"


@pytest.fixture
def private(tmp_path: Path) -> dict[str, Any]:
    return {"cwd": tmp_path, "GLACIER_TRACKING": f"sqlite:///{tmp_path / 'mlflow.db'}"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_simulated_surfaces_are_told_apart_on_places_never_seen(private: dict[str, Any], tmp_path: Path) -> None:
    code, result, said = run_json(["train", "simulated-classes", "--store", str(tmp_path / "store")], **private)
    assert code == 0, said
    found = {name: result["scores"][f"iou/{name}"]["value"] for name in SURFACES}
    assert min(found.values()) >= 0.85, found
    best = max(scores["iou/mean"]["value"] for scores in result["baselines"].values())
    assert result["scores"]["iou/mean"]["value"] > best


@pytest.mark.slow
@pytest.mark.skipif(not NORWAY.is_dir(), reason=f"{NORWAY} is absent")
def test_a_chip_without_coordinates_is_trained_and_scored(private: dict[str, Any], tmp_path: Path) -> None:
    small = ["training.epochs=1", "training.steps_per_epoch=2", "members=1", "views=1", "model.width=4"]
    sets = [part for assignment in small for part in ("--set", assignment)]
    arguments = ["train", "norway-extent", *sets, "--store", str(tmp_path / "store")]
    code, result, said = run_json(arguments, **private)
    assert code == 0, said
    assert {"place", "ndsi_place", "ndsi_tuned", "majority"} <= set(result["baselines"])
    # the six chips that are held out overlap: one place, and no interval
    assert result["scores"]["iou/glacier"]["n"] == 1
    assert result["scores"]["iou/glacier"]["low"] is None
