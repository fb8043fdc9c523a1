from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from glacier_core import Store
from glacier_pipelines.choosing import RECIPES
from tests.pipelines.commands import Finished, run_json


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo, cut down to what every stage can still be seen to do."""
    recipe = yaml.safe_load((RECIPES / "demo.yaml").read_text(encoding="utf-8"))
    recipe["name"] = "tiny"
    recipe["years"] = [2016, 2018]
    recipe["imagery"]["simulation"].update(seed=1000, places=4, glaciers_per_place=1, scenes_per_year=2, size=224)
    recipe["split"] = {"by": "place", "train": 0.5, "validation": 0.25, "test": 0.25}
    recipe["model"] = {"name": "unet", "width": 4, "depth": 2}
    recipe["training"].update(chip=64, batch=4, epochs=2, steps_per_epoch=4)
    recipe["measure"] = {"resamples": 100}
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The tiny recipe, trained and monitored once."""
    folder = tmp_path_factory.mktemp("run")
    code, result, stderr = run_json(["run", str(tiny_recipe), "--store", "store"], folder)
    assert code == 0, stderr
    return Finished(store=Store(folder / "store"), result=result, stderr=stderr)
