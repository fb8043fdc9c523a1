"""Ice velocity: ITS_LIVE image pairs, mosaics and datacubes, and GeoTIFF pairs of vx and vy.

ITS_LIVE (Gardner et al., https://its-live.jpl.nasa.gov, https://doi.org/10.5067/6II6VW8LLWJ7) gives vx and vy, m/yr
along the map's axes, as NetCDF (image pairs tell their dates in `img_pair_info`, yearly mosaics in the file's name)
and as Zarr datacubes of all pairs (dimensions mid_date, y, x; `acquisition_date_img1` and `_img2`, or `date_dt` in
days). A frame's time is that of the first image; its labels tell both.
"""

from __future__ import annotations

import functools
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError, SceneError
from glacier_core.grids import Grid
from glacier_core.sources.frames import grid_of
from glacier_core.sources.gmt import crs_of_variable, even_transform, open_netcdf
from glacier_core.sources.pictures import Picture, open_picture
from glacier_core.sources.reading import SceneTrouble
from glacier_core.sources.remote import first_line
from glacier_core.sources.series import Frame, Series

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

DAYS_A_YEAR = 365.25
FACTORS: Mapping[str, float] = {"m/yr": 1.0, "m/day": DAYS_A_YEAR, "m/s": DAYS_A_YEAR * 86400}
"""What turns each unit into metres a year."""
BLOCK_BYTES = 2**26
"""Largest part of a datacube that is kept while its pairs are read one after another."""
PAIR_INFO = "img_pair_info"
CUBE_TIMES = ("mid_date", "time")
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)-?([01]\d)-?([0-3]\d)(?!\d)")
_MOMENT = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ]?(\d\d):?(\d\d):?(\d\d))?")
_MOSAIC_YEAR = re.compile(r"_((?:19|20)\d\d)(?:_v[\d.]+)?\.nc4?$")
_SPELLINGS: Sequence[tuple[str, str]] = (("m/yr", "y|yr|yrs|a|year|years"), ("m/day", "d|day|days"), ("m/s", "s|sec"))


@dataclass(frozen=True)
class _Field:
    """Velocity of one pair of images, or of one period."""

    id: str
    first: datetime
    last: datetime
    grid: Grid
    read: Callable[[slice], NDArray[np.float32]] = field(compare=False)  # (band, y, x), in the file's unit
    units: str  # as the file tells; empty if it does not
    labels: Mapping[str, str] = field(default_factory=dict)


def open_velocity(
    source: str | Path,
    *,
    files: str = "*",
    bands: Sequence[str] = ("vx", "vy"),
    units: str = "",
    day: date | None = None,
    name: str = "velocity",
) -> Series:
    """Velocity as a series in metres a year, signed along the map's axes (vx east, vy north of the map).

    Args:
        source: a NetCDF file, a Zarr datacube (path or URL), or a folder of GeoTIFFs named `<anything>_<band>.tif` with
            the dates of both images in their names, or of NetCDF files.
        files: of a folder, those that are meant.
        bands: names of the variables, or endings of the GeoTIFFs' names: vx, vy, v, v_error.
        units: `m/yr` or `m/day`, where the files do not tell.
        day: first day of what tells no date: mosaics of all years.
        name: of the series.

    Raises:
        ConfigurationError: nothing usable is there, or the unit is told nowhere or told differently.
    """
    troubles: list[SceneTrouble] = []
    fields = _fields(source, files, bands, day, troubles)
    for trouble in troubles:
        log.warning("%s is left out: %s", trouble.scene, trouble.reason)
    if not fields:
        reasons = "; ".join(f"{trouble.scene}: {trouble.reason}" for trouble in troubles[:3])
        raise ConfigurationError(
            f"{source} holds no usable velocity ({reasons or 'no file matches'})",
            expected=f"{' and '.join(bands)} as NetCDF, Zarr or GeoTIFFs named ..._{bands[0]}.tif",
        )
    (grid, _) = Counter(velocity.grid for velocity in fields).most_common(1)[0]
    frames = []
    for velocity in sorted(fields, key=lambda each: (each.first, each.last, each.id)):
        if velocity.grid != grid:
            troubles.append(SceneTrouble(velocity.id, "it lies on another grid than the others"))
            continue
        factor = _factor(velocity.units, units, velocity.id)
        days = {"first_date": velocity.first.date().isoformat(), "last_date": velocity.last.date().isoformat()}
        read = functools.partial(_scaled, velocity.read, factor)
        frames.append(Frame(velocity.id, velocity.first, read, labels={**days, **velocity.labels}))
    return Series(
        name=name,
        grid=grid,
        bands=tuple(bands),
        quantities=("velocity",) * len(bands),
        frames=tuple(frames),
        troubles=tuple(troubles),
    )


