"""Glacierflow's library: recipes in, per-glacier, per-year products out. It knows nothing of Kubeflow."""

from glacier_core.errors import GlacierError
from glacier_core.grids import Grid
from glacier_core.recipes import (
    ClassesRecipe,
    CubeRecipe,
    ExtentRecipe,
    FrontRecipe,
    IceCoverRecipe,
    MotionRecipe,
    Recipe,
    dump_recipe,
    load_recipe,
    parse_recipe,
)
from glacier_core.settings import Settings
from glacier_core.store import Output, Store
from glacier_core.units import SeriesUnit, Unit, pack

__version__ = "0.1.0"

__all__ = [
    "ClassesRecipe",
    "CubeRecipe",
    "ExtentRecipe",
    "FrontRecipe",
    "GlacierError",
    "Grid",
    "IceCoverRecipe",
    "MotionRecipe",
    "Output",
    "Recipe",
    "SeriesUnit",
    "Settings",
    "Store",
    "Unit",
    "dump_recipe",
    "load_recipe",
    "pack",
    "parse_recipe",
]
