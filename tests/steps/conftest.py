from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glacier_core.recipes import loading, parse_recipe
from glacier_core.steps import kinds
from tests.steps.tiny_kind import TinyRecipe

PLACES = ("a", "b", "c", "d")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind `tiny` is known."""
    monkeypatch.setitem(loading.KINDS, "tiny", TinyRecipe)
    monkeypatch.setitem(kinds.KINDS, "tiny", "tests.steps.tiny_kind:TinyKind")


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Four places with three frames each, and one with a single frame."""
    folder = tmp_path / "frames"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for place in PLACES:
        for month in (1, 2, 3):
            np.save(folder / f"{place}_2020-{month:02d}-01.npy", rng.random((32, 32)).astype(np.float32))
    np.save(folder / "lone_2020-01-01.npy", rng.random((32, 32)).astype(np.float32))
    return folder


@pytest.fixture
def tiny_recipe(tiny: None, frames: Path) -> Callable[..., TinyRecipe]:
    """Makes a recipe of the kind `tiny` on the frames."""

    def make(*, imagery: dict[str, Any] | None = None, **changes: Any) -> TinyRecipe:
        value = {
            "name": "bright",
            "kind": "tiny",
            "data": str(frames),
            "imagery": {
                "source": "frames",
                "files": "*.npy",
                "bands": ["light"],
                "quantities": ["probability"],
                "place_pattern": "^([a-z]+)_",
                **(imagery or {}),
            },
            "split": {"by": "named", "validation_places": ["b"], "test_places": ["c", "d"]},
            "model": {"name": "unet", "width": 2, "depth": 1},
            "training": {"chip": 32, "batch": 2, "epochs": 1, "steps_per_epoch": 2, "precision": "fp32"},
            "measure": {"resamples": 100},
            **changes,
        }
        return parse_recipe(value, origin="test", kind=TinyRecipe)

    return make
