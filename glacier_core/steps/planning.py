"""`plan`: a recipe becomes units with their scenes, packed into batches.

A plan is computed on every run and kept under the digest of its content: new imagery makes a new plan, and through the
fingerprints of its scenes new work for the units that it touches, and nothing else does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.grids import Grid
from glacier_core.recipes import ExtentRecipe, Simulation
from glacier_core.steps.evaluating import shown
from glacier_core.steps.models import import_model
from glacier_core.steps.plans import PURPOSES, Plan, Purpose, read_plan
from glacier_core.steps.running import Step, log, reference, running
from glacier_core.steps.tables import to_parquet
from glacier_core.store import Output, Store
from glacier_core.units import Unit, pack

if TYPE_CHECKING:
    from geopandas import GeoDataFrame
    from shapely.geometry.base import BaseGeometry

    from glacier_core.sources.stac import CatalogSource, SceneItem

PART_OF_OUTLINE_ON_IMAGERY = 0.99
WGS84 = "EPSG:4326"
METRES_PER_DEGREE = 110_000.0  # of latitude, a little less than it is, so that boxes come out larger


def plan(*, store: str, run: str, recipe: str, purpose: str, catalog: str = "", model: str = "") -> list[str]:
    """Resolve a recipe to units, scenes and batches, and publish the plan.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        recipe: the recipe as JSON.
        purpose: train (units with labels), monitor (all units) or evaluate (units with reference outlines).
        catalog: a STAC catalog that replaces the recipe's.
        model: `name@alias` or `name/version` that predicts; empty for training.

    Returns:
        One `<plan digest>/<batch number>` for each batch.
    """
    with running(store=store, run=run, stage="plan") as step:
        if purpose not in PURPOSES:
            raise ConfigurationError(f"purpose is '{purpose}'", expected=f"one of {', '.join(PURPOSES)}")
        step.made += 1  # a plan is computed anew on every run
        made = make_plan(
            step,
            ExtentRecipe.model_validate_json(recipe),
            purpose=cast("Purpose", purpose),
            catalog=catalog,
            model=model,
        )
        log.info("[plan] %d units in %d batches", len(made.units), len(made.batches))
        step.units["withheld"] = sum(entry["state"] == "withheld" for entry in made.left_out)
        step.notes = [entry for entry in made.left_out if entry["state"] == "withheld"]
        if made.model:
            step.facts = {
                "model": {key: str(made.model[key]) for key in ("name", "version", "alias")},
                **shown(step.read(made.model["reference"]).read_json("scores.json")),
            }
        return [f"{made.output.digest}/{number}" for number in range(len(made.batches))]


def make_plan(step: Step, recipe: ExtentRecipe, *, purpose: Purpose, catalog: str, model: str) -> Plan:
    """Compute and publish the plan; see `plan`."""
    inputs = resolve_inputs(step, recipe, catalog)
    survey = Survey.of(recipe, inputs, purpose=purpose)
    if not survey.units:
        reasons = sorted({entry["reason"] for entry in survey.left_out})
        raise DataError(
            f"recipe '{recipe.name}' leaves nothing to do ({'; '.join(reasons[:3]) or 'no unit has labels'})",
            expected="at least one glacier and year with imagery" + (" and an outline" if purpose != "monitor" else ""),
            do="check years, season, glaciers, labels.tolerance_days and the catalog",
        )
    chosen = import_model(step, model, recipe) if model else {}
    used = {scene for unit in survey.units for scene in unit.scenes}
    value = {
        "recipe": recipe.model_dump(mode="json"),
        "purpose": purpose,
        "units": [unit.to_json() for unit in survey.units],
        "batches": [[unit.unit_id for unit in batch] for batch in pack(survey.units, batches=recipe.batches)],
        "scenes": {
            scene.id: {"item": scene.item, "fingerprint": scene.fingerprint()}
            for scene in sorted(survey.scenes.values(), key=lambda scene: scene.id)
            if scene.id in used
        },
        "model": chosen,
        "left_out": survey.left_out,
        "split": survey.split,
    }
    output = step.store.publish_content(
        "plan",
        {
            "plan.json": json.dumps(value, sort_keys=True).encode(),
            "outlines.parquet": to_parquet(survey.outlines),
            "reference.parquet": to_parquet(survey.outlines if survey.reference is None else survey.reference),
        },
        part={"recipe": recipe.name, "purpose": purpose},
        inputs=[*inputs.made_from, *([chosen["reference"]] if chosen else [])],
    )
    return read_plan(step, reference(output))


def estimate(*, store: Store, recipe: ExtentRecipe, catalog: str) -> dict[str, Any]:
    """What a `monitor` run of the recipe would do, without doing it.

    Args:
        store: the store; only looked at, for a simulated archive that is there already.
        recipe: the recipe.
        catalog: a STAC catalog that replaces the recipe's, or empty.

    Returns:
        Counts of glaciers, units, scenes and batches, the pixels and the bytes of the cubes before compression.
    """
    step = Step(store=store, run="", stage="check")
    simulation = recipe.imagery.simulation
    to_be_made = recipe.imagery.source == "simulated" and not recipe.data
    if simulation is not None and to_be_made and step.find_built("simulate", part=_simulation_part(recipe)) is None:
        glaciers = simulation.places * simulation.glaciers_per_place
        units = glaciers * len(recipe.year_range())
        scenes = units * min(simulation.scenes_per_year, recipe.imagery.max_scenes)
        pixels = scenes * simulation.size**2
        left_out = 0
    else:
        survey = Survey.of(recipe, resolve_inputs(step, recipe, catalog), purpose="monitor")
        glaciers, units = len({unit.glacier_id for unit in survey.units}), len(survey.units)
        scenes = sum(len(unit.scenes) for unit in survey.units)
        pixels = sum(len(unit.scenes) * unit.grid.width * unit.grid.height for unit in survey.units)
        left_out = len(survey.left_out)
    samples_per_pixel = len(recipe.imagery.all_bands()) * 2 + (1 if recipe.imagery.mask else 0)
    return {
        "recipe": recipe.name,
        "kind": recipe.kind,
        "glaciers": glaciers,
        "units": units,
        "left_out": left_out,
        "scene_windows": scenes,
        "batches": min(recipe.batches, units),
        "pixels": pixels,
        "bytes": pixels * samples_per_pixel,
    }


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


def simulated_archive(step: Step, simulation: Simulation, *, years: range, season: tuple[str, str]) -> Output:
    """The scenes and outlines of simulated glaciers, made (once) in the store."""

    def make(attempt: Any) -> None:
        from glacier_core.sources.simulated import simulate
        from glacier_core.steps.running import threads

        simulate(
            attempt.local_folder(),
            spec=simulation,
            years=years,
            season=season,
            progress=lambda text: log.info("[simulate] %s", text),
            processes=threads(),
        )

    return step.build("simulate", part=_archive_part(simulation, years, season), inputs=[], make=make)


def _simulation_part(recipe: ExtentRecipe) -> dict[str, Any]:
    if recipe.imagery.simulation is None:
        return {}
    return _archive_part(recipe.imagery.simulation, recipe.year_range(), recipe.season)


def _archive_part(simulation: Simulation, years: range, season: tuple[str, str]) -> dict[str, Any]:
    return {
        "imagery": {"simulation": simulation.model_dump(mode="json")},
        "years": [years[0], years[-1]],
        "season": list(season),
    }


@dataclass(frozen=True)
class Survey:
    """What the plan found out: which glaciers, which scenes, which units."""

    outlines: GeoDataFrame
    """All outlines of the file, so that neighbours bound the chosen glaciers."""
    reference: GeoDataFrame | None
    """Outlines of several dates, or None."""
    units: list[Unit]
    """Units to do."""
    scenes: dict[str, SceneItem]
    """Scenes by id."""
    left_out: list[dict[str, str]]
    """What is not done, {unit, state, reason}: state `withheld` counts, `outside` is for information."""
    split: dict[str, Any]
    """The split file."""

    @classmethod
    def of(cls, recipe: ExtentRecipe, inputs: Inputs, *, purpose: Purpose) -> Survey:
        """Read outlines, search scenes, assign places and parts."""
        from glacier_core.sources import outlines as outline_files

        regions = outline_files.wanted_regions(recipe.glaciers)
        outlines = outline_files.read_outlines(inputs.outlines, regions=regions)
        scored = purpose != "monitor" and inputs.reference
        reference_outlines = outline_files.read_outlines(inputs.reference, regions=regions) if scored else None
        chosen = outline_files.choose(outlines, recipe.glaciers, resolve=recipe.path).drop_duplicates("glacier_id")
        search = _Search(recipe, inputs)
        left_out: list[dict[str, str]] = []
        sites = _sites(recipe, chosen, search, left_out)
        split = _split(recipe, sites, purpose=purpose)
        labelled = _labelled_years(recipe, outlines, reference_outlines)
        units = []
        for site in sites:
            part, grid = split.part_and_grid(site)
            for year in recipe.year_range():
                if purpose != "monitor" and not (part and year in labelled[site.glacier_id, part == "train"]):
                    continue
                scenes = search.scenes(site, year)
                unit = Unit(
                    glacier_id=site.glacier_id,
                    year=year,
                    place=site.place,
                    part=part,
                    grid=grid,
                    scenes=tuple(scene.id for scene in scenes),
                )
                if scenes:
                    units.append(unit)
                else:
                    reason = f"no scene of {year} covers it with at most {recipe.imagery.max_cloud_percent:g} % cloud"
                    left_out.append({"unit": unit.unit_id, "state": "withheld", "reason": reason})
        return cls(
            outlines=outlines,
            reference=reference_outlines,
            units=units,
            scenes=search.found,
            left_out=left_out,
            split=split.to_json(),
        )


@dataclass(frozen=True)
class _Site:
    """A chosen glacier on its grid."""

    glacier_id: str
    grid: Grid
    outline: BaseGeometry  # in the grid's CRS
    window: BaseGeometry  # the grid's footprint, EPSG:4326
    place: int


class _Search:
    """Searches scenes by window and year, each search once."""

    def __init__(self, recipe: ExtentRecipe, inputs: Inputs) -> None:
        from glacier_core.sources.folder import index_folder
        from glacier_core.sources.stac import open_catalog

        self.recipe = recipe
        self.found: dict[str, SceneItem] = {}
        self._by_area: dict[tuple[tuple[float, ...], int], list[SceneItem]] = {}
        location = inputs.catalog
        if not location:
            import tempfile
            from pathlib import Path

            imagery = recipe.imagery
            self._index = tempfile.TemporaryDirectory(prefix="glacier-index-")
            location = str(
                index_folder(
                    Path(recipe.data),
                    files=imagery.files,
                    date_pattern=imagery.date_pattern,
                    out=Path(self._index.name),
                )
            )
        self.source: CatalogSource = open_catalog(location)

    def around(self, window: BaseGeometry, year: int) -> list[SceneItem]:
        """All scenes of the year's season that touch the window (EPSG:4326)."""
        imagery = self.recipe.imagery
        key = (tuple(round(value, 3) for value in window.bounds), year)
        if key not in self._by_area:
            start, end = self.recipe.season_of(year)
            self._by_area[key] = self.source.search(
                bbox=window.bounds,
                start=start,
                end=end,
                collection=imagery.collection,
                max_cloud_percent=imagery.max_cloud_percent,
            )
        return self._by_area[key]

    def scenes(self, site: _Site, year: int) -> list[SceneItem]:
        """The scenes to read for a site and a year, clearest first."""
        from glacier_core.sources.stac import choose_scenes

        chosen = choose_scenes(
            self.around(site.window, year), footprint=site.window, limit=self.recipe.imagery.max_scenes
        )
        self.found.update({scene.id: scene for scene in chosen})
        return chosen


