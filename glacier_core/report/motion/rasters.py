"""Velocity as a Cloud Optimized GeoTIFF: speed and components, NaN where no vector is reliable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glacier_core.grids import Grid

BANDS = ("v", "vx", "vy", "spread", "pairs")
"""Bands of the file: speed, components towards east and north of the map, disagreement, number of pairs."""


def write_velocity_raster(
    path: Path,
    *,
    grid: Grid,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    layers: dict[str, NDArray[np.float32]],
    unit: str,
) -> None:
    """Write the file; one pixel a vector.

    Args:
        path: the file.
        grid: of the images.
        rows: (n,), row of each vector in them.
        columns: (m,), column of each.
        layers: (n, m) for each of `BANDS`; vy counts north.
        unit: of speeds.
    """
    import rasterio
    from affine import Affine

    step_row, step_column = (at[1] - at[0] if len(at) > 1 else 1.0 for at in (rows, columns))
    corner = Affine.translation(columns[0] + 0.5 - step_column / 2, rows[0] + 0.5 - step_row / 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="COG",
        width=len(columns),
        height=len(rows),
        count=len(BANDS),
        dtype="float32",
        crs=grid.crs or None,
        transform=grid.affine() @ corner @ Affine.scale(step_column, step_row),
        nodata=float("nan"),
        compress="DEFLATE",
        blocksize=256,
        overview_resampling="NEAREST",
    ) as file:
        for number, name in enumerate(BANDS, start=1):
            file.write(layers[name].astype(np.float32), number)
            file.set_band_description(number, name)
            file.set_band_unit(number, "1" if name == "pairs" else unit)