def _scaled(read: Callable[[slice], NDArray[np.float32]], factor: float, rows: slice) -> NDArray[np.float32]:
    import numpy as np

    numbers = read(rows)
    return numbers if factor == 1.0 else numbers * np.float32(factor)


def _factor(told: str, stated: str, name: str) -> float:
    """What turns a file's numbers into m/yr."""
    if stated and stated not in FACTORS:
        raise ConfigurationError(f"the velocity's unit is stated as '{stated}'", expected=" or ".join(FACTORS))
    unit = _spelled(told) if told else stated
    if not unit:
        raise ConfigurationError(
            f"the unit of {name} is {f'{told!r}' if told else 'told nowhere'}",
            expected="m/yr or m/day",
            do="state it (units)",
        )
    if stated and unit != stated:
        raise ConfigurationError(f"{name} is in {told}, stated is {stated}", do="correct the stated unit (units)")
    return FACTORS[unit]


def _spelled(told: str) -> str:
    """A unit as `FACTORS` names it, however a file spells it; empty if it is none of them."""
    text = re.sub(r"met(er|re)s?", "m", told.strip().lower())
    for unit, spellings in _SPELLINGS:
        if re.fullmatch(rf"m\s*(/|per|\.)?\s*({spellings})(\^?-1)?", text):
            return unit
    return ""


# --- where it comes from ----------------------------------------------------------------------------------------


def _fields(
    source: str | Path, files: str, bands: Sequence[str], day: date | None, troubles: list[SceneTrouble]
) -> list[_Field]:
    text = str(source).rstrip("/")
    path = Path(text)
    if text.endswith(".zarr") or any((path / name).is_file() for name in (".zgroup", ".zmetadata", "zarr.json")):
        return _of_datacube(text, bands, troubles)
    if path.is_file():
        return _attempted(path.name, lambda: _one_netcdf(path, bands, day), troubles)
    if not path.is_dir():
        raise ConfigurationError(
            f"{source} does not exist", expected="velocity as NetCDF, Zarr or a folder of GeoTIFFs"
        )
    fields = []
    for file in sorted(path.glob(files)):
        if file.suffix.lower() in {".nc", ".nc4"}:
            fields += _attempted(file.name, functools.partial(_one_netcdf, file, bands, day), troubles)
    for stem, parts in _rasters(path, files, bands).items():
        fields += _attempted(stem, functools.partial(_one_raster, stem, parts, bands, day), troubles)
    return fields


def _attempted(name: str, make: Callable[[], list[_Field]], troubles: list[SceneTrouble]) -> list[_Field]:
    try:
        return make()
    except SceneError as error:
        troubles.append(SceneTrouble(name, str(error)))
        return []


def _one_netcdf(path: Path, bands: Sequence[str], day: date | None) -> list[_Field]:
    return [_of_netcdf(path, bands, day)]


def _one_raster(stem: str, parts: Mapping[str, Path], bands: Sequence[str], day: date | None) -> list[_Field]:
    return [_of_rasters(stem, parts, bands, day)]


# --- GeoTIFFs ---------------------------------------------------------------------------------------------------


