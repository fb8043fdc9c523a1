"""The Sea Ice Index (NSIDC G02135): monthly sea ice concentration as GeoTIFF or as pictures.

Fetterer, F., K. Knowles, W. N. Meier, M. Savoie, A. K. Windnagel: Sea Ice Index, https://doi.org/10.7265/N5K072F8.
Files as its user guide describes them: `N_YYYYMM_concentration_v3.0.tif` holds per mille of ice and flags;
`N_YYYYMM_conc_v3.0.png` shows it in colours; `N_MM_extent_v3.0.csv` tells the input of each month.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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
from glacier_core.sources.nsidc.locations import FoundFile, bring, find_files, read_bytes
from glacier_core.sources.nsidc.months import Month, Period, missing_months
from glacier_core.sources.nsidc.pictures import (
    Legend,
    check_picture,
    decode_picture,
    layout_of,
    legend_of,
    open_picture,
    version_of,
)
from glacier_core.sources.nsidc.polar import GRIDS, LETTERS, Hemisphere
from glacier_core.sources.nsidc.sensors import index_sensor
from glacier_core.sources.reading import SceneTrouble
from glacier_core.sources.series import Series, file_version

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

Form = Literal["geotiff", "png"]
CITATION = "Fetterer et al., Sea Ice Index, NSIDC G02135, doi:10.7265/N5K072F8"
FOLDERS = re.compile(r"north|south|monthly|geotiff|images|data|\d\d_[A-Z][a-z]{2}|\d{4}")
"""Folders of NSIDC's server (`north/monthly/geotiff/01_Jan/`) that are looked into."""
NAMES: dict[Form, str] = {
    "geotiff": r"concentration_(?P<version>v[\d.]+)\.tif",
    "png": r"conc_(?P<version>v[\d.]+)\.png",
}
CONCENTRATION_FULL = 1000
POLE_HOLE, COAST, LAND, MISSING = 2510, 2530, 2540, 2550
VERSIONS = {
    "goddard": "final",
    "nsidc-0051": "final",
    "nrtsi-g": "near_real_time",
    "nsidc-0081": "near_real_time",
    "nsidc-0803": "near_real_time",
}
"""What the input data sets named in the extent tables are (version 3 writes Goddard and NRTSI-G)."""
VERSION_DIGITS = 12
MONTHS_THAT_MAY_CHANGE = 24
"""Newest months of a server that are asked about again while nothing tells whether they are final."""


def sea_ice_index(
    location: str,
    *,
    hemisphere: Hemisphere = "north",
    months: tuple[str, str] | None = None,
    form: Form = "geotiff",
    cache: Path | None = None,
    name: str = "",
) -> Series:
    """Monthly ice fractions of the Sea Ice Index on the 25 km polar stereographic grid.

    Args:
        location: a local folder of the files, or the URL of a server's listing such as
            https://noaadata.apps.nsidc.org/NOAA/G02135/ (folders below are searched).
        hemisphere: which one; pictures are known of the north only.
        months: first and last month (`YYYY-MM`); None: all there are.
        form: the GeoTIFF files (0.1 %), or the pictures (levels of 5 %, less than 15 % is none).
        cache: folder for downloaded files; final months are downloaded once, others are asked about again.
        name: names the series; empty: `arctic_sea_ice` or `antarctic_sea_ice`.

    Returns:
        One band, `ice_fraction`. Frames are labelled with sensor, version (`final`, `near_real_time`, or `unknown`
        where nothing tells) and product. Masks: see `frames.masks_of`. Troubles: missing months (no file, or a
        picture that says NO DATA), what cannot be fetched or decoded, files of a replaced product version.

    Raises:
        ConfigurationError: no such location or files; months that cannot be read; pictures of the south.
        ServiceUnavailableError: the server's listing cannot be had.
        DataError: no month is left.
    """
    if form == "png" and hemisphere != "north":
        raise ConfigurationError("pictures of the southern hemisphere cannot be georeferenced", do="use form: geotiff")
    period = Period.parse(months)
    pattern = rf"{LETTERS[hemisphere]}_(?P<year>\d{{4}})(?P<month>\d\d)_{NAMES[form]}"
    tables = rf"{LETTERS[hemisphere]}_\d\d_extent_v[\d.]+\.csv"
    found = find_files(location, name=re.compile(f"{pattern}|{tables}"), folders=FOLDERS)
    wanted = [file for file in found if (month := _month(file, pattern)) is not None and month in period]
    inputs = _inputs([file for file in found if not re.fullmatch(pattern, file.name)], cache=cache)
    newest = sorted({month for file in wanted if (month := _month(file, pattern))})[-MONTHS_THAT_MAY_CHANGE:]

    def known(file: FoundFile, path: Path) -> bool:
        month = _month(file, pattern)
        version = inputs.get(month or Month(0, 1), "unknown") if form == "geotiff" else _picture_version(path)
        return version == "final" or (version == "unknown" and month not in newest)

    here, troubles = bring(wanted, cache=cache, check=_check_tiff if form == "geotiff" else check_picture, known=known)
    opened = _opened_pictures if form == "png" else _opened_tiffs
    grid, files, unusable = opened(here, pattern, inputs, GRIDS[hemisphere])
    kept, replaced = best_of_each_month(files)
    if not kept:
        reasons = "; ".join(f"{trouble.scene}: {trouble.reason}" for trouble in [*unusable, *troubles][:3])
        raise DataError(f"{location} holds no usable month ({reasons or 'none in the months asked for'})")
    masks = masks_of(kept, shape=grid.shape)
    versions = {path.name: file_version(path) for _, path in here}  # a server may have replaced a month
    if form == "png":
        kept = _with_land(kept, masks["land"])
    reported = {month for file in wanted if (month := _month(file, pattern))}
    troubles += [*unusable, *replaced_troubles(kept, replaced)]
    troubles += missing_months((file.month for file in kept), period=period, reported=reported)
    return Series(
        name=name or ("arctic_sea_ice" if hemisphere == "north" else "antarctic_sea_ice"),
        grid=grid,
        bands=("ice_fraction",),
        quantities=("ice_fraction",),
        frames=tuple(replace(frame_of(file), version=versions[file.name]) for file in kept),
        masks=masks,
        troubles=tuple(troubles),
        attrs={"source": location, "product": f"G02135 {form}", "references": CITATION},
    )


