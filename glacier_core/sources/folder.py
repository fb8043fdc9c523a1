"""A folder of one's own GeoTIFFs as a static catalog: STAC 1.0 with the extensions projection, raster, eo and file."""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from glacier_core.errors import ConfigurationError, StoreError
from glacier_core.recipes import FolderFile
from glacier_core.sources.dates_in_names import DATE_GROUPS, compile_date_pattern, moment_of

log = logging.getLogger(__name__)

EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
EVERY_TIFF = "**/*.tif"
EDGE_POINTS = 21
"""Points along each edge of a footprint, so that it stays true in degrees."""

Key = tuple[str, ...]


@dataclass(frozen=True)
class _File:
    """A file that holds bands of a scene."""

    path: Path
    bands: tuple[str, ...]  # empty: as the file describes them
    moment: datetime
    key: Key  # moment and other groups of the date pattern
    wildcards: Key  # what the wildcards of the glob stand for


@dataclass(frozen=True)
class _Raster:
    """What a catalog says of one file."""

    path: Path
    asset: dict[str, Any]  # without its link
    footprint: dict[str, Any]  # GeoJSON polygon, EPSG:4326
    changed: datetime


def index_folder(folder: Path, *, files: Sequence[FolderFile] = (), date_pattern: str, out: Path | None = None) -> Path:
    """Write a static STAC catalog of a folder of GeoTIFFs.

    Files whose date (and other named groups of `date_pattern`) agree are one scene; where a pattern matches several
    files of one date, what its wildcards stand for tells the scenes apart.

    Args:
        folder: where the files are.
        files: which files make a scene, and the bands that each holds. Empty: every `*.tif` in and below the folder is
            a scene, its bands named after their descriptions, or B1, B2 and so on.
        date_pattern: regular expression that finds the date in a file's name: groups `year` and `month`, `day`, or
            `year` and `doy` (day of the year).
        out: folder for the catalog, which then has absolute links; None: the folder itself, with relative links, so
            that both can be moved together.

    Returns:
        The path of `catalog.json`. Files that are left out (unreadable, without a CRS or a date) are logged, and
        listed in its field `glacierflow:left_out`.

    Raises:
        ConfigurationError: the folder does not exist, the date pattern cannot find a date, or no file can be used.
        StoreError: the catalog cannot be written.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise ConfigurationError(
            f"folder {folder} does not exist", expected="a folder of GeoTIFFs", do="check the path"
        )
    left_out: list[dict[str, str]] = []

    def leave_out(path: Path, reason: str) -> None:
        log.warning("%s is left out: %s", path, reason)
        left_out.append({"file": str(path.relative_to(folder)), "reason": reason})

    scenes: dict[Key, list[_Raster]] = defaultdict(list)
    moments: dict[Key, datetime] = {}
    for scene, file in _scenes(_matches(folder, files, compile_date_pattern(date_pattern), leave_out), alone=not files):
        raster = _described(file)
        if isinstance(raster, str):
            leave_out(file.path, raster)
        else:
            scenes[scene].append(raster)
            moments[scene] = file.moment
    if not scenes:
        reasons = "; ".join(f"{entry['file']}: {entry['reason']}" for entry in left_out[:3]) or "no file matches"
        raise ConfigurationError(
            f"folder {folder} holds no usable imagery ({reasons})",
            expected=" and ".join(file.pattern for file in files) or "GeoTIFFs with a date in their names",
            do="check imagery.files and imagery.date_pattern",
        )
    return _write(
        Path(out or folder).resolve(),
        items=[(moments[scene], scenes[scene]) for scene in sorted(scenes)],
        left_out=left_out,
        relative=out is None,
    )


def _matches(folder: Path, files: Sequence[FolderFile], pattern: re.Pattern[str], leave_out: Any) -> list[_File]:
    """Every file that a glob finds and whose name holds a date."""
    matches: list[_File] = []
    for glob, bands in [(file.pattern, file.bands) for file in files] or [(EVERY_TIFF, ())]:
        capture = _capturing(glob)
        for path in sorted(path for path in folder.glob(glob) if path.is_file()):
            found = pattern.search(path.name)
            moment = moment_of(found) if found else None
            if found is None or moment is None:
                leave_out(path, "its name holds no date")
                continue
            stars = capture.fullmatch(path.relative_to(folder).as_posix())
            groups = sorted((name, text or "") for name, text in found.groupdict().items())
            key = (moment.isoformat(), *(text for name, text in groups if name not in DATE_GROUPS))
            matches.append(_File(path, tuple(bands), moment, key, stars.groups() if stars else ()))
    return matches


def _capturing(glob: str) -> re.Pattern[str]:
    """A glob as a regular expression with one group a wildcard."""
    forms = {"**/": r"((?:.*/)?)", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", glob)
    return re.compile(
        "".join(forms.get(part) or (f"({part})" if part[:1] == "[" else re.escape(part)) for part in parts)
    )


def _scenes(files: Sequence[_File], *, alone: bool) -> list[tuple[Key, _File]]:
    """Each file with the key of its scene."""
    if alone:
        return [((*file.key, str(file.path)), file) for file in files]
    several = {key for (key, _), count in Counter((file.key, file.bands) for file in files).items() if count > 1}
    return [((*file.key, *(file.wildcards if file.key in several else ())), file) for file in files]


def _described(file: _File) -> _Raster | str:
    """What the catalog says of a file, or why it cannot be used."""
    import rasterio
    import rasterio.errors

    try:
        with rasterio.open(file.path) as dataset:
            if dataset.crs is None:
                return "it has no CRS"
            if len(file.bands) > dataset.count:
                return f"it has {dataset.count} bands, expected {', '.join(file.bands)}"
            names = file.bands or _band_names(dataset)
            status = file.path.stat()
            return _Raster(
                path=file.path,
                asset=_asset(dataset, names, size=status.st_size),
                footprint=_footprint(dataset),
                changed=datetime.fromtimestamp(status.st_mtime, UTC),
            )
    except (rasterio.errors.RasterioError, OSError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0]


def _band_names(dataset: Any) -> tuple[str, ...]:
    described = [(text or "").strip() for text in dataset.descriptions]
    if all(described) and len(set(described)) == len(described):
        return tuple(described)
    return tuple(f"B{number}" for number in range(1, dataset.count + 1))


def _asset(dataset: Any, names: Sequence[str], *, size: int) -> dict[str, Any]:
    code = dataset.crs.to_string()
    return {
        "type": "image/tiff; application=geotiff",
        "roles": ["data"],
        **({"proj:code": code} if code.startswith("EPSG:") else {"proj:code": None, "proj:wkt2": dataset.crs.to_wkt()}),
        "proj:transform": list(dataset.transform)[:6],
        "proj:shape": list(dataset.shape),
        "eo:bands": [{"name": name} for name in names],
        "raster:bands": [_raster_band(dataset, number) for number in range(1, len(names) + 1)],
        "file:size": size,
    }


def _raster_band(dataset: Any, number: int) -> dict[str, Any]:
    band: dict[str, Any] = {
        "data_type": dataset.dtypes[number - 1],
        "scale": dataset.scales[number - 1],
        "offset": dataset.offsets[number - 1],
    }
    nodata = dataset.nodatavals[number - 1]
    if nodata is not None:
        band["nodata"] = "nan" if math.isnan(nodata) else nodata
    return band


def _footprint(dataset: Any) -> dict[str, Any]:
    import shapely
    from rasterio.warp import transform_geom

    bounds = shapely.box(*dataset.bounds)
    dense = shapely.segmentize(bounds, max(bounds.length / 4 / (EDGE_POINTS - 1), 1e-9))
    polygon: dict[str, Any] = transform_geom(dataset.crs, "EPSG:4326", shapely.geometry.mapping(dense), precision=7)
    return polygon


def _write(
    out: Path,
    *,
    items: Sequence[tuple[datetime, Sequence[_Raster]]],
    left_out: Sequence[dict[str, str]],
    relative: bool,
) -> Path:
    ids: list[str] = []
    try:
        (out / "items").mkdir(parents=True, exist_ok=True)
        for moment, rasters in items:
            ids.append(_unique(_scene_name([raster.path.stem for raster in rasters]) or moment.date().isoformat(), ids))
            item = _item(ids[-1], moment, rasters, below=out / "items" if relative else None)
            (out / "items" / f"{ids[-1]}.json").write_text(json.dumps(item, indent=1), encoding="utf-8")
        links = [{"rel": "item", "href": f"./items/{name}.json", "type": "application/geo+json"} for name in ids]
        catalog = {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "folder",
            "description": f"{len(ids)} scenes of a folder of GeoTIFFs",
            "links": [{"rel": "root", "href": "./catalog.json", "type": "application/json"}, *links],
            "glacierflow:left_out": list(left_out),
        }
        path = out / "catalog.json"
        path.write_text(json.dumps(catalog, indent=1), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"catalog {out} cannot be written ({error.strerror})", do="choose another folder") from None
    return path


def _zulu(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _item(name: str, moment: datetime, rasters: Sequence[_Raster], *, below: Path | None) -> dict[str, Any]:
    import shapely

    footprint = shapely.union_all([shapely.geometry.shape(raster.footprint) for raster in rasters])
    assets: dict[str, Any] = {}
    for raster in rasters:
        href = Path(os.path.relpath(raster.path, below)).as_posix() if below else str(raster.path)
        # the key is what the file's name has beyond the scene's
        key = raster.path.stem.removeprefix(name).strip("_-. ") or raster.path.stem
        assets[_unique(key, assets)] = {"href": href, **raster.asset}
    updated = max(raster.changed for raster in rasters)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": list(EXTENSIONS),
        "id": name,
        "geometry": shapely.geometry.mapping(footprint),
        "bbox": list(footprint.bounds),
        "properties": {
            "datetime": _zulu(moment),
            "updated": _zulu(updated),
        },
        "assets": assets,
        "links": [{"rel": "root", "href": "../catalog.json"}, {"rel": "parent", "href": "../catalog.json"}],
    }


def _scene_name(stems: Sequence[str]) -> str:
    """What the names of a scene's files begin with alike."""
    words = [re.findall(r"[^_\-. ]+[_\-. ]*", stem) for stem in stems]
    bare = [[word.rstrip("_-. ") for word in stem] for stem in words]
    same = (len(set(column)) == 1 for column in zip(*bare, strict=False))
    return "".join(words[0][: sum(itertools.takewhile(bool, same))]).rstrip("_-. ")


def _unique(name: str, taken: Sequence[str] | dict[str, Any]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"
