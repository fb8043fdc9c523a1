"""Units, what is fanned out (one glacier and one year, or one series), and the batches that carry them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from glacier_core.grids import Grid

# Cost of a unit in seconds on one core: a·scenes + b·megapixels. Fitted to the demo's ingest and prepare times; only
# the ratio of the two matters for balance.
SECONDS_PER_SCENE = 0.05
SECONDS_PER_MEGAPIXEL = 0.4


@dataclass(frozen=True)
class Unit:
    """One glacier and one year."""

    glacier_id: str
    """RGI id."""
    year: int
    """Calendar year in which the season ends."""
    place: int
    """Number of the place: units of one place may show the same ground."""
    part: str
    """train, validation, test, or empty where the unit serves none of them."""
    grid: Grid
    """Pixel grid of the unit's cubes."""
    scenes: tuple[str, ...]
    """Ids of the STAC items to read, in the order of choice."""

    @property
    def unit_id(self) -> str:
        """Name of the unit in tables and messages."""
        return f"{self.glacier_id}_{self.year}"

    @property
    def split_name(self) -> str:
        """What split files call it: all years of a glacier serve one set."""
        return self.glacier_id

    @property
    def order(self) -> tuple[int, str, int]:
        """Neighbours come one after the other."""
        return self.place, self.glacier_id, self.year

    @property
    def cost(self) -> float:
        """Expected seconds on one core, for balance only."""
        return _cost(self.grid, len(self.scenes))

    def to_json(self) -> dict[str, Any]:
        """A plain object that `from_json` takes back."""
        return {
            "glacier_id": self.glacier_id,
            "year": self.year,
            "place": self.place,
            "part": self.part,
            "grid": self.grid.to_json(),
            "scenes": list(self.scenes),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Unit:
        """The inverse of `to_json`."""
        return cls(**{**value, "grid": Grid.from_json(value["grid"]), "scenes": tuple(value["scenes"])})


@dataclass(frozen=True)
class SeriesUnit:
    """One series of images: a place, a glacier or a region, with all its dates. It has one cube."""

    name: str
    """Name of the series among those of the recipe."""
    place: int
    """Number of the place: units of one place may show the same ground."""
    part: str
    """train, validation or test; `all` where periods are told apart and not places; or empty where it serves none."""
    grid: Grid
    """Pixel grid of the unit's cube."""
    frames: tuple[str, ...]
    """Ids of the images, in order of time."""
    times: tuple[str, ...]
    """Time of each image, ISO 8601, UTC."""

    @property
    def unit_id(self) -> str:
        """Name of the unit in tables and messages."""
        return self.name

    @property
    def split_name(self) -> str:
        """What split files call it."""
        return self.name

    @property
    def order(self) -> tuple[int, str, int]:
        """Neighbours come one after the other."""
        return self.place, self.name, 0

    @property
    def cost(self) -> float:
        """Expected seconds on one core, for balance only."""
        return _cost(self.grid, len(self.frames))

    def to_json(self) -> dict[str, Any]:
        """A plain object that `from_json` takes back."""
        return {
            "name": self.name,
            "place": self.place,
            "part": self.part,
            "grid": self.grid.to_json(),
            "frames": list(self.frames),
            "times": list(self.times),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SeriesUnit:
        """The inverse of `to_json`."""
        plain = {**value, "frames": tuple(value["frames"]), "times": tuple(value["times"])}
        return cls(**{**plain, "grid": Grid.from_json(value["grid"])})


AnyUnit = Unit | SeriesUnit
"""What a batch may carry."""
Packed = TypeVar("Packed", Unit, SeriesUnit, AnyUnit)


def _cost(grid: Grid, images: int) -> float:
    megapixels = grid.width * grid.height * max(images, 1) / 1e6
    return SECONDS_PER_SCENE * images + SECONDS_PER_MEGAPIXEL * megapixels


def pack(units: Sequence[Packed], *, batches: int) -> list[list[Packed]]:
    """Batches of about equal cost that keep neighbours together.

    Units are ordered by place, name and year and cut into runs, so that those which share scenes share a batch. No
    batch is empty, and none exceeds the mean by more than one unit's cost.

    Args:
        units: what to pack; the order does not matter.
        batches: how many batches at most.
    """
    ordered = sorted(units, key=lambda unit: unit.order)
    total = sum(unit.cost for unit in ordered)
    packed: list[list[Packed]] = [[] for _ in range(max(1, min(batches, len(ordered))))]
    before = 0.0
    for unit in ordered:
        # the middle of a unit's stretch of the total decides
        wanted = int((before + unit.cost / 2) / total * len(packed)) if total else 0
        packed[min(wanted, len(packed) - 1)].append(unit)
        before += unit.cost
    return [batch for batch in packed if batch]
