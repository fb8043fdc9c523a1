"""Slope, aspect, illumination and cast shadows of a digital elevation model.

Heights are (y, x) float32 in metres on a `Grid`, NaN where unknown. Distances are those on the ground and north is true
north, whatever the grid's projection.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError
from glacier_core.prepare.ground import ground_axes

if TYPE_CHECKING:
    from glacier_core.grids import Grid
    from glacier_core.prepare.sun import Sun

STRIP_ROWS = 512
"""Rows worked on at a time: what lies between the heights and the result stays small."""

SHADOW_ROWS = 64

UNKNOWN = 255
"""In masks: not known."""


def terrain_gradient(
    height: NDArray[np.float32], grid: Grid, *, pixel_size_m: float | None = None
) -> NDArray[np.float32]:
    """How steeply the ground rises to the east and to the north.

    Horn 1981 (doi:10.1109/PROC.1981.11918): differences over the eight neighbours, weighted 1, 2, 1. Beyond the grid's
    edges the heights go on as they lead there.

    Args:
        height: (y, x), metres, NaN where unknown.
        grid: where the heights lie.
        pixel_size_m: pixel size on the ground, for a grid that has no CRS.

    Returns:
        (2, y, x) float32, metres a metre: to the east, to the north. NaN where a height or one of its eight neighbours
        is unknown.

    Raises:
        DataError: the heights do not fit the grid, or are fewer than 2 by 2.
        ConfigurationError: the grid has no CRS and the pixel size is not given.
    """
    import cv2

    if height.shape != grid.shape or min(height.shape) < 2:
        raise DataError(f"the heights have the shape {height.shape}", expected=f"{grid.shape}, at least 2 by 2")
    gradient = np.empty((2, *grid.shape), np.float32)
    for rows, near in _strips(height):
        unknown = ~np.isfinite(near)
        # Sobel's kernel is Horn's but for the eighth; differences of heights above a plain keep their digits
        base = np.float32(np.nanmean(near)) if not unknown.all() else np.float32(0)
        level = np.where(unknown, np.float32(0), near - base)
        along_columns = cv2.Sobel(level, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)[1:-1, 1:-1]
        along_rows = cv2.Sobel(level, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)[1:-1, 1:-1]
        axes = ground_axes(grid, rows, pixel_size_m=pixel_size_m)
        east, north = gradient[:, rows]
        np.add(along_columns * axes.east_column, along_rows * axes.east_row, out=east)
        np.add(along_columns * axes.north_column, along_rows * axes.north_row, out=north)
        if unknown.any():
            beside = cv2.dilate(unknown.astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0
            east[beside] = np.nan
            north[beside] = np.nan
    return gradient


def slope_deg(gradient: NDArray[np.float32]) -> NDArray[np.float32]:
    """Steepness in degrees, 0 to 90, from `terrain_gradient`; NaN where that is."""
    steepness = np.hypot(gradient[0], gradient[1])
    np.arctan(steepness, out=steepness)
    return np.asarray(np.rad2deg(steepness, out=steepness))


def aspect_deg(gradient: NDArray[np.float32]) -> NDArray[np.float32]:
    """Direction in which the ground falls, from `terrain_gradient`.

    Returns:
        (y, x) degrees clockwise from true north, from 0 to below 360; NaN where the ground is level or unknown.
    """
    east, north = gradient
    aspect: NDArray[np.float32] = np.asarray(np.arctan2(-east, -north))
    np.rad2deg(aspect, out=aspect)
    aspect[aspect < 0] += np.float32(360)
    # a tiny negative angle and 360 make 360 in single precision
    aspect[aspect >= 360] = 0
    aspect[(east == 0) & (north == 0)] = np.nan
    return aspect


def illumination(gradient: NDArray[np.float32], sun: Sun) -> NDArray[np.float32]:
    """Cosine of the angle between the sun and the ground's normal (Lambert's law).

    Args:
        gradient: (2, y, x), from `terrain_gradient`.
        sun: where the sun stands.

    Returns:
        (y, x), from -1 to 1; at most 0 where the ground turns away from the sun; sin(elevation) where it is level; NaN
        where unknown.
    """
    to_east, to_north, upward = (np.float32(part) for part in sun.direction)
    east, north = gradient
    facing = upward - to_east * east - to_north * north
    facing /= np.sqrt(1 + east * east + north * north)
    return np.asarray(np.clip(facing, -1, 1, out=facing))


def cast_shadow(
    height: NDArray[np.float32], grid: Grid, sun: Sun, *, pixel_size_m: float | None = None
) -> NDArray[np.uint8]:
    """Where other ground hides the sun.

    A ray goes from each pixel towards the sun, a row or a column at a time, whichever is the longer way; heights
    between two pixels are interpolated. Direction and distances are those at the grid's centre, and the Earth is flat:
    good for grids of some ten kilometres. Ground that turns away from the sun is no cast shadow by itself:
    `illumination` tells it.

    Args:
        height: (y, x), metres, NaN where unknown: unknown ground hides nothing.
        grid: where the heights lie.
        sun: where the sun stands.
        pixel_size_m: pixel size on the ground, for a grid that has no CRS.

    Returns:
        (y, x): 1 in shadow, 0 not, 255 where the height is unknown.

    Raises:
        DataError, ConfigurationError: as `terrain_gradient`.
    """
    if height.shape != grid.shape:
        raise DataError(f"the heights have the shape {height.shape}", expected=f"{grid.shape}")
    known = np.isfinite(height)
    shadow = np.where(known, np.uint8(0), np.uint8(UNKNOWN))
    if sun.elevation_deg >= 90 or not known.any():
        return shadow
    columns, rows, rise_m = _step_to_sun(grid, sun, pixel_size_m)
    ground = np.where(known, height, np.float32(-np.inf))
    highest = float(ground.max())
    hidden = np.zeros(grid.shape, bool)
    # a strip that fits the processor's cache, and its own lowest point, make it several times faster
    for start in range(0, grid.height, SHADOW_ROWS):
        strip = slice(start, min(start + SHADOW_ROWS, grid.height))
        lowest = float(np.min(height[strip], initial=np.inf, where=known[strip]))
        for step in range(1, math.ceil(max(highest - lowest, 0) / rise_m) + 1):
            ahead = _Ahead(grid.shape, strip, columns * step, rows * step)
            if ahead.is_empty:
                break
            hidden[ahead.here] |= ahead.heights(ground) > ground[ahead.here] + np.float32(rise_m * step)
    shadow[hidden & known] = 1
    return shadow


def _strips(height: NDArray[np.float32]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Strips of rows, and their heights with one row and one column more on each side."""
    total = len(height)
    for start in range(0, total, STRIP_ROWS):
        stop = min(start + STRIP_ROWS, total)
        near = np.empty((stop - start + 2, height.shape[1] + 2), np.float32)
        near[1:-1, 1:-1] = height[start:stop]
        near[0, 1:-1] = height[start - 1] if start else 2 * height[0] - height[1]
        near[-1, 1:-1] = height[stop] if stop < total else 2 * height[-1] - height[-2]
        near[:, 0] = 2 * near[:, 1] - near[:, 2]
        near[:, -1] = 2 * near[:, -2] - near[:, -3]
        yield slice(start, stop), near