def _rasters(folder: Path, files: str, bands: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Files by what stands before the band in their names."""
    ending = re.compile(rf"(?P<stem>.*?)[_.-]?(?P<band>{'|'.join(map(re.escape, bands))})\.tiff?", re.IGNORECASE)
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted(folder.glob(files)):
        matched = ending.fullmatch(path.name)
        if matched:
            found[matched["stem"]][matched["band"].lower()] = path
    return found


def _of_rasters(stem: str, parts: Mapping[str, Path], bands: Sequence[str], day: date | None) -> _Field:
    missing = [band for band in bands if band.lower() not in parts]
    if missing:
        raise SceneError(f"{' and '.join(missing)} of it is not there")
    pictures = [open_picture(parts[band.lower()]) for band in bands]
    grids = {grid_of(picture) for picture in pictures}
    if len(grids) > 1:
        raise SceneError(f"{' and '.join(bands)} lie on different grids")
    days = sorted(moment for found in _DAY.finditer(stem) if (moment := _clock(found)) is not None)
    if not days and day is None:
        raise SceneError("its name holds no date")
    first = days[0] if days else _midnight(day or date.min)
    return _Field(
        id=stem,
        first=first,
        last=days[1] if len(days) > 1 else first,
        grid=grids.pop(),
        read=functools.partial(_read_pictures, pictures),
        units="",
    )


def _read_pictures(pictures: Sequence[Picture], rows: slice) -> NDArray[np.float32]:
    import numpy as np

    return np.stack([picture.read(rows)[0] for picture in pictures])


def _clock(found: re.Match[str]) -> datetime | None:
    year, month, day, hour, minute, second = ([int(part or 0) for part in found.groups()] + [0, 0, 0])[:6]
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


# --- NetCDF -----------------------------------------------------------------------------------------------------


def _of_netcdf(path: Path, bands: Sequence[str], day: date | None) -> _Field:
    with open_netcdf(path) as dataset:
        grid, south_first = _grid(dataset, bands, path.name)
        first, last = _dates(dataset, path, day)
        return _Field(
            id=path.stem,
            first=first,
            last=last,
            grid=grid,
            read=functools.partial(_read_netcdf, path, tuple(bands), south_first),
            units=_units(dataset, bands, path.name),
            labels=_satellites(dataset),
        )


def _dates(dataset: xr.Dataset, path: Path, day: date | None) -> tuple[datetime, datetime]:
    """First and last moment: of the two images, or of a mosaic's year."""
    attributes = dataset[PAIR_INFO].attrs if PAIR_INFO in dataset.variables else {}
    told = [_moment(attributes.get(f"acquisition_date_img{number}")) for number in (1, 2)]
    moments = sorted(moment for moment in told if moment is not None)
    if len(moments) == 2:
        return moments[0], moments[1]
    year = _MOSAIC_YEAR.search(path.name)
    if year:
        return datetime(int(year[1]), 1, 1, tzinfo=UTC), datetime(int(year[1]), 12, 31, tzinfo=UTC)
    if day is None:
        raise SceneError(f"{path.name} tells no date", do="state the first day of its period")
    return _midnight(day), _midnight(day)


def _moment(told: object) -> datetime | None:
    found = _MOMENT.match(str(told or ""))
    return _clock(found) if found else None


def _satellites(dataset: xr.Dataset) -> dict[str, str]:
    attributes = dataset[PAIR_INFO].attrs if PAIR_INFO in dataset.variables else {}
    return {f"satellite_img{number}": str(attributes.get(f"satellite_img{number}", "")) for number in (1, 2)}


def _read_netcdf(path: Path, bands: Sequence[str], south_first: bool, rows: slice) -> NDArray[np.float32]:  # noqa: FBT001
    with open_netcdf(path) as dataset:
        return _rows_of(dataset, bands, rows, south_first=south_first, name=path.name)


# --- what NetCDF and Zarr share ---------------------------------------------------------------------------------


def _grid(dataset: xr.Dataset, bands: Sequence[str], name: str) -> tuple[Grid, bool]:
    """The grid, and whether the file begins with the southernmost row."""
    missing = [band for band in bands if band not in dataset.variables]
    if missing:
        raise SceneError(f"{name} holds no {' or '.join(missing)}", expected=", ".join(map(str, dataset.data_vars)))
    for axis in ("x", "y"):
        if axis not in dataset.coords:
            raise SceneError(f"{name} has no coordinate {axis}")
    x, y = dataset["x"].to_numpy(), dataset["y"].to_numpy()
    crs = crs_of_variable(dataset, bands[0])
    if not crs:
        raise SceneError(f"{name} does not tell its CRS", expected="a grid mapping variable (mapping)")
    grid = Grid(crs=crs, transform=even_transform(x, y, name=name), width=len(x), height=len(y))
    return grid, bool(y[0] < y[-1])


def _units(dataset: xr.Dataset, bands: Sequence[str], name: str) -> str:
    told = {str(dataset[band].attrs.get("units", "")) for band in bands}
    if len(told) > 1:
        raise SceneError(f"the bands of {name} are in different units ({', '.join(sorted(told))})")
    return told.pop()


def _rows_of(
    dataset: xr.Dataset,
    bands: Sequence[str],
    rows: slice,
    *,
    south_first: bool,
    name: str,
    leading: tuple[str, ...] = (),
) -> NDArray[np.float32]:
    """Rows from the north, (band, y, x) float32, with the `leading` dimensions before y."""
    import numpy as np

    height = dataset.sizes["y"]
    start, stop, _ = rows.indices(height)
    wanted = slice(height - stop, height - start) if south_first else slice(start, stop)
    try:
        layers = [np.asarray(dataset[band].isel(y=wanted).transpose(*leading, "y", "x").to_numpy()) for band in bands]
    except (OSError, ValueError, EOFError, RuntimeError) as error:
        raise SceneError(f"{name} cannot be read ({first_line(error)})") from error
    numbers = np.stack(layers).astype(np.float32)
    return np.ascontiguousarray(numbers[..., ::-1, :]) if south_first else numbers


# --- Zarr datacubes ---------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4)
def _datacube(url: str) -> xr.Dataset:
    import xarray as xr

    dataset: xr.Dataset = xr.open_zarr(url, chunks=None, decode_timedelta=False)
    return dataset


def _of_datacube(url: str, bands: Sequence[str], troubles: list[SceneTrouble]) -> list[_Field]:
    """Every pair of a datacube; those whose dates are missing are left out."""
    _datacube.cache_clear()  # what lies there may have been replaced since
    _cube_block.cache_clear()
    try:
        dataset = _datacube(url)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ConfigurationError(f"{url} cannot be opened ({first_line(error)})", expected="a Zarr datacube") from None
    times = next((name for name in CUBE_TIMES if name in dataset.sizes), None)
    if times is None:
        dimensions = ", ".join(map(str, dataset.sizes))
        raise ConfigurationError(f"{url} has the dimensions {dimensions}", expected="mid_date, y, x")
    try:
        grid, south_first = _grid(dataset, bands, url)
        units = _units(dataset, bands, url)
    except SceneError as error:
        raise ConfigurationError(error.got, expected=error.expected) from None
    satellites = [_texts(dataset, f"satellite_img{number}", times) for number in (1, 2)]
    fields = []
    for number, (first, last) in enumerate(_cube_dates(dataset, times)):
        if first is None or last is None:
            troubles.append(SceneTrouble(f"{times} {number}", "its dates are missing"))
            continue
        fields.append(
            _Field(
                id=f"{first:%Y%m%d}-{last:%Y%m%d}-{number}",
                first=first,
                last=last,
                grid=grid,
                read=functools.partial(_read_datacube, url, tuple(bands), times, number, south_first),
                units=units,
                labels={"satellite_img1": satellites[0][number], "satellite_img2": satellites[1][number]},
            )
        )
    return fields


def _read_datacube(
    url: str,
    bands: tuple[str, ...],
    times: str,
    number: int,
    south_first: bool,  # noqa: FBT001 bound by functools.partial
    rows: slice,
) -> NDArray[np.float32]:
    """Rows of one pair, with those of its neighbours in time: ITS_LIVE's chunks hold thousands of pairs each."""
    dataset = _datacube(url)
    start, stop, _ = rows.indices(dataset.sizes["y"])
    layer_bytes = max(1, 4 * len(bands) * (stop - start) * dataset.sizes["x"])
    chunks = dataset[bands[0]].encoding.get("chunks") or (1,)
    count = max(1, min(int(chunks[0]), BLOCK_BYTES // layer_bytes))
    first = number // count * count
    block = _cube_block(url, bands, times, (first, first + count), (start, stop), south_first)
    return block[:, number - first].copy()


@functools.lru_cache(maxsize=2)
def _cube_block(
    url: str,
    bands: tuple[str, ...],
    times: str,
    numbers: tuple[int, int],
    rows: tuple[int, int],
    south_first: bool,  # noqa: FBT001 a key of the cache
) -> NDArray[np.float32]:
    """Rows of consecutive pairs, (band, time, y, x)."""
    part = _datacube(url).isel({times: slice(*numbers)})
    return _rows_of(part, bands, slice(*rows), south_first=south_first, name=url, leading=(times,))


def _cube_dates(dataset: xr.Dataset, times: str) -> list[tuple[datetime | None, datetime | None]]:
    """Dates of both images of every pair: told, or half the separation before and after the middle."""
    names = ("acquisition_date_img1", "acquisition_date_img2")
    if all(name in dataset.variables for name in names):
        first, last = ([_instant(value) for value in dataset[name].to_numpy()] for name in names)
        return list(zip(first, last, strict=True))
    middles = [_instant(value) for value in dataset[times].to_numpy()]
    if "date_dt" not in dataset.variables:
        return [(middle, middle) for middle in middles]
    halves = [
        _half(value, str(dataset["date_dt"].attrs.get("units", "days"))) for value in dataset["date_dt"].to_numpy()
    ]
    return [
        (middle - half, middle + half) if middle and half is not None else (None, None)
        for middle, half in zip(middles, halves, strict=True)
    ]


def _instant(value: Any) -> datetime | None:
    import numpy as np

    if np.isnat(value):
        return None
    moment: datetime = value.astype("datetime64[s]").item()
    return moment.replace(tzinfo=UTC)


def _half(value: Any, units: str) -> timedelta | None:
    import numpy as np

    if np.asarray(value).dtype.kind == "m":
        value = value / np.timedelta64(1, "D")
    elif not units.lower().startswith("day"):
        return None
    return timedelta(days=float(value) / 2) if np.isfinite(value) else None


def _texts(dataset: xr.Dataset, name: str, times: str) -> list[str]:
    if name not in dataset.variables or dataset[name].dims != (times,):
        return [""] * dataset.sizes[times]
    return [str(value) for value in dataset[name].to_numpy()]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
