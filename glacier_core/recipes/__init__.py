"""Recipes: what is to be done, typed and validated, from YAML and back.

A recipe is frozen once loaded. Stages depend only on the parts that they are handed, so that a change of, say, the
model's width leaves the imagery's digests alone. `kind` says which class of recipe it is.
"""

from glacier_core.recipes.classes import ClassesRecipe
from glacier_core.recipes.cube import CubeRecipe
from glacier_core.recipes.extent import ExtentRecipe, Imagery, Labels
from glacier_core.recipes.front import FrontRecipe
from glacier_core.recipes.ice_cover import IceCoverRecipe
from glacier_core.recipes.imagery import (
    AntarcticMelt,
    Caffe,
    CubeImagery,
    Dem,
    FolderScenes,
    Frames,
    SeaIceIndex,
    SeaIceRecord,
    SimulatedFronts,
    SimulatedIceCover,
    SimulatedMotion,
    SimulatedScenes,
    StacScenes,
    Velocity,
)
from glacier_core.recipes.learning import LOSSES, NETWORKS, LearningRecipe, Measure, Model, Split, Training
from glacier_core.recipes.loading import KINDS, dump_recipe, load_recipe, parse_recipe, recipe_from_json
from glacier_core.recipes.motion import MotionRecipe
from glacier_core.recipes.parts import FolderFile, Glaciers, Recipe, Simulation
from glacier_core.recipes.series import Coregistration, SeriesRecipe, TargetGrid
from glacier_core.recipes.sweep import Range, Sweep, default_space

__all__ = [
    "KINDS",
    "LOSSES",
    "NETWORKS",
    "AntarcticMelt",
    "Caffe",
    "ClassesRecipe",
    "Coregistration",
    "CubeImagery",
    "CubeRecipe",
    "Dem",
    "ExtentRecipe",
    "FolderFile",
    "FolderScenes",
    "Frames",
    "FrontRecipe",
    "Glaciers",
    "IceCoverRecipe",
    "Imagery",
    "Labels",
    "LearningRecipe",
    "Measure",
    "Model",
    "MotionRecipe",
    "Range",
    "Recipe",
    "SeaIceIndex",
    "SeaIceRecord",
    "SeriesRecipe",
    "SimulatedFronts",
    "SimulatedIceCover",
    "SimulatedMotion",
    "SimulatedScenes",
    "Simulation",
    "Split",
    "StacScenes",
    "Sweep",
    "TargetGrid",
    "Training",
    "Velocity",
    "default_space",
    "dump_recipe",
    "load_recipe",
    "parse_recipe",
    "recipe_from_json",
]
