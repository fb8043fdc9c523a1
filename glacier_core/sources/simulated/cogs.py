"""Cloud-optimized GeoTIFFs in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.grids import Grid

BLOCK = 128
WHOLE = 512
"""An image of at most so many rows and columns needs no overviews (the convention of COG validators)."""


def cog_bytes(
    pixels: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32], grid: Grid, *, nodata: int | None
) -> bytes:
    """One band as a tiled, deflated GeoTIFF with overviews where it is large; the same pixels give the same bytes.

    Args:
        pixels: (y, x).
        grid: its grid.
        nodata: number that stands for no data.
    """
    from rasterio.io import MemoryFile

    profile: dict[str, Any] = {
        "driver": "COG",
        "dtype": pixels.dtype.name,
        "count": 1,
        "height": grid.height,
        "width": grid.width,
        "crs": grid.crs,
        "transform": grid.affine(),
        "nodata": nodata,
        "blocksize": BLOCK,
        "compress": "DEFLATE",
        "level": 1,
        "predictor": 3 if pixels.dtype.kind == "f" else 2,
        # the mean of classes is none of them
        "overview_resampling": "nearest",
        "overviews": "AUTO" if max(grid.shape) > WHOLE else "NONE",
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(pixels, 1)
        return bytes(memory.getbuffer())
