"""Simulated calving fronts: a glacier that ends in a fjord, as radar and as optical sensors see it.

The front is a curve that is known everywhere; pixels at it are mixed by how much of them lies on either side. Radar
images have speckle with the gamma distribution of multi-looked intensity (Goodman 1976, doi 10.1364/JOSA.66.001145);
optical images have texture along the flow, a light that changes from image to image, and haze. Ice melange covers a
part of the ocean. The glacier comes from below.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from glacier_core.grids import Grid
from glacier_core.sources.series import Frame, Series

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.recipes import SimulatedFronts

FIRST_DAY = datetime(2019, 3, 1, tzinfo=UTC)
DAYS_BETWEEN = 41
CRS = "EPSG:3413"
WEST, NORTH = -300_000.0, -1_900_000.0
"""Upper left corner of the first place, in metres."""
BAND = "brightness"
BRIGHTEST = 255.0
ROCK, GLACIER, OCEAN = 64, 127, 254
"""Codes of the zones, as CaFFe has them."""
LARGEST_STEP = 0.04
"""From one image to the next, the front moves at most by this part of the image's height."""


@dataclass(frozen=True)
class FrontTruth:
    """What an image shows."""

    line: NDArray[np.float64]
    """(n, 2) row and column of the front, from left to right, pixel centres at whole numbers."""
    zones: NDArray[np.uint8]
    """(y, x) codes of the zones."""


@dataclass(frozen=True)
class _Scene:
    """One image's geometry: rows and columns as parts of the image."""

    left: NDArray[np.float64]
    """Column of the fjord's left wall in each row."""
    right: NDArray[np.float64]
    """Column of its right wall."""
    front: NDArray[np.float64]
    """Row of the front in each column, inside the fjord or not."""


def open_simulated_fronts(spec: SimulatedFronts) -> list[Series]:
    """The series of all places, `place-01` and so on.

    Args:
        spec: what is simulated.
    """
    return [_series(spec, place) for place in range(spec.places)]


def front_truth(spec: SimulatedFronts, *, place: str, number: int) -> FrontTruth:
    """The true front and zones of an image.

    Args:
        spec: what is simulated.
        place: name of the series.
        number: the image's, from 0.
    """
    import numpy as np

    scene = _scene(spec, int(place.rpartition("-")[2]) - 1, number)
    rows, columns = np.indices((spec.size, spec.size))
    inside = (columns > scene.left[:, None]) & (columns < scene.right[:, None])
    zones = np.where(inside, np.where(rows > scene.front[None], GLACIER, OCEAN), ROCK)
    fine = np.arange(0, spec.size - 1, 0.25)
    front = np.interp(fine, np.arange(spec.size), scene.front)
    left, right = (np.interp(front, np.arange(spec.size), wall) for wall in (scene.left, scene.right))
    kept = (fine >= left) & (fine <= right)
    return FrontTruth(line=np.stack([front[kept], fine[kept]], axis=1), zones=zones.astype(np.uint8))


def _series(spec: SimulatedFronts, place: int) -> Series:
    name = f"place-{place + 1:02d}"
    metres = spec.pixel_size_m
    size = metres or 1.0
    west, north = (WEST + place * 2 * spec.size * size, NORTH) if metres else (0.0, spec.size * size)
    return Series(
        name=name,
        grid=Grid(
            crs=CRS if metres else "",
            transform=(size, 0.0, west, 0.0, -size, north),
            width=spec.size,
            height=spec.size,
        ),
        bands=(BAND,),
        quantities=("digital_number",),
        frames=tuple(
            Frame(
                id=f"{name}-{number:03d}",
                time=FIRST_DAY + timedelta(days=number * DAYS_BETWEEN),
                read=functools.partial(_read, spec, place, number),
                labels={"sensor": "radar" if _is_radar(number) else "optical"},
            )
            for number in range(spec.frames)
        ),
        attrs={"source": "simulated calving fronts"},
    )


def _is_radar(number: int) -> bool:
    return number % 2 == 1