def _month(file: FoundFile, pattern: str) -> Month | None:
    parts = re.fullmatch(pattern, file.name)
    if not parts or not 1 <= int(parts["month"]) <= 12:
        return None
    return Month(int(parts["year"]), int(parts["month"]))


def _product(name: str, pattern: str) -> tuple[str, tuple[int, str]]:
    """The product's version as in the name, and its rank among others."""
    parts = re.fullmatch(pattern, name)
    version = parts["version"] if parts else ""
    major, *minor = [int(number) for number in re.findall(r"\d+", version)] or [0]
    # a version may have any number of parts; written with as many digits each, they compare as numbers do
    return version, (major, ".".join(f"{number:0{VERSION_DIGITS}d}" for number in minor))


def _inputs(tables: Sequence[FoundFile], *, cache: Path | None) -> dict[Month, str]:
    """The version (final or near-real-time) of each month that the extent tables name."""
    versions: dict[Month, str] = {}
    here, troubles = bring(tables, cache=cache, check=lambda _: None, known=lambda *_: False)
    for trouble in troubles:
        log.warning("%s is not used: %s", trouble.scene, trouble.reason)
    for _, path in sorted(here, key=lambda pair: pair[0].name):
        text = read_bytes(str(path)).decode("utf-8", errors="replace")
        for row in csv.DictReader(io.StringIO(text), skipinitialspace=True):
            cells = {str(key).strip(): str(value).strip() for key, value in row.items()}
            source = cells.get("data-type") or cells.get("source_dataset") or ""
            if cells.get("year", "").isdecimal() and cells.get("mo", "").isdecimal():
                month = Month(int(cells["year"]), int(cells["mo"]))
                versions[month] = VERSIONS.get(source.lower(), "unknown")
    return versions


Opened = tuple[Grid, list[MonthlyFile], list[SceneTrouble]]


def _opened_tiffs(
    here: Sequence[tuple[FoundFile, Path]], pattern: str, inputs: dict[Month, str], standard: Grid
) -> Opened:
    """GeoTIFF files with the grid that most of them are on (the first one's)."""
    files: list[MonthlyFile] = []
    troubles: list[SceneTrouble] = []
    grid, alike = on_one_grid(here, lambda _, path: (_tiff_grid(path, standard), None), troubles)
    for file, path, _ in alike:
        month = _month(file, pattern) or Month(0, 1)
        version, rank = _product(file.name, pattern)
        labels = {
            "sensor": index_sensor(month, version=version),
            "version": inputs.get(month, "unknown"),
            "product": f"G02135 {version}",
        }
        files.append(MonthlyFile(month, file.name, rank, labels, partial(_load_tiff, path)))
    return grid or standard, files, troubles


