"""What `glacier sweep` says of what it found, and of what failed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema

from glacier_core.errors import EXIT_INVALID
from glacier_core.registry import TrialRecord
from glacier_pipelines.result import Result
from glacier_pipelines.sweeping import SweepResult, nothing_found

SCHEMAS = Path(__file__).parents[2] / "pipelines" / "schema"
DONE = TrialRecord(
    number=1,
    state="complete",
    value=0.25,
    values={"training.learning_rate": 1e-5, "training.augmentation": ["flip"]},
    epochs=7,
    seconds=12.5,
    reason="",
)
FAILED = replace(DONE, number=0, state="failed", value=None, reason="at step 13 the training loss is nan")


def result_of(iou: float, version: str) -> Result:
    return Result(
        recipe="demo",
        kind="extent",
        store="file:///store",
        model={"name": "demo", "version": version, "alias": ""},
        scores={"iou/glacier": {"value": iou, "low": None, "high": None, "n": 3, "unit": "1"}},
        report=f"file:///store/products/{version}/training.html",
    )


SWEEP = SweepResult(
    study="demo-0123",
    metric="validation_loss",
    trials=[FAILED, DONE],
    best=DONE,
    result=result_of(0.9, "2"),
    own=result_of(0.8, "1"),
)


def test_the_object_is_as_its_schema_says() -> None:
    found = json.loads(json.dumps(SWEEP.to_json()))
    jsonschema.validate(found, json.loads((SCHEMAS / "sweep.json").read_text(encoding="utf-8")))
    for key in ("result", "own"):
        jsonschema.validate(found[key], json.loads((SCHEMAS / "result.json").read_text(encoding="utf-8")))
    assert found["best"]["set"] == ["training.learning_rate=1e-05", 'training.augmentation=["flip"]']
    assert found["trials"][0]["reason"] == "at step 13 the training loss is nan"


def test_the_best_trials_scores_stand_beside_the_recipes_own() -> None:
    lines = SWEEP.lines()
    assert "trials    1 complete, 1 failed" in lines
    scores = next(line for line in lines if "iou/glacier" in line)
    assert scores.index("0.900") < scores.index("0.800")
    assert any("demo/2 (unpromoted), of the recipe itself demo/1" in line for line in lines)


def test_the_commonest_reason_is_told_whatever_its_numbers() -> None:
    others = [replace(FAILED, number=n, reason=f"at step {n} the training loss is nan") for n in range(2, 5)]
    odd = replace(FAILED, number=9, reason="training.batch is 1")
    error = nothing_found([odd, FAILED, *others])
    assert error.exit_code == EXIT_INVALID
    assert str(error).startswith("all 5 trials of the sweep failed, 4 of them so: at step 13 the training loss is nan")


def test_trials_that_were_all_cut_are_told_apart() -> None:
    assert "no trial of the sweep was completed" in str(nothing_found([replace(DONE, state="pruned")]))
