"""A recipe's outlines and imagery become a split, and units with their scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glacier_core.grids import Grid
from glacier_core.recipes import ExtentRecipe
from glacier_core.steps.kinds.contract import Survey
from glacier_core.steps.kinds.extent.inputs import resolve_inputs, simulation_part
from glacier_core.steps.kinds.extent.sites import Search, Site, sites_of
from glacier_core.steps.plans import Purpose
from glacier_core.steps.running import Step
from glacier_core.steps.tables import to_parquet
from glacier_core.units import Unit

if TYPE_CHECKING:
    from geopandas import GeoDataFrame


def surveyed(step: Step, recipe: ExtentRecipe, *, purpose: Purpose, catalog: str) -> Survey:
    """Read outlines, search scenes, assign places and parts; see `Kind.survey`."""
    from glacier_core.sources import outlines as outline_files

    inputs = resolve_inputs(step, recipe, catalog)
    regions = outline_files.wanted_regions(recipe.glaciers)
    # all of the file, so that neighbours bound the chosen glaciers
    outlines = outline_files.read_outlines(inputs.outlines, regions=regions)
    scored = purpose != "monitor" and inputs.reference
    dated = outline_files.read_outlines(inputs.reference, regions=regions) if scored else None
    chosen = outline_files.choose(outlines, recipe.glaciers, resolve=recipe.path).drop_duplicates("glacier_id")
    search = Search(recipe, inputs)
    left_out: list[dict[str, str]] = []
    sites = sites_of(recipe, chosen, search, left_out)
    split = _split(recipe, sites, purpose=purpose)
    years = None if purpose == "monitor" else _labelled_years(recipe, outlines, dated)
    units = _units(recipe, sites, search, split, years=years, left_out=left_out)
    used = {scene for unit in units for scene in unit.scenes}
    return Survey(
        units=units,
        left_out=left_out,
        split=split.to_json(),
        shared={
            "scenes": {
                scene.id: {"item": scene.item, "fingerprint": scene.fingerprint()}
                for scene in sorted(search.found.values(), key=lambda scene: scene.id)
                if scene.id in used
            }
        },
        tables={
            "outlines.parquet": to_parquet(outlines),
            "reference.parquet": to_parquet(outlines if dated is None else dated),
        },
        made_from=inputs.made_from,
    )


def estimated(step: Step, recipe: ExtentRecipe, *, catalog: str) -> dict[str, Any]:
    """What a `monitor` run of the recipe would do; see `Kind.estimate`."""
    simulation = recipe.imagery.simulation
    to_be_made = recipe.imagery.source == "simulated" and not recipe.data
    if simulation is not None and to_be_made and step.find_built("simulate", part=simulation_part(recipe)) is None:
        glaciers = simulation.places * simulation.glaciers_per_place
        units = glaciers * len(recipe.year_range())
        scenes = units * min(simulation.scenes_per_year, recipe.imagery.max_scenes)
        pixels = scenes * simulation.size**2
        left_out = 0
    else:
        survey = surveyed(step, recipe, purpose="monitor", catalog=catalog)
        found = [unit for unit in survey.units if isinstance(unit, Unit)]
        glaciers, units = len({unit.glacier_id for unit in found}), len(found)
        scenes = sum(len(unit.scenes) for unit in found)
        pixels = sum(len(unit.scenes) * unit.grid.width * unit.grid.height for unit in found)
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


def _units(
    recipe: ExtentRecipe,
    sites: Sequence[Site],
    search: Search,
    split: _Parts,
    *,
    years: Mapping[tuple[str, bool], set[int]] | None,
    left_out: list[dict[str, str]],
) -> list[Unit]:
    """One unit a glacier and year with scenes; where `years` are given, only those that have labels."""
    units = []
    for site in sites:
        part, grid = split.part_and_grid(site)
        for year in recipe.year_range():
            if years is not None and not (part and year in years[site.glacier_id, part == "train"]):
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
    return units


@dataclass(frozen=True)
class _Parts:
    """Which part each glacier serves, and on which side of the cuts its pixels must lie."""

    part_of: dict[str, str]
    bounds_of: dict[str, tuple[float, float, float, float]]
    record: dict[str, Any]

    def part_and_grid(self, site: Site) -> tuple[str, Grid]:
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


def _split(recipe: ExtentRecipe, sites: Sequence[Site], *, purpose: Purpose) -> _Parts:
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
