"""Which sequences a unit's images make, and which set each serves: sets share no image and no ground.

By place every sequence of a unit serves the unit's set. By time a sequence serves a set only if all of its images, in
and out, lie in that set's period; where the recipe splits the ground too, a set keeps to its own part of the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError
from glacier_core.steps.splitting import period_of
from glacier_core.store import digest_of

if TYPE_CHECKING:
    from datetime import datetime

    from glacier_core.grids import Grid
    from glacier_core.recipes import MotionRecipe
    from glacier_core.sources.series import Series
    from glacier_core.units import SeriesUnit

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Run:
    """Consecutive images: some in, some out."""

    first: int
    """Number of the first image in."""
    inputs: int
    """Images in."""
    outputs: int
    """Images out."""

    @property
    def target(self) -> int:
        """Number of the first image out."""
        return self.first + self.inputs

    @property
    def end(self) -> int:
        """Number after the last image out."""
        return self.target + self.outputs


def runs_of(recipe: MotionRecipe, count: int) -> list[Run]:
    """All sequences of so many images."""
    inputs, outputs = recipe.sequences.inputs, recipe.sequences.outputs
    return [Run(first, inputs, outputs) for first in range(count - inputs - outputs + 1)]


def part_of_run(split: Mapping[str, Any], unit: SeriesUnit, run: Run, times: Sequence[datetime]) -> str:
    """The set that a sequence serves; empty: none, for its images lie in several periods.

    Args:
        split: the plan's split file.
        unit: the unit.
        run: the sequence.
        times: of all images of the unit.
    """
    if split["by"] != "time":
        if unit.part == "all" or split["by"] == "none":
            found = {period_of(split, time.isoformat()) for time in times[run.first : run.end]}
            return next(iter(found)) if len(found) == 1 else ""
        return unit.part
    found = {period_of(split, time.isoformat()) for time in times[run.first : run.end]}
    return next(iter(found)) if len(found) == 1 else ""


def with_ground(file: dict[str, Any], recipe: MotionRecipe, series: Sequence[Series]) -> dict[str, Any]:
    """A split file by time, with the part of the images that each set keeps to.

    Raises:
        ConfigurationError: no ground is left to a set.
    """
    axis = recipe.sequences.ground
    if axis == "all":
        return file
    split = recipe.split
    ends = {"train": (0.0, split.train), "validation": (split.train, split.train + split.validation)}
    ends["test"] = (split.train + split.validation, 1.0)
    ground: dict[str, Any] = {"axis": axis}
    for each in series:
        length = each.grid.width if axis == "easting" else each.grid.height
        gap = split.gap_m / abs(each.grid.resolution) / length / 2
        ranges = {part: [low + gap * (low > 0), high - gap * (high < 1)] for part, (low, high) in ends.items()}
        if any(high - low < recipe.training.chip / length for low, high in ranges.values()):
            raise ConfigurationError(
                f"the ground of {each.name}, {length} pixels along {axis}, is too small to be split: one of its parts "
                f"is smaller than a chip",
                expected=f"at least {recipe.training.chip} pixels for each of train, validation and test, and the gaps",
                do="choose a smaller training.chip, or sequences.ground all",
            )
        ground[each.name] = ranges
    whole = {key: value for key, value in file.items() if key != "hash"} | {"ground": ground}
    return {**whole, "hash": digest_of(whole)}


def ground_of(split: Mapping[str, Any], name: str, part: str, grid: Grid) -> tuple[slice, slice]:
    """Rows and columns of a unit that a set keeps to.

    Args:
        split: the plan's split file.
        name: of the unit.
        part: the set.
        grid: the unit's pixels.
    """
    ranges = split.get("ground", {}).get(name)
    if not ranges:
        return slice(0, grid.height), slice(0, grid.width)
    low, high = ranges[part]
    if split["ground"]["axis"] == "easting":
        return slice(0, grid.height), slice(round(low * grid.width), round(high * grid.width))
    return slice(round(low * grid.height), round(high * grid.height)), slice(0, grid.width)
