"""Recipes of the kind `extent`: glacier area and retreat from imagery and outlines."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from glacier_core.recipes.learning import Measure, Model, Split, Training
from glacier_core.recipes.parts import FolderFile, Glaciers, MonthDay, Part, Recipe, Simulation
from glacier_core.recipes.sweep import Sweep


class Imagery(Part):
    """Where pixels come from, and how a year's scenes become one image."""

    source: Literal["simulated", "stac", "folder"]
    simulation: Simulation | None = None
    catalog: str = Field(default="", description="STAC API or static catalog: URL or path relative to `data`")
    collection: str = Field(default="", description="STAC collection")
    files: tuple[FolderFile, ...] = Field(default=(), description="source folder: the files of a scene")
    date_pattern: str = Field(
        default=r"(?P<year>\d{4})-?(?P<month>\d{2})-?(?P<day>\d{2})",
        description="source folder: regular expression with year and month, day or doy that finds the date in a name",
    )
    bands: tuple[str, ...] = Field(min_length=1, description="bands that the model sees, in its order")
    rgb: tuple[str, str, str] = Field(description="bands of the true-colour image")
    green: str = Field(default="", description="band of the NDSI baseline")
    swir: str = Field(default="", description="band of the NDSI baseline")
    mask: str = Field(default="", description="scene classification band (Sentinel-2 SCL); empty: nothing is masked")
    max_cloud_percent: float = Field(default=80.0, ge=0, le=100, description="scenes with more cloud are not read")
    max_scenes: int = Field(default=6, ge=1, description="clearest scenes read for each glacier and year")
    composite: Literal["best", "late_summer"] = Field(
        default="late_summer", description="the single best scene, or the composite of the season's clear pixels"
    )
    resolution_m: float = Field(gt=0, description="pixel size of the cube")

    @model_validator(mode="after")
    def _source_is_described(self) -> Self:
        if self.source == "simulated" and self.simulation is None:
            raise ValueError("source 'simulated' needs the part 'simulation'")
        if self.source == "stac" and not self.catalog:
            raise ValueError("source 'stac' needs 'catalog'")
        if self.source == "folder" and not self.files:
            raise ValueError("source 'folder' needs 'files'")
        return self

    def all_bands(self) -> tuple[str, ...]:
        """Every spectral band that is read: the model's, the true-colour image's and the baseline's; each once."""
        return tuple(dict.fromkeys((*self.bands, *self.rgb, *(band for band in (self.green, self.swir) if band))))


class Labels(Part):
    """When an outline may serve as truth."""

    tolerance_days: int = Field(
        default=200, ge=0, description="largest distance between an outline's date and the image; older ones are stale"
    )
    train_on_stale: bool = Field(
        default=False, description="train on outlines beyond the tolerance too, and call them stale"
    )


class ExtentRecipe(Recipe):
    """The kind `extent`: glacier area and retreat."""

    kind: Literal["extent"]
    glaciers: Glaciers = Glaciers()
    years: tuple[int, int] = Field(description="first and last year")
    season: tuple[MonthDay, MonthDay] = Field(
        default=("07-15", "09-30"), description="first and last day (month-day) of the late summer"
    )
    imagery: Imagery
    labels: Labels = Labels()
    split: Split = Split()
    model: Model = Model()
    training: Training = Training()
    measure: Measure = Measure()
    sweep: Sweep = Sweep()
    batches: int = Field(default=2, ge=1, le=500, description="number of batches that units are packed into")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        first, last = self.years
        if first > last:
            raise ValueError(f"years are [{first}, {last}], expected the earlier one first")
        if self.imagery.source != "simulated" and not self.glaciers.outlines:
            raise ValueError("glaciers.outlines is empty, expected a vector file of outlines")
        return self

    def season_of(self, year: int) -> tuple[date, date]:
        """First and last day of the season that counts for `year`; one that crosses New Year ends in `year`."""
        (m0, d0), (m1, d1) = (tuple(int(part) for part in day.split("-")) for day in self.season)
        start_year = year if (m0, d0) <= (m1, d1) else year - 1
        return date(start_year, m0, d0), date(year, m1, d1)

    def mid_season(self, year: int) -> datetime:
        """The date that stands for `year` when labels are compared with imagery (UTC)."""
        start, end = self.season_of(year)
        middle = start + (end - start) / 2
        return datetime(middle.year, middle.month, middle.day, tzinfo=UTC)

    def year_range(self) -> range:
        """All years, first to last."""
        return range(self.years[0], self.years[1] + 1)
