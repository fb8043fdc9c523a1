"""Velocity of a unit: tracked pairs, their mean, its error over stable ground, and a given field beside it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError, UnitError
from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.motion.images import grounds_of, images_of
from glacier_core.steps.kinds.motion.tracks import at_nodes, pair_row, tracked_pairs
from glacier_core.steps.kinds.series import metres_per_pixel
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, log, reference
from glacier_core.units import SeriesUnit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.grids import Grid
    from glacier_core.measure.motion import Velocities
    from glacier_core.recipes import MotionRecipe

VELOCITY, PLACE = "velocity.npz", "place.json"
DAYS_A_YEAR = 365.25


def measured(step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
    """The unit's velocity; see `Kind.measure`."""
    recipe = plan.recipe

    def make(attempt: Any) -> None:
        images = images_of(step, recipe, entry)
        grounds = grounds_of(recipe, unit, images)
        from glacier_core.measure.motion import average, over_stable_ground

        pairs = []
        rows = []
        for pair in tracked_pairs(recipe, images, grounds):
            pairs.append(pair)
            rows.append(pair_row(unit.name, images, pair, grounds.glacier))
            log.info("[measure] %s: %s", unit.name, _pair_line(rows[-1]))
        if not pairs:
            raise UnitError(
                f"{unit.name}: no two images are between {recipe.tracking.shortest_days:g} and "
                f"{recipe.tracking.longest_days:g} days apart",
                do="change tracking.shortest_days or longest_days",
            )
        fields, days = [pair.field for pair in pairs], [pair.days for pair in pairs]
        mean = average(fields, days=days, fewest_pairs=recipe.tracking.fewest_pairs)
        on_ice = _everywhere(mean) if grounds.glacier is None else at_nodes(grounds.glacier, mean.rows, mean.columns)
        factor, unit_name = factor_of(recipe, unit.grid, unit.name)
        place = {"unit": unit.name, "speed_unit": unit_name, "per_px_day": factor, **_summary(mean, on_ice, factor)}
        place |= {"first": images.times[0].isoformat(), "last": images.times[-1].isoformat(), "pairs": len(pairs)}
        if grounds.stable is not None:
            still = over_stable_ground(
                mean.vx * factor, mean.vy * factor, stable=at_nodes(grounds.stable, mean.rows, mean.columns)
            )
            place |= {f"stable_{key}": value for key, value in still.to_json().items()}
        if recipe.given is not None:
            place["given"] = _compared(recipe, unit, mean, on_ice)
        buffer = io.BytesIO()
        _save(buffer, mean, on_ice)
        attempt.write_bytes(VELOCITY, buffer.getvalue())
        attempt.write_json(PLACE, {"place": place, "pairs": rows})

    part = {
        "shows": recipe.shows.model_dump(mode="json"),
        "tracking": recipe.tracking.model_dump(mode="json"),
        "ground": recipe.ground.model_dump(mode="json"),
        "given": recipe.given.model_dump(mode="json") if recipe.given else None,
        "files": _files(recipe),
        "units": recipe.units,
        "pixel_size_m": metres_per_pixel(unit.grid, recipe),
    }
    # the forecast beside it is drawn from the prediction: another network makes another page, not another velocity
    return reference(step.build("measure", part=part, inputs=[entry["refs"]["ingest"]], make=make))


def factor_of(recipe: MotionRecipe, grid: Grid, name: str) -> tuple[float, str]:
    """What turns px/day into the recipe's unit, and that unit.

    Raises:
        ConfigurationError: metres are wanted and nothing tells the pixel's size.
    """
    size = metres_per_pixel(grid, recipe)
    wanted = recipe.units
    if wanted == "auto":
        wanted = "px/day" if size is None else "m/yr"
    if wanted == "px/day":
        return 1.0, wanted
    if size is None:
        raise ConfigurationError(
            f"speeds in {wanted} are wanted and nothing tells the pixel size of {name}",
            expected="imagery with a CRS in metres, or imagery.pixel_size_m",
            do="state imagery.pixel_size_m, or set units to px/day",
        )
    return (size if wanted == "m/day" else size * DAYS_A_YEAR), wanted


def velocities_in(content: bytes) -> tuple[Velocities, NDArray[np.bool_]]:
    """The velocity field that `measured` kept, in px/day, and which of its vectors lie on the glacier."""
    import numpy as np

    from glacier_core.measure.motion import Velocities

    with np.load(io.BytesIO(content), allow_pickle=False) as kept:
        names = ("rows", "columns", "vx", "vy", "spread", "pairs")
        return Velocities(**{name: kept[name] for name in names}), kept["on_ice"]


