"""Scenes of a recipe of the kind `cube`: what ground is wanted, on which pixels, and the scenes that show it."""

from __future__ import annotations

import functools
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.grids import Grid
from glacier_core.recipes import CubeRecipe, FolderScenes, Glaciers, SimulatedScenes, StacScenes
from glacier_core.sources.bands import band_sources, projection
from glacier_core.sources.reading import SceneTrouble
from glacier_core.sources.scene_series import scene_series
from glacier_core.sources.series import Series
from glacier_core.sources.stac import CatalogSource, SceneItem, footprint_of, native_grid, open_catalog

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

WGS84 = "EPSG:4326"
WORLD = (-180.0, -90.0, 180.0, 90.0)
EARLIEST, LATEST = 1970, 2100
METRES_PER_DEGREE = 110_000.0  # of latitude, a little less than it is, so that boxes come out larger
WHOLE = "scenes"
BOX = "box"


@dataclass(frozen=True)
class _Ground:
    """Ground that one cube shall show."""

    name: str
    window: BaseGeometry | None  # EPSG:4326; None: wherever the scenes are
    margin_m: float = 0.0


def open_scenes(
    recipe: CubeRecipe,
    imagery: SimulatedScenes | StacScenes | FolderScenes,
    *,
    catalog: str = "",
    outlines: str = "",
    on_trouble: Callable[[str, SceneTrouble], None] | None = None,
) -> list[Series]:
    """A series for each glacier, for each box, or for all the ground that the scenes show.

    Pixels of clouds and their shadows are NaN where the imagery names a mask.

    Args:
        recipe: the recipe.
        imagery: its imagery.
        catalog: the catalog that is searched; empty: the recipe's, or an index of its folder.
        outlines: the file of glaciers; empty: the recipe's.
        on_trouble: is told the series and the scene when, on reading, a scene is left out of a day whose others serve.

    Raises:
        ConfigurationError: the catalog, the outlines, a glacier or a band is unknown.
        DataError: no scene shows any of the ground.
        ServiceUnavailableError: the catalog does not answer.
    """
    with _catalog(recipe, imagery, catalog) as (source, troubles):
        found = [
            series
            for ground in _grounds(recipe, outlines)
            if (series := _series(recipe, imagery, source, ground, on_trouble)) is not None
        ]
    if not found:
        raise DataError(
            f"no scene of '{recipe.name}' shows the ground that it is about",
            expected="scenes of those years and places",
            do="check years, season, glaciers, box, the collection and the catalog (another one: --catalog)",
        )
    # files of which no scene was made belong to no place: they are told with the first, so that they are told once
    first, *others = found
    return [replace(first, troubles=(*troubles, *first.troubles)), *others]


@contextmanager
def _catalog(
    recipe: CubeRecipe, imagery: Any, catalog: str
) -> Iterator[tuple[CatalogSource, tuple[SceneTrouble, ...]]]:
    """The catalog, and the files that it was not made of."""
    if catalog:
        yield open_catalog(catalog), ()
    elif isinstance(imagery, StacScenes):
        yield open_catalog(recipe.path(imagery.catalog)), ()
    elif isinstance(imagery, FolderScenes):
        from glacier_core.sources.folder import index_folder

        with tempfile.TemporaryDirectory(prefix="glacier-index-") as folder:
            index = index_folder(
                Path(recipe.data), files=imagery.files, date_pattern=imagery.date_pattern, out=Path(folder)
            )
            left_out = json.loads(index.read_text(encoding="utf-8"))["glacierflow:left_out"]
            yield open_catalog(str(index)), tuple(SceneTrouble(entry["file"], entry["reason"]) for entry in left_out)
    else:
        yield open_catalog(recipe.path("catalog.json")), ()


def _grounds(recipe: CubeRecipe, outlines: str) -> list[_Ground]:
    import shapely

    boxes = {BOX: recipe.box} if recipe.box is not None else recipe.boxes
    for name, (west, south, east, north) in boxes.items():
        if west >= east or south >= north:
            raise ConfigurationError(
                f"{'box' if recipe.box is not None else f'boxes.{name}'} is {[west, south, east, north]}",
                expected="west, south, east, north in degrees",
            )
    if boxes:
        return [_Ground(name, shapely.box(*bounds)) for name, bounds in boxes.items()]
    if recipe.glaciers is None:
        return [_Ground(WHOLE, None)]
    return _around_glaciers(recipe, recipe.glaciers, outlines)


