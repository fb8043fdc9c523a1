"""Places: everything of one place, from its seed to its files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glacier_core.sources.simulated.cogs import cog_bytes
from glacier_core.sources.simulated.glaciers import Ice, make_ice
from glacier_core.sources.simulated.items import COARSE, coarse_grid, item_of
from glacier_core.sources.simulated.locations import Location, locate
from glacier_core.sources.simulated.outlines import Outline, area_km2, glacier_id, outline_of
from glacier_core.sources.simulated.scenes import Painter, Scene
from glacier_core.sources.simulated.terrain import Terrain, make_terrain
from glacier_core.sources.simulated.weather import MINIMUM, Pass, weather_of_year

if TYPE_CHECKING:
    from glacier_core.recipes import Simulation

STREAMS = {"location": 1, "terrain": 2, "ice": 3, "paint": 4, "weather": 5, "scene": 6, "surface": 7}
"""Independent streams of randomness, so that a change in one part leaves the others alone."""
SENTINEL_2B_SINCE = 2018


@dataclass(frozen=True)
class Order:
    """What to make of one place."""

    folder: str
    """Root of the archive."""
    spec: Simulation
    """The simulation."""
    years: tuple[int, ...]
    """Years in order."""
    seasons: tuple[tuple[date, date], ...]
    """First and last day of each year's season."""
    place: int
    """Number of the place."""


@dataclass(frozen=True)
class Made:
    """What the archive's tables say of one place."""

    item_ids: list[str]
    """Scenes in order of time."""
    outlines: list[list[Outline]]
    """Outlines by glacier and year."""
    truth: list[tuple[str, int, float, float]]
    """Glacier, year, area in km2, retreat of the terminus in m."""


@dataclass(frozen=True)
class World:
    """The ground truth of one place."""

    location: Location
    terrain: Terrain
    ice: Ice


def make_world(spec: Simulation, place: int, *, years: int) -> World:
    """Terrain and glaciers of a place.

    Args:
        spec: the simulation.
        place: number of the place.
        years: number of years.

    Raises:
        ConfigurationError: there is no room for so many or so large places.
    """
    size = spec.size + spec.size % 2
    location = locate(place, size=spec.size, rng=_stream(spec, place, "location"))
    terrain = make_terrain(
        _stream(spec, place, "terrain"), size=size, glaciers=spec.glaciers_per_place, top_m=location.col_m
    )
    return World(location=location, terrain=terrain, ice=make_ice(_stream(spec, place, "ice"), terrain, years=years))


def make_place(order: Order) -> Made:
    """Write the scenes, items and true masks of a place."""
    spec, place = order.spec, order.place
    world = make_world(spec, place, years=len(order.years))
    painter = Painter(_stream(spec, place, "paint"), world.terrain, world.ice, world.location.latitude)
    item_ids: list[str] = []
    for number, year in enumerate(order.years):
        surface = painter.surface(_stream(spec, place, "surface", number), number)
        for index, sky in enumerate(passes_of_year(order, number)):
            rng = _stream(spec, place, "scene", number, index)
            scene = painter.scene(rng, surface, sky)
            platform, scene_id = _identity(place, year, index, sky)
            _write_scene(order, scene_id, scene, sky, platform, world.location)
            item_ids.append(scene_id)
    outlines, truth = _write_truth(order, world)
    return Made(item_ids=item_ids, outlines=outlines, truth=truth)


def make_truth(order: Order) -> None:
    """Write what covers the ground of a place in each scene, and its heights: `classes/<scene>.tif`, `dem/P001.tif`."""
    spec, place = order.spec, order.place
    world = make_world(spec, place, years=len(order.years))
    grid, size = world.location.grid, spec.size
    painter = Painter(_stream(spec, place, "paint"), world.terrain, world.ice, world.location.latitude)
    root = Path(order.folder)
    for name in ("classes", "dem"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "dem" / f"P{place + 1:03d}.tif").write_bytes(
        cog_bytes(painter.heights[:size, :size].astype(np.float32), grid, nodata=None)
    )
    for number, year in enumerate(order.years):
        surface = painter.surface(_stream(spec, place, "surface", number), number)
        for index, sky in enumerate(passes_of_year(order, number)):
            _, scene_id = _identity(place, year, index, sky)
            classes = painter.classes(surface, number, sky)[:size, :size]
            (root / "classes" / f"{scene_id}.tif").write_bytes(cog_bytes(classes, grid, nodata=None))