def _tiff_grid(path: Path, standard: Grid) -> Grid:
    import rasterio

    try:
        with rasterio.open(path) as data:
            crs = data.crs.to_string() if data.crs else standard.crs
            own = Grid(crs, tuple(data.transform)[:6], width=data.width, height=data.height)
            if data.dtypes[0] != "uint16":
                raise SceneError(f"{path.name} holds {data.dtypes[0]}", expected="uint16")
    except rasterio.errors.RasterioError as error:
        raise SceneError(f"{path.name} is no TIFF that can be read ({_first(error)})") from None
    return standard if own.shape == standard.shape and own.transform == (1, 0, 0, 0, 1, 0) else own


def _load_tiff(path: Path) -> MonthlyGrid:
    """A GeoTIFF file of per mille and flags."""
    import rasterio

    try:
        with rasterio.open(path) as data:
            raw = data.read(1)
    except rasterio.errors.RasterioError as error:
        raise SceneError(f"{path.name} is no TIFF that can be read ({_first(error)})") from None
    return _from_per_mille(raw, name=path.name)


def _from_per_mille(raw: NDArray[np.uint16], *, name: str) -> MonthlyGrid:
    import numpy as np

    ice = raw <= CONCENTRATION_FULL
    strange = raw[~ice & ~np.isin(raw, (POLE_HOLE, COAST, LAND, MISSING))]
    if strange.size:
        raise SceneError(f"{name} holds the value {strange[0]}", expected="0 to 1000, 2510, 2530, 2540 or 2550")
    if not ice.any():
        raise SceneError(f"{name} holds no data: the month is missing")
    fraction = np.where(ice, raw, np.nan).astype(np.float32) / np.float32(CONCENTRATION_FULL)
    return MonthlyGrid(fraction, np.isin(raw, (COAST, LAND)).astype(np.uint8), raw == POLE_HOLE)


def _check_tiff(body: bytes) -> None:
    import rasterio

    try:
        with rasterio.MemoryFile(body) as memory, memory.open() as data:
            data.read(1)
    except rasterio.errors.RasterioError as error:
        raise SceneError(f"what came is no TIFF that can be read ({_first(error)})") from None


def _picture_version(path: Path) -> str:
    try:
        return version_of(open_picture(path.read_bytes(), name=path.name))
    except (SceneError, OSError):
        return "unknown"


def _opened_pictures(
    here: Sequence[tuple[FoundFile, Path]], pattern: str, inputs: dict[Month, str], standard: Grid
) -> Opened:
    """Pictures; one without a legend takes that of the picture with one that is nearest in time."""
    troubles: list[SceneTrouble] = []
    plain: list[tuple[Month, Path, str]] = []
    legends: dict[Month, Legend] = {}
    for file, path in here:
        month = _month(file, pattern) or Month(0, 1)
        try:
            pixels = open_picture(read_bytes(str(path)), name=file.name)
            legend = legend_of(pixels, name=file.name)
        except SceneError as error:
            troubles.append(SceneTrouble(file.name, str(error)))
            continue
        if legend:
            legends[month] = legend
        version = version_of(pixels) if layout_of(pixels).margin else "unknown"
        plain.append((month, path, version if version != "unknown" else inputs.get(month, "unknown")))
    files: list[MonthlyFile] = []
    for month, path, version in plain:
        if not legends:
            troubles.append(SceneTrouble(path.name, "neither it nor another picture of its folder shows the legend"))
            continue
        legend = legends.get(month) or legends[min(legends, key=partial(_months_apart, month))]
        product, rank = _product(path.name, pattern)
        labels = {
            "sensor": index_sensor(month, version=product),
            "version": version,
            "product": f"G02135 {product}",
        }
        files.append(MonthlyFile(month, path.name, rank, labels, partial(_load_picture, path, legend)))
    return standard, files, troubles


def _months_apart(first: Month, second: Month) -> int:
    return abs(12 * (first.year - second.year) + first.month - second.month)


def _load_picture(path: Path, legend: Legend, land: NDArray[np.uint8] | None = None) -> MonthlyGrid:
    pixels = open_picture(read_bytes(str(path)), name=path.name)
    decoded = decode_picture(pixels, legend=legend, name=path.name, land=land)
    return MonthlyGrid(decoded.fraction, decoded.land, decoded.pole_hole)


def _with_land(files: Sequence[MonthlyFile], land: NDArray[np.uint8]) -> list[MonthlyFile]:
    """The same files, with what all together know of the land behind lines and letters."""
    known = []
    for file in files:
        load = file.load
        known.append(replace(file, load=partial(load, land=land) if isinstance(load, partial) else load))
    return known


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
