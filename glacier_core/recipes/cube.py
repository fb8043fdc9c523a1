"""Recipes of the kind `cube`: imagery becomes cubes, and nothing more is made of it."""

from __future__ import annotations

from typing import Literal

from glacier_core.recipes.series import SeriesRecipe


class CubeRecipe(SeriesRecipe):
    """The kind `cube`: one cube a place or glacier."""

    kind: Literal["cube"]