def passes_of_year(order: Order, number: int) -> list[Pass]:
    """Acquisitions and weather of the year of that number: spread over the season, one at the least snow."""
    spec, place = order.spec, order.place
    rng = _stream(spec, place, "weather", number)
    count = spec.scenes_per_year
    shares = (np.arange(count) + rng.uniform(0.1, 0.9, count)) / count
    anchor = min(int(sum(MINIMUM) / 2 * count), count - 1)
    shares[anchor] = np.clip(shares[anchor], *MINIMUM)
    shares = np.maximum.accumulate(shares)
    start, end = order.seasons[number]
    length = (end - start).days
    days = [
        datetime(start.year, start.month, start.day, 4, 40 + index, place % 60, tzinfo=UTC)
        + timedelta(days=round(float(share) * length))
        for index, share in enumerate(shares)
    ]
    passes = weather_of_year(rng, days, [float(share) for share in shares], anchor=anchor)
    if place == 0 and number == 0 and count > 1:
        # every archive has a scene that shows nothing but cloud
        passes[anchor - 1] = passes[anchor - 1].overcast()
    return passes


def _identity(place: int, year: int, index: int, sky: Pass) -> tuple[str, str]:
    """Platform and id of a scene."""
    platform = "sentinel-2b" if year >= SENTINEL_2B_SINCE and index % 2 else "sentinel-2a"
    return platform, f"S2{platform[-1].upper()}_MSIL2A_{sky.when:%Y%m%dT%H%M%S}_P{place + 1:03d}"


def _stream(spec: Simulation, place: int, name: str, *more: int) -> np.random.Generator:
    return np.random.default_rng([spec.seed, place, STREAMS[name], *more])


def _write_scene(order: Order, scene_id: str, scene: Scene, sky: Pass, platform: str, location: Location) -> None:
    root = Path(order.folder)
    folder = root / "scenes" / scene_id
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {}
    layers: dict[str, NDArray[np.uint8] | NDArray[np.uint16]] = {**scene.bands, "SCL": scene.scene_class}
    for name, pixels in layers.items():
        grid = coarse_grid(location.grid) if name in COARSE else location.grid
        content = cog_bytes(pixels[: grid.height, : grid.width], grid, nodata=0)
        (folder / f"{name}.tif").write_bytes(content)
        sizes[name] = len(content)
    item = item_of(scene, scene_id=scene_id, when=sky.when, platform=platform, grid=location.grid, sizes=sizes)
    target = root / "items" / scene_id / f"{scene_id}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(item, indent=1), encoding="utf-8")


def _write_truth(order: Order, world: World) -> tuple[list[list[Outline]], list[tuple[str, int, float, float]]]:
    grid, size = world.location.grid, order.spec.size
    outlines, truth = [], []
    for owner, by_year in enumerate(world.ice.masks):
        number = order.place * order.spec.glaciers_per_place + owner + 1
        folder = Path(order.folder) / "truth" / glacier_id(number)
        folder.mkdir(parents=True, exist_ok=True)
        dated = []
        for year, (start, end), whole, retreat in zip(
            order.years, order.seasons, by_year, world.ice.retreat_m[owner], strict=True
        ):
            mask = whole[:size, :size]
            (folder / f"{year}.tif").write_bytes(cog_bytes(mask.astype(np.uint8), grid, nodata=None))
            dated.append(
                outline_of(
                    mask,
                    world.ice.surface[:size, :size],
                    grid=grid,
                    number=number,
                    name=f"Massif {order.place + 1:02d} {'ABCD'[owner]}",
                    when=start + (end - start) / 2,
                    trunk=world.terrain.trunks[owner],
                )
            )
            truth.append((glacier_id(number), year, area_km2(mask, grid), round(retreat, 1)))
        outlines.append(dated)
    return outlines, truth
