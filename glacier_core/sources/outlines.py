"""Glacier outlines: RGI 6 and 7, GLIMS, or any polygons of one's own.

RGI 6.0: https://doi.org/10.7265/N5-RGI-60 (dates yyyymmdd, 9999 for an unknown month and day, -9999999 for none).
RGI 7.0: https://doi.org/10.5067/f6jmovy5navz (ISO dates).

Both come as a file for each first-order region; a folder or a zip of such files serves as the whole inventory.
"""

from __future__ import annotations

import bisect
import difflib
import logging
import re
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError, NotPublishedError
from glacier_core.recipes import Glaciers
from glacier_core.sources.remote import fetch, is_http
from glacier_core.store.backends import open_backend

if TYPE_CHECKING:
    import pandas as pd
    from geopandas import GeoDataFrame
    from shapely.geometry.base import BaseGeometry

log = logging.getLogger(__name__)

WGS84 = "EPSG:4326"
MOSTLY_INSIDE = 0.5
"""Part of the smaller of glacier and area of interest that they must share for the glacier to be chosen."""
AREA_AGREES = 0.1
"""Relative difference up to which the file's own area is taken over the polygon's."""
MANY_TEXTS = 2000
"""Names or ids up to which all are compared with one that is unknown."""
# names of one column in RGI 7, RGI 6 and GLIMS, in lower case, best first
_ID = ("rgi_id", "rgiid", "glacier_id", "glac_id", "glims_id", "glimsid")
_NAME = ("glac_name", "name")
_DATE = ("src_date", "bgndate", "date")
_AREA = ("area_km2", "area")
_LONGITUDE = ("termlon", "term_lon")
_LATITUDE = ("termlat", "term_lat")
_REGION = ("o1region",)

REGIONS: Mapping[int, str] = {
    1: "Alaska",
    2: "Western Canada and USA",
    3: "Arctic Canada North",
    4: "Arctic Canada South",
    5: "Greenland Periphery",
    6: "Iceland",
    7: "Svalbard and Jan Mayen",
    8: "Scandinavia",
    9: "Russian Arctic",
    10: "North Asia",
    11: "Central Europe",
    12: "Caucasus and Middle East",
    13: "Central Asia",
    14: "South Asia West",
    15: "South Asia East",
    16: "Low Latitudes",
    17: "Southern Andes",
    18: "New Zealand",
    19: "Subantarctic and Antarctic Islands",
    20: "Antarctic Mainland",
}
"""First-order regions of the RGI (GTN-G 2023, https://doi.org/10.5904/gtng-glacreg-2023-07)."""
_VECTOR_ENDINGS = frozenset({".shp", ".gpkg", ".gdb", ".geojson", ".fgb", ".parquet", ".geoparquet"})
# RGI 6: 13_rgi60_CentralAsia.shp; RGI 7: RGI2000-v7.0-G-13_central_asia.shp, whose product C are glacier complexes
_REGION_FILE = re.compile(r"(?:RGI2000-v7\.0-G-|^)(?P<region>[01]\d|20)_", re.IGNORECASE)
_INVENTORIES: Mapping[str, re.Pattern[str]] = {
    "RGI 6.0": re.compile(r"RGI60-(?P<region>\d\d)\.\d+", re.IGNORECASE),
    "RGI 7.0": re.compile(r"RGI2000-v7\.0-G-(?P<region>\d\d)-\d+", re.IGNORECASE),
}


