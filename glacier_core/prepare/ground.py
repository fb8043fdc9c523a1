"""How the rows and columns of a grid lie on the ground: true distances and true north, in any projection."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from glacier_core.grids import Grid

NODE_PIXELS = 128
"""Distance, at most, of the nodes between which a projection's distortion is interpolated linearly."""
NODE_METRES = 20_000.0
"""The same on the ground. A distortion varies over distances like the Earth's radius, R: by linear interpolation it is
off by (d / R)² / 8, a millionth; nearer than this to a pole, where north turns quickly, by more."""


@dataclass(frozen=True)
class GroundAxes:
    """What one metre east and one metre north are on the grid, at each of some rows and columns.

    Arrays are (rows, columns); either may be 1 where nothing changes along it.
    """

    east_column: NDArray[np.float32]
    """Columns gained by a metre to the east."""
    east_row: NDArray[np.float32]
    """Rows gained by a metre to the east; 0 where the grid's north is true north."""
    north_column: NDArray[np.float32]
    """Columns gained by a metre to the north."""
    north_row: NDArray[np.float32]
    """Rows gained by a metre to the north: negative, as rows run south."""


def ground_axes(grid: Grid, rows: slice, *, pixel_size_m: float | None = None) -> GroundAxes:
    """The ground axes of some rows of a grid.

    From the partial derivatives of the projection (Snyder 1987, USGS Professional Paper 1395) on the ellipsoid, so that
    the growth of UTM or Mercator, the narrowing of degrees and the turn of polar grids' north are all in it.

    Args:
        grid: the pixel grid.
        rows: which rows, start and stop given.
        pixel_size_m: pixel size on the ground, for a grid that has no CRS or a local one.

    Raises:
        ConfigurationError: the grid has no CRS and the pixel size is not given.
        DataError: the CRS is not known, or reaches pixels that it is not defined for.
    """
    crs = _horizontal_crs(grid.crs)
    if crs is None or not (crs.is_geographic or crs.is_projected):
        if not pixel_size_m:
            raise ConfigurationError(
                "the grid has no CRS that relates it to the ground",
                expected="its pixel size in metres",
                do="give pixel_size_m",
            )
        step = np.full((1, 1), 1 / pixel_size_m, np.float32)
        none = np.zeros((1, 1), np.float32)
        return GroundAxes(step, none, none, -step)
    if crs.is_geographic:
        return _on_parallels(grid, rows, crs)
    return _on_projection(grid, rows, crs)


def _horizontal_crs(name: str) -> Any:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    if not name:
        return None
    try:
        crs: Any = CRS.from_user_input(name)
    except CRSError as error:
        raise DataError(f"the CRS {name[:60]!r} is not known ({error})", expected="an authority code or WKT") from None
    while crs.is_bound or crs.is_compound:
        crs = crs.source_crs if crs.is_bound else crs.sub_crs_list[0]
    return crs


def _on_parallels(grid: Grid, rows: slice, crs: Any) -> GroundAxes:
    a, _, _, _, e, top = grid.transform
    unit = float(crs.axis_info[0].unit_conversion_factor)
    latitude = (top + e * (np.arange(rows.start, rows.stop) + 0.5)) * unit
    if (np.abs(latitude) >= np.pi / 2).any():
        raise DataError("the grid reaches beyond a pole", expected="latitudes between -90 and 90")
    meridian, parallel = _radii_m(latitude, crs.ellipsoid)
    east = (1 / (parallel * a * unit))[:, None].astype(np.float32)
    north = (1 / (meridian * e * unit))[:, None].astype(np.float32)
    none = np.zeros((1, 1), np.float32)
    return GroundAxes(east, none, none, north)


def _on_projection(grid: Grid, rows: slice, crs: Any) -> GroundAxes:
    from pyproj import Proj
    from pyproj.exceptions import ProjError

    a, _, left, _, e, top = grid.transform
    unit_m = float(crs.axis_info[0].unit_conversion_factor)
    column_nodes = _nodes(0, grid.width, abs(a) * unit_m)
    row_nodes = _nodes(rows.start, rows.stop, abs(e) * unit_m)
    x, y = np.meshgrid(left + a * (column_nodes + 0.5), top + e * (row_nodes + 0.5))
    projection = Proj(crs)
    try:
        longitude, latitude = projection(x, y, inverse=True, errcheck=True)
        factors = projection.get_factors(longitude, latitude, errcheck=True)
    except ProjError as error:
        raise DataError(f"the grid reaches beyond its CRS ({error})") from None
    meridian, parallel = _radii_m(np.radians(latitude), crs.ellipsoid)
    axis_m = crs.ellipsoid.semi_major_metre
    # PROJ's derivatives are per radian on an ellipsoid whose semi-major axis is 1
    steps = (
        factors.dx_dlam * axis_m / parallel / (a * unit_m),
        factors.dy_dlam * axis_m / parallel / (e * unit_m),
        factors.dx_dphi * axis_m / meridian / (a * unit_m),
        factors.dy_dphi * axis_m / meridian / (e * unit_m),
    )
    if not all(np.isfinite(step).all() for step in steps):
        raise DataError("the grid reaches a point at which its CRS has no directions (a pole?)")
    to_rows = _weights(row_nodes, np.arange(rows.start, rows.stop))
    to_columns = _weights(column_nodes, np.arange(grid.width)).T.astype(np.float32)
    # the second product is the large one: in single precision it is twice as fast
    east_column, east_row, north_column, north_row = (
        (to_rows @ step).astype(np.float32) @ to_columns for step in steps
    )
    return GroundAxes(east_column, east_row, north_column, north_row)


def _nodes(start: int, stop: int, pixel_m: float) -> NDArray[np.float64]:
    spacing = min(max(NODE_METRES / pixel_m, 1.0), NODE_PIXELS)
    count = max(2, math.ceil((stop - start) / spacing) + 1)
    return np.linspace(start, max(stop - 1, start + 1), count)


def _weights(nodes: NDArray[np.float64], positions: NDArray[np.int_]) -> NDArray[np.float64]:
    """(positions, nodes): weights of linear interpolation."""
    return np.stack([np.interp(positions, nodes, unit) for unit in np.eye(len(nodes))], axis=1)


def _radii_m(latitude: NDArray[np.float64], ellipsoid: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Radii of curvature along the meridian, and of the parallel, for latitudes in radians."""
    axis = ellipsoid.semi_major_metre
    squared = 1 - (ellipsoid.semi_minor_metre / axis) ** 2
    root = np.sqrt(1 - squared * np.sin(latitude) ** 2)
    return axis * (1 - squared) / root**3, axis * np.cos(latitude) / root
