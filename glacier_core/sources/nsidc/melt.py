"""Daily Antarctic melt maps (Antarctica Today) as monthly fractions of melt days.

Mote, T. L.: Greenland/Antarctic surface melt from passive microwave, as published by NSIDC's Antarctica Today
(https://github.com/nsidc/Antarctica_Today): a zip a melt season (October to April) of `antarctica_melt_YYYYMMDD_*.bin`,
each 332 x 316 int16, little-endian, on the southern 25 km grid: -1 outside the ice sheet, 0 no data, 1 no melt, 2 melt.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

from glacier_core.errors import ConfigurationError, DataError, GlacierError, SceneError, ServiceUnavailableError
from glacier_core.sources.nsidc.locations import find_files, name_of, read_bytes
from glacier_core.sources.nsidc.months import Month, Period
from glacier_core.sources.nsidc.polar import GRIDS
from glacier_core.sources.nsidc.sensors import INDEX_DATES, sensor_by_date
from glacier_core.sources.reading import SceneTrouble
from glacier_core.sources.remote import is_http
from glacier_core.sources.series import Frame, Series
from glacier_core.store import checksum_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CITATION = "Mote et al., Antarctica Today daily surface melt, NSIDC, https://nsidc.org/ice-sheets-today"
SEASONS = re.compile(r".*melt.*\.zip")
FOLDERS = re.compile(r"[A-Za-z_]*melt[A-Za-z_]*|\d{4}")
ENTRY = re.compile(r"(?:.*/)?antarctica_melt_(\d{4})(\d\d)(\d\d)_(?P<release>[^/]*?)\.bin")
NO_DATA, NO_MELT, MELT = 0, 1, 2
VALID_PART = 0.5
"""Part of the ice sheet that a day must show to count as a valid day of its month."""
SEASON_MONTHS = (10, 11, 12, 1, 2, 3, 4)
ZIPS_AT_ONCE = 2
FRACTIONS = {"ice": "ice_fraction.tif", "rock": "rock_fraction.tif", "ocean": "ocean_fraction.tif"}
ELEVATION = "REMA_25km_resampled_TbGrid.tif"


@dataclass
class MeltMonth:
    """A month's days, counted cell by cell."""

    month: Month
    """Which month."""
    melt_days: NDArray[np.uint8]
    """Days with melt, (332, 316)."""
    valid_days: NDArray[np.uint8]
    """Days with data, (332, 316)."""
    days: set[date] = field(default_factory=set)
    """Days that have been counted."""
    whole_days: int = 0
    """Those of them that show at least half of the ice sheet."""
    release: str = ""
    """What the files' names say of the processing."""

    def add(self, day: date, values: NDArray[np.int16]) -> None:
        """Count a day, unless it has been counted."""
        if day in self.days:
            return
        self.days.add(day)
        valid = values > NO_DATA
        self.valid_days += valid
        self.melt_days += values == MELT
        self.whole_days += int(valid.sum()) >= VALID_PART * max(1, int((values >= NO_DATA).sum()))

    def fraction(self, *, min_valid_days: int) -> NDArray[np.float32]:
        """Melt days over valid days, (332, 316); NaN where there are fewer than `min_valid_days` valid days."""
        import numpy as np

        enough = self.valid_days >= max(1, min_valid_days)
        parts = np.full(self.valid_days.shape, np.nan, np.float32)
        parts[enough] = self.melt_days[enough].astype(np.float32) / self.valid_days[enough]
        return parts