def _scene(spec: SimulatedFronts, place: int, number: int) -> _Scene:
    import numpy as np

    n = spec.size
    place_random = np.random.default_rng((spec.seed, place, 1))
    at = np.linspace(0, 1, n)
    left_base, width = place_random.uniform(0.12, 0.25), place_random.uniform(0.5, 0.62)
    left, right = (
        base + 0.03 * np.sin(2 * np.pi * (place_random.uniform(0.6, 1.6) * at + place_random.uniform()))
        for base in (left_base, left_base + width)
    )
    middle = place_random.uniform(0.38, 0.62)
    bow, tilt = place_random.uniform(-0.12, 0.02), place_random.uniform(-0.1, 0.1)
    position = middle
    for step in range(number + 1):
        moved = np.random.default_rng((spec.seed, place, 2, step))
        position = float(np.clip(position + moved.uniform(-1, 1) * LARGEST_STEP, 0.3, 0.7))
    random = np.random.default_rng((spec.seed, place, 3, number))
    across = (at - left_base) / width - 0.5
    wiggle = sum(
        random.uniform(0, 0.012) * np.sin(2 * np.pi * (waves * across + random.uniform())) for waves in (1.5, 3, 5, 8)
    )
    # the middle of the front stands nearer to the ocean or to the glacier than its ends, as the place has it
    front = position + bow * (1 - 4 * across**2) / 2 + tilt * across + wiggle
    return _Scene(left=left * n, right=right * n, front=front * n)


def _read(spec: SimulatedFronts, place: int, number: int, rows: slice) -> NDArray[np.float32]:
    return _image(spec, place, number)[None, rows]


@functools.lru_cache(maxsize=8)
def _image(spec: SimulatedFronts, place: int, number: int) -> NDArray[np.float32]:
    import numpy as np

    scene = _scene(spec, place, number)
    random = np.random.default_rng((spec.seed, place, 4, number))
    rows, columns = np.indices((spec.size, spec.size))
    glacier = _part(rows - scene.front[None])
    fjord = _part(columns - scene.left[:, None]) * _part(scene.right[:, None] - columns)
    radar = _is_radar(number)
    ocean = _ocean(spec, random, radar=radar)
    ice = _texture(spec.size, random, along=6.0, across=1.5) * 0.1 + random.uniform(0.5, 0.65)
    rock = _texture(spec.size, random, along=3.0, across=3.0) * (0.25 if radar else 0.12)
    rock += random.uniform(0.3, 0.5) if radar else random.uniform(0.15, 0.3)
    seen = fjord * (glacier * ice + (1 - glacier) * ocean) + (1 - fjord) * rock
    if radar:
        seen = np.clip(seen, 0.02, None) ** 2 * random.gamma(spec.looks, 1 / spec.looks, seen.shape)
        seen = np.sqrt(seen)
    else:
        haze = _texture(spec.size, random, along=spec.size / 5, across=spec.size / 5)
        seen = (seen + 0.03 * haze + random.normal(0, 0.01, seen.shape)) * random.uniform(0.75, 1.1)
    return np.clip(seen * BRIGHTEST, 1, BRIGHTEST).astype(np.float32).round()


def _part(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of a pixel lies on the side where the distance is positive."""
    import numpy as np

    return np.clip(distance + 0.5, 0.0, 1.0)


def _ocean(spec: SimulatedFronts, random: np.random.Generator, *, radar: bool) -> NDArray[np.float64]:
    """Dark water with icebergs; melange, nearly as bright as the glacier, covers a part of it."""
    import numpy as np

    water = np.full((spec.size, spec.size), random.uniform(0.1, 0.2) if radar else random.uniform(0.03, 0.1))
    bergs = _texture(spec.size, random, along=1.2, across=1.2) > 2.2
    water[bergs] = random.uniform(0.6, 0.9)
    melange = random.uniform(0.25, 0.4) + _texture(spec.size, random, along=1.0, across=1.0) * 0.08
    cover = _texture(spec.size, random, along=spec.size / 8, across=spec.size / 8)
    covered = cover > np.quantile(cover, 1 - spec.melange)
    return np.where(covered, melange, water)


def _texture(size: int, random: np.random.Generator, *, along: float, across: float) -> NDArray[np.float64]:
    """Noise of unit spread, smooth over some pixels along and across the flow."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(random.standard_normal((size, size)), (along, across), mode="wrap")
    found: NDArray[np.float64] = noise / noise.std()
    return found
