"""Runs that live while a training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glacier_core.errors import ServiceUnavailableError
from glacier_core.registry import Registry, live_run

PARAMS = {"training.learning_rate": 1e-3, "model.name": "unet"}


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def opened(tracking: str, task: str) -> Any:
    return live_run(tracking, experiment="demo", name="training", task=task, params=PARAMS)


def test_epochs_are_there_while_the_training_runs(tracking: str) -> None:
    client = Registry(tracking).client()
    with opened(tracking, "a") as run:
        run.track(1, {"epoch": 1.0, "validation_loss": 0.5, "what": "text", "broken": float("nan")})
        run.track(2, {"epoch": 2.0, "validation_loss": 0.25})
        found = client.get_run(run.run_id)
        assert found.info.status == "RUNNING"
        assert found.data.metrics == {"validation_loss": 0.25}
        assert found.data.params == {key: str(value) for key, value in PARAMS.items()}
        curve = client.get_metric_history(run.run_id, "validation_loss")
        assert [(point.step, point.value) for point in curve] == [(1, 0.5), (2, 0.25)]
    assert client.get_run(run.run_id).info.status == "FINISHED"


@pytest.mark.parametrize(("error", "status"), [(ValueError("loss is nan"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_run_ends_as_its_training_does(tracking: str, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), opened(tracking, f"task-{status}") as run:  # noqa: PT012 - the block is the point
        run.track(1, {"validation_loss": 0.5})
        raise error
    found = Registry(tracking).client().get_run(run.run_id)
    assert found.info.status == status
    assert ("loss is nan" in found.data.tags.get("glacierflow.reason", "")) == (status == "FAILED")


def test_a_training_that_goes_on_goes_on_in_its_run(tracking: str) -> None:
    with pytest.raises(KeyboardInterrupt), opened(tracking, "b") as first:
        raise KeyboardInterrupt
    with opened(tracking, "b") as second:
        second.track(3, {"validation_loss": 0.1})
    assert second.run_id == first.run_id
    assert Registry(tracking).client().get_run(first.run_id).info.status == "FINISHED"
    with opened(tracking, "b") as third:
        pass
    assert third.run_id != first.run_id


def test_a_part_is_nested_in_its_parent(tracking: str) -> None:
    with (
        opened(tracking, "parent") as parent,
        live_run(tracking, experiment="demo", name="1", task="part", params={}, parent=parent.run_id) as part,
    ):
        pass
    assert Registry(tracking).client().get_run(part.run_id).data.tags["mlflow.parentRunId"] == parent.run_id


def test_a_server_that_goes_away_stops_no_training(tracking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tracking, "c") as run:
        monkeypatch.setattr(run, "_tracking", "http://127.0.0.1:1")
        run.track(1, {"validation_loss": 0.5})
        run.track(2, {"validation_loss": 0.5})


def test_a_server_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(ServiceUnavailableError), opened("http://127.0.0.1:1", "d"):
        pass


def test_no_file_is_left_where_the_command_runs(tracking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(tracking, "e") as run:
        run.track(1, {"validation_loss": 0.5})
    assert not list(tmp_path.iterdir())
