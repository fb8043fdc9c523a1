"""Names that recipes know without loading a network agree with the networks and the losses that there are."""

from __future__ import annotations

import importlib.util
import typing

import pytest

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import KINDS as RECIPES
from glacier_core.recipes import LOSSES, NETWORKS
from glacier_core.recipes.learning import Loss
from glacier_core.steps.kinds import KINDS, kind_of
from glacier_core.steps.kinds.contract import Kind

TASKS = {"motion": "forecast", "ice_cover": "forecast"}


def test_recipes_know_the_networks_that_there_are() -> None:
    from glacier_core.models import MODELS

    assert {name: family.task for name, family in MODELS.items()} == dict(NETWORKS)


def test_every_loss_belongs_to_a_task() -> None:
    assert set(typing.get_args(Loss)) == set(LOSSES)
    assert set(LOSSES.values()) == set(NETWORKS.values())


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_recipe_that_trains_has_its_kind_of_work(name: str) -> None:
    kind = kind_of(name)
    assert isinstance(kind, Kind)
    assert kind.recipe is RECIPES[name]
    assert kind.task == TASKS.get(name, "segmentation")
    assert "/" in kind.headline
    assert kind_of(name) is not kind


def test_only_cubes_train_nothing() -> None:
    assert RECIPES.keys() - KINDS.keys() == {"cube"}
    with pytest.raises(ConfigurationError, match="which trains no model"):
        kind_of("cube")
    assert all(importlib.util.find_spec(where.partition(":")[0]) for where in KINDS.values())