def _sites(recipe: ExtentRecipe, chosen: GeoDataFrame, search: _Search, left_out: list[dict[str, str]]) -> list[_Site]:
    import shapely

    from glacier_core.samples import assign_places

    drafts: list[tuple[str, Grid, BaseGeometry, BaseGeometry]] = []
    for glacier_id, outline in zip(chosen["glacier_id"], chosen.geometry, strict=True):
        draft = _on_imagery(recipe, outline, search)
        if isinstance(draft, str):
            left_out.append({"unit": glacier_id, "state": "outside", "reason": draft})
        else:
            drafts.append((glacier_id, *draft))
    if not drafts:
        raise DataError(
            f"none of {len(chosen)} outlines lies on the imagery of {recipe.years[0]} to {recipe.years[1]}",
            expected="outlines and imagery of the same region",
            do="check glaciers.outlines and its CRS, years, season, and the catalog or folder (another one: --catalog)",
        )
    places = assign_places([shapely.box(*window.bounds) for _, _, _, window in drafts])
    return [
        _Site(glacier_id=glacier_id, grid=grid, outline=outline, window=window, place=place)
        for (glacier_id, grid, outline, window), place in zip(drafts, places, strict=True)
    ]


def _on_imagery(
    recipe: ExtentRecipe, outline: BaseGeometry, search: _Search
) -> tuple[Grid, BaseGeometry, BaseGeometry] | str:
    """The glacier's grid in the imagery's CRS, its outline there and its window in degrees; or why there is none."""
    import geopandas
    import shapely

    from glacier_core.sources.stac import native_grid

    glaciers, imagery = recipe.glaciers, recipe.imagery
    series = geopandas.GeoSeries([outline], crs=WGS84)
    reach = glaciers.buffer_m + glaciers.margin_m
    rough = _around(outline.bounds, reach)
    scenes = next((found for year in recipe.year_range() if (found := search.around(rough, year))), None)
    if not scenes:
        return "no scene touches it"
    footprint = shapely.union_all([shapely.geometry.shape(scene.item["geometry"]) for scene in scenes])
    if shapely.intersection(outline, footprint).area < PART_OF_OUTLINE_ON_IMAGERY * outline.area:
        return "its outline reaches beyond the imagery"
    crs, _, origin = native_grid(scenes[0].item, imagery.bands[0])
    local = series.to_crs(crs)
    left, bottom, right, top = local.total_bounds
    wide = (left - reach, bottom - reach, right + reach, top + reach)
    grid = Grid.covering(wide, crs=crs, resolution=imagery.resolution_m, origin=origin)
    window = geopandas.GeoSeries([shapely.box(*grid.bounds)], crs=crs).to_crs(WGS84).iloc[0]
    return grid, local.iloc[0], window


