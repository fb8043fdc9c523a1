"""`measure`: class maps of the years, areas of their classes, and what became of what. `aggregate`: of all units."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.errors import DataError
from glacier_core.recipes import ClassesRecipe
from glacier_core.steps.kinds.classes.predicting import PREDICTION
from glacier_core.steps.kinds.classes.scoring import classes_of
from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.series import metres_per_pixel
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, reference
from glacier_core.units import SeriesUnit

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from glacier_core.grids import Grid

MAPS = "maps.zarr"
MEASURED = "measured.json"
AREAS, CHANGES = "areas.parquet", "changes.parquet"
UNDATED = "undated"
"""The period of images whose dates are not known."""

AREA_COLUMNS = ("series", "period", "class", "area", "area_unit", "part_of_seen", "unseen", "images", "flags")
CHANGE_COLUMNS = ("series", "from_period", "to_period", "from_class", "to_class", "area", "area_unit")


@dataclass(frozen=True)
class Maps:
    """The class maps of one unit, read back."""

    periods: list[str]
    """Years, or `undated`."""
    codes: NDArray[np.uint8]
    """(period, y, x), 255 where nothing was seen."""
    grid: Grid
    """Its pixels."""


def area_unit(grid: Grid, recipe: ClassesRecipe) -> str:
    """km2; px where neither a CRS nor the recipe tells the size of a pixel."""
    return "km2" if grid.crs or metres_per_pixel(grid, recipe) else "px"


def pixel_sizes(grid: Grid, recipe: ClassesRecipe) -> NDArray[np.float64]:
    """What each pixel counts in the unit of `area_unit`, (y, 1) or (y, x)."""
    from glacier_core.measure import pixel_areas

    if grid.crs:
        return pixel_areas(grid)
    metres = metres_per_pixel(grid, recipe)
    return np.full((grid.height, 1), 1.0 if metres is None else metres**2 / 1e6)


def measured(step: Step, plan: Plan, unit: SeriesUnit, entry: Mapping[str, Any]) -> str:
    """The unit's class maps and what follows from them; their reference."""
    recipe: ClassesRecipe = plan.recipe
    prediction = step.read(entry["refs"]["predict"])

    def make(attempt: Any) -> None:
        _write(recipe, unit, prediction.path(PREDICTION), attempt)

    part = {
        "classes": list(recipe.classes),
        "min_clear": recipe.measure.min_clear,
        "pixel_size_m": getattr(recipe.imagery, "pixel_size_m", None),
    }
    return reference(step.build("measure", part=part, inputs=[reference(prediction)], make=make))


def read_maps(path: str) -> Maps:
    """The maps that `measured` wrote.

    Args:
        path: of the Zarr group.
    """
    from glacier_core.cube import IMAGERY, grid_of, open_cube, open_pixels

    cube = open_cube(path)
    codes = np.asarray(open_pixels(path).read(IMAGERY)[:, 0], dtype=np.uint8)
    return Maps(periods=[str(name) for name in cube["period"].values], codes=codes, grid=grid_of(cube))


def table_of(step: Step, entries: Sequence[Entry], what: str) -> pd.DataFrame:
    """The rows of all units that are measured, `areas` or `changes`."""
    import pandas as pd

    rows = [
        row
        for entry in entries
        if entry["state"] == "done"
        for row in step.read(entry["refs"]["measure"]).read_json(MEASURED)[what]
    ]
    return pd.DataFrame(rows, columns=list(AREA_COLUMNS if what == "areas" else CHANGE_COLUMNS))


