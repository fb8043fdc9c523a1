"""Where the imagery and the outlines of a recipe are, and the outlines that a plan keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import ExtentRecipe
from glacier_core.steps.archives import archive_part, simulated_archive
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, reference
from glacier_core.steps.tables import from_geoparquet
from glacier_core.store import Output

if TYPE_CHECKING:
    from geopandas import GeoDataFrame


def outlines_of(plan: Plan, which: Literal["outlines", "reference"] = "outlines") -> GeoDataFrame:
    """A plan's outlines (EPSG:4326), or those of several dates for calibration and scores."""
    return from_geoparquet(plan.output.read_bytes(f"{which}.parquet"))


@dataclass(frozen=True)
class Inputs:
    """Where the imagery and the outlines of a recipe are."""

    catalog: str
    """URL or path of a STAC catalog; empty where a folder is indexed."""
    outlines: str
    """Vector file of outlines."""
    reference: str
    """Vector file of outlines of several dates, or empty."""
    made_from: tuple[str, ...] = ()
    """References of the store's outputs that these are."""


def resolve_inputs(step: Step, recipe: ExtentRecipe, catalog: str) -> Inputs:
    """The recipe's imagery and outlines; a simulated archive is made (once) in the store."""
    imagery, glaciers = recipe.imagery, recipe.glaciers
    if imagery.source != "simulated":
        return Inputs(
            catalog=catalog or (recipe.path(imagery.catalog) if imagery.catalog else ""),
            outlines=recipe.path(glaciers.outlines),
            reference=recipe.path(glaciers.reference) if glaciers.reference else "",
        )
    if recipe.data:
        return Inputs(
            catalog=catalog or recipe.path("catalog.json"),
            outlines=recipe.path(glaciers.outlines or "outlines.gpkg"),
            reference=recipe.path(glaciers.reference or "reference.gpkg"),
        )
    archive = _simulated(step, recipe)
    return Inputs(
        catalog=catalog or archive.path("catalog.json"),
        outlines=archive.path("outlines.gpkg"),
        reference=archive.path("reference.gpkg"),
        made_from=(reference(archive),),
    )


def _simulated(step: Step, recipe: ExtentRecipe) -> Output:
    simulation = recipe.imagery.simulation
    if simulation is None:  # the recipe's validation excludes it; the type checker cannot know
        raise ConfigurationError("source 'simulated' needs the part 'simulation'")
    return simulated_archive(step, simulation, years=recipe.year_range(), season=recipe.season)


def simulation_part(recipe: ExtentRecipe) -> dict[str, Any]:
    """What decides the simulated archive of a recipe, as plain JSON; empty where nothing is simulated."""
    if recipe.imagery.simulation is None:
        return {}
    return archive_part(recipe.imagery.simulation, recipe.year_range(), recipe.season)
