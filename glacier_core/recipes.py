"""Recipes: what is to be done, typed and validated, from YAML and back.

A recipe is frozen once loaded. Stages depend only on the parts that they are handed, so that a change of, say, the
model's width leaves the imagery's digests alone.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from glacier_core.errors import ConfigurationError

MONTH_DAY = r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"
# Control characters and line separators: YAML folds some of them away, and no headline needs them.
ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]*$"
KINDS = ("extent",)


class _Part(BaseModel):
    """A frozen part of a recipe that knows no other keys than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Glaciers(_Part):
    """Which glaciers: all in `outlines`, unless ids, names, an area of interest or a point choose some."""

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
    min_area_km2: float = Field(default=0.0, ge=0, description="smaller glaciers are left out")
    buffer_m: float = Field(default=150.0, ge=0, description="ice counts within this distance of the outline")
    margin_m: float = Field(default=200.0, ge=0, description="imagery beyond the buffer, as context for the model")

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        chosen = [name for name in ("ids", "names", "aoi", "point") if getattr(self, name)]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} both choose glaciers; keep one of them")
        return self


class Simulation(_Part):
    """The simulated glacier: an identical twin of Sentinel-2 scenes whose truth is known."""

    seed: int = Field(default=0, ge=0, description="everything follows from it")
    places: int = Field(default=22, ge=1, description="separate massifs, each with scenes of its own")
    glaciers_per_place: int = Field(default=2, ge=1, le=4)
    scenes_per_year: int = Field(default=4, ge=1, le=12)
    size: int = Field(default=384, ge=128, description="rows and columns of a scene at 10 m")


class FolderFile(_Part):
    """One file of a scene in a folder: which names, and which bands it holds."""

    pattern: str = Field(description="glob below the folder")
    bands: tuple[str, ...] = Field(min_length=1, description="band names in the file's order")


class Imagery(_Part):
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


class Labels(_Part):
    """When an outline may serve as truth."""

    tolerance_days: int = Field(
        default=200, ge=0, description="largest distance between an outline's date and the image; older ones are stale"
    )
    train_on_stale: bool = Field(
        default=False, description="train on outlines beyond the tolerance too, and call them stale"
    )


class Split(_Part):
    """Training, validation and test sets that share no place."""

    by: Literal["place", "easting", "northing"] = Field(
        default="place",
        description="place: glaciers whose windows overlap stay together; easting, northing: parts of one image",
    )
    train: float = Field(default=0.6, gt=0, lt=1)
    validation: float = Field(default=0.2, gt=0, lt=1)
    test: float = Field(default=0.2, gt=0, lt=1)
    gap_m: float = Field(default=0.0, ge=0, description="width of the strip between two parts that serves neither")
    seed: int = 0

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, validation and test sum to {total:g}, expected 1")
        return self


class Model(_Part):
    """Which network."""

    name: str = Field(default="unet", description="a name of the model registry")
    width: int = Field(default=16, ge=1, le=256, description="channels of the first level")
    depth: int = Field(default=3, ge=1, le=6, description="number of times that the resolution is halved")


class Training(_Part):
    """How the network is trained."""

    chip: int = Field(default=128, ge=32, description="rows and columns of a chip")
    batch: int = Field(default=16, ge=1)
    epochs: int = Field(default=30, ge=1, description="at most")
    steps_per_epoch: int = Field(default=40, ge=1)
    patience: int = Field(default=6, ge=1, description="epochs without a better validation loss before it stops")
    learning_rate: float = Field(default=1e-3, gt=0)
    optimizer: Literal["adam", "adamw"] = "adamw"
    weight_decay: float = Field(default=1e-4, ge=0)
    loss: Literal["dice_cross_entropy", "cross_entropy", "dice"] = "dice_cross_entropy"
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 where the processor has it"
    )
    processes: int = Field(default=1, ge=1, description="DDP processes on this machine")
    seed: int = 0


class Measure(_Part):
    """How areas, intervals and scores are made."""

    confidence: float = Field(default=0.9, gt=0, lt=1, description="coverage of the intervals")
    min_clear: float = Field(default=0.5, ge=0, le=1, description="units with less clear area are flagged, not scored")
    resamples: int = Field(default=2000, ge=100, description="bootstrap resamples")