def read_outlines(path: str | Path, *, regions: Collection[int] = ()) -> GeoDataFrame:
    """Outlines with the same columns whatever the file calls them.

    Args:
        path: vector file that GDAL reads, or GeoParquet; a path or any fsspec URL. Or a whole inventory: a folder or a
            zip of the RGI's region files (each a vector file, or a zip or folder of one).
        regions: numbers of first-order regions. Of an inventory, only their files are read; of a single file, all is.

    Returns:
        One row an outline (a glacier may have several, of different dates), EPSG:4326: glacier_id (str), name (str),
        date (datetime64, NaT if unknown), area_km2 (the file's, or the polygon's geodesic area where the file names
        none or another one), term_lon, term_lat (degrees, NaN if unknown), geometry (valid polygons), and the file's
        other columns. Polygons without an id get one, `outline-0001` and so on.

    Raises:
        ConfigurationError: the file is missing, is no vector file, has no CRS, or holds no polygon; the inventory lacks
            a region, or none is named and it has several.
        ServiceUnavailableError: its host does not answer.
    """
    import pandas as pd

    with _files_of(str(path), regions) as files:
        tables = [_tidied(_read(file, name), name) for file, name in files]
    return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)


def wanted_regions(chosen: Glaciers) -> tuple[int, ...]:
    """Regions of the RGI that a choice can lie in, as its region or its ids tell; empty: any.

    Given to `read_outlines`, so that of a whole inventory only the files that matter are read.
    """
    if chosen.region is not None:
        return (chosen.region,)
    numbers = [_region_of_id(text) for text in chosen.ids]
    return tuple(sorted({number for number in numbers if number})) if all(numbers) else ()


def _tidied(frame: GeoDataFrame, path: str) -> GeoDataFrame:
    import geopandas
    import pandas as pd

    if frame.crs is None:
        raise ConfigurationError(
            f"outlines {path} have no CRS", expected="a vector file that tells its CRS", do="assign it its CRS"
        )
    if "line_type" in frame.columns:  # GLIMS files hold lines and debris beside the boundaries
        frame = frame[frame["line_type"] == "glac_bound"]
    frame = _polygons(frame)
    if frame.empty:
        raise ConfigurationError(f"outlines {path} hold no polygon", expected="glacier outlines")
    found = {str(column).lower(): column for column in reversed(frame.columns)}

    def column(names: Sequence[str], default: Any) -> Any:
        known = next((found[name] for name in names if name in found), None)
        return pd.Series(default, index=frame.index) if known is None else frame[known]

    ids = _texts(column(_ID, ""))
    generated = [f"outline-{number:04d}" for number in range(1, len(frame) + 1)]
    if (ids == "").any():
        log.info("%d outlines of %s have no id and are called outline-0001 and so on", int((ids == "").sum()), path)
    tidy = {
        "glacier_id": ids.where(ids != "", pd.Series(generated, index=frame.index)),
        "name": _texts(column(_NAME, "")),
        "date": _dates(column(_DATE, ""), column(("enddate",), "")),
        "area_km2": _areas(frame, pd.to_numeric(column(_AREA, float("nan")), errors="coerce"), path),
        "term_lon": pd.to_numeric(column(_LONGITUDE, float("nan")), errors="coerce"),
        "term_lat": pd.to_numeric(column(_LATITUDE, float("nan")), errors="coerce"),
    }
    # names that differ only in case are one name to GeoPackage
    others = frame[[name for name in frame.columns if str(name).lower() not in {*tidy, "geometry"}]]
    whole = geopandas.GeoDataFrame(pd.concat([pd.DataFrame(tidy), others], axis=1), geometry=frame.geometry)
    return _merged(whole)


