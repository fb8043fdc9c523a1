"""The chosen glaciers on the imagery: grid, place, and the scenes that show them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glacier_core.errors import DataError
from glacier_core.grids import Grid
from glacier_core.recipes import ExtentRecipe
from glacier_core.steps.kinds.extent.inputs import Inputs

if TYPE_CHECKING:
    from geopandas import GeoDataFrame
    from shapely.geometry.base import BaseGeometry

    from glacier_core.sources.stac import CatalogSource, SceneItem

PART_OF_OUTLINE_ON_IMAGERY = 0.99
WGS84 = "EPSG:4326"
METRES_PER_DEGREE = 110_000.0  # of latitude, a little less than it is, so that boxes come out larger


@dataclass(frozen=True)
class Site:
    """A chosen glacier on its grid."""

    glacier_id: str
    grid: Grid
    outline: BaseGeometry  # in the grid's CRS
    window: BaseGeometry  # the grid's footprint, EPSG:4326
    place: int


class Search:
    """Searches scenes by window and year, each search once."""

    def __init__(self, recipe: ExtentRecipe, inputs: Inputs) -> None:
        from glacier_core.sources.folder import index_folder
        from glacier_core.sources.stac import open_catalog

        self.recipe = recipe
        self.found: dict[str, SceneItem] = {}
        self._by_area: dict[tuple[tuple[float, ...], int], list[SceneItem]] = {}
        location = inputs.catalog
        if not location:
            import tempfile
            from pathlib import Path

            imagery = recipe.imagery
            self._index = tempfile.TemporaryDirectory(prefix="glacier-index-")
            location = str(
                index_folder(
                    Path(recipe.data),
                    files=imagery.files,
                    date_pattern=imagery.date_pattern,
                    out=Path(self._index.name),
                )
            )
        self.source: CatalogSource = open_catalog(location)

    def around(self, window: BaseGeometry, year: int) -> list[SceneItem]:
        """All scenes of the year's season that touch the window (EPSG:4326)."""
        imagery = self.recipe.imagery
        key = (tuple(round(value, 3) for value in window.bounds), year)
        if key not in self._by_area:
            start, end = self.recipe.season_of(year)
            self._by_area[key] = self.source.search(
                bbox=window.bounds,
                start=start,
                end=end,
                collection=imagery.collection,
                max_cloud_percent=imagery.max_cloud_percent,
            )
        return self._by_area[key]

    def scenes(self, site: Site, year: int) -> list[SceneItem]:
        """The scenes to read for a site and a year, clearest first."""
        from glacier_core.sources.stac import choose_scenes

        chosen = choose_scenes(
            self.around(site.window, year), footprint=site.window, limit=self.recipe.imagery.max_scenes
        )
        self.found.update({scene.id: scene for scene in chosen})
        return chosen


def sites_of(recipe: ExtentRecipe, chosen: GeoDataFrame, search: Search, left_out: list[dict[str, str]]) -> list[Site]:
    """The chosen glaciers that lie on the imagery, each on its grid; the others are told in `left_out`.

    Raises:
        DataError: none of them does.
    """
    import shapely

    from glacier_core.samples import assign_places

    drafts: list[tuple[str, Grid, BaseGeometry, BaseGeometry]] = []
    for glacier_id, outline in zip(chosen["glacier_id"], chosen.geometry, strict=True):
        draft = _on_imagery(recipe, outline, search)
        if isinstance(draft, str):
            left_out.append({"unit": glacier_id, "state": "outside", "reason": draft})
        else:
            drafts.append((glacier_id, *draft))
    if not drafts:
        raise DataError(
            f"none of {len(chosen)} outlines lies on the imagery of {recipe.years[0]} to {recipe.years[1]}",
            expected="outlines and imagery of the same region",
            do="check glaciers.outlines and its CRS, years, season, and the catalog or folder (another one: --catalog)",
        )
    places = assign_places([shapely.box(*window.bounds) for _, _, _, window in drafts])
    return [
        Site(glacier_id=glacier_id, grid=grid, outline=outline, window=window, place=place)
        for (glacier_id, grid, outline, window), place in zip(drafts, places, strict=True)
    ]


def _on_imagery(
    recipe: ExtentRecipe, outline: BaseGeometry, search: Search
) -> tuple[Grid, BaseGeometry, BaseGeometry] | str:
    """The glacier's grid in the imagery's CRS, its outline there and its window in degrees; or why there is none."""
    import geopandas
    import shapely

    from glacier_core.sources.stac import native_grid

    glaciers, imagery = recipe.glaciers, recipe.imagery
    series = geopandas.GeoSeries([outline], crs=WGS84)
    reach = glaciers.buffer_m + glaciers.margin_m
    rough = _around(outline.bounds, reach)
    scenes = next((found for year in recipe.year_range() if (found := search.around(rough, year))), None)
    if not scenes:
        return "no scene touches it"
    footprint = shapely.union_all([shapely.geometry.shape(scene.item["geometry"]) for scene in scenes])
    if shapely.intersection(outline, footprint).area < PART_OF_OUTLINE_ON_IMAGERY * outline.area:
        return "its outline reaches beyond the imagery"
    crs, _, origin = native_grid(scenes[0].item, imagery.bands[0])
    local = series.to_crs(crs)
    left, bottom, right, top = local.total_bounds
    wide = (left - reach, bottom - reach, right + reach, top + reach)
    grid = Grid.covering(wide, crs=crs, resolution=imagery.resolution_m, origin=origin)
    window = geopandas.GeoSeries([shapely.box(*grid.bounds)], crs=crs).to_crs(WGS84).iloc[0]
    return grid, local.iloc[0], window


def _around(bounds: tuple[float, float, float, float], reach_m: float) -> BaseGeometry:
    """A box in degrees that holds everything within `reach_m` of the bounds (EPSG:4326)."""
    import shapely

    west, south, east, north = bounds
    latitude = reach_m / METRES_PER_DEGREE
    longitude = latitude / max(math.cos(math.radians(max(abs(south), abs(north)))), 0.01)
    return shapely.box(west - longitude, south - latitude, east + longitude, north + latitude)
