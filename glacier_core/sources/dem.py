"""A digital elevation model on a grid: from any raster, in any CRS, local or remote, one file or the tiles of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from glacier_core.errors import ConfigurationError, DataError, SceneError
from glacier_core.grids import Grid
from glacier_core.sources.bands import BandSource
from glacier_core.sources.pixels import PixelRequest, read_pixels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOWEST_M = -500.0
"""Lower than any land (the Dead Sea's shore lies at -440 m): what is below it is a nodata number that nobody named."""
HIGHEST_M = 9000.0
"""Higher than any."""


def find_dems(catalog: str, collection: str, grid: Grid) -> list[str]:
    """Links of the DEMs of a STAC collection that meet a grid, unsigned, in order of the items' ids.

    Args:
        catalog: URL or path of the STAC API or static catalog.
        collection: such as `cop-dem-glo-30` (Copernicus DEM) or `nasadem`.
        grid: with a CRS.

    Raises:
        DataError: none meets the grid.
        ServiceUnavailableError: the catalog does not answer.
    """
    from pyproj import Transformer

    from glacier_core.sources.stac import open_catalog

    to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    found = open_catalog(catalog).search(
        bbox=to_degrees.transform_bounds(*grid.bounds),
        start=date(1970, 1, 1),
        end=date(2100, 1, 1),
        collection=collection,
        max_cloud_percent=100.0,
    )
    assets = [scene.item["assets"] for scene in sorted(found, key=lambda scene: scene.id)]
    links = [
        str(asset["href"])
        for each in assets
        for key, asset in each.items()
        if key in ("data", "elevation") or "data" in asset.get("roles", [])
    ]
    if not links:
        raise DataError(f"collection {collection} of {catalog} has no DEM on the grid", do="check terrain.collection")
    return links


def read_dem(
    files: str | Path | Sequence[str | Path],
    grid: Grid,
    *,
    band: int = 1,
    nodata: float | None = None,
    retries: int = 4,
) -> NDArray[np.float32]:
    """Heights (y, x) in metres on `grid`, bilinear between the file's pixels; NaN where it has none.

    Args:
        files: path or URL of a raster with a CRS; of several, each fills what those before it leave open.
        grid: where the heights are wanted.
        band: number of the band that holds them, from 1.
        nodata: number that stands for no height where the file names none. Heights that no land has are dropped in any
            case, but interpolation has by then mixed them into their neighbours.
        retries: how often a read that may succeed later is tried again.

    Raises:
        SceneError: a file cannot be read, none covers any part of the grid, or there are only zeros in it: the filling
            of a download that failed, which would make a plane of any mountain.
        ConfigurationError: the grid has no CRS.
        NotNowError: a file's service stayed busy or silent.
    """
    import numpy as np

    if not grid.crs:
        raise ConfigurationError(
            "a DEM is wanted on a grid without a CRS", expected="georeferenced imagery", do="leave the DEM out"
        )
    paths = [str(files)] if isinstance(files, str | Path) else [str(file) for file in files]
    requests = [
        PixelRequest(
            BandSource(asset=path.rpartition("/")[2], href=path, index=band, scale=1.0, offset=0.0, nodata=nodata), grid
        )
        for path in paths
    ]
    heights = np.full(grid.shape, math.nan, np.float32)
    for read in read_pixels(requests, retries=retries):
        if isinstance(read, Exception):
            raise read
        plausible = (read > LOWEST_M) & (read < HIGHEST_M)  # False for NaN
        np.copyto(heights, read, where=np.isnan(heights) & plausible)
    names = ", ".join(request.source.asset for request in requests[:3])
    known = heights[np.isfinite(heights)]
    if not known.size:
        raise SceneError(f"DEM {names} has no height on the grid", expected="one that covers it")
    if not known.any():
        raise SceneError(f"DEM {names} is zero everywhere", expected="heights", do="fetch it again")
    return heights