def choose(outlines: GeoDataFrame, chosen: Glaciers, *, resolve: Callable[[str], str]) -> GeoDataFrame:
    """The outlines of the glaciers that a recipe is about, in the file's order.

    Args:
        outlines: from `read_outlines`.
        chosen: ids, names, an area of interest, a point or a region; all glaciers where it names none of them.
        resolve: turns a file name of the recipe into a path or URL.

    Raises:
        ConfigurationError: an id or a name is unknown (near ones are suggested), the point is on no glacier, no
            glacier lies in the region, or nothing is chosen.
    """
    kept = outlines
    if chosen.ids:
        kept = _by_text(outlines, "glacier_id", chosen.ids, what="glacier id")
    elif chosen.names:
        kept = _by_text(outlines, "name", chosen.names, what="glacier name")
    elif chosen.aoi is not None:
        kept = _in_area(outlines, _area_of_interest(chosen.aoi, resolve))
    elif chosen.point is not None:
        kept = _at_point(outlines, chosen.point)
    elif chosen.region is not None:
        kept = _in_region(outlines, chosen.region)
    if kept.empty:
        raise ConfigurationError(
            f"none of {len(outlines)} outlines lies in the area of interest",
            expected=f"one that meets {_described(outlines)}",
            do="correct glaciers.aoi (west, south, east, north in degrees)",
        )
    large = kept[kept["area_km2"] >= chosen.min_area_km2]
    if large.empty:
        raise ConfigurationError(
            f"glaciers.min_area_km2 is {chosen.min_area_km2:g}, the largest glacier chosen has "
            f"{kept['area_km2'].max():.2f} km²",
            do="lower glaciers.min_area_km2",
        )
    return large


# --- files ------------------------------------------------------------------------------------------------------


@contextmanager
def _files_of(path: str, regions: Collection[int]) -> Iterator[list[tuple[Path, str]]]:
    """The local files to read, each with the name by which a person knows it."""
    with ExitStack() as stack:
        file = stack.enter_context(_local(path))
        if not file.exists():
            raise ConfigurationError(f"outlines {path} do not exist", do="check glaciers.outlines and data")
        if file.is_dir() and file.suffix.lower() not in _VECTOR_ENDINGS:
            found = _region_files(file)
        elif file.suffix.lower() == ".zip":
            found = _region_files(_unpacked(file, stack, path))
        else:
            yield [(file, path)]
            return
        yield [
            (_vector_file(chosen, stack, path), chosen.name) for chosen in _of_regions(found, regions, inventory=path)
        ]


def _region_files(folder: Path) -> list[Path]:
    """What of a folder may hold outlines: vector files, zips, and folders of them."""
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    vectors = [entry for entry in entries if entry.suffix.lower() in _VECTOR_ENDINGS]
    zips = [entry for entry in entries if entry.suffix.lower() == ".zip"]
    folders = [entry for entry in entries if entry.is_dir() and entry not in vectors]
    if not vectors and not zips and len(folders) == 1:  # a zip often holds one folder
        return _region_files(folders[0])
    # a region that lies there unpacked is not unpacked again
    names = {entry.stem for entry in (*vectors, *folders)}
    return [*vectors, *folders, *(entry for entry in zips if entry.stem not in names)]


def _of_regions(found: Sequence[Path], regions: Collection[int], *, inventory: str) -> list[Path]:
    """The files of some regions, or the only file there is."""
    by_region: dict[int, list[Path]] = {}
    for file in found:
        told = _REGION_FILE.search(file.name)
        if told:
            by_region.setdefault(int(told["region"]), []).append(file)
    if not by_region and len(found) == 1:
        return list(found)
    if not by_region:
        raise ConfigurationError(
            f"outlines {inventory} hold {len(found)} files and none is named after a region",
            expected="one vector file, or region files such as 13_rgi60_CentralAsia.shp",
            do="name one file in glaciers.outlines",
        )
    if not regions and len(by_region) > 1:
        raise ConfigurationError(
            f"outlines {inventory} hold the regions {_listed(by_region)}",
            do="name one in glaciers.region, or glacier ids",
        )
    missing = sorted(set(regions) - set(by_region))
    if missing:
        raise ConfigurationError(
            f"outlines {inventory} do not hold region {_listed(missing)}", expected=f"one of {_listed(by_region)}"
        )
    chosen = []
    for region in sorted(regions or by_region):
        if len(by_region[region]) > 1:
            names = " and ".join(file.name for file in by_region[region])
            raise ConfigurationError(
                f"outlines {inventory} hold region {region} more than once: {names}",
                do="name one file in glaciers.outlines",
            )
        chosen += by_region[region]
    return chosen


