"""Simulated glaciers that move: frames of one texture, carried along by a velocity that is known everywhere.

A glacier flows down a winding channel, fastest in its middle and not at all at its margins; the ground beside it stays
where it is. Every frame is the first one's texture, looked up where each pixel's ice came from (the paths are followed
backwards in steps of Runge and Kutta's second order), under a light and with a noise of its own.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from glacier_core.grids import Grid
from glacier_core.sources.series import Frame, Series

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.recipes import SimulatedMotion

FIRST_DAY = datetime(2020, 6, 1, tzinfo=UTC)
CRS = "EPSG:32643"
WEST, NORTH = 300_000.0, 3_600_000.0
"""Upper left corner of the first place, in metres."""
LONGEST_STEP_PX = 0.5
"""Paths are followed in steps of at most this length."""
MASK = "glacier"


def open_simulated_motion(spec: SimulatedMotion) -> list[Series]:
    """The series of all places, `place-01` and so on, with the mask `glacier`.

    Args:
        spec: what is simulated.
    """
    return [_series(spec, number) for number in range(spec.places)]


def place_number(name: str) -> int:
    """Number of a place by its series' name."""
    return int(name.rpartition("-")[2]) - 1


def days_of(spec: SimulatedMotion) -> list[int]:
    """Day of each frame, counted from the first; every third gap is twice as long as the others."""
    gaps = [spec.days * (2 if number % 3 == 2 else 1) for number in range(spec.frames - 1)]
    return [sum(gaps[:number]) for number in range(spec.frames)]


def displacement_of(
    spec: SimulatedMotion, place: int, *, rows: NDArray[np.float64], columns: NDArray[np.float64], days: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far the surface at given pixels moves in some days: (dx, dy) in pixels, right and down.

    Args:
        spec: what is simulated.
        place: number of the place.
        rows: rows in the first image, of any shape.
        columns: columns, of the same shape.
        days: time from the first image to the second; negative: where it came from.
    """
    import numpy as np

    y, x = np.array(rows, dtype=np.float64), np.array(columns, dtype=np.float64)
    steps = max(1, int(np.ceil(abs(days) * spec.fastest_px_per_day / LONGEST_STEP_PX)))
    step = days / steps
    for _ in range(steps):
        vx, vy = velocity_of(spec, place, rows=y, columns=x)
        vx, vy = velocity_of(spec, place, rows=y + vy * step / 2, columns=x + vx * step / 2)
        x, y = x + vx * step, y + vy * step
    return x - columns, y - rows


def velocity_of(
    spec: SimulatedMotion, place: int, *, rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The velocity (vx, vy) in px/day at given pixels, right and down; 0 beside the glacier."""
    import numpy as np

    middle, slope, half = _channel(spec, place, columns)
    # the profile of plane flow with the exponent 3 of Glen's law
    across = np.clip(np.abs(rows - middle) / half, 0, 1)
    speed = spec.fastest_px_per_day * (1 - across**4)
    length = np.hypot(1.0, slope)
    return speed / length, speed * slope / length


def _channel(
    spec: SimulatedMotion, place: int, columns: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Row of the centre line, its slope, and half of the glacier's width."""
    import numpy as np

    draw = np.random.default_rng([spec.seed, place, 1])
    bend, phase, turns = draw.uniform(0.04, 0.08) * spec.size, draw.uniform(0, 2 * np.pi), draw.uniform(0.5, 0.9)
    angle = 2 * np.pi * turns * columns / spec.size + phase
    middle = spec.size * draw.uniform(0.45, 0.55) + bend * np.sin(angle)
    return middle, bend * 2 * np.pi * turns / spec.size * np.cos(angle), spec.size * draw.uniform(0.24, 0.3)


def _series(spec: SimulatedMotion, place: int) -> Series:
    size = spec.pixel_size_m
    grid = Grid(
        crs=CRS,
        transform=(size, 0.0, WEST + 2 * place * spec.size * size, 0.0, -size, NORTH),
        width=spec.size,
        height=spec.size,
    )
    frames = tuple(
        Frame(
            id=f"frame-{number + 1:02d}",
            time=FIRST_DAY + timedelta(days=day),
            read=functools.partial(_read, spec, place, number),
            labels={"sensor": "simulated"},
        )
        for number, day in enumerate(days_of(spec))
    )
    return Series(
        name=f"place-{place + 1:02d}",
        grid=grid,
        bands=("brightness",),
        quantities=("reflectance",),
        frames=frames,
        masks={MASK: _glacier(spec, place)},
        attrs={"source": "simulated glaciers that move"},
    )


def _read(spec: SimulatedMotion, place: int, number: int, rows: slice) -> NDArray[np.float32]:
    return _frame(spec, place, number)[None, rows]


def _glacier(spec: SimulatedMotion, place: int) -> NDArray[np.uint8]:
    import numpy as np

    rows, columns = np.mgrid[: spec.size, : spec.size].astype(np.float64)
    middle, _, half = _channel(spec, place, columns)
    return np.asarray(np.abs(rows - middle) < half, dtype=np.uint8)


@functools.lru_cache(maxsize=8)
def _frame(spec: SimulatedMotion, place: int, number: int) -> NDArray[np.float32]:
    """(y, x) reflectance of one image."""
    import numpy as np
    from scipy import ndimage

    day = days_of(spec)[number]
    rows, columns = np.mgrid[: spec.size, : spec.size].astype(np.float64)
    back_x, back_y = displacement_of(spec, place, rows=rows, columns=columns, days=-day)
    texture, margin = _texture(spec, place)
    image = ndimage.map_coordinates(
        texture, [rows + back_y + margin, columns + back_x + margin], order=3, mode="nearest", prefilter=True
    )
    draw = np.random.default_rng([spec.seed, place, 2, number])
    tilt_y, tilt_x, level = draw.uniform(-1, 1, 3) * spec.light
    light = 1 + level / 2 + tilt_y * (rows / spec.size - 0.5) + tilt_x * (columns / spec.size - 0.5)
    rock = np.where(_glacier(spec, place), 0.5, 0.3)
    noise = draw.normal(0, spec.noise, image.shape)
    return np.asarray(np.clip((rock + 0.08 * (image + noise)) * light, 0, 1.5), dtype=np.float32)


@functools.lru_cache(maxsize=4)
def _texture(spec: SimulatedMotion, place: int) -> tuple[NDArray[np.float64], int]:
    """Crevasses and debris, of mean 0 and standard deviation 1, and how far they reach beyond the image."""
    import numpy as np
    from scipy import ndimage

    margin = int(np.ceil(days_of(spec)[-1] * spec.fastest_px_per_day)) + 4
    draw = np.random.default_rng([spec.seed, place, 3])
    texture = np.zeros((spec.size + 2 * margin,) * 2)
    for sigma, share in ((1.2, 1.0), (2.5, 0.8), (6.0, 0.5)):
        layer = ndimage.gaussian_filter(draw.normal(size=texture.shape), sigma)
        texture += share * layer / layer.std()
    return texture / texture.std(), margin