def write_tables(step: Step, entries: Sequence[Entry], attempt: Any) -> None:
    """`places.parquet` and `pairs.parquet` of all units."""
    import pandas as pd

    from glacier_core.steps.tables import to_parquet

    kept = [step.read(entry["refs"]["measure"]).read_json(PLACE) for entry in entries]
    places = [{key: value for key, value in one["place"].items() if key != "given"} for one in kept]
    given = [{"unit": one["place"]["unit"], **one["place"]["given"]} for one in kept if "given" in one["place"]]
    attempt.write_bytes("places.parquet", to_parquet(pd.DataFrame(places)))
    attempt.write_bytes("pairs.parquet", to_parquet(pd.DataFrame([row for one in kept for row in one["pairs"]])))
    if given:
        attempt.write_bytes("given.parquet", to_parquet(pd.DataFrame(given)))


def _save(buffer: io.BytesIO, mean: Velocities, on_ice: NDArray[np.bool_]) -> None:
    import numpy as np

    np.savez_compressed(
        buffer,
        rows=mean.rows,
        columns=mean.columns,
        vx=mean.vx,
        vy=mean.vy,
        spread=mean.spread,
        pairs=mean.pairs,
        on_ice=on_ice,
    )


def _everywhere(mean: Velocities) -> NDArray[np.bool_]:
    import numpy as np

    return np.ones(mean.vx.shape, dtype=bool)


def _summary(mean: Velocities, on_ice: NDArray[np.bool_], factor: float) -> dict[str, Any]:
    """Speeds on the glacier, and how much of it has one."""
    import numpy as np

    known = on_ice & np.isfinite(mean.speed)
    speed = mean.speed[known] * factor
    spread = mean.spread[known & np.isfinite(mean.spread)] * factor
    return {
        "vectors": int(on_ice.sum()),
        "known": int(known.sum()),
        "median_speed": float(np.median(speed)) if speed.size else None,
        "p95_speed": float(np.quantile(speed, 0.95)) if speed.size else None,
        "median_spread": float(np.median(spread)) if spread.size else None,
    }


def _compared(recipe: MotionRecipe, unit: SeriesUnit, mean: Velocities, on_ice: NDArray[np.bool_]) -> dict[str, Any]:
    """Our field against the given one, in m/yr east and north; and how far the given one moves stable ground."""
    import numpy as np

    from glacier_core.measure.motion import compare, read_given

    size = metres_per_pixel(unit.grid, recipe)
    if size is None or not unit.grid.crs:
        raise ConfigurationError(
            f"{unit.name} cannot be compared with a given velocity: its imagery has no CRS",
            do="leave 'given' out, or use georeferenced imagery",
        )
    given = read_given(recipe.path(recipe.given.location), files=recipe.given.files, units=recipe.given.units)  # type: ignore[union-attr]
    x, y = _map_places(unit.grid, mean)
    east, north = given.at(x, y, crs=unit.grid.crs)
    factor = size * DAYS_A_YEAR
    known = np.where(on_ice, 1.0, np.nan).astype(np.float32)
    found = compare(mean.vx * factor * known, -mean.vy * factor * known, given_x=east, given_y=north)
    return found.to_json()


def _map_places(grid: Grid, mean: Velocities) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    a, _, left, _, e, top = grid.transform
    x, y = np.meshgrid(left + a * (mean.columns + 0.5), top + e * (mean.rows + 0.5))
    return x, y


def _files(recipe: MotionRecipe) -> list[list[str]]:
    """What tells that a vector file or a given velocity is another one than before."""
    from pathlib import Path

    from glacier_core.measure.motion import given_version
    from glacier_core.sources.series import file_version

    named = [recipe.path(name) for name in (recipe.ground.glacier, recipe.ground.stable) if name]
    # a mask of the series is no file; it comes with the cube
    found = [[Path(path).name, file_version(Path(path))] for path in named]
    if recipe.given:
        found += given_version(recipe.path(recipe.given.location), files=recipe.given.files)
    return found


def _pair_line(row: Mapping[str, Any]) -> str:
    share = row["reliable"] / max(row["vectors"], 1)
    return (
        f"{row['first']} to {row['second']}, {row['days']:.0f} days, {share:.0%} of {row['vectors']} vectors reliable"
    )
