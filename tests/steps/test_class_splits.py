"""What a classifier is tested on, it has not learnt: neither the image, nor the ground, nor the label."""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.accuracy.experiments.classes import NORWAY
from glacier_core.errors import ConfigurationError
from glacier_core.recipes import ClassesRecipe, load_recipe, parse_recipe
from glacier_core.recipes.classes import MOST_CLASSES
from glacier_core.steps.kinds.classes import sampling
from glacier_core.training import Trained

RECIPES = Path(__file__).parents[2] / "pipelines" / "recipes"
CHIP_KM = 128 * 0.030


def shipped(name: str) -> ClassesRecipe:
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    assert isinstance(recipe, ClassesRecipe)
    return recipe


def changed(recipe: ClassesRecipe, **changes: Any) -> ClassesRecipe:
    value = recipe.model_dump(mode="json", exclude_none=True)
    return parse_recipe({**value, **changes}, origin="test", kind=ClassesRecipe)


def apart_km(one: str, other: str) -> float:
    """Distance of the middles of two chips, along the axis on which it is larger; their names tell them."""
    (east, north), (east_too, north_too) = ((float(name[1:7]) / 1e3, float(name[8:13]) / 1e3) for name in (one, other))
    eastward = abs(east - east_too) * 111.32 * math.cos(math.radians(north))
    return max(eastward, abs(north - north_too) * 111.4)


def test_images_that_the_evaluated_model_was_fitted_on_serve_no_test() -> None:
    unit = SimpleNamespace(part="test")
    split = {"by": "none", "train": [], "validation": [], "test": ["a"], "hash": "", "seen_to": "2021-12-31"}
    assert sampling.part_of(SimpleNamespace(split=split), unit, "2020-08-01T00:00:00Z") == ""  # type: ignore[arg-type]
    assert sampling.part_of(SimpleNamespace(split=split), unit, "2022-08-01T00:00:00Z") == "test"  # type: ignore[arg-type]
    unseen = {**split, "seen_to": ""}
    assert sampling.part_of(SimpleNamespace(split=unseen), unit, "") == "test"  # type: ignore[arg-type]


def test_one_truth_for_all_years_cannot_be_split_by_time() -> None:
    split = {"by": "time", "train_to": "2019-12-31", "validation_to": "2021-12-31"}
    himalaya = shipped("himalaya-classes")
    with pytest.raises(ConfigurationError, match="learnt by heart"):
        changed(himalaya, split=split)
    for labels in ({"mask": "glacier"}, {"raster": "{place}.tif", "codes": {0: "other", 1: "glacier"}}):
        with pytest.raises(ConfigurationError, match="learnt by heart"):
            changed(himalaya, split=split, labels=labels)
    yearly = changed(himalaya, split=split, labels={"raster": "{year}.tif", "codes": {0: "other", 1: "glacier"}})
    assert yearly.split.by == "time"
    assert changed(shipped("simulated-classes"), split=split).split.by == "time"


def test_the_shipped_boxes_lie_apart_and_serve_one_set_each() -> None:
    recipe = shipped("himalaya-classes")
    assert recipe.split.by == "named"
    named = {*recipe.split.validation_places, *recipe.split.test_places}
    assert len(set(recipe.boxes) - named) == 1
    assert named < set(recipe.boxes)
    spans = sorted((west, east) for west, _, east, _ in recipe.boxes.values())
    km = 111.32 * math.cos(math.radians(28))
    assert all((after[0] - before[1]) * km > 1 for before, after in pairwise(spans))
    assert recipe.labels.box is not None
    assert min(west for west, _ in spans) >= recipe.labels.box[0]
    assert max(east for _, east in spans) <= recipe.labels.box[2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"box": [1, 2, 3, 4]}, "box and boxes both choose the ground"),
        ({"boxes": {"a/b": [1, 2, 3, 4]}}, "boxes"),
    ],
)
def test_boxes_that_make_no_sense_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        changed(shipped("himalaya-classes"), **changes)


def test_norwegian_chips_that_may_overlap_serve_one_set() -> None:
    recipe = shipped("norway-extent")
    grouped = {name: number for number, group in enumerate(recipe.overlapping) for name in group}
    chips = sorted(name for group in NORWAY for name in group)
    assert len(set(chips)) == 22
    fold = {name: number for number, group in enumerate(NORWAY) for name in group}
    sets = dict.fromkeys(recipe.split.validation_places, "validation") | dict.fromkeys(recipe.split.test_places, "test")
    for one, other in combinations(chips, 2):
        if apart_km(one, other) < CHIP_KM:
            assert grouped[one] == grouped[other], (one, other)
            assert fold[one] == fold[other], (one, other)
            assert sets.get(one) == sets.get(other), (one, other)


def test_members_of_two_seeds_share_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def train(*, training: Any, **_: Any) -> Trained:
        seeds.append(training.seed)
        state = {"weight": torch.zeros(1)}
        return Trained(state=state, history=[], best_epoch=1, stopped_epoch=1, precision="fp32", seconds=0.0)

    monkeypatch.setattr("glacier_core.training.train", train)
    recipe = shipped("norway-extent")
    value = {
        "chips": {"train": [], "validation": []},
        "channels": ["red"],
        "normalisation": {"bands": ["red"], "mean": [0.0], "std": [1.0]},
    }
    for seed in range(3):
        seeded = changed(recipe, training={**recipe.training.model_dump(mode="json"), "seed": seed})
        plan: Any = SimpleNamespace(recipe=seeded, split={"hash": ""})
        samples: Any = SimpleNamespace(read_json=lambda _: value)
        step: Any = SimpleNamespace()
        sampling.fitted(step, plan, samples, checkpoints="", track=lambda _epoch, _found: None)
    assert len(seeds) == 9
    assert len(set(seeds)) == 9


def test_a_map_of_change_tells_all_classes_that_a_recipe_may_have() -> None:
    from glacier_core.measure.classes import change_codes

    last = np.full((1, 1), MOST_CLASSES - 1, np.uint8)
    assert change_codes(last, last, classes=MOST_CLASSES)[0, 0] == MOST_CLASSES**2 - 1 != 255
    names = [f"c{number}" for number in range(MOST_CLASSES + 1)]
    with pytest.raises(ConfigurationError, match="classes"):
        changed(shipped("simulated-classes"), classes=names)
