"""What a sweep searches, how a trial is judged, and that only what matters makes new samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from glacier_core import Store
from glacier_core.errors import ConfigurationError
from glacier_core.recipes import Range, Sweep, parse_recipe
from glacier_core.steps.searching import assignments, own_values, search_space, with_values
from glacier_core.steps.sweeping import open_study, sweep_storage
from glacier_pipelines.choosing import RECIPES


def recipe_of(**sweep: Any) -> Any:
    value = yaml.safe_load((RECIPES / "demo.yaml").read_text(encoding="utf-8"))
    return parse_recipe({**value, "sweep": sweep}, origin="test")


def test_without_a_word_rate_batch_width_and_loss_are_searched() -> None:
    recipe = recipe_of()
    assert recipe.sweep.trials == 200
    space = search_space(recipe)
    assert space["training.learning_rate"] == Range(low=1e-7, high=1e-2, log=True)
    assert space["training.batch"] == Range(low=2, high=32, log=True)
    assert "focal" in space["training.loss"]
    assert "mse" not in space["training.loss"]
    assert space.keys() == {"training.learning_rate", "training.batch", "model.width", "training.loss"}


def test_any_key_may_be_searched() -> None:
    recipe = recipe_of(space={"imagery.bands": [["B04"], ["B04", "B11"]], "model.depth": {"low": 1, "high": 4}})
    space = search_space(recipe)
    bands = space["imagery.bands"]
    assert isinstance(bands, tuple)
    tried = with_values(recipe, {"imagery.bands": bands[1], "model.depth": 2})
    assert (tried.imagery.bands, tried.model.depth) == (("B04", "B11"), 2)
    assert tried.training == recipe.training


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"training.learning_rat": [1.0]}, "did you mean 'learning_rate'"),
        ({"training.batch": {"low": 0, "high": 8}}, "training.batch"),
        ({"training.loss": ["dize"]}, "training.loss"),
        ({"split.by": ["place", "easting"]}, "judged by different things"),
        ({"training.batch": {"low": 8, "high": 2}}, "low < high"),
        ({"training.learning_rate": {"low": 0.0, "high": 1.0, "log": True}}, "more than 0"),
        ({"training.batch": []}, "no values"),
    ],
)
def test_what_cannot_be_searched_is_said_before_anything_is_done(space: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        search_space(recipe_of(space=space))


def test_the_recipes_own_values_are_known_where_they_lie_in_the_space() -> None:
    recipe = recipe_of(space={"training.batch": {"low": 2, "high": 32}, "model.width": [8, 16]})
    assert own_values(recipe, search_space(recipe)) == {"training.batch": 16, "model.width": 16}
    outside = recipe_of(space={"training.batch": {"low": 2, "high": 4}})
    assert own_values(outside, search_space(outside)) == {}


def test_values_are_written_as_the_command_takes_them() -> None:
    recipe = recipe_of()
    values = {"training.augmentation": ["flip"], "training.loss": "dice", "training.learning_rate": 1e-7}
    found = parse_recipe(recipe.model_dump(mode="json"), origin="t", overrides=assignments(values))
    assert found == with_values(recipe, values)


def test_losses_are_not_compared_with_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLACIER_SWEEPS", raising=False)
    store = Store(tmp_path / "store")
    assert open_study(store, recipe_of(), "sample/1").metric == "validation_iou"
    one_loss = recipe_of(space={"training.batch": [2, 4]})
    assert open_study(store, one_loss, "sample/1").metric == "validation_loss"
    named = recipe_of(metric="validation_f1")
    assert open_study(store, named, "sample/1").rising


def test_a_study_is_the_same_while_its_question_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLACIER_SWEEPS", raising=False)
    store = Store(tmp_path / "store")
    names = [
        open_study(store, recipe, samples).name
        for recipe, samples in (
            (recipe_of(), "sample/1"),
            (recipe_of(trials=7), "sample/1"),
            (recipe_of(seed=1), "sample/1"),
            (recipe_of(), "sample/2"),
        )
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_studies_lie_beside_the_store_or_where_the_setting_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLACIER_SWEEPS", raising=False)
    assert sweep_storage(Store(tmp_path / "store")) == str(tmp_path / "sweeps")
    with pytest.raises(ConfigurationError, match="GLACIER_SWEEPS"):
        sweep_storage(Store("memory://anywhere"))
    monkeypatch.setenv("GLACIER_SWEEPS", "postgresql://host/sweeps")
    assert sweep_storage(Store("memory://anywhere")) == "postgresql://host/sweeps"


def test_a_sweep_survives_yaml() -> None:
    recipe = recipe_of(space={"training.learning_rate": {"low": "1e-7", "high": "1e-2", "log": True}})
    again = parse_recipe(yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json"))), origin="t")
    assert again == recipe
    assert Sweep() == Sweep(trials=200)
