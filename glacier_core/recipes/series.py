"""Recipes of series of images: where pixels come from, which of them, and on which grid."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from glacier_core.recipes.imagery import CubeImagery, FolderScenes, SimulatedScenes, StacScenes
from glacier_core.recipes.parts import Glaciers, MonthDay, Part, Recipe

PlaceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,60}$")]


class TargetGrid(Part):
    """The pixels of the cube where they shall not be the imagery's own."""

    crs: str = Field(default="", description="CRS such as EPSG:32645; empty: the imagery's")
    resolution: float | None = Field(default=None, gt=0, description="pixel size in units of the CRS")


class Coregistration(Part):
    """How the frames of a series are laid on each other."""

    reference: str = Field(default="", description="id or date of the frame that stays; empty: the clearest")
    model: Literal["translation", "affine"] = Field(default="translation", description="what may differ")
    band: str = Field(default="", description="the band that is compared; empty: the first")
    where: str = Field(default="", description="mask of the series within which frames are compared; empty: all")
    largest_shift_px: float = Field(default=64.0, gt=0, description="frames that are further off are refused")
    largest_error_px: float = Field(default=0.1, gt=0, description="frames whose shift is less certain are refused")
    apply: bool = Field(default=True, description="false: shifts are measured and kept, pixels stay where they are")


class SeriesRecipe(Recipe):
    """What recipes about series of images share: where pixels come from, which of them, and on which grid."""

    imagery: CubeImagery
    glaciers: Glaciers | None = Field(default=None, description="one cube a glacier; scenes only")
    box: tuple[float, float, float, float] | None = Field(
        default=None, description="one cube of this box: west, south, east, north in degrees; scenes only"
    )
    boxes: dict[PlaceName, tuple[float, float, float, float]] = Field(
        default_factory=dict, description="one cube of each of these boxes, by name; scenes only"
    )
    years: tuple[int, int] | None = Field(default=None, description="first and last year; empty: all that there are")
    season: tuple[MonthDay, MonthDay] | None = Field(
        default=None, description="first and last day (month-day) of the year that is kept; absent: all year"
    )
    grid: TargetGrid = TargetGrid()
    composite: Literal["none", "monthly", "yearly"] = Field(
        default="none", description="median of each month's or year's frames in place of the frames"
    )
    coregistration: Coregistration | None = Field(default=None, description="absent: frames stay where they are")
    memory_mb: int = Field(default=512, ge=16, description="pixels in memory at a time")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.years and self.years[0] > self.years[1]:
            raise ValueError(f"years are {list(self.years)}, expected the earlier one first")
        if self.coregistration and self.composite != "none":
            raise ValueError("a composite mixes frames before they can be laid on each other; keep one of the two")
        chosen = [name for name in ("glaciers", "box", "boxes") if getattr(self, name)]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} both choose the ground; keep one of them")
        if isinstance(self.imagery, SimulatedScenes | StacScenes | FolderScenes):
            if isinstance(self.imagery, SimulatedScenes | StacScenes) and self.years is None:
                raise ValueError(f"source '{self.imagery.source}' needs 'years'")
            return self
        if chosen or self.grid != TargetGrid():
            raise ValueError(
                f"source '{self.imagery.source}' keeps the pixels that its files have; "
                f"leave '{(chosen or ['grid'])[0]}' out"
            )
        return self

    def wants(self, day: dt.date) -> bool:
        """Whether images of a day are wanted. A season that crosses New Year counts for the year in which it ends."""
        year = day.year
        if self.season is not None:
            first, last = self.season
            own = f"{day:%m-%d}"
            if not (first <= own <= last if first <= last else own >= first or own <= last):
                return False
            year += first > last and own >= first
        return self.years is None or self.years[0] <= year <= self.years[1]