def _listed(regions: Collection[int]) -> str:
    return ", ".join(f"{region} ({REGIONS.get(region, 'unknown')})" for region in sorted(regions))


def _vector_file(entry: Path, stack: ExitStack, inventory: str) -> Path:
    """The vector file that a region's entry stands for: itself, or the only one in its zip or folder."""
    if entry.suffix.lower() in _VECTOR_ENDINGS:
        return entry
    folder = entry if entry.is_dir() else _unpacked(entry, stack, inventory)
    vectors = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _VECTOR_ENDINGS)
    if len(vectors) != 1:
        raise ConfigurationError(
            f"outlines {entry.name} of {inventory} hold {len(vectors)} vector files", expected="one", do="name one"
        )
    return vectors[0]


def _unpacked(file: Path, stack: ExitStack, inventory: str) -> Path:
    """A zip's content in a folder that lasts as long as `stack`."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="glacier-outlines-"))
    try:
        with zipfile.ZipFile(file) as archive:
            archive.extractall(folder)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ConfigurationError(
            f"outlines {inventory} cannot be unpacked ({file.name}: {error})", do="fetch the file again"
        ) from None
    return Path(folder)


def _read(file: Path, name: str) -> GeoDataFrame:
    import geopandas

    try:
        if file.suffix.lower() in {".parquet", ".geoparquet"}:
            return geopandas.read_parquet(file)
        read = geopandas.read_file(file)
    except (RuntimeError, ValueError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigurationError(
            f"outlines {name} cannot be read ({reason})", expected="a vector file such as GeoPackage or shapefile"
        ) from None
    if not isinstance(read, geopandas.GeoDataFrame):
        raise ConfigurationError(f"outlines {name} hold a table without geometry", expected="glacier outlines")
    return read


@contextmanager
def _local(path: str) -> Iterator[Path]:
    """The file as a local one: a remote file is copied for as long as it is read."""
    path = path.removeprefix("file://")
    if "://" not in path:
        yield Path(path)
        return
    remote_folder, _, name = path.rpartition("/")
    with tempfile.TemporaryDirectory(prefix="glacier-outlines-") as folder:
        copy = Path(folder) / name
        try:
            copy.write_bytes(fetch(path) if is_http(path) else open_backend(remote_folder).read(name))
        except NotPublishedError:
            raise ConfigurationError(f"outlines {path} do not exist", do="check glaciers.outlines and data") from None
        yield copy


def _polygons(frame: GeoDataFrame) -> GeoDataFrame:
    """Valid two-dimensional polygons in EPSG:4326; rows without any are dropped."""
    import shapely

    if frame.geometry.name != "geometry":
        frame = frame.rename_geometry("geometry")
    frame = frame[frame.geometry.notna()].to_crs(WGS84)
    frame["geometry"] = [
        _only_polygons(geometry) for geometry in shapely.make_valid(shapely.force_2d(frame.geometry.values))
    ]
    return frame[~frame.geometry.is_empty].reset_index(drop=True)


def _only_polygons(geometry: BaseGeometry) -> BaseGeometry:
    import shapely

    if geometry.geom_type in {"Polygon", "MultiPolygon"}:
        return geometry
    parts = [part for part in shapely.get_parts(geometry) if part.geom_type in {"Polygon", "MultiPolygon"}]
    return shapely.union_all(parts) if parts else shapely.Polygon()


def _texts(values: pd.Series[Any]) -> pd.Series[Any]:
    texts = values.astype(object).where(values.notna(), "").map(str).str.strip()
    return texts.where(~texts.str.lower().isin(["nan", "none", "<na>"]), "")


def _dates(begin: pd.Series[Any], end: pd.Series[Any]) -> pd.Series[Any]:
    """Dates of outlines: the middle where imagery of two dates was used (RGI 6, BgnDate and EndDate)."""
    first, last = _parsed_dates(begin), _parsed_dates(end)
    return first.where(last.isna() | first.isna(), first + (last - first) / 2).astype("datetime64[ns]")


def _parsed_dates(values: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values):
        return pd.to_datetime(values, utc=True).dt.tz_localize(None)
    texts = _texts(values).str.replace(r"\.0$", "", regex=True)
    # an unknown day or month stands for the middle of what is known
    compact = texts.str.extract(r"^(?P<year>(?:1[6-9]|2\d)\d\d)(?P<month>\d\d)(?P<day>\d\d)$")
    month_known = compact["month"].between("01", "12")
    month = compact["month"].where(month_known, "07")
    day = compact["day"].where(month_known & compact["day"].between("01", "31"), "15").where(month_known, "01")
    of_rgi6 = pd.to_datetime(compact["year"] + month + day, format="%Y%m%d", errors="coerce")
    iso = texts.where(texts.str.match(r"^\d{4}-\d\d-\d\d"))
    of_rgi7 = pd.to_datetime(iso, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
    return of_rgi6.fillna(of_rgi7)


def _areas(frame: GeoDataFrame, told: pd.Series[Any], path: str) -> pd.Series[Any]:
    """Areas in km²: the file's where they fit the polygons, else the polygons' on the WGS 84 ellipsoid."""
    import pandas as pd
    from pyproj import Geod

    geod = Geod(ellps="WGS84")
    measured = pd.Series(
        [abs(geod.geometry_area_perimeter(geometry)[0]) / 1e6 for geometry in frame.geometry], index=frame.index
    )
    fits = (told - measured).abs() <= AREA_AGREES * measured
    differ = int((told.notna() & ~fits).sum())
    if differ:
        log.info("%d outlines of %s name another area than their polygon's, which counts", differ, path)
    return told.where(fits, measured).astype(float)


def _merged(frame: GeoDataFrame) -> GeoDataFrame:
    """Rows of one glacier and one date made one: some files hold an outline's parts in rows of their own."""
    import shapely

    keys = frame["glacier_id"] + "@" + frame["date"].dt.strftime("%Y-%m-%d").fillna("")
    if keys.is_unique:
        return frame
    whole = frame.groupby(keys, sort=False)
    first = frame.loc[~keys.duplicated()].copy()
    order = keys[~keys.duplicated()]
    first["geometry"] = [shapely.union_all(whole.get_group(key).geometry.values) for key in order]
    first["area_km2"] = [float(whole.get_group(key)["area_km2"].sum()) for key in order]
    return first.reset_index(drop=True)


