"""Studies that several processes work on, are killed in, and go on with."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from glacier_core.errors import ServiceUnavailableError
from glacier_core.registry import Study, TrialPrunedError
from glacier_core.registry.studies import HOPELESS, STARTING
from tests.registry.study_workers import begin_and_die, study_in, work

SPAWN = multiprocessing.get_context("spawn")
OWN = {
    "training.learning_rate": 1e-3,
    "training.batch": 16,
    "training.loss": "dice",
    "training.augmentation": ["flip"],
}


def done(study: Study, values: list[float]) -> None:
    """Complete one trial for each value."""
    count = len(study.records())
    with study.working():
        for number, value in enumerate(values, start=count + 1):
            trial = study.claim(number)
            assert trial is not None
            trial.complete(value, epochs=3)


def test_the_best_trial_is_kept_with_its_values(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    study.suggest_first(OWN)
    done(study, [0.5, 0.2, 0.4])
    best = study_in(tmp_path).best()
    assert best is not None
    assert (best.number, best.value, best.epochs, best.state) == (1, 0.2, 3, "complete")
    assert dict(study.records()[0].values) == OWN
    for record in study.records():
        assert 1e-7 <= record.values["training.learning_rate"] <= 1e-2
        assert 2 <= record.values["training.batch"] <= 32
        assert isinstance(record.values["training.batch"], int)
        assert record.values["training.augmentation"] in (["flip"], ["flip", "rotate"])


def test_more_is_better_where_the_figure_is_no_error(tmp_path: Path) -> None:
    study = study_in(tmp_path, metric="validation_iou")
    done(study, [0.5, 0.9, 0.4])
    best = study.best()
    assert best is not None
    assert best.value == 0.9


def test_there_are_never_more_trials_than_were_asked_for(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    done(study, [1.0, 2.0])
    with study.working():
        assert study.claim(2) is None
        third = study.claim(3)
        assert third is not None
        assert study.claim(3) is None


def test_what_is_tried_follows_from_the_seed_alone(tmp_path: Path) -> None:
    values = [0.5, 0.2, 0.4, 0.7, 0.1, 0.3, 0.35, 0.15, 0.6, 0.22]
    whole = study_in(tmp_path / "whole")
    done(whole, values)
    for part in (values[:4], values[4:]):
        done(study_in(tmp_path / "parts"), part)
    parts = study_in(tmp_path / "parts")
    assert [record.values for record in whole.records()] == [record.values for record in parts.records()]
    tried = {record.values["training.learning_rate"] for record in whole.records()}
    assert len(tried) == len(values)
    other = study_in(tmp_path / "other", seed=4)
    done(other, values[:1])
    assert other.records()[0].values != whole.records()[0].values


@pytest.mark.parametrize("pruning", ["median", "hyperband"])
def test_trials_that_fall_behind_are_cut_short(tmp_path: Path, pruning: str) -> None:
    study = study_in(tmp_path, pruning=pruning)
    with study.working():
        for number in range(STARTING + 2):
            trial = study.claim(number + 1)
            assert trial is not None
            for epoch in range(1, 11):
                trial.report(epoch, 1.0 / epoch)
            trial.complete(0.1, epochs=10)
        cut = 0
        for number in range(STARTING + 2, STARTING + 8):
            trial = study.claim(number + 1)
            assert trial is not None
            try:
                for epoch in range(1, 11):
                    trial.report(epoch, 5.0)
            except TrialPrunedError:
                trial.prune()
                cut += 1
            else:
                trial.complete(5.0, epochs=10)
    records = study.records()
    assert cut > 0
    assert [record.state for record in records].count("pruned") == cut
    assert all(record.epochs < 10 for record in records if record.state == "pruned")


def test_nothing_is_cut_where_that_is_wanted(tmp_path: Path) -> None:
    study = study_in(tmp_path, pruning="none")
    done(study, [0.1] * 9)
    with study.working():
        trial = study.claim(10)
        assert trial is not None
        for epoch in range(1, 11):
            trial.report(epoch, 99.0)


def test_failures_are_kept_and_end_a_hopeless_sweep(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    with study.working():
        while (trial := study.claim(200)) is not None:
            trial.fail(f"the loss is nan at step {trial.number}")
    records = study.records()
    assert len(records) == HOPELESS
    assert {record.state for record in records} == {"failed"}
    assert records[3].reason == "the loss is nan at step 3"
    assert study.best() is None


def test_processes_share_one_study(tmp_path: Path) -> None:
    workers = [SPAWN.Process(target=work, args=(tmp_path, 9)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    records = study_in(tmp_path).records()
    assert [record.number for record in records] == list(range(9))
    assert {record.state for record in records} == {"complete"}
    assert len({record.values["training.learning_rate"] for record in records}) == 9


def test_what_a_killed_process_had_begun_is_done_again(tmp_path: Path) -> None:
    worker = SPAWN.Process(target=begin_and_die, args=(tmp_path,))
    worker.start()
    worker.join()
    study = study_in(tmp_path)
    assert [record.state for record in study.records()] == ["running"]
    with study.working():
        alive = study.claim(5)
        assert alive is not None
        # only what nobody works on any more is given back
        assert study.give_back() == 1
        assert study.give_back() == 0
        again = study.claim(2)
        assert again is not None
        again.complete(0.5, epochs=1)
        alive.complete(0.7, epochs=1)
        assert study.claim(2) is None
    records = study.records()
    assert [record.state for record in records] == ["killed", "complete", "complete"]
    assert records[2].values == records[0].values


def test_a_process_that_dies_under_its_command_has_failed(tmp_path: Path) -> None:
    worker = SPAWN.Process(target=begin_and_die, args=(tmp_path,))
    worker.start()
    worker.join()
    study = study_in(tmp_path)
    assert study.fail_dead("its process was ended by signal 9") == 1
    assert [(record.state, record.reason) for record in study.records()] == [
        ("failed", "its process was ended by signal 9")
    ]


def test_a_study_in_a_database_is_the_same(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/sweeps.db"
    given = study_in(tmp_path)
    study = Study(address, name="n", metric="validation_loss", space=given.space, pruning="median", epochs=3, seed=0)
    done(study, [0.5, 0.2])
    best = study.best()
    assert best is not None
    assert best.number == 1


def test_a_database_that_is_not_there_is_said_in_one_line() -> None:
    with pytest.raises(ServiceUnavailableError, match="cannot be used"):
        Study(
            "sqlite:////nowhere/at/all.db",
            name="n",
            metric="validation_loss",
            space={},
            pruning="none",
            epochs=1,
            seed=0,
        )
