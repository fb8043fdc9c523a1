"""Where the truth of a recipe lies; that of simulated scenes is made, once, in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import ClassesRecipe, SimulatedScenes
from glacier_core.steps.archives import archive_part
from glacier_core.steps.running import Step, reference

SIMULATED_SEASON = ("07-15", "09-30")
"""That of simulated archives whose recipe names none."""


def is_simulated(recipe: ClassesRecipe) -> bool:
    """Whether the truth, and the heights, are the simulation's own."""
    stated = recipe.labels.outlines or recipe.labels.raster or recipe.labels.mask
    return isinstance(recipe.imagery, SimulatedScenes) and not recipe.data and not stated


def simulated_truth(step: Step, recipe: ClassesRecipe) -> str:
    """Reference of the classes and heights of a recipe's simulated scenes, made now if they are not there.

    Raises:
        ConfigurationError: the recipe names another class than the simulation has, or composites.
    """
    from glacier_core.sources.simulated import CLASSES

    imagery = recipe.imagery
    if not isinstance(imagery, SimulatedScenes) or recipe.years is None:
        raise ConfigurationError("the imagery is not simulated", do="state labels")
    strange = sorted({*recipe.classes} - {*CLASSES})
    if strange:
        raise ConfigurationError(
            f"the simulation has no class {', '.join(strange)}", expected=f"classes among {', '.join(CLASSES)}"
        )
    if recipe.composite != "none":
        raise ConfigurationError(
            "the simulation knows the classes of each scene, and the recipe composites them",
            expected="composite: none",
        )
    years, season = range(recipe.years[0], recipe.years[1] + 1), recipe.season or SIMULATED_SEASON

    def make(attempt: Any) -> None:
        from glacier_core.sources.simulated import simulate_truth

        simulate_truth(Path(attempt.local_folder()), spec=imagery.simulation, years=years, season=season)

    part = {**archive_part(imagery.simulation, years, season), "truth": "classes"}
    return reference(step.build("simulate", part=part, inputs=[], make=make))