def _around(bounds: tuple[float, float, float, float], reach_m: float) -> BaseGeometry:
    """A box in degrees that holds everything within `reach_m` of the bounds (EPSG:4326)."""
    import shapely

    west, south, east, north = bounds
    latitude = reach_m / METRES_PER_DEGREE
    longitude = latitude / max(math.cos(math.radians(max(abs(south), abs(north)))), 0.01)
    return shapely.box(west - longitude, south - latitude, east + longitude, north + latitude)


@dataclass(frozen=True)
class _Parts:
    """Which part each glacier serves, and on which side of the cuts its pixels must lie."""

    part_of: dict[str, str]
    bounds_of: dict[str, tuple[float, float, float, float]]
    record: dict[str, Any]

    def part_and_grid(self, site: _Site) -> tuple[str, Grid]:
        """The site's part, and its grid clipped to that part's ground."""
        part = self.part_of.get(site.glacier_id, "")
        if part not in self.bounds_of:
            return part, site.grid
        left, bottom, right, top = self.bounds_of[part]
        x0, y0, x1, y1 = site.grid.bounds
        clipped = (max(x0, left), max(y0, bottom), min(x1, right), min(y1, top))
        _, _, x_origin, _, _, y_origin = site.grid.transform
        grid = Grid.covering(clipped, crs=site.grid.crs, resolution=site.grid.resolution, origin=(x_origin, y_origin))
        return part, grid

    def to_json(self) -> dict[str, Any]:
        """The split file."""
        return self.record


