"""Forecasts as files: a Cloud Optimized GeoTIFF for each lead, and all members as NetCDF (CF conventions)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glacier_core.grids import Grid

LAYERS = ("forecast", "mean", "spread", "low", "high", "probability")
"""Bands of a lead's file: the forecast, mean and standard deviation of the members, ends of their interval, and the
part of them that reaches the threshold."""


def write_forecast_raster(
    path: Path, *, grid: Grid, layers: Mapping[str, NDArray[np.float32]], tags: Mapping[str, str]
) -> None:
    """Write one lead.

    Args:
        path: the file.
        grid: its pixels.
        layers: (y, x) by name, of `LAYERS`; NaN where nothing is forecast.
        tags: what the file says of itself.
    """
    import rasterio

    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="COG",
        width=grid.width,
        height=grid.height,
        count=len(LAYERS),
        dtype="float32",
        crs=grid.crs or None,
        transform=grid.affine(),
        nodata=float("nan"),
        compress="DEFLATE",
        predictor=3,
        blocksize=256,
        overview_resampling="AVERAGE",
    ) as file:
        for number, name in enumerate(LAYERS, start=1):
            file.write(layers[name].astype(np.float32), number)
            file.set_band_description(number, name)
        file.update_tags(**tags)


def write_forecast_netcdf(
    path: Path,
    *,
    grid: Grid,
    members: NDArray[np.float32],
    forecast: NDArray[np.float32],
    targets: Sequence[str],
    issue: str,
    quantity: str,
) -> None:
    """Write all leads and members, packed to 1e-4.

    Args:
        path: the file.
        grid: its pixels.
        members: (lead, member, y, x) fractions; NaN where nothing is forecast.
        forecast: (lead, y, x) fractions.
        targets: month of each lead, `YYYY-MM`.
        issue: month of issue, `YYYY-MM`.
        quantity: `ice_fraction` or `melt_fraction`.
    """
    import xarray as xr
    from pyproj import CRS

    a, _, left, _, e, top = grid.transform
    mapping = CRS.from_user_input(grid.crs).to_cf() if grid.crs else {}
    standard = {"standard_name": "sea_ice_area_fraction"} if quantity == "ice_fraction" else {}
    attrs = {"units": "1", "grid_mapping": "spatial_ref", **standard}
    data = xr.Dataset(
        {
            quantity: (("time", "member", "y", "x"), members, {**attrs, "long_name": "members of the forecast"}),
            "forecast": (("time", "y", "x"), forecast, {**attrs, "long_name": "forecast"}),
            "spatial_ref": ((), 0, mapping),
        },
        coords={
            "time": (
                "time",
                np.array([f"{month}-01" for month in targets], "datetime64[ns]"),
                {"standard_name": "time", "long_name": "first day of the month that is forecast"},
            ),
            "member": ("member", np.arange(members.shape[1]), {"standard_name": "realization"}),
            "y": (
                "y",
                top + e * (np.arange(grid.height) + 0.5),
                {"standard_name": "projection_y_coordinate", "units": "m"},
            ),
            "x": (
                "x",
                left + a * (np.arange(grid.width) + 0.5),
                {"standard_name": "projection_x_coordinate", "units": "m"},
            ),
            "forecast_reference_time": (
                (),
                np.datetime64(f"{issue}-01", "ns"),
                {"standard_name": "forecast_reference_time", "long_name": "last month that was known"},
            ),
        },
        attrs={"Conventions": "CF-1.11", "title": "Monthly forecast of ice cover, not of glacier area"},
    )
    packed = {"dtype": "int16", "scale_factor": 1e-4, "_FillValue": -1, "zlib": True, "complevel": 4}
    data.to_netcdf(path, engine="h5netcdf", encoding={quantity: packed, "forecast": packed})
