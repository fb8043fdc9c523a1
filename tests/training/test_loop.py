"""Training learns, stops, and goes on exactly after it was killed."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from glacier_core import recipes
from glacier_core.errors import ConfigurationError, DataError
from glacier_core.training import ChipSource, ModelSpec, Trained, hardware, loop, save_model, train
from glacier_core.training.checkpoints import CHECKPOINTS
from tests.object_storage import BUCKET
from tests.training.chip_sources import BANDS, NORMALISATION, Discs, Overflowing

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
    name: str = "unet",
    weights: str = "",
    class_weights: tuple[float, ...] | None = None,
    balanced: bool = False,
    **changes: object,
) -> Trained:
    changes |= {"class_weights": "balanced"} if balanced else {}
    plan = {"chip": 32, "batch": 4, "epochs": EPOCHS, "steps_per_epoch": 3, "precision": "fp32"} | changes
    return train(
        model=recipes.Model(name=name, width=4, depth=2, weights=weights),
        training=recipes.Training.model_validate(plan | {"processes": processes}),
        bands=BANDS,
        train=source,
        validation=validation,
        normalisation=NORMALISATION,
        checkpoints=str(folder),
        threads=threads,
        track=track,
        class_weights=class_weights,
    )


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run(tmp_path_factory.mktemp("unbroken"))


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
    assert max(steps_kept(tmp_path)) == 4
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


def steps_kept(folder: Path) -> list[int]:
    """The steps of the checkpoints that are there."""
    steps = []
    for path in sorted(folder.glob("checkpoint-*")):
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        steps.append(json.loads(header["__metadata__"]["progress"])["step"])
    return steps


@pytest.mark.parametrize("left", [0, -1000])
def test_of_a_damaged_checkpoint_the_one_before_it_is_gone_on_from(
    tmp_path: Path, unbroken: Trained, left: int, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(CHECKPOINTS)
    last = tmp_path / CHECKPOINTS[steps_kept(tmp_path).index(9)]
    last.write_bytes(last.read_bytes()[:left])
    told: list[int] = []
    assert same(run(tmp_path, track=lambda epoch, _found: told.append(epoch)).state, unbroken.state)
    assert told == [EPOCHS]
    assert "cannot be read" in caplog.text
    assert sorted(steps_kept(tmp_path)) == [6, 9]


def test_where_both_checkpoints_are_damaged_it_starts_afresh(tmp_path: Path, unbroken: Trained) -> None:
    run(tmp_path)
    for name in CHECKPOINTS:
        (tmp_path / name).write_bytes(b"")
    assert same(run(tmp_path).state, unbroken.state)


def test_a_checkpoint_of_another_task_is_not_gone_on_from_and_both_are_named(
    tmp_path: Path, unbroken: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, seed=5)
    assert same(run(tmp_path).state, unbroken.state)
    assert re.search(
        r"another training \(unet of width 4 .* seed 5, .*afresh with unet of width 4 .* seed 0", caplog.text
    )


@pytest.mark.parametrize("scheme", ["memory", "s3"])
def test_checkpoints_go_to_any_store(tmp_path: Path, unbroken: Trained, scheme: str, s3: object) -> None:
    folder = f"{scheme}://{BUCKET}/{tmp_path.name}/checkpoints"

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
    with pytest.raises(DataError, match="validation set holds no sample"):
        run(tmp_path, validation=Discs(0, 0))


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="processes"):
        run(tmp_path, processes=2, batch=5)


def test_checkpoints_are_written_within_epochs_too(
    tmp_path: Path, unbroken: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_CHECKPOINT_EVERY_S", 0.0)

    class Cut(Discs):
        """Cannot be read from the eighth step on."""

        def __getitem__(self, index: int, /) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
            reads.append(index)
            if len(reads) > 7 * 4:
                raise Killed
            return super().__getitem__(index)

    reads: list[int] = []
    with pytest.raises(Killed):
        run(tmp_path, source=Cut(12, 0))
    assert sorted(steps_kept(tmp_path)) in ([5, 6], [6, 7], [6, 6])
    assert same(run(tmp_path).state, unbroken.state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "mse"}, "loss 'mse' does not fit segmentation"),
        ({"name": "convlstm"}, "convlstm"),
        ({"class_weights": (1.0,)}, "2 numbers"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        run(tmp_path, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "boundary", "tversky", "dice"])
def test_every_loss_learns_with_balanced_classes(tmp_path: Path, loss: str) -> None:
    found = run(
        tmp_path,
        loss=loss,
        balanced=True,
        steps_per_epoch=12,
        learning_rate=0.01,
        schedule="constant",
        augmentation=("flip", "rotate"),
    )
    assert found.history[-1]["train_loss"] < found.history[0]["train_loss"]
    assert found.history[found.best_epoch - 1]["validation_iou"] > 0.6


def test_weights_from_outside_are_started_from(tmp_path: Path, unbroken: Trained) -> None:
    save_model(
        str(tmp_path),
        state=unbroken.state,
        spec=ModelSpec("unet", NORMALISATION.bands, ("other", "ice"), 4, 2, NORMALISATION),
    )
    weights = str(tmp_path / "weights.safetensors")
    found = run(tmp_path / "more", weights=weights, epochs=1, steps_per_epoch=1, learning_rate=1e-12)
    for name, value in unbroken.state.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(found.state[name], value)


def test_compiled_it_learns_the_same(tmp_path: Path, unbroken: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[torch.nn.Module] = []

    def note(network: torch.nn.Module) -> None:
        compiled.append(network)

    monkeypatch.setattr(hardware, "_can_compile", lambda _device: True)
    monkeypatch.setattr(torch.nn.Module, "compile", note)
    found = run(tmp_path / "with", compile=True)
    assert len(compiled) == 1
    assert same(found.state, unbroken.state)


def test_without_a_compiler_it_goes_on_with_one_warning(
    tmp_path: Path, unbroken: Trained, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def absent(*_args: object, **_options: object) -> object:
        raise RuntimeError("no C++ compiler was found")

    monkeypatch.setattr(torch, "compile", absent)
    hardware._can_compile.cache_clear()
    for folder in ("one", "two"):
        assert same(run(tmp_path / folder, compile=True).state, unbroken.state)
    hardware._can_compile.cache_clear()
    assert caplog.text.count("cannot compile (no C++ compiler was found)") == 1