def write_tables(step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
    """See `Kind.aggregate`."""
    from glacier_core.steps.tables import to_parquet

    areas = table_of(step, entries, "areas")
    if areas.empty:
        raise DataError(f"no unit of '{plan.recipe.name}' could be measured", do="see the units' reasons")
    order = ["series", "period"]
    attempt.write_bytes(AREAS, to_parquet(areas.sort_values(order, kind="stable").reset_index(drop=True)))
    attempt.write_bytes(CHANGES, to_parquet(table_of(step, entries, "changes")))


def _write(recipe: ClassesRecipe, unit: SeriesUnit, source: str, attempt: Any) -> None:
    from glacier_core.cube import IGNORED, PACKINGS, create_cube, open_cube, open_pixels

    cube, pixels = open_cube(source), open_pixels(source)
    times = cube["time"].values
    periods = _periods([str(time)[:4] for time in times] if int(cube.attrs["dated"]) else [UNDATED] * len(times))
    found = [_map(pixels, numbers, min_clear=recipe.measure.min_clear) for numbers in periods.values()]
    writer = create_cube(
        attempt.path(MAPS),
        grid=unit.grid,
        times=[times[numbers[-1]] for numbers in periods.values()],
        bands=["class"],
        packing=PACKINGS["class"],
        labels={"period": list(periods)},
    )
    with writer:
        for first in range(0, len(found), writer.block[0]):
            codes = np.stack([codes for codes, _, _ in found[first : first + writer.block[0]]]).astype(np.float32)
            codes[codes == IGNORED] = np.nan
            writer.write(slice(first, first + len(codes)), slice(None), slice(None), codes[:, None])
    sizes, counted = pixel_sizes(unit.grid, recipe), area_unit(unit.grid, recipe)
    maps = {name: codes for name, (codes, _, _) in zip(periods, found, strict=True)}
    areas = [
        row
        for (name, _), (codes, images, flags) in zip(periods.items(), found, strict=True)
        for row in _area_rows(recipe, unit.name, name, codes, sizes, counted=counted, images=images, flags=flags)
    ]
    attempt.write_json(
        MEASURED, {"areas": areas, "changes": _change_rows(recipe, unit.name, maps, sizes, counted=counted)}
    )


def _periods(names: Sequence[str]) -> dict[str, list[int]]:
    """Numbers of the images of each period, in order."""
    found: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        found.setdefault(name, []).append(number)
    return found


def _map(pixels: Any, numbers: Sequence[int], *, min_clear: float) -> tuple[NDArray[np.uint8], int, str]:
    """The class with the highest mean probability in the images of a period.

    Returns:
        Classes (y, x), how many images they are from, and the flags: images less clear than the recipe wants serve
        only where there is no other.
    """
    total: NDArray[np.float32] | None = None
    count: NDArray[np.float32] | None = None
    images = {number: pixels.physical(times=slice(number, number + 1))[0] for number in numbers}
    shares = {number: float(np.isfinite(image[0]).mean()) for number, image in images.items()}
    clear = [number for number in numbers if shares[number] >= min_clear]
    used = clear or [max(shares, key=lambda number: shares[number])]
    for number in used:
        seen = np.isfinite(images[number]).all(axis=0)
        own = np.where(seen, images[number], np.float32(0))
        total = own if total is None else total + own
        count = seen.astype(np.float32) if count is None else count + seen
    if total is None or count is None:
        raise DataError("a period has no image", expected="at least one")
    mean = np.where(count > 0, total / np.maximum(count, 1), np.float32(np.nan))
    return classes_of(mean), len(used), "" if clear else "cloudy"


def _area_rows(
    recipe: ClassesRecipe,
    series: str,
    period: str,
    codes: NDArray[np.uint8],
    sizes: NDArray[np.float64],
    *,
    counted: str,
    images: int,
    flags: str,
) -> list[dict[str, Any]]:
    from glacier_core.measure.classes import class_areas

    areas = class_areas(codes, sizes, classes=len(recipe.classes))
    whole, seen = float(np.broadcast_to(sizes, codes.shape).sum()), sum(areas)
    return [
        {
            "series": series,
            "period": period,
            "class": name,
            "area": round(area, 6),
            "area_unit": counted,
            "part_of_seen": round(area / seen, 6) if seen else None,
            "unseen": round(whole - seen, 6),
            "images": images,
            "flags": flags,
        }
        for name, area in zip(recipe.classes, areas, strict=True)
    ]


def _change_rows(
    recipe: ClassesRecipe,
    series: str,
    maps: Mapping[str, NDArray[np.uint8]],
    sizes: NDArray[np.float64],
    *,
    counted: str,
) -> list[dict[str, Any]]:
    """What became of what from each period to the next, and from the first to the last."""
    from glacier_core.measure.classes import transition_areas

    names = list(maps)
    pairs = list(itertools.pairwise(names))
    if len(names) > 2:
        pairs.append((names[0], names[-1]))
    rows = []
    for before, after in pairs:
        table = transition_areas(maps[before], maps[after], sizes, classes=len(recipe.classes))
        rows += [
            {
                "series": series,
                "from_period": before,
                "to_period": after,
                "from_class": recipe.classes[i],
                "to_class": recipe.classes[j],
                "area": round(float(table[i, j]), 6),
                "area_unit": counted,
            }
            for i, j in np.argwhere(table > 0)
        ]
    return rows
