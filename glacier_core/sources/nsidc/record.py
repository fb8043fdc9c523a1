"""NOAA/NSIDC Climate Data Record of passive microwave sea ice concentration (G02202), and its interim G10016.

Meier, W. N., F. Fetterer, A. K. Windnagel, J. S. Stewart, https://doi.org/10.7265/rjzb-pf78 (version 5; version 4:
https://doi.org/10.7265/efmz-2t65). Monthly NetCDF files, one month each or many: `cdr_seaice_conc_monthly`, packed as
unsigned bytes of 1 % with flags from 251 on (251 pole hole, 252 lakes, 253 coast, 254 land, 255 missing), or as float.
From version 5 on what is land stands in `surface_type_mask` instead. Files of the near-real-time product have `icdr`
in their names (https://github.com/nsidc/seaice_ecdr names both).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError, DataError, SceneError
from glacier_core.grids import Grid
from glacier_core.sources.nsidc.frames import (
    MonthlyFile,
    MonthlyGrid,
    best_of_each_month,
    frame_of,
    masks_of,
    on_one_grid,
    replaced_troubles,
)
from glacier_core.sources.nsidc.locations import FoundFile, bring, find_files
from glacier_core.sources.nsidc.months import Month, Period, missing_months
from glacier_core.sources.nsidc.polar import GRIDS, Hemisphere
from glacier_core.sources.nsidc.sensors import RECORD_DATES, sensor_by_date, sensor_named
from glacier_core.sources.series import Series, file_version

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

CITATION = "Meier et al., NOAA/NSIDC Climate Data Record of Passive Microwave Sea Ice Concentration, NSIDC G02202"
FOLDERS = re.compile(r"north|south|monthly|aggregate|\d{4}|G02202_V\d|G10016_V\d", re.IGNORECASE)
VARIABLE = "cdr_seaice_conc_monthly"
SUPPLEMENT = "cdr_supplementary"
HEMISPHERE_CODES: dict[Hemisphere, str] = {"north": "nh|psn[0-9.]+", "south": "sh|pss[0-9.]+"}
POLE_HOLE, LAKE, COAST, LAND = 251, 252, 253, 254
FLAGS = (POLE_HOLE, LAKE, COAST, LAND, 255)
SURFACE_LAND = (75, 200, 250)
"""Lake, coast and land in `surface_type_mask`."""
SURFACE_POLE_HOLE = 100
FINAL, NEAR_REAL_TIME = "final", "near_real_time"


def sea_ice_record(
    location: str,
    *,
    hemisphere: Hemisphere = "north",
    months: tuple[str, str] | None = None,
    near_real_time: str | None = None,
    cache: Path | None = None,
    name: str = "",
) -> Series:
    """Monthly ice fractions of the climate data record, and of its near-real-time continuation.

    Args:
        location: a local folder of the files (of both products, if you like), or the URL of a server's listing such
            as https://noaadata.apps.nsidc.org/NOAA/G02202_V5/.
        hemisphere: which one.
        months: first and last month (`YYYY-MM`); None: all there are.
        near_real_time: another location, of the near-real-time product, for months without a final version.
        cache: folder for downloaded files; final months are downloaded once, near-real-time ones are asked about again.
        name: names the series; empty: `arctic_sea_ice_record` or `antarctic_sea_ice_record`.

    Returns:
        One band, `ice_fraction`. Frames are labelled with sensor, version (`final` or `near_real_time`), product, and
        `replaces`: `near_real_time` where a final month stands for one of those too. Masks: see `frames.masks_of`.
        Troubles: missing months, what cannot be fetched or decoded, files that a better one replaces.

    Raises:
        ConfigurationError: no such location or files, or months that cannot be read.
        ServiceUnavailableError: the server's listing cannot be had.
        DataError: no month is left.
    """
    period = Period.parse(months)
    _need_hdf5()
    pattern = re.compile(rf"(sic|seaice_conc_monthly)_.*?(?<![a-z])({HEMISPHERE_CODES[hemisphere]})_.*\.nc")
    found = find_files(location, name=pattern, folders=FOLDERS)
    if near_real_time is not None:
        found += find_files(near_real_time, name=pattern, folders=FOLDERS)
    wanted = [file for file in found if _may_hold(file.name, period)]
    here, troubles = bring(wanted, cache=cache, check=_check, known=lambda file, _: _named_version(file.name) == FINAL)
    grid, alike = on_one_grid(here, lambda file, path: _opened(file, path, GRIDS[hemisphere]), troubles)
    files = [month for _, _, months_of_file in alike for month in months_of_file if month.month in period]
    kept, replaced = best_of_each_month(files)
    if not kept or grid is None:
        reasons = "; ".join(f"{trouble.scene}: {trouble.reason}" for trouble in troubles[:3])
        raise DataError(f"{location} holds no usable month ({reasons or 'none in the months asked for'})")
    kept = _labelled(kept, replaced)
    versions = {file.name: file_version(path) for file, path in here}  # a server may have replaced a month
    reported = [month for file in wanted if len(span := _named_months(file.name)) == 1 for month in span]
    troubles += replaced_troubles(kept, replaced)
    troubles += missing_months((file.month for file in kept), period=period, reported=reported)
    return Series(
        name=name or ("arctic" if hemisphere == "north" else "antarctic") + "_sea_ice_record",
        grid=grid,
        bands=("ice_fraction",),
        quantities=("ice_fraction",),
        frames=tuple(replace(frame_of(file), version=versions[file.name.partition("#")[0]]) for file in kept),
        masks=masks_of(kept, shape=grid.shape),
        troubles=tuple(troubles),
        attrs={"source": location, "product": "G02202", "references": CITATION},
    )


def _named_months(name: str) -> list[Month]:
    """The month that a file's name tells, or the first and last of several."""
    found = re.findall(r"(?<=[_-])(\d{4})(\d\d)(?=[_-])", name)
    return [Month(int(year), int(month)) for year, month in found if 1 <= int(month) <= 12]


