"""Lengths in metres where the pixel size is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import Caffe
from glacier_core.steps.kinds.series import metres_per_pixel

if TYPE_CHECKING:
    from glacier_core.recipes import FrontRecipe


def pixel_metres(recipe: FrontRecipe, grid: Any) -> float | None:
    """Size of a pixel in metres; None where distances are told in pixels.

    Raises:
        ConfigurationError: the recipe asks for metres and nothing tells the pixel size.
    """
    if recipe.units == "px":
        return None
    # CaFFe's names tell the pixel size, and its local grids are in metres
    metres = float(grid.resolution) if isinstance(recipe.imagery, Caffe) else metres_per_pixel(grid, recipe)
    if metres is None and recipe.units == "m":
        raise ConfigurationError(
            f"recipe '{recipe.name}' asks for metres, and nothing tells the pixel size",
            expected="imagery.pixel_size_m, or images with a projected CRS",
            do="state imagery.pixel_size_m, or set units: px",
        )
    return metres