def _split(recipe: ExtentRecipe, sites: Sequence[_Site], *, purpose: Purpose) -> _Parts:
    from glacier_core.samples import split_by_axis, split_by_place

    if purpose != "train":
        tested = [site.glacier_id for site in sites] if purpose == "evaluate" else []
        record = {"train": [], "validation": [], "test": tested, "hash": ""}
        return _Parts(part_of=dict.fromkeys(tested, "test"), bounds_of={}, record=record)
    if recipe.split.by == "place":
        found = split_by_place({site.glacier_id: site.place for site in sites}, split=recipe.split)
        return _Parts(part_of=found.part_of(), bounds_of={}, record=found.to_json())
    cut = split_by_axis({site.glacier_id: site.outline for site in sites}, split=recipe.split)
    return _Parts(part_of=cut.part_of(), bounds_of=dict(cut.bounds), record=cut.to_json())


def _labelled_years(
    recipe: ExtentRecipe, outlines: GeoDataFrame, reference_outlines: GeoDataFrame | None
) -> dict[tuple[str, bool], set[int]]:
    """Years with usable labels by glacier, for training (True) and for scores (False)."""
    years: dict[tuple[str, bool], set[int]] = {}
    for training, frame in ((True, outlines), (False, outlines if reference_outlines is None else reference_outlines)):
        for glacier_id, dates in frame.groupby("glacier_id")["date"]:
            good = {
                year
                for year in recipe.year_range()
                if any(
                    abs((date - recipe.mid_season(year).replace(tzinfo=None)).days) <= recipe.labels.tolerance_days
                    for date in dates.dropna()
                )
            }
            if recipe.labels.train_on_stale and not good:
                # a stale outline trains the network and gives a bias, not an accuracy
                good = set(recipe.year_range())
            years[str(glacier_id), training] = good
    return years
