"""Class maps as Cloud Optimized GeoTIFFs with a colour table (https://docs.ogc.org/is/21-026/21-026.html)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glacier_core.grids import Grid
from glacier_core.report.classes.colours import Colour

NODATA = 255


def write_class_raster(
    path: Path,
    codes: NDArray[np.uint8],
    grid: Grid,
    *,
    names: Sequence[str],
    colours: Sequence[Colour],
    tags: Mapping[str, str],
) -> None:
    """Write one map of codes; the names of the codes stand in the tag `classes` and in the band's description.

    Args:
        path: the file.
        codes: (y, x), 255 where nothing is known.
        grid: its pixels; without a CRS the file has none.
        names: what the codes 0, 1, ... are.
        colours: of them.
        tags: what else is known of it.
    """
    import rasterio
    from rasterio.enums import ColorInterp
    from rasterio.errors import NotGeoreferencedWarning

    path.parent.mkdir(parents=True, exist_ok=True)
    table = {number: (*colour, 255) for number, colour in enumerate(colours)} | {NODATA: (0, 0, 0, 0)}
    told = "; ".join(f"{number} {name}" for number, name in enumerate(names))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver="COG",
            width=grid.width,
            height=grid.height,
            count=1,
            dtype="uint8",
            crs=grid.crs or None,
            transform=grid.affine(),
            nodata=NODATA,
            compress="DEFLATE",
            blocksize=256,
            overview_resampling="NEAREST",
        ) as file:
            file.write(codes, 1)
            file.write_colormap(1, table)
            file.colorinterp = [ColorInterp.palette]
            file.set_band_description(1, told[:200])
            file.update_tags(classes=told, **tags)
