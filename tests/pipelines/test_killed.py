"""`kill -9` of the command in the middle of a stage: no child goes on, and the same command again finishes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.pipelines.commands import Finished, run_json, start

pytestmark = pytest.mark.xdist_group("pipeline")
TABLES = ("glacier_area_by_year.csv",)


def children_of(session: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def kill_during(stage: str, recipe: Path, store: Path) -> bool:
    """Start the command and kill it when the stage has begun to write; whether it came to that."""
    process = start(["run", str(recipe), "--store", str(store)], recipe.parent)
    attempts = store / "stages" / stage
    known = set(attempts.glob("*/attempts/*"))
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        if set(attempts.glob("*/attempts/*")) - known:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    process.communicate(timeout=60)
    killed: bool = process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 5
    while children_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children_of(process.pid) == []
    return killed


def compare(finished: Finished, store: Path, recipe: Path) -> None:
    code, result, stderr = run_json(["run", str(recipe), "--store", str(store)], recipe.parent)
    assert code == 0, stderr
    one, other = Path(finished.result["report"]).parent, Path(result["report"]).parent
    for name in TABLES:
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert one.name == other.name
    assert sorted(p.relative_to(one) for p in one.rglob("*.tif")) == sorted(
        p.relative_to(other) for p in other.rglob("*.tif")
    )


@pytest.mark.parametrize("stages", [("simulate", "ingest", "train", "predict", "report")], ids=["some stages"])
def test_killed_in_the_middle_of_some_stages(
    finished: Finished, tiny_recipe: Path, tmp_path: Path, stages: tuple[str, ...]
) -> None:
    for stage in stages:
        assert kill_during(stage, tiny_recipe, tmp_path / "store"), f"{stage} was over before the kill"
    compare(finished, tmp_path / "store", tiny_recipe)


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage",
    ["prepare", "label", "sample", "evaluate", "model", "gate", "measure", "aggregate", "training_report"],
)
def test_killed_in_the_middle_of_any_stage(finished: Finished, tiny_recipe: Path, tmp_path: Path, stage: str) -> None:
    kill_during(stage, tiny_recipe, tmp_path / "store")
    compare(finished, tmp_path / "store", tiny_recipe)


def test_an_interrupt_ends_at_once_with_130(tiny_recipe: Path, tmp_path: Path) -> None:
    process = start(["run", str(tiny_recipe), "--store", str(tmp_path / "store")], tmp_path)
    runs = tmp_path / "store" / "stages" / "simulate"
    deadline = time.monotonic() + 60
    while not runs.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stdout == ""
    assert "goes on from what is published" in stderr