def antarctic_melt(
    location: str, *, months: tuple[str, str] | None = None, min_valid_days: int = 10, name: str = "antarctic_melt"
) -> Series:
    """Monthly fractions of melt days on the southern 25 km grid, from zips that are read where they are.

    Opening counts all days of the months asked for (about 1 ms each) and keeps the counts, 0.2 MB a month.

    Args:
        location: a local folder, the URL of a server's listing, or an fsspec URL, of zips of melt seasons. The folder
            `grids` beside the zips of a local folder gives the masks.
        months: first and last month (`YYYY-MM`); None: all there are.
        min_valid_days: a month that has fewer days with at least half of the ice sheet is left out, and a cell with
            fewer valid days is NaN.
        name: names the series.

    Returns:
        One band, `melt_fraction`. Frames are labelled with sensor (the passive microwave record's at the time),
        version (`unknown`: the files do not tell), product and `valid_days` (of the month; by cell: `melt_months`).
        Masks `ice`, `rock` and `ocean`: 1 where at least half of the cell is. Troubles: months with too few valid
        days, days whose entry is broken, zips that cannot be opened.

    Raises:
        ConfigurationError: no such location or files, months that cannot be read, or `min_valid_days` below 1.
        ServiceUnavailableError: the server's listing cannot be had.
        DataError: no month is left.
    """
    if min_valid_days < 1:
        raise ConfigurationError(f"min_valid_days is {min_valid_days}", expected="at least 1")
    counted, troubles = melt_months(location, months=months)
    frames = []
    for month in counted:
        if month.whole_days < min_valid_days:
            reason = f"{month.whole_days} valid days are too few for a month (at least {min_valid_days})"
            troubles.append(SceneTrouble(str(month.month), reason))
        else:
            frames.append(_frame(month, min_valid_days=min_valid_days))
    if not frames:
        reasons = "; ".join(f"{trouble.scene}: {trouble.reason}" for trouble in troubles[:3])
        raise DataError(f"{location} holds no usable month ({reasons or 'none in the months asked for'})")
    troubles += _missing({month.month for month in counted}, period=Period.parse(months))
    grids = antarctic_grids(location)
    return Series(
        name=name,
        grid=GRIDS["south"],
        bands=("melt_fraction",),
        quantities=("melt_fraction",),
        frames=tuple(frames),
        masks={part: _at_least_half(grids[part]) for part in FRACTIONS if part in grids},
        troubles=tuple(troubles),
        attrs={"source": location, "product": "Antarctica_Today", "references": CITATION},
    )


def _frame(month: MeltMonth, *, min_valid_days: int) -> Frame:
    def read(rows: slice) -> NDArray[np.float32]:
        return month.fraction(min_valid_days=min_valid_days)[None, rows]

    labels = {
        "sensor": sensor_by_date(month.month, INDEX_DATES),
        "version": "unknown",
        "product": f"Antarctica_Today {month.release}".strip(),
        "valid_days": str(month.whole_days),
    }
    return Frame(
        id=f"antarctica_melt_{month.month}",
        time=month.month.start,
        read=read,
        labels=labels,
        # the counts are all that is read: wherever the zip lies, they tell what it held
        version=checksum_of(month.melt_days.tobytes() + month.valid_days.tobytes()),
    )


def _at_least_half(fraction: NDArray[np.float32]) -> NDArray[np.uint8]:
    import numpy as np

    return np.where(np.isfinite(fraction), fraction >= 0.5, 255).astype(np.uint8)


def _missing(present: set[Month], *, period: Period) -> list[SceneTrouble]:
    """Months of melt seasons without any day; the maps leave out the other months of a year."""
    if not present:
        return []
    month, last = period.first or min(present), period.last or max(present)
    troubles = []
    while month <= last:
        if month.month in SEASON_MONTHS and month not in present:
            troubles.append(SceneTrouble(str(month), "no file for this month"))
        month = month.following
    return troubles


def melt_months(location: str, *, months: tuple[str, str] | None = None) -> tuple[list[MeltMonth], list[SceneTrouble]]:
    """The counts of each month that the zips hold days of, in order of time, and what could not be read.

    Raises:
        ConfigurationError: no such location or files, or months that cannot be read.
        ServiceUnavailableError: the server's listing cannot be had.
    """
    period = Period.parse(months)
    files = [file for file in find_files(location, name=SEASONS, folders=FOLDERS) if _may_hold(file.name, period)]
    counted: dict[Month, MeltMonth] = {}
    troubles: list[SceneTrouble] = []
    with ThreadPoolExecutor(ZIPS_AT_ONCE) as threads:
        for own, trouble in threads.map(lambda file: _counted(file.href, period), files):
            troubles += trouble
            for month, counts in own.items():
                counted[month] = _merged(counted[month], counts) if month in counted else counts
    return [counted[month] for month in sorted(counted)], troubles


def _merged(first: MeltMonth, second: MeltMonth) -> MeltMonth:
    """A month that two zips hold days of: of days that both hold, which cannot be told apart, the fuller zip's stay."""
    if first.days & second.days:
        return max(first, second, key=lambda month: len(month.days))
    return MeltMonth(
        month=first.month,
        melt_days=first.melt_days + second.melt_days,
        valid_days=first.valid_days + second.valid_days,
        days=first.days | second.days,
        whole_days=first.whole_days + second.whole_days,
        release=max(first.release, second.release),
    )


def _may_hold(name: str, period: Period) -> bool:
    """Whether a season's zip may hold a month of the period, by the two years in its name."""
    years = [int(year) for year in re.findall(r"(?<!\d)(\d{4})(?!\d)", name)]
    if not years:
        return True
    first, last = Month(min(years), 1), Month(max(years), 12)
    return (period.last is None or first <= period.last) and (period.first is None or last >= period.first)


