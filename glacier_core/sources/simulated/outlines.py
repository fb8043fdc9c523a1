"""Outlines of the true masks with RGI 7 attributes (RGI Consortium 2023, doi:10.5067/F6JMOVY5NAVZ)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from glacier_core.grids import Grid
from glacier_core.sources.simulated.noise import Field, Mask
from glacier_core.sources.simulated.terrain import Branch

REGION = "99"
"""No RGI region: an id with it names a simulated glacier."""


@dataclass(frozen=True)
class Outline:
    """The outline of one glacier in one year."""

    attributes: dict[str, Any]
    """RGI 7 attributes."""
    wkb: bytes
    """Multipolygon along pixel edges, in the CRS of the scenes."""


def glacier_id(number: int) -> str:
    """The RGI id of the simulated glacier of that number, from 1."""
    return f"RGI2000-v7.0-G-{REGION}-{number:05d}"


def outline_of(mask: Mask, surface: Field, *, grid: Grid, number: int, name: str, when: date, trunk: Branch) -> Outline:
    """The outline of a mask.

    Args:
        mask: the ice, (y, x).
        surface: elevation, m.
        grid: the grid of both.
        number: number of the glacier, from 1.
        name: its name.
        when: date that the outline stands for.
        trunk: its flow line, whose last point on ice is the terminus.
    """
    import shapely
    from rasterio import features

    shapes = features.shapes(mask.astype(np.uint8), mask=mask, connectivity=4, transform=grid.affine())
    polygons = [shapely.geometry.shape(geometry) for geometry, _ in shapes]
    multi = shapely.MultiPolygon([part for part in polygons if isinstance(part, shapely.Polygon)])
    heights = surface[mask] if mask.any() else np.zeros(1)
    center = _degrees(grid, multi.representative_point() if polygons else shapely.Point(*grid.bounds[:2]))
    end = _degrees(grid, shapely.Point(*_terminus(mask, grid, trunk)))
    attributes = {
        "rgi_id": glacier_id(number),
        "o1region": REGION,
        "o2region": f"{REGION}-01",
        "glims_id": f"G{round(center[0] * 1000):06d}E{round(center[1] * 1000):05d}N",
        "anlys_id": number,
        "subm_id": 0,
        "src_date": when.isoformat(),
        "cenlon": center[0],
        "cenlat": center[1],
        "utm_zone": 45,
        "area_km2": area_km2(mask, grid),
        "primeclass": 0,
        "conn_lvl": 0,
        "surge_type": 0,
        "term_type": 0,
        "glac_name": name,
        "is_rgi6": 0,
        "termlon": end[0],
        "termlat": end[1],
        "zmin_m": round(float(heights.min()), 1),
        "zmax_m": round(float(heights.max()), 1),
        "zmed_m": round(float(np.median(heights)), 1),
        "zmean_m": round(float(heights.mean(dtype=np.float64)), 1),
    }
    return Outline(attributes=attributes, wkb=shapely.to_wkb(multi))


def area_km2(mask: Mask, grid: Grid) -> float:
    """True area on the ellipsoid: pixels times the projection's areal scale at the mask's centre."""
    from pyproj import Proj

    count = int(mask.sum())
    if not count:
        return 0.0
    rows, columns = np.nonzero(mask)
    a, _, c, _, e, f = grid.transform
    x, y = c + a * (columns.mean() + 0.5), f + e * (rows.mean() + 0.5)
    projection = Proj(grid.crs)
    scale = projection.get_factors(*projection(x, y, inverse=True)).areal_scale
    return round(count * a * a / scale / 1e6, 6)


def write_outlines(path: str, outlines: Sequence[Outline], *, crs: str) -> None:
    """Write outlines to a GeoPackage; the same outlines give the same bytes."""
    import geopandas
    import pyogrio
    import shapely

    frame = geopandas.GeoDataFrame(
        [outline.attributes for outline in outlines],
        geometry=[shapely.from_wkb(outline.wkb) for outline in outlines],
        crs=crs,
    )
    # a GeoPackage holds the time of its last change
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
    try:
        frame.to_file(path, driver="GPKG", layer="glaciers", engine="pyogrio")
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _terminus(mask: Mask, grid: Grid, trunk: Branch) -> tuple[float, float]:
    rows, columns = trunk.pixels(len(mask))
    on_ice = np.nonzero(mask[rows, columns])[0]
    last = int(on_ice[-1]) if len(on_ice) else 0
    a, _, c, _, e, f = grid.transform
    return c + a * (float(columns[last]) + 0.5), f + e * (float(rows[last]) + 0.5)


def _degrees(grid: Grid, point: Any) -> tuple[float, float]:
    from pyproj import Transformer

    longitude, latitude = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(point.x, point.y)
    return round(longitude, 6), round(latitude, 6)
