"""Small cubes of scenes for the tests of composites and resampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from glacier_core.cube import REFLECTANCE, make_cube
from glacier_core.grids import Grid

NAN = float("nan")
SNOW_OR_ICE, CLOUD = 11, 9


def scenes(
    imagery: NDArray[np.float32],
    classes: NDArray[np.uint8] | None = None,
    *,
    bands: tuple[str, ...] = ("B03", "B11"),
    days_apart: int = 10,
) -> xr.Dataset:
    """A cube (time, band, y, x) from 2020-08-01 on; scenes are named S0, S1, ..."""
    count, _, height, width = imagery.shape
    extra: dict[str, Any] = {"scene": (("time",), np.array([f"S{number}" for number in range(count)]), {})}
    if classes is not None:
        extra["scene_class"] = (("time", "y", "x"), classes, {})
    return make_cube(
        grid=Grid("EPSG:32645", (10.0, 0.0, 5e5, 0.0, -10.0, 3.1e6), width, height),
        times=np.datetime64("2020-08-01", "ns") + np.arange(count) * np.timedelta64(days_apart, "D"),
        bands=bands,
        imagery=imagery,
        packing=REFLECTANCE,
        extra=extra,
    )


def row_of(*values: list[float]) -> NDArray[np.float32]:
    """Scenes of one row: both bands hold the same value."""
    found = np.asarray(values, dtype=np.float32)[:, None, None, :]
    return np.repeat(found, 2, axis=1)
