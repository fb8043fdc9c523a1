"""Which level of a file serves a grid, and tile by tile, which of its pixels make which of the grid's.

The choice of the level and the question whether pixels may be copied are odc-geo's, as in odc-stac.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from glacier_core.grids import Grid
from glacier_core.sources.geotiff.blocks import Window
from glacier_core.sources.geotiff.layout import Layout, Level
from glacier_core.sources.geotiff.warping import Lattice, Project, lattice_of, window_of
from glacier_core.sources.windows import SHIFT_PX, Resampling, picked_overview

TILE = 512
"""Rows and columns that are made at a time, so that they stay in a core's cache: of the grid, or of the finer file."""
SMALLEST_TILE = 32
"""Rows and columns of the grid that are made at a time at least."""
COPIED = 512
"""Smallest side of a tile that is copied."""
MARGIN_PX = 2
"""Pixels of the file around what a tile needs."""
SPREAD = 1 / 0.95
"""File pixels a grid pixel from which on GDAL's bilinear kernel takes more than four of them."""
BESIDE_PX = 32
"""Grid pixels around odc-geo's overlap, which it finds from few points."""

How = Literal["copy", "bilinear", "nearest", "gdal"]


@dataclass(frozen=True)
class Tile:
    """A part of the grid that is made at a time."""

    part: Window
    """Rows and columns of the grid."""
    window: Window
    """Rows and columns of the file's level that it needs."""


@dataclass(frozen=True)
class Geometry:
    """How a grid is filled from a file."""

    level: int
    """Which level of the file."""
    how: How
    """Copy pixels, interpolate them, or let GDAL do so (where a coarser grid needs its wider kernel)."""
    tiles: tuple[Tile, ...]
    """In order; the grid has no data beyond them."""
    lattice: Lattice | None = None
    """Coordinates, where pixels are interpolated."""
    transform: tuple[float, float, float, float, float, float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    """The level's transform."""

    @property
    def covers(self) -> int:
        """Pixels of the grid in all tiles."""
        return sum((t.part[0].stop - t.part[0].start) * (t.part[1].stop - t.part[1].start) for t in self.tiles)


def geometry_of(layout: Layout, grid: Grid, resampling: Resampling) -> Geometry:
    """How `grid` is filled from a file.

    Raises:
        NotSmoothError: the way from the grid to the file is not smooth enough to be interpolated.
    """
    from odc.geo.overlap import compute_reproject_roi
    from odc.geo.roi import roi_is_empty

    target = grid.geobox()
    overlap = compute_reproject_roi(_geobox(layout, 0), target, ttol=SHIFT_PX)
    number = 0
    if overlap.read_shrink > 1:
        number = picked_overview(overlap.read_shrink, layout.overviews) + 1
    if number:
        overlap = compute_reproject_roi(_geobox(layout, number), target, ttol=SHIFT_PX)
    level, transform = layout.levels[number], layout.transform_of(number)
    if roi_is_empty(overlap.roi_src) or roi_is_empty(overlap.roi_dst):
        return Geometry(number, "copy", ())
    if overlap.paste_ok and overlap.read_shrink == 1:
        return Geometry(number, "copy", tuple(_copied(level, overlap.roi_src, overlap.roi_dst)))
    scale = max(abs(value) for value in overlap.scale2.xy)
    project = _project(layout.crs, transform, grid)
    part = _beside(overlap.roi_dst, grid.shape)
    spreads = resampling == "bilinear" and scale > SPREAD
    margin = MARGIN_PX + (math.ceil(scale) if spreads else 0)
    shape = level.height, level.width
    side = max(round(TILE / max(scale, 1.0)), SMALLEST_TILE)
    tiles = tuple(Tile(tile, window_of(project, tile, shape, margin)) for tile in _cut(part, side, side))
    if spreads:
        return Geometry(number, "gdal", tiles, transform=transform)
    return Geometry(number, resampling, tiles, lattice_of(project, part), transform)


def _geobox(layout: Layout, level: int) -> Any:
    from affine import Affine
    from odc.geo.geobox import GeoBox

    size = layout.levels[level]
    return GeoBox((size.height, size.width), Affine(*layout.transform_of(level)), layout.crs)


def _copied(level: Level, source: Any, target: Any) -> Iterator[Tile]:
    """Tiles that hold whole blocks, so that each block is copied straight to its place."""
    rows, columns = source
    steps = [side * -(-COPIED // side) for side in (level.block_height, level.block_width)]
    for window in _cut((slice(rows.start, rows.stop), slice(columns.start, columns.stop)), *steps, aligned=True):
        part = tuple(
            slice(side.start - first.start + to.start, side.stop - first.start + to.start)
            for side, first, to in zip(window, source, target, strict=True)
        )
        yield Tile((part[0], part[1]), window)


def _cut(part: Window, height: int, width: int, *, aligned: bool = False) -> Iterator[Window]:
    """A window in pieces, row by row; aligned ones begin at multiples of their size."""
    rows, columns = ((side.start, side.stop) for side in part)
    first = (rows[0] - rows[0] % height, columns[0] - columns[0] % width) if aligned else (rows[0], columns[0])
    for top in range(first[0], rows[1], height):
        for left in range(first[1], columns[1], width):
            yield (
                slice(max(top, rows[0]), min(top + height, rows[1])),
                slice(max(left, columns[0]), min(left + width, columns[1])),
            )


def _beside(roi: Any, shape: tuple[int, int]) -> Window:
    rows, columns = (
        slice(max(side.start - BESIDE_PX, 0), min(side.stop + BESIDE_PX, size))
        for side, size in zip(roi, shape, strict=True)
    )
    return rows, columns


def _project(crs: str, transform: tuple[float, float, float, float, float, float], grid: Grid) -> Project:
    a, _, c, _, e, f = transform
    ga, gb, gc, gd, ge, gf = grid.transform
    transformer = None if grid.crs == crs else _transformer(grid.crs, crs)

    def project(
        columns: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x = ga * (columns + 0.5) + gb * (rows + 0.5) + gc
        y = gd * (columns + 0.5) + ge * (rows + 0.5) + gf
        if transformer is not None:
            x, y = transformer.transform(x, y)
        return (x - c) / a - 0.5, (y - f) / e - 0.5

    return project


@lru_cache(maxsize=32)
def _transformer(source: str, target: str) -> Any:
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True)
