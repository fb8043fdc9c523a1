"""`glacier sweep`: one study for all its processes, gone on with after a kill, and one line where nothing works."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from glacier_core.registry import Registry
from tests.pipelines.commands import run_json, start
from tests.pipelines.test_killed import children_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]
SCHEMAS = Path(__file__).parents[2] / "pipelines" / "schema"


def recipe_in(folder: Path, tiny_recipe: Path, **sweep: Any) -> str:
    recipe = yaml.safe_load(tiny_recipe.read_text(encoding="utf-8"))
    recipe["years"] = [2016, 2016]
    recipe["imagery"]["simulation"].update(scenes_per_year=1, size=128)
    recipe["training"].update(chip=32, precision="fp32")
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**recipe, "sweep": sweep}), encoding="utf-8")
    return str(path)


def outputs(folder: Path, stage: str) -> int:
    return len(list((folder / "store" / "stages" / stage).glob("*/_published.json")))


RATES = {"training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}


def test_two_processes_find_values_that_are_trained_in_full(tmp_path: Path, tiny_recipe: Path) -> None:
    recipe = recipe_in(tmp_path, tiny_recipe, space={**RATES, "training.chip": [32, 64], "model.width": [2, 4]})
    arguments = ["sweep", recipe, "--trials", "5", "--workers", "2", "--store", "store"]
    code, found, stderr = run_json(arguments, tmp_path)
    assert code == 0, stderr
    jsonschema.validate(found, json.loads((SCHEMAS / "sweep.json").read_text(encoding="utf-8")))
    for key in ("result", "own"):
        jsonschema.validate(found[key], json.loads((SCHEMAS / "result.json").read_text(encoding="utf-8")))
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2, 3, 4]
    assert found["trials"][0]["values"]["model.width"] == 4
    judged = [trial["value"] for trial in found["trials"] if trial["state"] == "complete"]
    assert found["best"]["value"] == min(judged)
    assert found["result"]["model"]["version"] != ""
    assert "[sweep] 5 of 5" in stderr
    # a new chip size makes new samples, and nothing else does
    assert outputs(tmp_path, "sample") == len({trial["values"]["training.chip"] for trial in found["trials"]})
    assert outputs(tmp_path, "ingest") == 4
    assert not list((tmp_path / "store" / "work").glob("sweep/*/*"))

    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = registry.client().get_experiment_by_name("tiny")
    assert experiment is not None
    runs = registry.client().search_runs([experiment.experiment_id])
    parts = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parts) == 5
    assert all("validation_loss" in run.data.metrics for run in parts)
    assert {run.info.status for run in runs} == {"FINISHED"}

    code, again, stderr = run_json(arguments, tmp_path)
    assert code == 0, stderr
    assert again["trials"] == found["trials"]
    assert "5 of 5 trials done" in stderr
    assert again["result"]["model"] == found["result"]["model"]


def test_a_killed_sweep_goes_on(tmp_path: Path, tiny_recipe: Path) -> None:
    recipe = recipe_in(tmp_path, tiny_recipe, space=RATES, pruning="none")
    arguments = ["sweep", recipe, "--trials", "3", "--store", "store", "--set", "training.steps_per_epoch=40"]
    process = start(arguments, tmp_path)
    assert process.stderr is not None
    killer = threading.Timer(250, process.kill)
    killer.start()
    for line in process.stderr:
        if "[sweep] 1 of 3" in line:
            # the second trial has begun
            time.sleep(0.5)
            os.kill(process.pid, signal.SIGKILL)
            break
    killer.cancel()
    process.wait(timeout=20)
    deadline = time.monotonic() + 5
    while children_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children_of(process.pid) == []

    code, found, stderr = run_json(arguments, tmp_path)
    assert code == 0, stderr
    assert "1 of 3 trials done; 1 that were killed are done again" in stderr
    states = [trial["state"] for trial in found["trials"]]
    assert sorted(states) == ["complete", "complete", "complete", "killed"]
    killed = states.index("killed")
    assert found["trials"][killed]["values"] in [t["values"] for t in found["trials"][killed + 1 :]]


def test_a_sweep_whose_trials_all_fail_says_why(tmp_path: Path, tiny_recipe: Path) -> None:
    recipe = recipe_in(tmp_path, tiny_recipe, space={"training.loss": ["mse", "mae"]})
    code, found, stderr = run_json(["sweep", recipe, "--trials", "3", "--store", "store"], tmp_path)
    assert code == 2
    assert found == {}
    last = stderr.splitlines()[-1]
    assert last.startswith("glacier: all 3 trials of the sweep failed")
    assert "training.loss is" in last
    assert "Traceback" not in stderr
    assert not (tmp_path / "store" / "stages" / "train").exists()
