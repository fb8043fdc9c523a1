"""Outlines as masks on a cube's grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError, WithheldError
from glacier_core.grids import Grid

if TYPE_CHECKING:
    from geopandas import GeoDataFrame


def rasterize(outlines: GeoDataFrame, grid: Grid) -> NDArray[np.bool_]:
    """Pixels whose centre lies inside any of the outlines.

    Args:
        outlines: polygons in any CRS; they are projected to the grid's.
        grid: the pixels.

    Returns:
        (y, x).

    Raises:
        ConfigurationError: the outlines have no CRS.
    """
    return _burnt(_projected(outlines, grid), grid)


def glacier_domain(outlines: GeoDataFrame, glacier_id: str, grid: Grid, *, buffer_m: float) -> NDArray[np.bool_]:
    """Where a glacier is measured: pixels no farther than `buffer_m` from its outline, and nearer to it than to others.

    Divides between neighbours stay where the outlines put them: no pixel inside another outline belongs to the domain,
    and the domains of two glaciers share no pixel. Distances are those between pixel centres.

    Args:
        outlines: the glacier's outline and its neighbours', in any CRS, with the column glacier_id.
        glacier_id: the glacier.
        grid: the pixels.
        buffer_m: in metres (in pixels where the grid has a local CRS).

    Returns:
        (y, x).

    Raises:
        ConfigurationError: the outlines have no CRS.
        WithheldError: no part of the glacier lies on the grid.
    """
    from scipy.ndimage import distance_transform_edt

    projected = _projected(outlines, grid)
    is_own = (projected["glacier_id"] == glacier_id).to_numpy(dtype=bool)
    others = _burnt(projected[~is_own], grid)
    own = _burnt(projected[is_own], grid)
    if not own.any():
        # smaller than a pixel, or its centre missed: the pixels that it touches stand for it
        own = _burnt(projected[is_own], grid, touched=True)
    own &= ~others
    if not own.any():
        raise WithheldError(f"no part of glacier {glacier_id} lies on its imagery alone")
    pixel = _pixel_metres(grid)
    to_own = distance_transform_edt(~own, sampling=pixel)
    near = to_own <= buffer_m
    if not others.any():
        return np.asarray(near)
    return np.asarray(near & (to_own < distance_transform_edt(~others, sampling=pixel)))


def _projected(outlines: GeoDataFrame, grid: Grid) -> GeoDataFrame:
    if outlines.crs is None:
        raise ConfigurationError(
            "the outlines have no CRS", expected="one, such as EPSG:4326", do="assign the right one and save them again"
        )
    return outlines if outlines.crs == grid.crs else outlines.to_crs(grid.crs)


def _burnt(outlines: GeoDataFrame, grid: Grid, *, touched: bool = False) -> NDArray[np.bool_]:
    from rasterio.features import rasterize as burn

    shapes = [shape for shape in outlines.geometry if shape is not None and not shape.is_empty]
    if not shapes:
        return np.zeros(grid.shape, dtype=bool)
    burnt = burn(shapes, out_shape=grid.shape, transform=grid.affine(), all_touched=touched, dtype="uint8")
    return np.asarray(burnt, dtype=bool)


def _pixel_metres(grid: Grid) -> tuple[float, float]:
    """Height and width of a pixel in metres, at the middle of the grid."""
    from pyproj import CRS, Geod

    crs = CRS.from_user_input(grid.crs)
    width, height = abs(grid.transform[0]), abs(grid.transform[4])
    if not crs.is_geographic:
        factor = crs.axis_info[0].unit_conversion_factor or 1.0
        return height * factor, width * factor
    left, bottom, right, top = grid.bounds
    x, y = (left + right) / 2, (bottom + top) / 2
    geod = crs.get_geod() or Geod(ellps="WGS84")
    _, _, tall = geod.inv(x, y - height / 2, x, y + height / 2)
    _, _, wide = geod.inv(x - width / 2, y, x + width / 2, y)
    return float(tall), float(wide)