def _counted(href: str, period: Period) -> tuple[dict[Month, MeltMonth], list[SceneTrouble]]:
    """The counts of a zip's months, and the days that could not be read."""
    import numpy as np

    shape = GRIDS["south"].shape
    counted: dict[Month, MeltMonth] = {}
    troubles: list[SceneTrouble] = []
    try:
        with _opened(href) as archive:
            # of one day processed twice, the later release first
            for entry in sorted(archive.namelist(), reverse=True):
                day = _day(entry)
                month = Month(day.year, day.month) if day else None
                if day is None or month is None or month not in period:
                    continue
                try:
                    values = _values(archive, entry)
                except SceneError as error:
                    troubles.append(SceneTrouble(f"{name_of(href)}/{entry}", str(error)))
                    continue
                if month not in counted:
                    counted[month] = MeltMonth(month, np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))
                parts = ENTRY.fullmatch(entry)
                counted[month].release = max(counted[month].release, parts["release"] if parts else "")
                counted[month].add(day, values)
    except ServiceUnavailableError as error:
        return {}, [SceneTrouble(name_of(href), str(error), temporary=True)]
    except (zipfile.BadZipFile, OSError, GlacierError) as error:
        return {}, [SceneTrouble(name_of(href), f"{name_of(href)} is no zip that can be read ({error})")]
    return counted, troubles


@contextmanager
def _opened(href: str) -> Iterator[zipfile.ZipFile]:
    """A zip read where it is: nothing is unpacked to disk.

    Over HTTP a zip (0.3 MB) comes whole, with the patience of all downloads; fsspec reads the parts that are needed.
    """
    with _stream(href) as stream, zipfile.ZipFile(stream) as archive:
        yield archive


@contextmanager
def _stream(href: str) -> Iterator[IO[bytes]]:
    if "://" not in href:
        with Path(href).open("rb") as local:
            yield local
    elif is_http(href):
        yield BytesIO(read_bytes(href))
    else:
        import fsspec

        with fsspec.open(href, "rb") as remote:
            yield remote


def _day(entry: str) -> date | None:
    parts = ENTRY.fullmatch(entry)
    if not parts:
        return None
    try:
        return date(int(parts[1]), int(parts[2]), int(parts[3]))
    except ValueError:
        return None


def _values(archive: zipfile.ZipFile, entry: str) -> NDArray[np.int16]:
    """A day's map."""
    import numpy as np

    shape = GRIDS["south"].shape
    size = shape[0] * shape[1] * 2
    try:
        body = archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SceneError(f"its entry is broken ({_first(error)})") from None
    if len(body) != size:
        raise SceneError(f"its entry has {len(body)} bytes", expected=str(size))
    values = np.frombuffer(body, "<i2").reshape(shape)
    if values.min() < -1 or values.max() > MELT:
        raise SceneError(f"its entry holds values from {values.min()} to {values.max()}", expected="-1 to 2")
    return values


def antarctic_grids(location: str) -> Mapping[str, NDArray[np.float32]]:
    """What is known of the ground on the southern 25 km grid, from the folder `grids` of a local folder.

    Returns:
        `ice`, `rock`, `ocean` (fractions 0 to 1) and `elevation` (m), each (332, 316) with NaN where unknown; those
        whose files are there.

    Raises:
        DataError: a file is there but cannot be read, or lies on another grid.
    """
    folder = Path(location.removeprefix("file://")) / "grids"
    if "://" in location.removeprefix("file://") or not folder.is_dir():
        return {}
    files = {**FRACTIONS, "elevation": ELEVATION}
    return {part: _ground(folder / file) for part, file in files.items() if (folder / file).is_file()}


def _ground(path: Path) -> NDArray[np.float32]:
    import numpy as np
    import rasterio

    grid = GRIDS["south"]
    try:
        with rasterio.open(path) as data:
            if (data.height, data.width) != grid.shape or tuple(data.transform)[:6] != grid.transform:
                raise DataError(f"{path} lies on another grid", expected="the southern 25 km grid")
            values: NDArray[np.float32] = data.read(1, masked=True).filled(np.nan).astype(np.float32)
    except rasterio.errors.RasterioError as error:
        raise DataError(f"{path} cannot be read ({_first(error)})") from None
    return values


def _first(error: Exception) -> str:
    # an entry that runs past its zip's end raises an EOFError that says nothing
    return (str(error).splitlines() or [type(error).__name__])[0][:100]
