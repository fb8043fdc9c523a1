"""Class maps as polygons, one row a connected patch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glacier_core.grids import Grid

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

GEOPACKAGE = "classes.gpkg"
SMALLEST_PX = 4
"""Smaller patches stay in the raster alone."""


def class_polygons(
    codes: NDArray[np.uint8],
    grid: Grid,
    pixel_area: NDArray[np.float64],
    *,
    names: Sequence[str],
    series: str,
    period: str,
) -> GeoDataFrame:
    """Connected patches of each class along pixel edges, EPSG:4326.

    Args:
        codes: (y, x) numbers of classes, 255 where nothing was seen.
        grid: its pixels, with a CRS.
        pixel_area: km² of each pixel, (y, x) or (y, 1).
        names: the classes.
        series: name of the series.
        period: the year.

    Returns:
        Columns series, period, class, area_km2 (of the patch's pixels), geometry.
    """
    import geopandas
    from rasterio.features import shapes
    from shapely.geometry import shape

    area = np.broadcast_to(pixel_area, codes.shape)
    rows, geometries = [], []
    plain = abs(grid.transform[0] * grid.transform[4])
    mean = float(area.mean())
    for geometry, number in shapes(codes, mask=codes != 255, connectivity=4, transform=grid.affine()):
        polygon = shape(geometry)
        pixels = round(polygon.area / plain)
        if pixels < SMALLEST_PX:
            continue
        row = min(max(int((grid.transform[5] - polygon.centroid.y) / abs(grid.transform[4])), 0), grid.height - 1)
        of_row = float(area[row].mean()) if area.shape[0] else mean
        rows.append(
            {"series": series, "period": period, "class": names[int(number)], "area_km2": round(pixels * of_row, 6)}
        )
        geometries.append(polygon)
    frame = geopandas.GeoDataFrame(rows, geometry=geometries, crs=grid.crs, columns=None)
    return frame.to_crs("EPSG:4326")


def write_polygons(folder: Path, frame: GeoDataFrame, *, stamp: str) -> str:
    """Write the patches as GeoPackage; its name.

    Args:
        folder: the products' folder.
        frame: from `class_polygons`.
        stamp: ISO time that the file is said to be of, so that equal content gives equal bytes.
    """
    import pyogrio

    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": f"{stamp}.000Z"})
    try:
        frame.to_file(folder / GEOPACKAGE, layer="classes", driver="GPKG")
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
    return GEOPACKAGE
