"""What the command's arguments mean: the recipe, the store, the score that stands for a model."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError

if TYPE_CHECKING:
    from glacier_core.recipes import ExtentRecipe, LearningRecipe, Recipe
    from glacier_core.store import Store

RECIPES = Path(__file__).parent / "recipes"


def recipe_named(name: str, overrides: Sequence[str] | None) -> Recipe:
    """The recipe that a name or a path means.

    Args:
        name: name of a shipped recipe, or a YAML file.
        overrides: `key.subkey=value` assignments that are laid over it.

    Raises:
        ConfigurationError: there is none, or it is wrong.
    """
    from glacier_core.recipes import load_recipe

    path = Path(name)
    if path.suffix not in (".yaml", ".yml") and not path.exists():
        path = RECIPES / f"{name}.yaml"
        if not path.exists():
            known = sorted(found.stem for found in RECIPES.glob("*.yaml"))
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigurationError(
                f"recipe '{name}' is not known" + (f", did you mean '{near[0]}'?" if near else ""),
                expected=f"a YAML file or one of {', '.join(known)}",
            )
    return load_recipe(path, overrides=overrides or [])


def trainable(name: str, overrides: Sequence[str] | None) -> ExtentRecipe | LearningRecipe:
    """The same, of a kind that models are trained for.

    Raises:
        ConfigurationError: models are trained for none of its kind.
    """
    from glacier_core.recipes import ExtentRecipe, LearningRecipe

    chosen = recipe_named(name, overrides)
    if not isinstance(chosen, ExtentRecipe | LearningRecipe):
        raise ConfigurationError(
            f"recipe '{chosen.name}' is of the kind '{chosen.kind}', which trains no model",
            do=f"use glacier cube {name}",
        )
    return chosen


def store_at(url: str) -> Store:
    """The store that the option or the environment names, found to be writable.

    Raises:
        ConfigurationError: it ends with each process.
        StoreError, ServiceUnavailableError: it cannot be written.
    """
    from glacier_core.settings import Settings
    from glacier_core.store import Store

    store = Store(url or Settings().store)
    if store.url.startswith("memory:"):
        raise ConfigurationError(
            "a memory store ends with each process", expected="a store that tasks share", do="use a folder or s3://"
        )
    store.check_writable()
    return store


def counted(recipe: Recipe, store: Store, *, catalog: str) -> dict[str, Any]:
    """What `glacier check` says of a recipe: units or cubes, images, pixels, bytes; nothing is run."""
    from glacier_core.recipes import CubeRecipe

    if isinstance(recipe, CubeRecipe):
        from glacier_core.steps.cubing import count_cubes

        return count_cubes(recipe, store=store, catalog=catalog)
    from glacier_core.steps.planning import estimate

    return estimate(store=store, recipe=recipe, catalog=catalog)


def version_line(version: Any) -> str:
    """A registered model version in a list: name, alias, and the score that stands for it."""
    metric = version.headline or "iou/glacier"
    score = version.scores.get(metric, {})
    value = score.get("value")
    unit = score.get("unit", "")
    shown = "" if value is None else f"{metric} {value:.3f}{f' {unit}' if unit not in ('', '1') else ''}"
    return f"{version.name + '/' + str(version.version):<24} {version.alias or '-':<11} {shown}".rstrip()
