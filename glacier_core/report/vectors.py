"""Predicted ice as polygons with the attribute names of RGI 7 (https://doi.org/10.5067/f6jmovy5navz)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.recipes import ExtentRecipe
from glacier_core.report.inputs import YearImage
from glacier_core.report.overview import Glacier, YearRow

if TYPE_CHECKING:
    import numpy as np
    from geopandas import GeoDataFrame
    from numpy.typing import NDArray
    from shapely.geometry import MultiPolygon

GEOPACKAGE = "outlines.gpkg"
PARQUET = "outlines.parquet"
SEASON_SLACK = timedelta(days=200)
# what RGI 7 and RGI 6 call the attributes that do not change with the year
_STATIC = {
    "o1region": ("o1region", "O1Region"),
    "o2region": ("o2region", "O2Region"),
    "glims_id": ("glims_id", "GLIMSId"),
    "term_type": ("term_type", "TermType"),
    "surge_type": ("surge_type", "Surging"),
    "primeclass": ("primeclass", "Form"),
    "conn_lvl": ("conn_lvl", "Connect"),
}


@dataclass(frozen=True, eq=False)
class OutlineRecord:
    """The outline of one glacier in one year."""

    glacier: Glacier
    """The glacier."""
    row: YearRow
    """Its year."""
    geometry: MultiPolygon
    """Predicted ice, EPSG:4326."""
    src_date: date
    """Middle acquisition."""


def polygons_of(mask: NDArray[np.bool_]) -> MultiPolygon:
    """The mask as polygons along pixel edges, in pixels (x east, y south)."""
    import numpy as np
    from rasterio.features import shapes
    from shapely.geometry import MultiPolygon, shape

    found = shapes(mask.astype(np.uint8), mask=mask, connectivity=4)
    return MultiPolygon([shape(geometry) for geometry, _ in found])


def to_degrees(pixels: MultiPolygon, image: YearImage) -> MultiPolygon:
    """Polygons in pixels as polygons in longitude and latitude."""
    import numpy as np
    import shapely
    from pyproj import Transformer

    a, b, c, d, e, f = image.grid.transform
    transformer = Transformer.from_crs(image.grid.crs, "EPSG:4326", always_xy=True)

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        columns, rows = points[:, 0], points[:, 1]
        return np.stack(transformer.transform(a * columns + b * rows + c, d * columns + e * rows + f), axis=1)

    return shapely.transform(pixels, move)


def acquisition_date(recipe: ExtentRecipe, row: YearRow, acquired: Sequence[str]) -> date:
    """The middle one of the dates that scene ids tell (yyyymmdd or yyyy-mm-dd); else the middle of the season."""
    middle = recipe.mid_season(row.year).date()
    dates = []
    for scene in acquired or row.scenes:
        match = re.search(r"(?<!\d)((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)", scene)
        if match:
            try:
                found = date(*(int(part) for part in match.groups()))
            except ValueError:
                continue
            if abs(found - middle) <= SEASON_SLACK:
                dates.append(found)
    return sorted(dates)[len(dates) // 2] if dates else middle


def outlines_frame(records: Sequence[OutlineRecord], sources: GeoDataFrame) -> GeoDataFrame:
    """One row a glacier and year, EPSG:4326, sorted.

    Columns of RGI 7: rgi_id, o1region, o2region, glims_id, src_date (ISO), cenlon, cenlat (degrees), utm_zone,
    area_km2, primeclass, conn_lvl, surge_type, term_type, glac_name (those that the source has). And: year,
    area_low_km2, area_high_km2, clear_fraction, flags. `area_km2` is the measured area: where a part was not seen it
    is larger than the polygon.
    """
    import geopandas as gpd

    static: dict[str, dict[str, str]] = {}
    for record in sources.drop(columns="geometry").to_dict("records"):
        static.setdefault(str(record["glacier_id"]), _static(record))
    ordered = sorted(records, key=lambda record: (record.glacier.glacier_id, record.row.year))
    rows = [_attributes(record, static.get(record.glacier.glacier_id, {})) for record in ordered]
    geometries = [record.geometry for record in ordered]
    return gpd.GeoDataFrame(rows, geometry=geometries, crs="EPSG:4326")


def write_outlines(folder: Path, frame: GeoDataFrame) -> list[str]:
    """Write the outlines as GeoPackage and GeoParquet.

    Returns:
        The files' names.
    """
    import pyogrio

    # GeoPackage keeps a time of the last change: the last acquisition, so that equal content gives equal bytes
    stamp = max(frame["src_date"], default="1970-01-01T00:00:00")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": f"{stamp}.000Z"})
    try:
        frame.to_file(folder / GEOPACKAGE, layer="outlines", driver="GPKG", geometry_type="MultiPolygon")
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
    frame.to_parquet(folder / PARQUET, index=False)
    return [GEOPACKAGE, PARQUET]


def _static(record: dict[Any, Any]) -> dict[str, str]:
    found = {}
    for name, spellings in _STATIC.items():
        value = next((record[spelling] for spelling in spellings if spelling in record), None)
        if value is not None and value == value:  # noqa: PLR0124 - NaN is not equal to itself
            found[name] = str(value)
    return found


def _attributes(record: OutlineRecord, static: dict[str, str]) -> dict[str, Any]:
    glacier, row = record.glacier, record.row
    centre = record.geometry.centroid
    longitude, latitude = (float("nan"), float("nan")) if centre.is_empty else (centre.x, centre.y)
    return {
        "rgi_id": glacier.glacier_id,
        **static,
        "glac_name": glacier.name if glacier.name != glacier.glacier_id else "",
        "src_date": f"{record.src_date.isoformat()}T00:00:00",
        "year": row.year,
        "cenlon": round(longitude, 6),
        "cenlat": round(latitude, 6),
        "utm_zone": 0 if centre.is_empty else int((longitude + 180) // 6) % 60 + 1,
        "area_km2": round(row.area_km2, 4),
        "area_low_km2": round(row.low_km2, 4),
        "area_high_km2": round(row.high_km2, 4),
        "clear_fraction": round(row.clear_fraction, 4),
        "flags": ";".join(row.flags),
    }
