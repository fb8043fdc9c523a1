"""Glacier outlines: RGI 6 and 7, GLIMS, or any polygons of one's own.

RGI 6.0: https://doi.org/10.7265/N5-RGI-60 (dates yyyymmdd, 9999 for an unknown month and day, -9999999 for none).
RGI 7.0: https://doi.org/10.5067/f6jmovy5navz (ISO dates).
"""

from __future__ import annotations

import difflib
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
# names of one column in RGI 7, RGI 6 and GLIMS, in lower case, best first
_ID = ("rgi_id", "rgiid", "glacier_id", "glac_id", "glims_id", "glimsid")
_NAME = ("glac_name", "name")
_DATE = ("src_date", "bgndate", "date")
_AREA = ("area_km2", "area")
_LONGITUDE = ("termlon", "term_lon")
_LATITUDE = ("termlat", "term_lat")


def read_outlines(path: str | Path) -> GeoDataFrame:
    """Outlines with the same columns whatever the file calls them.

    Args:
        path: vector file that GDAL reads, or GeoParquet; a path or any fsspec URL.

    Returns:
        One row an outline (a glacier may have several, of different dates), EPSG:4326: glacier_id (str), name (str),
        date (datetime64, NaT if unknown), area_km2 (the file's, or the polygon's geodesic area where the file names
        none or another one), term_lon, term_lat (degrees, NaN if unknown), geometry (valid polygons), and the file's
        other columns. Polygons without an id get one, `outline-0001` and so on.

    Raises:
        ConfigurationError: the file is missing, is no vector file, has no CRS, or holds no polygon.
        ServiceUnavailableError: its host does not answer.
    """
    import geopandas
    import pandas as pd

    frame = _read(str(path))
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
        chosen: ids, names, an area of interest or a point; all glaciers where it names none of them.
        resolve: turns a file name of the recipe into a path or URL.

    Raises:
        ConfigurationError: an id or a name is unknown (near ones are suggested), the point is on no glacier, or
            nothing is chosen.
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


def _read(path: str) -> GeoDataFrame:
    import geopandas

    with _local(path) as file:
        if not file.exists():
            raise ConfigurationError(f"outlines {path} do not exist", do="check glaciers.outlines and data")
        try:
            if file.suffix.lower() in {".parquet", ".geoparquet"}:
                return geopandas.read_parquet(file)
            read = geopandas.read_file(file)
        except (RuntimeError, ValueError, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ConfigurationError(
                f"outlines {path} cannot be read ({reason})", expected="a vector file such as GeoPackage or shapefile"
            ) from None
    if not isinstance(read, geopandas.GeoDataFrame):
        raise ConfigurationError(f"outlines {path} hold a table without geometry", expected="glacier outlines")
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


def _areas(frame: GeoDataFrame, told: pd.Series[Any], path: str | Path) -> pd.Series[Any]:
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


def _by_text(outlines: GeoDataFrame, column: str, wanted: Sequence[str], *, what: str) -> GeoDataFrame:
    known: Mapping[str, str] = {text.casefold(): text for text in outlines[column] if text}
    for text in wanted:
        if text.casefold() not in known:
            near = difflib.get_close_matches(text.casefold(), list(known), n=3, cutoff=0.5)
            raise ConfigurationError(
                f"{what} '{text}' is not among {len(outlines)} outlines",
                expected=" or ".join(f"'{known[key]}'" for key in near) or f"a {what} of the file",
                do=f"correct glaciers.{'ids' if column == 'glacier_id' else 'names'}",
            )
    return outlines[outlines[column].str.casefold().isin([text.casefold() for text in wanted])]


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