class Recipe(_Part):
    """One recipe of the kind `extent`: glacier area and retreat."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$", description="names the products and the model")]
    kind: Literal["extent"]
    title: str = Field(default="", pattern=ONE_LINE, description="headline of the report, one line")
    data: str = Field(default="", description="root of relative paths; may name environment variables as ${NAME}")
    glaciers: Glaciers = Glaciers()
    years: tuple[int, int] = Field(description="first and last year")
    season: tuple[Annotated[str, Field(pattern=MONTH_DAY)], Annotated[str, Field(pattern=MONTH_DAY)]] = Field(
        default=("07-15", "09-30"), description="first and last day (month-day) of the late summer"
    )
    imagery: Imagery
    labels: Labels = Labels()
    split: Split = Split()
    model: Model = Model()
    training: Training = Training()
    measure: Measure = Measure()
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

    def path(self, name: str) -> str:
        """`name` as an absolute path or URL: relative ones stand below `data`."""
        if "://" in name or Path(name).is_absolute():
            return name
        return str(Path(self.data) / name) if self.data else name


def parse_recipe(value: Mapping[str, Any], *, origin: str, overrides: Sequence[str] = ()) -> Recipe:
    """A validated recipe from plain data.

    Args:
        value: the recipe as a mapping.
        origin: where it came from, for messages.
        overrides: `key.subkey=value` assignments (values as YAML) that are laid over it.

    Raises:
        ConfigurationError: unknown keys (near ones are suggested), wrong types or values.
    """
    merged = _overridden(dict(value), overrides)
    if merged.get("kind") not in KINDS:
        raise ConfigurationError(
            f"{origin}: kind is {merged.get('kind')!r}", expected=f"one of {', '.join(KINDS)}", do="correct 'kind'"
        )
    if isinstance(merged.get("data"), str):
        merged["data"] = _expanded(merged["data"], origin)
    try:
        return Recipe.model_validate(merged)
    except ValidationError as error:
        raise ConfigurationError(f"{origin}: {_first_problem(error)}", do="correct the recipe") from None


def load_recipe(path: str | Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """A validated recipe from a YAML file.

    Raises:
        ConfigurationError: the file is absent, is not YAML, or does not describe a recipe.
    """
    file = Path(path)
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"recipe file {file} does not exist", do="check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"recipe file {file} cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"recipe file {file} is not YAML ({error})", do="correct it") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"recipe file {file} holds {type(value).__name__}", expected="a mapping of keys")
    return parse_recipe(value, origin=file.name, overrides=overrides)


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML; `load_recipe` gives an equal one."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _overridden(value: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for assignment in overrides:
        key, sign, text = assignment.partition("=")
        if not sign or not key:
            raise ConfigurationError(f"--set {assignment}", expected="key=value, such as training.epochs=5")
        target = value
        *parents, last = key.split(".")
        for parent in parents:
            inner = target.get(parent)
            target[parent] = dict(inner) if isinstance(inner, dict) else {}
            target = target[parent]
        target[last] = yaml.safe_load(text)
    return value


def _expanded(text: str, origin: str) -> str:
    """Environment variables written as ${NAME} or ${NAME:-default}, replaced."""

    def replace(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        found = os.environ.get(name, default)
        if found is None:
            raise ConfigurationError(
                f"{origin}: data names the environment variable {name}, which is not set", do=f"set {name}"
            )
        return found

    return re.sub(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}", replace, text)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _keys_beside(problem["loc"])
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        hint = f", did you mean '{near[0]}'?" if near else f", expected one of {', '.join(known)}"
        return f"unknown key '{place}'{hint}"
    if problem["type"] == "missing":
        return f"key '{place}' is missing"
    message = problem["msg"].removeprefix("Value error, ")
    shown = repr(problem["input"]) if not isinstance(problem["input"], dict) else ""
    return f"{place or 'recipe'}: {message}" + (f", got {shown}" if shown and len(shown) < 80 else "")


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the part at `location` knows."""
    part: Any = Recipe
    for step in location[:-1]:
        if isinstance(step, int):
            continue
        annotation = part.model_fields[step].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        part = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(part.model_fields)
