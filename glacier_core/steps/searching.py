"""What of a recipe a sweep searches, and recipes with the values that it tries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from glacier_core.recipes import LOSSES, Range, default_space, parse_recipe
from glacier_core.steps.kinds import kind_of

LOSS = "training.loss"
"""The key whose values make the losses of trials no longer comparable."""


def search_space(recipe: Any) -> Mapping[str, Range | tuple[Any, ...]]:
    """What of a recipe is searched: what it says, or learning rate, batch, width and loss.

    Raises:
        ConfigurationError: a key is none of the recipe's, or one of its values is refused.
    """
    task = kind_of(recipe).task
    own = recipe.training.loss
    losses = tuple(name for name, does in LOSSES.items() if does == task and (name != "adversarial" or name == own))
    space = recipe.sweep.space or default_space(losses)
    for key, values in space.items():
        for value in (values.low, values.high) if isinstance(values, Range) else values:
            with_values(recipe, {key: value})
    return space


def with_values(recipe: Any, values: Mapping[str, Any]) -> Any:
    """The recipe with other values.

    Raises:
        ConfigurationError: a key is unknown or a value is refused.
    """
    whole = recipe.model_dump(mode="json")
    return parse_recipe(whole, origin=f"sweep of {recipe.name}", overrides=assignments(values), kind=type(recipe))


def assignments(values: Mapping[str, Any]) -> list[str]:
    """Values as `key=value`, the way `--set` takes them."""
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def own_values(recipe: Any, space: Mapping[str, Range | tuple[Any, ...]]) -> dict[str, Any]:
    """What the recipe itself says of the keys that are searched; empty where that lies outside the space."""
    whole = recipe.model_dump(mode="json")
    found = {}
    for key, values in space.items():
        value: Any = whole
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        inside = _between(values, value) if isinstance(values, Range) else value in values
        if not inside:
            return {}
        found[key] = value
    return found


def _between(values: Range, value: Any) -> bool:
    return isinstance(value, int | float) and values.low <= value <= values.high


def shown(value: Any) -> str:
    """A value as people write it."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