def _step_to_sun(grid: Grid, sun: Sun, pixel_size_m: float | None) -> tuple[float, float, float]:
    """One step towards the sun on the grid (columns, rows; the longer is 1), and how much the ray rises by it."""
    middle = grid.height // 2
    axes = ground_axes(grid, slice(middle, middle + 1), pixel_size_m=pixel_size_m)
    to_east, to_north, upward = sun.direction
    level = math.hypot(to_east, to_north)

    def at_centre(array: NDArray[np.float32]) -> float:
        return float(array[0, min(grid.width // 2, array.shape[1] - 1)])

    # columns and rows for a metre on the ground towards the sun
    columns = (to_east * at_centre(axes.east_column) + to_north * at_centre(axes.north_column)) / level
    rows = (to_east * at_centre(axes.east_row) + to_north * at_centre(axes.north_row)) / level
    metres = 1 / max(abs(columns), abs(rows))
    return columns * metres, rows * metres, metres * upward / level


class _Ahead:
    """The part of a strip whose neighbour at some distance is on the grid."""

    def __init__(self, shape: tuple[int, int], strip: slice, columns: float, rows: float) -> None:
        (self._row, self._row_part), (self._column, self._column_part) = (_split(rows), _split(columns))
        inside = _inside(shape[0], self._row, self._row_part)
        row_range = slice(max(inside.start, strip.start), min(inside.stop, strip.stop))
        column_range = _inside(shape[1], self._column, self._column_part)
        self.is_empty = row_range.stop <= row_range.start or column_range.stop <= column_range.start
        self.here = (row_range, column_range)

    def heights(self, ground: NDArray[np.float32]) -> NDArray[np.float32]:
        """Heights at that distance; one of the two steps is whole, so that two pixels are enough."""
        rows, columns = self.here
        first = ground[_moved(rows, self._row), _moved(columns, self._column)]
        part = self._row_part or self._column_part
        if not part:
            return first
        second = ground[
            _moved(rows, self._row + bool(self._row_part)), _moved(columns, self._column + bool(self._column_part))
        ]
        # -inf (unknown) times a weight stays -inf
        return first * np.float32(1 - part) + second * np.float32(part)


def _split(distance: float) -> tuple[int, float]:
    whole = math.floor(distance + 1e-6)
    part = distance - whole
    return whole, part if part > 1e-6 else 0.0


def _inside(size: int, whole: int, part: float) -> slice:
    return slice(max(0, -whole), min(size, size - whole - (1 if part else 0)))


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)
