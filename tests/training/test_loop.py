"""Training learns, stops, and goes on exactly after it was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from glacier_core import recipes
from glacier_core.errors import ConfigurationError, DataError
from glacier_core.training import ChipSource, Trained, train
from glacier_core.training.checkpoints import CHECKPOINT
from tests.training.chip_sources import BANDS, NORMALISATION, Discs, Overflowing

ROOT = Path(__file__).parents[2]
EPOCHS = 3
TRAIN = Discs(12, 0)
VALIDATION = Discs(5, 1)


def run(
    folder: Path | str,
    *,
    processes: int = 1,
    track: Callable[[int, dict[str, float]], None] = lambda _epoch, _found: None,
    source: ChipSource = TRAIN,
    validation: ChipSource = VALIDATION,
    threads: int = 1,
    **changes: object,
) -> Trained:
    plan = {"chip": 32, "batch": 4, "epochs": EPOCHS, "steps_per_epoch": 3, "precision": "fp32"} | changes
    return train(
        model=recipes.Model(width=4, depth=2),
        training=recipes.Training.model_validate(plan | {"processes": processes}),
        bands=BANDS,
        train=source,
        validation=validation,
        normalisation=NORMALISATION,
        checkpoints=str(folder),
        threads=threads,
        track=track,
    )


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run(tmp_path_factory.mktemp("unbroken"))


@pytest.fixture(scope="module")
def unbroken_pair(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run(tmp_path_factory.mktemp("pair"), processes=2, threads=2)


class Killed(BaseException):
    """Stands for the end of the process right after a checkpoint was written."""


def test_it_learns_and_says_so(tmp_path: Path) -> None:
    told: list[tuple[int, dict[str, float]]] = []
    found = run(
        tmp_path,
        track=lambda epoch, metrics: told.append((epoch, metrics)),
        epochs=8,
        steps_per_epoch=8,
        learning_rate=0.01,
    )
    assert [epoch for epoch, _ in told] == list(range(1, found.stopped_epoch + 1))
    assert [metrics for _, metrics in told] == found.history
    best = found.history[found.best_epoch - 1]
    assert best["validation_loss"] == min(metrics["validation_loss"] for metrics in found.history)
    assert best["validation_iou"] > 0.8
    assert found.history[-1]["train_loss"] < found.history[0]["train_loss"] / 2
    assert found.seconds > 0


def test_it_stops_early_and_keeps_the_best(tmp_path: Path) -> None:
    # labels that contradict those of the training set: the validation loss rises as soon as something is learned
    found = run(tmp_path, epochs=12, patience=2, learning_rate=0.02, validation=Discs(4, 1, inverted=True))
    assert found.stopped_epoch == found.best_epoch + 2 < 12


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path, unbroken: Trained) -> None:
    assert same(run(tmp_path / "again").state, unbroken.state)
    assert not same(run(tmp_path / "other", seed=1).state, unbroken.state)


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
def test_killed_after_any_epoch_it_ends_with_the_same_weights(tmp_path: Path, unbroken: Trained, epoch: int) -> None:
    def end(number: int, _found: dict[str, float]) -> None:
        if number == epoch:
            raise Killed

    with pytest.raises(Killed):
        run(tmp_path, track=end)
    again: list[int] = []
    found = run(tmp_path, track=lambda number, _found: again.append(number))
    assert again == list(range(epoch + 1, EPOCHS + 1))
    assert same(found.state, unbroken.state)
    assert found.history == unbroken.history


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_the_middle_of_an_epoch_with_its_state_saved(
    tmp_path: Path, unbroken: Trained, number: signal.Signals
) -> None:
    def ask(epoch: int, _found: dict[str, float]) -> None:
        if epoch == 1:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, track=ask)
    header = (tmp_path / CHECKPOINT).read_bytes()
    length = int.from_bytes(header[:8], "little")
    assert json.loads(json.loads(header[8 : 8 + length])["__metadata__"]["progress"])["step"] == 4
    found = run(tmp_path)
    assert same(found.state, unbroken.state)
    assert found.history == unbroken.history


def test_a_signal_in_the_last_step_of_an_epoch_or_of_all_is_honoured(tmp_path: Path) -> None:
    expected = run(tmp_path / "unbroken", steps_per_epoch=1)
    for epoch in (1, EPOCHS):
        folder = tmp_path / str(epoch)

        def ask(number: int, _found: dict[str, float], *, at: int = epoch) -> None:
            if number == at:
                os.kill(os.getpid(), signal.SIGTERM)

        with pytest.raises(KeyboardInterrupt):
            run(folder, track=ask, steps_per_epoch=1)
        found = run(folder, steps_per_epoch=1)
        assert same(found.state, expected.state)
        assert found.history == expected.history


def test_what_is_finished_is_not_done_again(tmp_path: Path) -> None:
    first = run(tmp_path)
    told: list[int] = []
    again = run(tmp_path, track=lambda epoch, _found: told.append(epoch))
    assert not told
    assert same(again.state, first.state)
    assert (again.best_epoch, again.stopped_epoch, again.history) == (
        first.best_epoch,
        first.stopped_epoch,
        first.history,
    )


@pytest.mark.parametrize("damage", ["truncated", "empty", "another task"])
def test_a_checkpoint_that_cannot_serve_is_not_gone_on_from(tmp_path: Path, unbroken: Trained, damage: str) -> None:
    run(tmp_path, seed=5 if damage == "another task" else 0)
    checkpoint = tmp_path / CHECKPOINT
    if damage != "another task":
        checkpoint.write_bytes(checkpoint.read_bytes()[: 0 if damage == "empty" else -1000])
    assert same(run(tmp_path).state, unbroken.state)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_checkpoints_go_to_any_store(tmp_path: Path, unbroken: Trained) -> None:
    folder = f"memory://{tmp_path.name}/checkpoints"

    def end(epoch: int, _found: dict[str, float]) -> None:
        if epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        run(folder, track=end)
    assert same(run(folder).state, unbroken.state)


def test_a_loss_that_is_not_finite_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"step 1 .*learning_rate"):
        run(tmp_path, source=Overflowing())


def test_nothing_to_judge_by_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="validation set"):
        run(tmp_path, validation=Discs(2, 0, unseen=True))
    with pytest.raises(DataError, match="validation set holds no chip"):
        run(tmp_path, validation=Discs(0, 0))


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="processes"):
        run(tmp_path, processes=2, batch=5)


def test_two_processes_compute_what_one_computes(unbroken: Trained, unbroken_pair: Trained) -> None:
    for alone, together in zip(unbroken.history, unbroken_pair.history, strict=True):
        assert together["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-4)
        assert together["validation_loss"] == pytest.approx(alone["validation_loss"], rel=1e-4)
    for name, weights in unbroken.state.items():
        torch.testing.assert_close(unbroken_pair.state[name], weights, rtol=1e-2, atol=1e-3)


VICTIM = """
import os, sys, time
from tests.training.test_loop import run
def hang(epoch, found):
    if epoch == 1:
        print("epoch", os.getpid(), flush=True)
        time.sleep(60)
if __name__ == "__main__":
    run(sys.argv[1], processes=2, threads=2, track=hang)
"""


def test_two_killed_processes_leave_nothing_behind_and_go_on_exactly(tmp_path: Path, unbroken_pair: Trained) -> None:
    script = tmp_path / "victim.py"
    script.write_text(VICTIM)
    folder = tmp_path / "checkpoints"
    with subprocess.Popen(
        [sys.executable, script, folder], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline().startswith(b"epoch")
        children = Path(f"/proc/{victim.pid}/task/{victim.pid}/children").read_text().split()
        victim.kill()
    assert children
    deadline = time.monotonic() + 10
    while any(alive(int(child)) for child in children):
        assert time.monotonic() < deadline, "a training process outlived its parent"
        time.sleep(0.05)
    found = run(folder, processes=2, threads=2)
    assert same(found.state, unbroken_pair.state)
    assert found.history == unbroken_pair.history


def alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_goes_wrong_in_another_process_is_told_here(tmp_path: Path) -> None:
    # of five chips the second process judges the second and the fourth
    with pytest.raises(DataError, match="chip 3 is damaged"):
        run(tmp_path, processes=2, threads=2, epochs=1, validation=Discs(5, 1, broken=3))
