"""Several processes: they compute what one computes, and killed ones cost no result."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from glacier_core.errors import DataError, GlacierError
from glacier_core.training import Trained
from tests.training import test_loop, test_sequences
from tests.training.chip_sources import Discs
from tests.training.test_loop import run, same, steps_kept

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run(tmp_path_factory.mktemp("pair"), processes=2, threads=2)


def test_two_processes_compute_what_one_computes(tmp_path: Path, pair: Trained) -> None:
    unbroken = run(tmp_path)
    for alone, together in zip(unbroken.history, pair.history, strict=True):
        assert together["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-4)
        assert together["validation_loss"] == pytest.approx(alone["validation_loss"], rel=1e-4)
    for name, weights in unbroken.state.items():
        torch.testing.assert_close(pair.state[name], weights, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "train",
    [test_loop.run, test_sequences.run, partial(test_sequences.run, name="gan", loss="adversarial")],
    ids=["segmentation", "sequences", "gan"],
)
def test_the_loss_curve_of_fifty_steps_is_that_of_one_process(tmp_path: Path, train: object) -> None:
    assert callable(train)
    plan = {"epochs": 50, "steps_per_epoch": 1, "patience": 50}
    alone = train(tmp_path / "one", **plan).history
    together = train(tmp_path / "two", processes=2, **plan).history
    assert len(alone) == len(together) == 50
    for one, two in zip(alone, together, strict=True):
        assert two["train_loss"] == pytest.approx(one["train_loss"], rel=1e-4)


def test_a_killed_process_is_started_again_from_the_last_checkpoint(
    tmp_path: Path, pair: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    def kill(epoch: int, _found: dict[str, float]) -> None:
        if epoch == 2:
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGKILL)

    found = run(tmp_path, processes=2, threads=2, track=kill)
    assert same(found.state, pair.state)
    assert found.history == pair.history
    assert caplog.text.count("going on from the last checkpoint with new processes (restart 1 of 3)") == 1
    assert "training-1 ended with exit code -9" in caplog.text


@pytest.mark.slow
def test_a_process_that_is_killed_again_and_again_ends_it(tmp_path: Path) -> None:
    def kill(_epoch: int, _found: dict[str, float]) -> None:
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)

    with pytest.raises(GlacierError, match="exit code -9"):
        run(tmp_path, processes=2, threads=2, epochs=6, track=kill)
    assert max(steps_kept(tmp_path)) == 3 * 4


@pytest.mark.slow
def test_what_goes_wrong_in_another_process_is_told_here(tmp_path: Path) -> None:
    # of five chips the second process judges the second and the fourth
    with pytest.raises(DataError, match="chip 3 is damaged"):
        run(tmp_path, processes=2, threads=2, epochs=1, validation=Discs(5, 1, broken=3))


SUICIDE = """
import os, signal, sys
from glacier_core.training import loop, players
from tests.training.test_loop import run
folder, at = sys.argv[1], int(sys.argv[2])
loop._CHECKPOINT_EVERY_S = 0.0
improve = players.Player.improve
def until(player, parts, *, step):
    if step == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return improve(player, parts, step=step)
players.Player.improve = until
run(folder)
"""


@pytest.mark.parametrize(
    "step", [pytest.param(step, marks=[] if step == 4 else pytest.mark.slow) for step in range(1, 9)]
)
def test_killed_at_any_step_it_ends_with_the_same_weights(tmp_path: Path, step: int) -> None:
    folder = tmp_path / "checkpoints"
    ended = subprocess.run([sys.executable, "-c", SUICIDE, folder, str(step)], env=ENVIRONMENT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert max(steps_kept(folder)) == step
    assert same(run(folder).state, run(tmp_path / "unbroken").state)


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


@pytest.mark.slow
def test_two_killed_processes_leave_nothing_behind_and_go_on_exactly(tmp_path: Path, pair: Trained) -> None:
    script = tmp_path / "victim.py"
    script.write_text(VICTIM)
    folder = tmp_path / "checkpoints"
    with subprocess.Popen([sys.executable, script, folder], stdout=subprocess.PIPE, env=ENVIRONMENT) as victim:
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
    assert same(found.state, pair.state)
    assert found.history == pair.history


def alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


LAUNCHED = """
import os, signal, sys
from pathlib import Path
from safetensors.torch import save_file
from glacier_core.training import launched
from tests.training.test_loop import run
folder, what = Path(sys.argv[1]), sys.argv[2]
def track(epoch, found):
    if what != "nothing" and epoch == 2 and not (folder / "done").exists():
        (folder / "done").touch()
        os.kill(os.getpid() if what == "SIGKILL" else os.getppid(), getattr(signal, what))
run(folder / "before", threads=2, epochs=1)
found = run(folder / "checkpoints", threads=2, track=track)
if launched().rank == 0:
    save_file(found.state, folder / "result.safetensors")
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["nothing", "SIGKILL", "SIGTERM"])
def test_torchrun_starts_them_and_restarts_them(tmp_path: Path, pair: Trained, what: str) -> None:
    script = tmp_path / "launched.py"
    script.write_text(LAUNCHED)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    command = [*torchrun, str(script), str(tmp_path), what]
    first = subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True, text=True)
    if what == "SIGTERM":
        assert first.returncode != 0, first.stderr
        assert max(steps_kept(tmp_path / "checkpoints")) >= 6
        subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)
    else:
        assert first.returncode == 0, first.stderr
    found = load_file(tmp_path / "result.safetensors")
    assert all(np.array_equal(found[name], value) for name, value in pair.state.items())
