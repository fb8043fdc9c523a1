"""Forecast networks learn, on any number of processes and in any number of parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from glacier_core import recipes
from glacier_core.errors import ConfigurationError, DataError
from glacier_core.models import MODELS
from glacier_core.samples import SequenceSample, SequenceSource
from glacier_core.training import Trained, train_sequences
from glacier_core.training.forecasting import SequenceTask
from glacier_core.training.losses import LOSSES
from glacier_core.training.segmentation import SegmentationTask
from glacier_core.training.tasks import Task
from tests.training.chip_sources import BANDS, NORMALISATION, Discs
from tests.training.sequence_sources import CHANNELS, KNOWN, Drifting

TRAIN, VALIDATION = Drifting(16, 0), Drifting(6, 1)


def run(
    folder: Path | str,
    *,
    name: str = "convlstm",
    processes: int = 1,
    track: Callable[[int, dict[str, float]], None] = lambda _epoch, _found: None,
    source: SequenceSource = TRAIN,
    validation: SequenceSource = VALIDATION,
    channels: int = CHANNELS,
    turns: bool = False,
    **changes: object,
) -> Trained:
    plan = {"batch": 4, "epochs": 2, "steps_per_epoch": 3, "precision": "fp32", "loss": "mse"} | changes
    return train_sequences(
        model=recipes.Model(name=name, width=4, depth=1),
        training=recipes.Training.model_validate(plan | {"processes": processes}),
        channels=channels,
        known=KNOWN,
        train=source,
        validation=validation,
        checkpoints=str(folder),
        threads=processes,
        track=track,
        turns=turns,
    )


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_forecast_is_learned_and_beats_its_base(tmp_path: Path) -> None:
    found = run(tmp_path, epochs=4, steps_per_epoch=25, learning_rate=0.01)
    best = found.history[found.best_epoch - 1]
    assert best["validation_skill"] > 0.3
    assert best["validation_rmse"] ** 2 == pytest.approx(best["validation_loss"])
    assert best["validation_mae"] < best["validation_rmse"]


@pytest.mark.parametrize(
    ("name", "loss"),
    [("convlstm", "mae"), ("transformer", "ssim"), ("autoencoder", "mse_ssim"), ("gan", "adversarial"), ("gan", "mse")],
)
def test_each_loss_trains_and_goes_on_exactly_after_a_kill(tmp_path: Path, name: str, loss: str) -> None:
    class Killed(BaseException):
        pass

    def end(_epoch: int, _found: dict[str, float]) -> None:
        raise Killed

    unbroken = run(tmp_path / "unbroken", name=name, loss=loss)
    with pytest.raises(Killed):
        run(tmp_path / "broken", name=name, loss=loss, track=end)
    found = run(tmp_path / "broken", name=name, loss=loss)
    assert same(found.state, unbroken.state)
    assert found.history == unbroken.history


def test_the_opponent_learns_in_turn(tmp_path: Path) -> None:
    def of_opponent(found: Trained) -> dict[str, Tensor]:
        return {name: value for name, value in found.state.items() if name.startswith("discriminator.")}

    alone = run(tmp_path / "mse", name="gan", loss="mse")
    both = run(tmp_path / "adversarial", name="gan", loss="adversarial", adversarial_weight=0.0)
    assert of_opponent(both)
    assert not same(of_opponent(both), of_opponent(alone))
    # with no weight on the opponent's word the forecast is that of the reconstruction alone
    for key, value in alone.state.items():
        if not key.startswith("discriminator."):
            torch.testing.assert_close(both.state[key], value)


@pytest.mark.parametrize("loss", ["mse", "mae", "ssim"])
def test_a_batch_in_parts_gives_what_the_whole_gives(tmp_path: Path, loss: str) -> None:
    whole = run(tmp_path / "whole", loss=loss, clip=0.0)
    parts = run(tmp_path / "parts", loss=loss, clip=0.0, accumulate=4)
    for one, other in zip(whole.history, parts.history, strict=True):
        assert other["train_loss"] == pytest.approx(one["train_loss"], rel=1e-5)
        assert other["validation_loss"] == pytest.approx(one["validation_loss"], rel=1e-4)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_weight_of_every_network_has_a_gradient(name: str) -> None:
    # data parallelism waits for the gradient of each
    model, forecast = recipes.Model(name=name, width=4, depth=1), MODELS[name].task == "forecast"
    plan = recipes.Training(batch=2, loss="dice" if not forecast else "adversarial" if name == "gan" else "mse")
    task: Task = (
        SequenceTask(model, plan, CHANNELS, KNOWN, 1, TRAIN, VALIDATION)
        if forecast
        else SegmentationTask(model, plan, {"bands": BANDS, "classes": 2}, Discs(2, 0), Discs(2, 0), NORMALISATION)
    )
    network = task.build()
    for aim in task.aims(network):
        network.zero_grad()
        aim.loss(aim.sums(task.batches().training(0)[0])).backward()  # type: ignore[no-untyped-call]
        assert all(parameter.grad is not None for parameter in aim.parameters)


def test_frames_turn_together_and_only_where_asked() -> None:
    def drawn(*, turns: bool) -> list[SequenceSample]:
        task = SequenceTask(
            recipes.Model(name="convlstm"),
            recipes.Training(loss="mse"),
            CHANNELS,
            KNOWN,
            1,
            TRAIN,
            VALIDATION,
            turns=turns,
        )
        items = [task.batches().train[index] for index in range(4)]
        rng = np.random.default_rng(3)
        return [SequenceSample(*task.batches().teach(item, rng)[:5]) for item in items]

    for as_is, found in zip(drawn(turns=False), [TRAIN[index] for index in range(4)], strict=True):
        assert np.array_equal(as_is.past, found.past)
    turned = drawn(turns=True)
    assert any(not np.array_equal(sample.past, TRAIN[index].past) for index, sample in enumerate(turned))
    for index, sample in enumerate(turned):
        # the land mask is in past, known and weight: it has moved alike in all of them, and the base is the last frame
        assert np.array_equal(sample.past[0, 1], sample.known[0, 0])
        assert np.array_equal(sample.weight[0, 0], 1 - sample.known[0, 0])
        assert np.array_equal(sample.base[0], sample.past[-1, :1])
        assert np.sort(sample.future, axis=None) == pytest.approx(np.sort(TRAIN[index].future, axis=None))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "dice"}, "loss 'dice' does not fit forecast"),
        ({"name": "unet"}, "unet"),
        ({"loss": "adversarial"}, "needs a model with a discriminator"),
        ({"channels": 3}, "sequences have"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    assert "mse" not in LOSSES
    with pytest.raises(ConfigurationError, match=message):
        run(tmp_path, **changes)  # type: ignore[arg-type]


def test_a_loss_that_is_not_finite_names_the_step_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    class Stop(BaseException):
        pass

    def end(_epoch: int, _found: dict[str, float]) -> None:
        raise Stop

    with pytest.raises(Stop):
        run(tmp_path, track=end)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DataError, match="at step 4 the training loss is"):
        run(tmp_path, source=Drifting(16, 0, value=1e30))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_sequences_that_do_not_hang_together_are_refused() -> None:
    sample = TRAIN[0]
    with pytest.raises(DataError, match="a sequence has the shapes"):
        SequenceSample(sample.past, sample.known[:1], sample.base, sample.future, sample.weight)


def test_two_processes_compute_what_one_computes(tmp_path: Path) -> None:
    alone = run(tmp_path / "one", epochs=1, steps_per_epoch=10)
    together = run(tmp_path / "two", processes=2, epochs=1, steps_per_epoch=10)
    assert together.history[0]["train_loss"] == pytest.approx(alone.history[0]["train_loss"], rel=1e-4)
    assert together.history[0]["validation_loss"] == pytest.approx(alone.history[0]["validation_loss"], rel=1e-4)
