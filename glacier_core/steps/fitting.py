"""Cross-checks: does this network fit this kind of work, and this model this recipe? Asked before anything is done."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import LOSSES, NETWORKS, Recipe
from glacier_core.steps.kinds import kind_of

if TYPE_CHECKING:
    from glacier_core.steps.kinds.contract import Kind


def check_recipe(kind: Kind, recipe: Any) -> None:
    """Refuse a recipe whose network or loss is none of its kind, or whose weights to start from are not there.

    Raises:
        ConfigurationError: saying which, and what would do.
    """
    fitting = [name for name, task in NETWORKS.items() if task == kind.task]
    name = recipe.model.name
    if name not in NETWORKS:
        near = difflib.get_close_matches(name, fitting, n=1)
        raise ConfigurationError(
            f"model.name is '{name}'" + (f", did you mean '{near[0]}'?" if near else ""),
            expected=f"one of {', '.join(fitting)}",
        )
    if NETWORKS[name] != kind.task:
        raise ConfigurationError(
            f"model.name is '{name}', a {NETWORKS[name]} network, and recipe '{recipe.name}' of the kind "
            f"'{recipe.kind}'",
            expected=f"a {kind.task} network: {', '.join(fitting)}",
            do="correct model.name",
        )
    if LOSSES[recipe.training.loss] != kind.task:
        fitting = [loss for loss, task in LOSSES.items() if task == kind.task]
        raise ConfigurationError(
            f"training.loss is '{recipe.training.loss}', which is none of a {kind.task} network",
            expected=f"one of {', '.join(fitting)}",
            do="correct training.loss",
        )
    weights = recipe.path(recipe.model.weights) if recipe.model.weights else ""
    if weights and "://" not in weights and not Path(weights).is_file():
        raise ConfigurationError(f"model.weights: {weights} does not exist", do="correct the path")


def check_fit(who: str, spec: Mapping[str, Any], recipe: Recipe) -> None:
    """Refuse a model that does not fit a recipe: of another kind, or fed with other bands or values.

    Args:
        who: names the model in messages.
        spec: its `model.json`.
        recipe: the recipe that it shall serve.

    Raises:
        ConfigurationError: saying what differs.
    """
    if spec["kind"] != recipe.kind:
        raise ConfigurationError(
            f"{who} is of kind '{spec['kind']}', recipe '{recipe.name}' of kind '{recipe.kind}'",
            do="choose another model with --model",
        )
    kind = kind_of(recipe)
    told, wanted = spec["extra"].get("inputs", {}), kind.inputs(recipe)
    for key in sorted(told.keys() & wanted.keys()):
        if told[key] != wanted[key]:
            raise ConfigurationError(
                f"{who} was trained on {key} {_said(told[key])}, recipe '{recipe.name}' has {_said(wanted[key])}",
                do="change the recipe back, give it another name, or choose another model with --model",
            )
    kind.check_model(spec, recipe)


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