def _may_hold(name: str, period: Period) -> bool:
    """Whether a file may hold a month of the period, by its name."""
    span = _named_months(name)
    if not span:
        return True
    return (period.last is None or span[0] <= period.last) and (period.first is None or span[-1] >= period.first)


def _named_version(name: str) -> str:
    return NEAR_REAL_TIME if re.search(r"icdr|_P\.nc$|G10016", name) else FINAL


def _labelled(kept: Sequence[MonthlyFile], replaced: Sequence[MonthlyFile]) -> list[MonthlyFile]:
    interim = {file.month for file in replaced if file.labels["version"] == NEAR_REAL_TIME}
    labelled = []
    for file in kept:
        stands_for = NEAR_REAL_TIME if file.month in interim and file.labels["version"] == FINAL else ""
        labelled.append(replace(file, labels={**file.labels, "replaces": stands_for}))
    return labelled


def _need_hdf5() -> None:
    """h5netcdf reads through one of these, but depends on neither."""
    if find_spec("h5py") is None and find_spec("pyfive") is None:
        raise ConfigurationError("NetCDF files cannot be read: h5netcdf finds no HDF5", do="pip install h5py")


def _check(body: bytes) -> None:
    """Whether bytes are a NetCDF file (HDF5) that ends where it says."""
    import io

    import xarray as xr

    try:
        xr.open_dataset(io.BytesIO(body), engine="h5netcdf", mask_and_scale=False, decode_times=False).close()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise SceneError(f"what came is no NetCDF file that can be read ({_first(error)})") from None


def _dataset(path: Path, group: str | None = None) -> xr.Dataset:
    """A file's root or group as it is stored: numbers neither scaled nor masked."""
    import xarray as xr

    return xr.open_dataset(
        path, engine="h5netcdf", group=group, mask_and_scale=False, decode_times=False, decode_coords=False
    )