# --- choice -----------------------------------------------------------------------------------------------------


def _by_text(outlines: GeoDataFrame, column: str, wanted: Sequence[str], *, what: str) -> GeoDataFrame:
    known: Mapping[str, str] = {text.casefold(): text for text in outlines[column] if text}
    for text in wanted:
        if text.casefold() not in known:
            if column == "glacier_id":
                _refuse_other_inventory(text, known.values())
            near = _near(text.casefold(), known)
            raise ConfigurationError(
                f"{what} '{text}' is not among {len(outlines)} outlines",
                expected=" or ".join(f"'{known[key]}'" for key in near) or f"a {what} of the file",
                do=f"correct glaciers.{'ids' if column == 'glacier_id' else 'names'}",
            )
    return outlines[outlines[column].str.casefold().isin([text.casefold() for text in wanted])]


def _near(wanted: str, known: Collection[str]) -> list[str]:
    """Up to three texts that may have been meant, best first.

    Zeros of its number that were left out or added come first. A comparison with each of an inventory's 270,000 ids
    would take half a minute: of that many, the neighbours in order are compared.
    """
    candidates = sorted(known)
    number = _last_number(wanted)
    same = [text for text in candidates if number and _last_number(text) == number]
    if len(candidates) > MANY_TEXTS:
        place = bisect.bisect(candidates, wanted)
        candidates = candidates[max(0, place - MANY_TEXTS // 20) : place + MANY_TEXTS // 20]
    first = difflib.get_close_matches(wanted, same, n=1, cutoff=0.5)
    others = difflib.get_close_matches(wanted, candidates, n=3, cutoff=0.5)
    return [*first, *(text for text in others if text not in first)][:3]


def _last_number(text: str) -> str:
    return re.sub(r"^.*?0*(\d*)$", r"\1", text)


def _inventory_of(glacier_id: str) -> str:
    return next((name for name, form in _INVENTORIES.items() if form.fullmatch(glacier_id)), "")


def _region_of_id(glacier_id: str) -> int:
    """Region that an id of the RGI names; 0 for any other id."""
    found = (form.fullmatch(glacier_id) for form in _INVENTORIES.values())
    return next((int(match["region"]) for match in found if match), 0)


def _refuse_other_inventory(wanted: str, ids: Collection[str]) -> None:
    """RGI 7 was drawn anew and numbered anew: an id of one version names another glacier, or none, in the other."""
    asked = _inventory_of(wanted)
    held = Counter(_inventory_of(text) for text in ids)
    held.pop("", None)
    if asked and held and asked not in held:
        there = held.most_common(1)[0][0]
        example = next(text for text in ids if _inventory_of(text) == there)
        raise ConfigurationError(
            f"glacier id '{wanted}' is of {asked}, the outlines are of {there}",
            expected=f"an id such as '{example}': the two inventories number glaciers differently",
            do=f"take outlines of {asked}, or choose the glacier by glaciers.point or glaciers.names",
        )


def _in_region(outlines: GeoDataFrame, region: int) -> GeoDataFrame:
    """Glaciers of a first-order region, as the outlines' column or else their ids tell."""
    import pandas as pd

    column = next((name for name in outlines.columns if str(name).lower() in _REGION), None)
    told = pd.Series(float("nan"), index=outlines.index)
    if column is not None:
        told = pd.to_numeric(outlines[column], errors="coerce")
    regions = told.fillna(outlines["glacier_id"].map(_region_of_id)).astype(int)
    known = sorted(set(regions) - {0})
    if region not in known:
        raise ConfigurationError(
            f"none of {len(outlines)} outlines lies in region {_listed([region])}",
            expected=f"one of {_listed(known)}" if known else "outlines of the RGI, which tell their region",
            do="correct glaciers.region or glaciers.outlines",
        )
    return outlines[regions == region]


def _area_of_interest(aoi: str | tuple[float, float, float, float], resolve: Callable[[str], str]) -> BaseGeometry:
    import shapely

    if isinstance(aoi, str):
        return shapely.union_all(read_outlines(resolve(aoi)).geometry.values)
    west, south, east, north = aoi
    if west >= east or south >= north:
        raise ConfigurationError(f"glaciers.aoi is {list(aoi)}", expected="west, south, east, north in degrees")
    return shapely.box(west, south, east, north)


def _in_area(outlines: GeoDataFrame, area: BaseGeometry) -> GeoDataFrame:
    import shapely

    shared = shapely.area(shapely.intersection(outlines.geometry.values, area))
    smaller = [min(own, area.area) for own in shapely.area(outlines.geometry.values)]
    return outlines[shared >= [MOSTLY_INSIDE * part for part in smaller]]


def _at_point(outlines: GeoDataFrame, point: tuple[float, float]) -> GeoDataFrame:
    import shapely

    here = shapely.Point(*point)
    hit = outlines[outlines.geometry.contains(here)]
    if hit.empty:
        nearest = outlines.iloc[int(shapely.distance(outlines.geometry.values, here).argmin())]
        raise ConfigurationError(
            f"glaciers.point ({point[0]:g}, {point[1]:g}) lies on none of {len(outlines)} outlines",
            expected=f"longitude, latitude inside one; the nearest is '{nearest['glacier_id']}'",
        )
    return outlines[outlines["glacier_id"].isin(hit["glacier_id"])]


def _described(outlines: GeoDataFrame) -> str:
    west, south, east, north = outlines.total_bounds
    return f"{west:.2f}, {south:.2f}, {east:.2f}, {north:.2f}"