def _around_glaciers(recipe: CubeRecipe, glaciers: Glaciers, outlines: str) -> list[_Ground]:
    from glacier_core.sources.outlines import choose, read_outlines, wanted_regions

    file = outlines or (recipe.path(glaciers.outlines) if glaciers.outlines else "")
    if not file:
        raise ConfigurationError("glaciers.outlines is empty", expected="a vector file of outlines")
    chosen = choose(read_outlines(file, regions=wanted_regions(glaciers)), glaciers, resolve=recipe.path)
    margin = glaciers.buffer_m + glaciers.margin_m
    merged = chosen.dissolve("glacier_id", sort=False)
    return [_Ground(str(name), shape, margin) for name, shape in zip(merged.index, merged.geometry, strict=True)]


def _series(
    recipe: CubeRecipe,
    imagery: Any,
    source: CatalogSource,
    ground: _Ground,
    on_trouble: Callable[[str, SceneTrouble], None] | None,
) -> Series | None:
    rough = WORLD if ground.window is None else _widened(ground.window.bounds, ground.margin_m)
    scenes = _search(recipe, imagery, source, rough)
    if not scenes:
        return None
    grid = _grid(recipe, imagery.bands[0], scenes, ground)
    return scene_series(
        [scene.item for scene in scenes],
        name=ground.name,
        bands=imagery.bands,
        mask=imagery.mask,
        masked=True,
        grid=grid,
        on_trouble=functools.partial(on_trouble, ground.name) if on_trouble else None,
    )


def _search(
    recipe: CubeRecipe, imagery: Any, source: CatalogSource, bbox: tuple[float, float, float, float]
) -> list[SceneItem]:
    first, last = recipe.years or (EARLIEST, LATEST)
    found = source.search(
        bbox=bbox,
        # a season across New Year begins in the year before
        start=date(first - 1, 1, 1),
        end=date(last, 12, 31),
        collection=getattr(imagery, "collection", ""),
        max_cloud_percent=imagery.max_cloud_percent,
    )
    return [scene for scene in found if recipe.wants(scene.datetime.date())]


def _grid(recipe: CubeRecipe, band: str, scenes: Sequence[SceneItem], ground: _Ground) -> Grid:
    """The window on the lattice of the scenes that most agree with, or of the CRS and the pixel size asked for."""
    import geopandas

    crs, resolution, origin = native_grid(scenes[0].item, band)
    wanted = recipe.grid
    own = not wanted.crs or wanted.crs == crs
    if ground.window is None and own and wanted.resolution in (None, resolution):
        whole = _whole(scenes, band, crs)
        if whole is not None:
            return Grid.covering(whole, crs=crs, resolution=resolution, origin=origin)
    window = ground.window
    if window is None:
        import shapely

        window = shapely.union_all([footprint_of(scene.item) for scene in scenes])
    target = wanted.crs or crs
    left, bottom, right, top = geopandas.GeoSeries([window], crs=WGS84).to_crs(target).total_bounds
    reach = ground.margin_m
    step = wanted.resolution or (resolution if own else 0.0)
    if not step:
        raise ConfigurationError(
            f"grid.crs is {wanted.crs} and the imagery's is {crs}", do="name grid.resolution in units of grid.crs too"
        )
    return Grid.covering(
        (left - reach, bottom - reach, right + reach, top + reach),
        crs=target,
        resolution=step,
        origin=origin if own else (0.0, 0.0),
    )


def _whole(scenes: Sequence[SceneItem], band: str, crs: str) -> tuple[float, float, float, float] | None:
    """Bounds of the band in all scenes, where their items tell its grid and all lie in one CRS."""
    boxes = []
    for scene in scenes:
        asset = band_sources(scene.item)[band].asset
        known = projection(scene.item, asset)
        fields = {**scene.item.get("properties", {}), **scene.item["assets"][asset]}
        shape = fields.get("proj:shape")
        if known is None or known[0] != crs or not shape:
            return None
        a, _, left, _, e, top = known[1]
        boxes.append((left, top + e * shape[0], left + a * shape[1], top))
    lefts, bottoms, rights, tops = zip(*boxes, strict=True)
    return min(lefts), min(bottoms), max(rights), max(tops)


def _widened(bounds: tuple[float, float, float, float], reach_m: float) -> tuple[float, float, float, float]:
    """Bounds in degrees that hold everything within `reach_m`."""
    west, south, east, north = bounds
    latitude = reach_m / METRES_PER_DEGREE
    longitude = latitude / max(math.cos(math.radians(max(abs(south), abs(north)))), 0.01)
    return west - longitude, south - latitude, east + longitude, north + latitude
