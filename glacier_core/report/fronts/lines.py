"""Front lines as vectors: GeoPackage and GeoJSON, in the images' CRS where they have one, else in pixels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from geopandas import GeoDataFrame
    from numpy.typing import NDArray

    from glacier_core.grids import Grid

GEOPACKAGE, GEOJSON = "fronts.gpkg", "fronts.geojson"


def line_features(line: NDArray[np.float64], grid: Grid) -> Any:
    """A front line as a geometry: in the grid's CRS, or in pixels from the upper left corner, y downwards below zero.

    Args:
        line: row and column, pixel centres at whole numbers.
        grid: the image's grid.
    """
    import numpy as np
    import shapely

    columns, rows = line[:, 1] + 0.5, line[:, 0] + 0.5
    if not grid.crs:
        return shapely.LineString(np.stack([columns, -rows], axis=1))
    a, b, left, d, e, top = grid.transform
    return shapely.LineString(np.stack([left + a * columns + b * rows, top + d * columns + e * rows], axis=1))


def write_line_files(folder: Path, lines: Sequence[tuple[dict[str, Any], Any, str]]) -> list[tuple[str, str]]:
    """Write the fronts for QGIS and the like.

    Args:
        folder: the products' folder.
        lines: attributes, geometry and CRS of each; an empty CRS means pixels.

    Returns:
        The files and what each is. Fronts of several CRS lie in one layer each; GeoJSON has degrees, or pixels.
    """
    import geopandas
    import pandas as pd

    tables: dict[str, GeoDataFrame] = {}
    for crs in sorted({crs for _, _, crs in lines}):
        chosen = [(told, geometry) for told, geometry, own in lines if own == crs]
        tables[crs] = geopandas.GeoDataFrame(
            [told for told, _ in chosen], geometry=[geometry for _, geometry in chosen], crs=crs or None
        )
        layer = "fronts" if len(tables) == 1 else f"fronts_{crs.replace(':', '_').lower()}"
        with warnings.catch_warnings():
            # that there is none is told on the page
            warnings.filterwarnings("ignore", message="'crs' was not provided")
            tables[crs].to_file(folder / GEOPACKAGE, layer=layer, driver="GPKG")
    if not tables:
        return []
    in_pixels = "" in tables
    degrees = [table.to_crs("EPSG:4326") if crs else table for crs, table in tables.items()]
    joined = geopandas.GeoDataFrame(pd.concat([pd.DataFrame(table) for table in degrees]), geometry="geometry")
    (folder / GEOJSON).write_text(joined.to_json(drop_id=True), encoding="utf-8")
    where = "in pixels of the images (no CRS), y below zero"
    return [
        (GEOPACKAGE, f"front lines, {where if in_pixels else 'in the CRS of the images'}"),
        (GEOJSON, f"front lines, {where if in_pixels else 'longitude and latitude'}"),
    ]
