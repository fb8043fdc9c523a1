"""Locations: where on Earth each simulated place lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glacier_core.errors import ConfigurationError
from glacier_core.grids import Grid
from glacier_core.sources.simulated.terrain import PIXEL_M

CRS = "EPSG:32645"
"""All places lie in one UTM zone, 84 to 90 degrees east, between 28 and 46 degrees north."""
SOUTH_M, NORTH_STEP_M, ROWS = 3_120_000, 39_000, 50
WEST_M, EAST_STEP_M, COLUMNS = 320_000, 42_000, 9


@dataclass(frozen=True)
class Location:
    """Where a place lies."""

    grid: Grid
    """The 10 m grid of its scenes; corners on the 20 m lattice."""
    latitude: float
    """Degrees north of its centre."""
    col_m: float
    """Elevation of the divide's lowest point, m: mountains with glaciers are lower farther north."""


def locate(place: int, *, size: int, rng: np.random.Generator) -> Location:
    """The location of a place; two of them are at least 20 km apart.

    Args:
        place: number of the place.
        size: rows and columns of its scenes.
        rng: source of randomness.

    Raises:
        ConfigurationError: there are more places than room.
    """
    from pyproj import Transformer

    if place >= ROWS * COLUMNS or size * PIXEL_M > NORTH_STEP_M - 25_000:
        raise ConfigurationError(
            f"simulation asks for place {place + 1} of {size} pixels",
            expected=f"at most {ROWS * COLUMNS} places of {(NORTH_STEP_M - 25_000) / PIXEL_M:.0f} pixels",
            do="lower simulation.places or simulation.size",
        )
    row, column = place * 19 % ROWS, (place // ROWS + place % ROWS * 4) % COLUMNS
    jitter = rng.integers(-125, 126, size=2) * 20
    left = WEST_M + column * EAST_STEP_M + int(jitter[0])
    top = SOUTH_M + row * NORTH_STEP_M + int(jitter[1])
    grid = Grid(crs=CRS, transform=(PIXEL_M, 0.0, float(left), 0.0, -PIXEL_M, float(top)), width=size, height=size)
    half = size * PIXEL_M / 2
    _, latitude = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(left + half, top - half)
    col_m = 5950 - 118 * (latitude - 28) + float(rng.uniform(-120, 120))
    return Location(grid=grid, latitude=float(latitude), col_m=col_m)
