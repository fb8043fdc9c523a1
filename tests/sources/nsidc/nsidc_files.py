"""Small files as NSIDC publishes them: GeoTIFF and pictures of the Sea Ice Index, the record's NetCDF, melt zips."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rasterio.transform import Affine

from glacier_core.sources.nsidc import GRIDS, Hemisphere

NORTH = GRIDS["north"]
EDGES = (0, 15, *range(20, 101, 5))
"""Edges of the legend's levels, percent."""
COLOURS = tuple((9 + 13 * level, 60 + 10 * level, 255 - 4 * level) for level in range(len(EDGES) - 1))
LAND, COAST, BACKGROUND = (119, 119, 119), (0, 0, 0), (79, 79, 79)
MEDIAN, GRATICULE, YELLOW, WHITE = (236, 5, 128), (165, 165, 165), (233, 203, 0), (255, 255, 255)
BAR_LEFT, BAR_TOP, PIXELS_A_PERCENT = 349, 77, 4


def sea(seed: int = 0) -> NDArray[np.float32]:
    """A smooth field of ice fractions on the northern grid, (448, 304), with open water in the south."""
    rows, columns = np.mgrid[0 : NORTH.height, 0 : NORTH.width]
    distance = np.hypot(rows - 234, columns - 154)
    wave = 12 * np.sin(columns / 17 + seed) + 9 * np.cos(rows / 23 + seed)
    fractions: NDArray[np.float32] = np.clip((150 + wave - distance) / 60, 0, 1).astype(np.float32)
    return fractions


def land_mask() -> NDArray[np.bool_]:
    """An island with a bay, and a continent at the right edge."""
    rows, columns = np.mgrid[0 : NORTH.height, 0 : NORTH.width]
    island = (np.hypot(rows - 320, columns - 120) < 30) & ~((rows > 318) & (rows < 326) & (columns > 120))
    mask: NDArray[np.bool_] = island | (columns > 280)
    return mask


def pole_hole(radius: float) -> NDArray[np.bool_]:
    """Cells within `radius` cells of the pole."""
    rows, columns = np.mgrid[0 : NORTH.height, 0 : NORTH.width]
    hole: NDArray[np.bool_] = np.hypot(rows - 233.5, columns - 153.5) < radius
    return hole


def level_of(fraction: NDArray[np.float32]) -> NDArray[np.intp]:
    """The legend's level of each fraction."""
    levels: NDArray[np.intp] = np.clip(
        np.searchsorted(np.array(EDGES[1:]) / 100, fraction, side="right"), 0, len(COLOURS) - 1
    )
    return levels


def picture(
    fraction: NDArray[np.float32],
    *,
    hole: float = 12.3,
    median: int | None = 140,
    no_data: bool = False,
    cropped: bool = False,
    near_real_time: bool = False,
    colours: Sequence[tuple[int, int, int]] = COLOURS,
) -> bytes:
    """A picture as the Sea Ice Index draws it; `median` is the row of a wavy median edge."""
    cells = np.array(colours, np.uint8)[level_of(fraction)]
    cells[pole_hole(hole)] = BACKGROUND
    land = land_mask()
    cells[land] = LAND
    inner = land.copy()
    inner[1:-1, 1:-1] &= land[:-2, 1:-1] & land[2:, 1:-1] & land[1:-1, :-2] & land[1:-1, 2:]
    cells[land & ~inner] = COAST
    chart = Image.fromarray(cells)
    draw = ImageDraw.Draw(chart)
    draw.ellipse((154 - 80, 234 - 80, 154 + 80, 234 + 80), outline=GRATICULE)
    draw.line((154, 0, 154, 447), fill=GRATICULE)
    draw.text((110, 300), "Greenland", fill=WHITE)
    draw.text((170, 430), "median ice edge", fill=WHITE)
    if median is not None:
        draw.line([(x, median + int(6 * np.sin(x / 9))) for x in range(20, 280)], fill=MEDIAN, width=2)
    if no_data:
        draw.rectangle((100, 150, 200, 230), fill=YELLOW)
    page = Image.new("RGBA", (420, 500), (*BACKGROUND, 255))
    page.paste(chart, (16, 29))
    pen = ImageDraw.Draw(page)
    pen.text((16, 8), "Sea Ice Concentration, Sep 2007", fill=WHITE)
    if not no_data:
        pen.rectangle((8, 370 if near_real_time else 440, 11, 477), fill=WHITE)
    for colour, low, high in zip(colours, EDGES, EDGES[1:], strict=False):
        top, bottom = (BAR_TOP + PIXELS_A_PERCENT * (100 - edge) for edge in (high, low))
        pen.rectangle((BAR_LEFT, top, BAR_LEFT + 11, bottom - 1), fill=colour)
    pen.rectangle((333, 150, 337, 475), fill=WHITE)
    if cropped:
        page = page.crop((16 + 12, 29 + 1, 16 + 12 + 292, 29 + 1 + 446))
    body = BytesIO()
    page.save(body, "PNG")
    return body.getvalue()


