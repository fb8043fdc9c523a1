"""What the processes of a shared study do in the tests."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from glacier_core.recipes import Range
from glacier_core.registry import Study

SPACE: dict[str, Range | tuple[Any, ...]] = {
    "training.learning_rate": Range(low=1e-7, high=1e-2, log=True),
    "training.batch": Range(low=2, high=32),
    "training.loss": ("dice", "focal"),
    "training.augmentation": (["flip"], ["flip", "rotate"]),
}


def study_in(folder: Path, **changes: Any) -> Study:
    given: dict[str, Any] = {
        "name": "demo-1",
        "metric": "validation_loss",
        "space": SPACE,
        "pruning": "none",
        "epochs": 10,
        "seed": 3,
    }
    return Study(str(folder), **{**given, **changes})


def work(folder: Path, trials: int) -> None:
    """Do trials until there are enough; a moment each, so that several processes share them."""
    study = study_in(folder)
    with study.working():
        while (trial := study.claim(trials)) is not None:
            time.sleep(0.05)
            trial.complete(trial.values["training.learning_rate"], epochs=1, worker=os.getpid())


def begin_and_die(folder: Path) -> None:
    """Claim a trial and be killed in the middle of it."""
    study = study_in(folder)
    with study.working():
        study.claim(5)
        os.kill(os.getpid(), signal.SIGKILL)
