"""What recipes of every kind are made of: the base of all recipes, and the parts that several kinds share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Control characters and line separators: YAML folds some of them away, and no headline needs them.
ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]*$"
MonthDay = Annotated[str, Field(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]


class Part(BaseModel):
    """A frozen part of a recipe that knows no other keys than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Recipe(Part):
    """What every recipe has. What a recipe is about stands in the class of its kind."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$", description="names the products and the model")]
    kind: str = Field(description="the kind of work; it decides which other keys there are")
    title: str = Field(default="", pattern=ONE_LINE, description="headline of the report, one line")
    data: str = Field(default="", description="root of relative paths; may name environment variables as ${NAME}")

    def path(self, name: str) -> str:
        """`name` as an absolute path or URL: relative ones stand below `data`."""
        if "://" in name or Path(name).is_absolute():
            return name
        return str(Path(self.data) / name) if self.data else name


class Glaciers(Part):
    """Which glaciers: all in `outlines`, unless ids, names, an area of interest, a point or a region choose some."""

    outlines: str = Field(
        default="", description="vector file with RGI attributes, relative to `data`; dated, with a CRS"
    )
    reference: str = Field(
        default="",
        description="outlines of several dates, for calibration and scores only; never trained on",
    )
    ids: tuple[str, ...] = Field(default=(), description="RGI ids")
    names: tuple[str, ...] = Field(default=(), description="glacier names as in the outlines' Name")
    aoi: str | tuple[float, float, float, float] | None = Field(
        default=None, description="area of interest: vector file or west, south, east, north in degrees"
    )
    point: tuple[float, float] | None = Field(default=None, description="longitude, latitude inside one glacier")
    region: int | None = Field(default=None, ge=1, le=20, description="number of an RGI first-order region")
    min_area_km2: float = Field(default=0.0, ge=0, description="smaller glaciers are left out")
    buffer_m: float = Field(default=150.0, ge=0, description="ice counts within this distance of the outline")
    margin_m: float = Field(default=200.0, ge=0, description="imagery beyond the buffer, as context for the model")

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        chosen = [name for name in ("ids", "names", "aoi", "point", "region") if getattr(self, name)]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} both choose glaciers; keep one of them")
        return self


class Simulation(Part):
    """The simulated glacier: an identical twin of Sentinel-2 scenes whose truth is known."""

    seed: int = Field(default=0, ge=0, description="everything follows from it")
    places: int = Field(default=22, ge=1, description="separate massifs, each with scenes of its own")
    glaciers_per_place: int = Field(default=2, ge=1, le=4)
    scenes_per_year: int = Field(default=4, ge=1, le=12)
    size: int = Field(default=384, ge=128, description="rows and columns of a scene at 10 m")


class FolderFile(Part):
    """One file of a scene in a folder: which names, and which bands it holds."""

    pattern: str = Field(description="glob below the folder")
    bands: tuple[str, ...] = Field(min_length=1, description="band names in the file's order")
