"""The kinds of work that models are trained for, each imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from glacier_core.errors import ConfigurationError

if TYPE_CHECKING:
    from glacier_core.recipes import Recipe
    from glacier_core.steps.kinds.contract import Kind

KINDS: Mapping[str, str] = {
    "extent": "glacier_core.steps.kinds.extent:ExtentKind",
    "classes": "glacier_core.steps.kinds.classes:ClassesKind",
    "front": "glacier_core.steps.kinds.front:FrontKind",
    "motion": "glacier_core.steps.kinds.motion:MotionKind",
    "ice_cover": "glacier_core.steps.kinds.ice_cover:IceCoverKind",
}
"""Where the class of each kind stands, `module:class`."""


def kind_of(recipe: Recipe | str) -> Kind:
    """The kind of a recipe, or of that name; a new object, so that what it remembers belongs to one plan.

    Raises:
        ConfigurationError: no model is trained for recipes of that kind.
    """
    name = recipe if isinstance(recipe, str) else recipe.kind
    if name not in KINDS:
        head = f"the kind is '{name}'" if isinstance(recipe, str) else f"recipe '{recipe.name}' is of the kind '{name}'"
        raise ConfigurationError(f"{head}, which trains no model", expected=f"one of {', '.join(KINDS)}")
    module, _, found = KINDS[name].partition(":")
    made: Kind = getattr(importlib.import_module(module), found)()
    return made