def write_tiff(
    path: Path, *, value: int = 800, hemisphere: Hemisphere = "north", crs: str | None = None, **profile: Any
) -> Path:
    """A concentration file of one value, with one row of flags: pole hole, coast, land, missing."""
    grid = GRIDS[hemisphere]
    cells = np.full(grid.shape, value, np.uint16)
    cells[0, :4] = 2510, 2530, 2540, 2550
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {
        "driver": "GTiff",
        "dtype": "uint16",
        "count": 1,
        "width": grid.width,
        "height": grid.height,
        "crs": crs or grid.crs,
        "transform": Affine(*grid.transform),
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **{**options, **profile}) as data:
        data.write(cells.astype(data.dtypes[0]), 1)
    return path


def record_fields(values: Sequence[int]) -> NDArray[np.uint8]:
    """Whole percents, (time, 448, 304), with one row of flags from 251 to 255 in each."""
    fields = np.stack([np.full(NORTH.shape, value, np.uint8) for value in values])
    fields[:, 0, :5] = range(251, 256)
    return fields


def write_record(
    path: Path,
    values: Sequence[int],
    *,
    first: str = "",
    as_float: bool = False,
    upward: bool = False,
    surface: NDArray[np.uint8] | None = None,
    attrs: Mapping[str, str] | None = None,
) -> Path:
    """A file of the climate data record: one field a month from `first` (empty: without a time coordinate)."""
    fields = record_fields(values)
    a, _, left, _, e, top = NORTH.transform
    x, y = left + a * (np.arange(NORTH.width) + 0.5), top + e * (np.arange(NORTH.height) + 0.5)
    if upward:
        fields, y = fields[:, ::-1], y[::-1]
    packing: dict[str, Any] = {"scale_factor": np.float32(0.01), "add_offset": np.float32(0), "grid_mapping": "crs"}
    stored: NDArray[Any] = fields
    if as_float:
        packing, stored = {"grid_mapping": "crs"}, (fields * np.float32(0.01)).astype(np.float32)
    fill = stored.dtype.type(np.float32(255) * np.float32(0.01) if as_float else 255)
    dims = ("time", "y", "x") if first else ("tdim", "y", "x")
    data = xr.Dataset(
        {
            "cdr_seaice_conc_monthly": (dims, stored, {**packing, "_FillValue": fill}),
            "crs": ((), 0, {"srid": "urn:ogc:def:crs:EPSG::3411"}),
            "xgrid": ("x", x),
            "ygrid": ("y", y),
        },
        attrs=dict(attrs or {}),
    )
    if first:
        months = np.datetime64(first, "M") + np.arange(len(values))
        days = (months.astype("datetime64[D]") - np.datetime64("1970-01-01")).astype(np.int64)
        data = data.assign_coords(time=("time", days, {"units": "days since 1970-01-01"}))
    path.parent.mkdir(parents=True, exist_ok=True)
    data.to_netcdf(path, engine="h5netcdf")
    if surface is not None:
        group = xr.Dataset({"surface_type_mask": (("time", "y", "x"), surface[None])})
        group.to_netcdf(path, engine="h5netcdf", group="cdr_supplementary", mode="a")
    return path


def melt_day(*, melting: float = 0.2, seen: float = 1.0, seed: int = 0) -> NDArray[np.int16]:
    """A day's melt map, (332, 316): -1 beyond a disc, of which `seen` is valid and `melting` melts."""
    grid = GRIDS["south"]
    rows, columns = np.mgrid[0 : grid.height, 0 : grid.width]
    ice = np.hypot(rows - 166, columns - 158) < 90
    dice = np.random.default_rng(seed).random(grid.shape)
    day = np.where(dice < seen, np.where(rows < 76 + 180 * melting, 2, 1), 0)
    cells: NDArray[np.int16] = np.where(ice, day, -1).astype(np.int16)
    return cells


def write_season(path: Path, days: Mapping[date, NDArray[np.int16] | bytes]) -> Path:
    """A zip of a melt season."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for day, cells in days.items():
            body = cells if isinstance(cells, bytes) else cells.astype("<i2").tobytes()
            archive.writestr(f"antarctica_melt_{day:%Y%m%d}_S3B_20210129.bin", body)
    return path
