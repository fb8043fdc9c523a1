"""What the kinds share that learn from series of images: a unit is one series, and its cube is the imagery's own."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError, UnitError, WithheldError
from glacier_core.recipes import LearningRecipe
from glacier_core.steps import splitting
from glacier_core.steps.cube_building import Building
from glacier_core.steps.cubing import CUBE, build_cube, series_of
from glacier_core.steps.kinds.contract import Entry, Kind, Row, Survey
from glacier_core.steps.plans import Plan, Purpose
from glacier_core.steps.running import Step, log, reference
from glacier_core.units import SeriesUnit

if TYPE_CHECKING:
    from glacier_core.sources.series import Series


SEASONS = ("DJF", "MAM", "JJA", "SON")


class SeriesKind(Kind):
    """A kind of work whose units are series. What is left to a kind of its own: labels, samples, network, scores."""

    fewest_frames: int = 1
    """A series with fewer images is withheld."""

    def __init__(self) -> None:
        self._opened: dict[tuple[str, str], list[Series]] = {}
        self._files = ""

    def unit_from_json(self, value: dict[str, Any]) -> SeriesUnit:
        """See `Kind.unit_from_json`."""
        return SeriesUnit.from_json(value)

    def series(self, step: Step, recipe: LearningRecipe, *, catalog: str = "") -> list[Series]:
        """The recipe's series, opened once; no pixel is read yet.

        Args:
            step: the running stage.
            recipe: the recipe.
            catalog: a STAC catalog that replaces the recipe's, or empty.
        """
        key = recipe.model_dump_json(), catalog
        if key not in self._opened:
            self._opened[key] = series_of(recipe, step, catalog=catalog)[1]
        return self._opened[key]

    def survey(self, step: Step, recipe: Any, *, purpose: Purpose, catalog: str) -> Survey:
        """One unit a series with images enough; see `Kind.survey`."""
        opened = self.series(step, recipe, catalog=catalog)
        few = [each for each in opened if len(each.frames) < self.frames_needed(recipe)]
        series = [each for each in opened if each not in few]
        places = self.places(recipe, series)
        split = splitting.untrained(list(places), tested=purpose == "evaluate")
        if purpose == "train" and series:
            split = self.split(recipe, series)
        return Survey(
            units=[
                SeriesUnit(
                    name=each.name,
                    place=places[each.name],
                    part=splitting.part_of(split, each.name),
                    grid=each.grid,
                    frames=tuple(frame.id for frame in each.frames),
                    times=tuple(frame.time.strftime("%Y-%m-%dT%H:%M:%SZ") for frame in each.frames),
                )
                for each in series
            ],
            left_out=[{"unit": each.name, "state": "withheld", "reason": self._too_few(recipe, each)} for each in few],
            split=split,
            shared={"catalog": catalog},
        )

    def frames_needed(self, recipe: Any) -> int:
        """How many images a series needs to be of use."""
        return self.fewest_frames

    def places(self, recipe: Any, series: Sequence[Series]) -> dict[str, int]:
        """The number of the place of each series: those that may show the same ground share one."""
        if recipe.split.by == "time":
            return {each.name: number for number, each in enumerate(series)}
        return splitting.places_of(series) if series else {}

    def split(self, recipe: Any, series: Sequence[Series]) -> dict[str, Any]:
        """The split file of a training run; see `splitting.split_series`.

        Raises:
            ConfigurationError: the sets would share ground or time, or one would be empty.
        """
        return splitting.split_series(recipe.split, series, self.places(recipe, series))

    def period_of(self, split: Mapping[str, Any], time: str) -> str:
        """The part that a time serves; see `splitting.period_of`."""
        return splitting.period_of(split, time)

    def estimate(self, step: Step, recipe: Any, *, catalog: str) -> dict[str, Any]:
        """See `Kind.estimate`."""
        found = self.survey(step, recipe, purpose="monitor", catalog=catalog)
        series = {each.name: each for each in self.series(step, recipe, catalog=catalog)}
        units = [unit for unit in found.units if isinstance(unit, SeriesUnit)]
        pixels = {unit.name: len(unit.frames) * unit.grid.width * unit.grid.height for unit in units}
        return {
            "recipe": recipe.name,
            "kind": recipe.kind,
            "units": len(units),
            "left_out": len(found.left_out),
            "frames": sum(len(unit.frames) for unit in units),
            "batches": min(recipe.batches, len(units)),
            "pixels": sum(pixels.values()),
            "bytes": sum(count * len(series[name].bands) * 4 for name, count in pixels.items()),
            "split": self._split_told(recipe, [series[unit.name] for unit in units]),
        }

    def inputs(self, recipe: Any) -> dict[str, Any]:
        """See `Kind.inputs`: bands, what they measure, and how numbers become values."""
        imagery = recipe.imagery.model_dump(mode="json")
        told = {key: imagery[key] for key in ("bands", "quantities", "scale", "offset") if key in imagery}
        return {**told, "composite": recipe.composite}

    def check_model(self, spec: Mapping[str, Any], recipe: Any) -> None:
        """See `Kind.check_model`; bands that the recipe does not name are known only from the cubes."""
        named = tuple(getattr(recipe.imagery, "bands", ()))
        missing = [band for band in spec["bands"] if named and band not in named]
        if missing:
            raise ConfigurationError(
                f"the model needs band {', '.join(missing)}, which recipe '{recipe.name}' does not read",
                expected=f"bands {', '.join(named)}",
                do="add it to imagery.bands or choose another model with --model",
            )

    def ingest(self, step: Step, plan: Plan, unit: SeriesUnit) -> str:
        """The unit's cube, `cube/<digest>`; the Zarr group in it is named `cubing.CUBE`."""
        from glacier_core.sources.opening import files_digest

        cubes = plan.recipe.cubes()
        self._files = self._files or files_digest(cubes)
        building = Building(cubes, self._planned(step, plan, unit), functools.partial(_said, unit.unit_id), {})
        return reference(build_cube(step, building, files=self._files))

    def prepare(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
        """The cube itself; a kind that makes features of it makes them here.

        Raises:
            WithheldError: ingest had to leave out images, and those that remain are too few.
        """
        from glacier_core.cube import IMAGERY, open_pixels

        needed, ingested = self.frames_needed(plan.recipe), str(entry["refs"]["ingest"])
        if needed > 1:
            count = open_pixels(step.read(ingested).path(CUBE)).layout(IMAGERY).shape[0]
            if count < needed:
                raise WithheldError(
                    f"{unit.name}: {count} of {len(unit.frames)} images could be used",
                    expected=f"at least {needed}",
                    do="see what ingest said of the others",
                )
        return ingested

    def unseen(self, rows: Sequence[Row], split: Mapping[str, Any]) -> list[Row]:
        """See `Kind.unseen`; a row of a split by time has the key `time`."""
        if split["by"] == "time":
            return [row for row in rows if str(row["time"])[:10] > split["validation_to"]]
        seen = {*split["train"], *split["validation"]}
        return [row for row in rows if row["unit"] not in seen]

    def _planned(self, step: Step, plan: Plan, unit: SeriesUnit) -> Series:
        """The unit's series with the images that the plan found, and no other."""
        opened = {each.name: each for each in self.series(step, plan.recipe, catalog=plan.shared["catalog"])}
        series = opened.get(unit.name)
        frames = {frame.id: frame for frame in series.frames} if series else {}
        gone = [frame for frame in unit.frames if frame not in frames]
        if series is None or gone:
            raise UnitError(
                f"{unit.name}: {', '.join(gone[:3]) or 'its images'} cannot be found again",
                do="run the same command again: it plans anew",
            )
        return replace(series, frames=tuple(frames[frame] for frame in unit.frames))

    def _split_told(self, recipe: Any, series: Sequence[Series]) -> str:
        """What training would be split into, or why it cannot be."""
        try:
            split = self.split(recipe, series)
        except ConfigurationError as error:
            return f"none: {error}"
        return ", ".join(f"{len(split[part])} {part}" for part in splitting.PARTS)

    def _too_few(self, recipe: Any, series: Series) -> str:
        troubles = f" ({series.troubles[0].reason})" if series.troubles else ""
        return f"{len(series.frames)} images{troubles}, expected at least {self.frames_needed(recipe)}"


def metres_per_pixel(grid: Any, recipe: Any) -> float | None:
    """Size of a pixel in metres: by a projected CRS, else as the recipe states it; None where neither tells.

    Args:
        grid: the unit's `Grid`.
        recipe: the recipe.
    """
    if grid.crs:
        from pyproj import CRS

        crs = CRS.from_user_input(grid.crs)
        if not crs.is_geographic:
            return float(abs(grid.resolution) * crs.axis_info[0].unit_conversion_factor)
    stated = getattr(recipe.imagery, "pixel_size_m", None)
    return None if stated is None else float(stated)


def season_of(month: int) -> str:
    """The quarter that a month (1 to 12) lies in: DJF, MAM, JJA or SON."""
    return SEASONS[month % 12 // 3]


def _said(name: str, text: str) -> None:
    log.info("[ingest] %s: %s", name, text)
