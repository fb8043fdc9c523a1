"""Recipes: what is to be done, typed and validated, from YAML and back.

A recipe is frozen once loaded. Stages depend only on the parts that they are handed, so that a change of, say, the
model's width leaves the imagery's digests alone. `kind` says which class of recipe it is.
"""

from glacier_core.recipes.cube import Coregistration, CubeRecipe, TargetGrid
from glacier_core.recipes.extent import ExtentRecipe, Imagery, Labels, Measure, Model, Split, Training
from glacier_core.recipes.imagery import (
    AntarcticMelt,
    Caffe,
    CubeImagery,
    Dem,
    FolderScenes,
    Frames,
    SeaIceIndex,
    SeaIceRecord,
    SimulatedScenes,
    StacScenes,
    Velocity,
)
from glacier_core.recipes.loading import KINDS, dump_recipe, load_recipe, parse_recipe, recipe_from_json
from glacier_core.recipes.parts import FolderFile, Glaciers, Recipe, Simulation

__all__ = [
    "KINDS",
    "AntarcticMelt",
    "Caffe",
    "Coregistration",
    "CubeImagery",
    "CubeRecipe",
    "Dem",
    "ExtentRecipe",
    "FolderFile",
    "FolderScenes",
    "Frames",
    "Glaciers",
    "Imagery",
    "Labels",
    "Measure",
    "Model",
    "Recipe",
    "SeaIceIndex",
    "SeaIceRecord",
    "SimulatedScenes",
    "Simulation",
    "Split",
    "StacScenes",
    "TargetGrid",
    "Training",
    "Velocity",
    "dump_recipe",
    "load_recipe",
    "parse_recipe",
    "recipe_from_json",
]