def _opened(file: FoundFile, path: Path, standard: Grid) -> tuple[Grid, list[MonthlyFile]]:
    """The grid and the months of a file."""
    try:
        with _dataset(path) as data:
            if VARIABLE not in data:
                raise SceneError(f"{file.name} has no variable {VARIABLE}")
            grid = _grid(data, standard)
            months = _months(data, file.name)
            attrs = {str(key): value for key, value in data.attrs.items()}
            with_attrs = {str(key): value for key, value in data[VARIABLE].attrs.items()}
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise SceneError(f"{file.name} is no NetCDF file that can be read ({_first(error)})") from None
    version = _named_version(" ".join([file.name, str(attrs.get("id", "")), _title(attrs)]))
    release = re.search(r"v(\d\d)r(\d\d)", file.name)
    product = "G02202" if version == FINAL else "G10016"
    files = []
    for index, month in enumerate(months):
        labels = {
            "sensor": _sensor(file.name, attrs, month, alone=len(months) == 1),
            "version": version,
            "product": f"{product} v{int(release[1])}" if release else product,
        }
        # a final month before an interim one, a newer release before an older one, a month's own file before a
        # collection
        rank = (int(version == FINAL), f"{release.group() if release else ''}{int(len(months) == 1)}")
        load = partial(_load, path, index, attrs=with_attrs)
        files.append(MonthlyFile(month, file.name if len(months) == 1 else f"{file.name}#{month}", rank, labels, load))
    return grid, files


def _title(attrs: Mapping[str, Any]) -> str:
    """What marks a file of the near-real-time product, where its name does not."""
    title = str(attrs.get("title", "")).lower()
    return "icdr" if "near-real-time" in title or "near real time" in title else ""


def _sensor(name: str, attrs: Mapping[str, Any], month: Month, *, alone: bool) -> str:
    """By the file's name, else by its attributes (of one month), else by the record's table of dates."""
    told = sensor_named(name)
    if told is None and alone:
        told = next((found for key in ("platform", "sensor") if (found := sensor_named(str(attrs.get(key, ""))))), None)
    return told or sensor_by_date(month, RECORD_DATES)


def _months(data: xr.Dataset, name: str) -> list[Month]:
    """The month of each field, in the file's order."""
    import numpy as np
    import xarray as xr

    count = data[VARIABLE].sizes.get(next((dim for dim in ("time", "tdim") if dim in data[VARIABLE].dims), ""), 1)
    if "time" in data and "units" in data["time"].attrs:
        times = np.atleast_1d(xr.decode_cf(data[["time"]])["time"].values).astype("datetime64[M]")
        if len(times) == count:
            return [Month(int(str(time)[:4]), int(str(time)[5:7])) for time in times]
    span = _named_months(name)
    if count == 1 and len(span) == 1:
        return span
    raise SceneError(f"{name} does not tell its months", expected="a time coordinate, or YYYYMM in the name")


def _grid(data: xr.Dataset, standard: Grid) -> Grid:
    """The grid of the fields, north up; the file's CRS where it has one."""
    import numpy as np

    rows, columns = data[VARIABLE].shape[-2:]
    x = next((data[key].values for key in ("x", "xgrid") if key in data), None)
    y = next((data[key].values for key in ("y", "ygrid") if key in data), None)
    crs = _crs(data) or standard.crs
    if x is None or y is None:
        if (rows, columns) != standard.shape:
            raise SceneError(f"its fields have {rows} x {columns} cells and no coordinates")
        return Grid(crs, standard.transform, width=columns, height=rows)
    if x.shape != (columns,) or y.shape != (rows,) or min(rows, columns) < 2:
        raise SceneError(f"its coordinates do not fit its {rows} x {columns} cells")
    step = float(np.round((x[-1] - x[0]) / (columns - 1), 6))
    if step <= 0 or not np.allclose(np.diff(x), step) or not np.allclose(np.abs(np.diff(y)), step):
        raise SceneError("its coordinates are not evenly spaced")
    transform = (step, 0.0, float(x[0]) - step / 2, 0.0, -step, float(max(y[0], y[-1])) + step / 2)
    return Grid(crs, transform, width=columns, height=rows)


def _crs(data: xr.Dataset) -> str:
    """The CRS that the grid mapping names, as an authority's code where it has one; empty without any."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    mapping = str(data[VARIABLE].attrs.get("grid_mapping", ""))
    for key in (mapping, "crs", "projection", "polar_stereographic"):
        if key not in data:
            continue
        attrs = data[key].attrs
        code = re.search(r"EPSG:+(\d+)", str(attrs.get("srid", "")))
        texts = [f"EPSG:{code[1]}" if code else "", *(str(attrs.get(k, "")) for k in ("crs_wkt", "spatial_ref"))]
        for text in filter(None, texts):
            try:
                crs = CRS.from_user_input(text)
            except CRSError:
                continue
            return str(crs.to_string() if crs.to_epsg() is None else f"EPSG:{crs.to_epsg()}")
    return ""


def _load(path: Path, index: int, *, attrs: Mapping[str, Any]) -> MonthlyGrid:
    """One month's field."""

    try:
        with _dataset(path) as data:
            field = data[VARIABLE]
            raw = _field(field, index)
            surface = _surface(path, data, index)
            y = next((data[key].values for key in ("y", "ygrid") if key in data), None)
    except (OSError, ValueError, KeyError, RuntimeError, IndexError) as error:
        raise SceneError(f"{path.name} is no NetCDF file that can be read ({_first(error)})") from None
    grid = _unpacked(raw, attrs, surface, name=path.name)
    if y is not None and y[0] < y[-1]:
        return MonthlyGrid(grid.fraction[::-1], grid.land[::-1], grid.pole_hole[::-1])
    return grid


def _field(variable: xr.DataArray, index: int) -> NDArray[Any]:
    """One field of a variable (…, y, x), read without the others; the only one, where there is but one."""
    import numpy as np

    leading = variable.dims[:-2]
    places = {dim: index if variable.sizes[dim] > 1 else 0 for dim in leading}
    return np.asarray(variable.isel(places).values)


def _surface(path: Path, data: xr.Dataset, index: int) -> NDArray[np.int64] | None:
    """`surface_type_mask` of a month, from the root or the supplementary group; None in files before version 5."""
    import numpy as np

    name = "surface_type_mask"
    if name in data:
        return _field(data[name], index).astype(np.int64)
    try:
        with _dataset(path, SUPPLEMENT) as supplement:
            return _field(supplement[name], index).astype(np.int64)
    except (OSError, KeyError, ValueError):
        return None


def _unpacked(
    raw: NDArray[Any], attrs: Mapping[str, Any], surface: NDArray[np.int64] | None, *, name: str
) -> MonthlyGrid:
    """Fractions and masks from stored numbers: whole percents with flags, or fractions (flags then as 2.51 to 2.55)."""
    import numpy as np

    scale = float(np.asarray(attrs.get("scale_factor", 0.01 if raw.dtype.kind in "ui" else 1.0)).item())
    offset = float(np.asarray(attrs.get("add_offset", 0.0)).item())
    values = raw.astype(np.float64) * scale + offset
    codes = raw.astype(np.int64) if raw.dtype.kind in "ui" else _codes(values)
    fill = attrs.get("_FillValue")
    flagged = np.isin(codes, FLAGS) | ~np.isfinite(values)
    if fill is not None:
        flagged |= raw == np.asarray(fill).item()
    if ((values[~flagged] < -1e-6) | (values[~flagged] > 1 + 1e-6)).any():
        raise SceneError(f"{name} holds values beyond 0 to 1 that are no flags")
    land, hole = np.isin(codes, (LAKE, COAST, LAND)), codes == POLE_HOLE
    if surface is not None:
        land |= np.isin(surface, SURFACE_LAND)
        # version 5 fills the hole by interpolation: it is masked as far as nothing stands in it
        hole |= (surface == SURFACE_POLE_HOLE) & flagged
    fraction = np.where(flagged | land, np.nan, np.clip(values, 0, 1)).astype(np.float32)
    if not np.isfinite(fraction).any():
        raise SceneError(f"{name} holds no data: the month is missing")
    return MonthlyGrid(fraction, land.astype(np.uint8), hole)


def _codes(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Flags of fields that are stored as fractions: 2.51 is 251, and so is 251 itself."""
    import numpy as np

    finite = np.where(np.isfinite(values), values, 0.0)
    return np.round(np.where(finite > 200, finite, finite * 100)).astype(np.int64)


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
