"""Bands of a STAC item: where each one is, and how its numbers become physical values.

Follows the STAC extensions projection (v1, v2), raster (v1, v2), eo, and the common `bands` of STAC 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glacier_core.errors import ConfigurationError

Json = Mapping[str, Any]

SENTINEL2_SCALE = 1e-4
SENTINEL2_OFFSET = -0.1
SENTINEL2_OFFSET_SINCE = 4.0
"""Processing baseline that introduced BOA_ADD_OFFSET = -1000 (ESA, Sentinel-2 PSD 14.9)."""
SENTINEL2_OFFSET_DATE = "2022-01-25"
"""First day on which that baseline was in operation; counts where an item does not name its baseline."""
_RASTER_ENDINGS = (".tif", ".tiff", ".jp2", ".vrt", ".img")


@dataclass(frozen=True)
class BandSource:
    """One band of one item."""

    asset: str
    """Key of the asset."""
    href: str
    """Absolute link or path, unsigned."""
    index: int
    """Number of the band in the file, from 1."""
    scale: float
    """Physical value = scale · number + offset."""
    offset: float
    """See `scale`."""
    nodata: float | None
    """Number that stands for no data where the file itself names none."""


def band_sources(item: Json) -> dict[str, BandSource]:
    """Every band of an item by each of its names.

    A band is named by its asset's key (assets of one band), by its own name or common name, and as `<asset>.<index>`
    (assets of several bands). Where names collide, assets of one band go first, then the item's order.

    Args:
        item: STAC item with absolute hrefs.
    """
    assets = {key: asset for key, asset in item.get("assets", {}).items() if _is_raster(asset)}
    single = [key for key in assets if len(_bands_of(assets[key])) == 1]
    several = [key for key in assets if key not in single]
    found: dict[str, BandSource] = {}
    for naming in (_key_names, _own_names, _common_names):
        for key in (*single, *several):
            for index, name in naming(key, assets[key]):
                if name not in found:
                    found[name] = _source(item, key, index)
    return found


def missing_band(band: str, items: Sequence[Json]) -> ConfigurationError:
    """The error for a band that no item has."""
    known = sorted({name for item in items for name in band_sources(item)})
    return ConfigurationError(
        f"band '{band}' is in none of {len(items)} scenes",
        expected=f"one of {', '.join(known) or 'no band at all'}",
        do="correct the bands of the recipe's imagery",
    )


def projection(item: Json, asset: str) -> tuple[str, tuple[float, ...]] | None:
    """CRS and affine transform (a, b, c, d, e, f) of an asset as its item tells them, or None where it does not."""
    fields = {**item.get("properties", {}), **item["assets"][asset]}
    transform = fields.get("proj:transform")
    crs = _crs(fields)
    if not crs or not transform or len(transform) < 6:
        return None
    return crs, tuple(float(value) for value in transform[:6])


def baseline_of(item: Json) -> str:
    """Sentinel-2 processing baseline such as 04.00, or another product's processing version; empty if unknown."""
    properties = item.get("properties", {})
    for key in ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version"):
        if properties.get(key):
            return str(properties[key])
    names = (properties.get("s2:product_uri"), properties.get("sentinel:product_id"), item.get("id"))
    match = re.search(r"_N(\d\d)(\d\d)_", " ".join(str(name) for name in names if name))
    return f"{match[1]}.{match[2]}" if match else ""


def _crs(fields: Json) -> str:
    if fields.get("proj:code"):
        return str(fields["proj:code"])
    if fields.get("proj:epsg"):
        return f"EPSG:{fields['proj:epsg']}"
    if fields.get("proj:wkt2"):
        return str(fields["proj:wkt2"])
    if fields.get("proj:projjson"):
        from pyproj import CRS

        return str(CRS.from_json_dict(fields["proj:projjson"]).to_wkt())
    return ""


def _is_raster(asset: Json) -> bool:
    media = str(asset.get("type") or "")
    if media:
        return media.startswith(("image/tiff", "image/vnd.stac.geotiff", "image/jp2"))
    return str(asset.get("href", "")).lower().endswith(_RASTER_ENDINGS)


def _bands_of(asset: Json) -> list[dict[str, Any]]:
    """What the item says of each band, at least one."""
    lists = [asset.get(key) or [] for key in ("bands", "raster:bands", "eo:bands")]
    count = max(1, *map(len, lists))
    merged: list[dict[str, Any]] = [{} for _ in range(count)]
    for entries in lists:
        for band, entry in zip(merged, entries, strict=False):
            if isinstance(entry, Mapping):  # items of STAC before 0.9 have numbers here
                band.update(entry)
    return merged


def _key_names(key: str, asset: Json) -> Iterator[tuple[int, str]]:
    count = len(_bands_of(asset))
    if count == 1:
        yield 1, key
    else:
        yield from ((index, f"{key}.{index}") for index in range(1, count + 1))


def _own_names(key: str, asset: Json) -> Iterator[tuple[int, str]]:  # noqa: ARG001 one form for all three namings
    for index, band in enumerate(_bands_of(asset), start=1):
        if band.get("name"):
            yield index, str(band["name"])


def _common_names(key: str, asset: Json) -> Iterator[tuple[int, str]]:  # noqa: ARG001 one form for all three namings
    for index, band in enumerate(_bands_of(asset), start=1):
        if common := band.get("common_name") or band.get("eo:common_name"):
            yield index, str(common)


def _source(item: Json, key: str, index: int) -> BandSource:
    asset = item["assets"][key]
    band = _bands_of(asset)[index - 1]
    scale, offset, nodata = (_field(name, band, asset) for name in ("scale", "offset", "nodata"))
    if _is_sentinel2(item) and _is_reflectance(key, band):
        if scale is None and offset is None:
            # the Planetary Computer's items do not say: its files hold the numbers of the original products
            scale, offset = SENTINEL2_SCALE, SENTINEL2_OFFSET if _has_offset(item) else 0.0
        if _offset_is_applied(item):
            offset = 0.0
        nodata = 0.0 if nodata is None else nodata
    return BandSource(
        asset=key,
        href=str(asset["href"]),
        index=index,
        scale=1.0 if scale is None else scale,
        offset=0.0 if offset is None else offset,
        nodata=nodata,
    )


def _field(name: str, band: Json, asset: Json) -> float | None:
    """A number of the raster extension, wherever its version puts it."""
    places = (band.get(name), band.get(f"raster:{name}"), asset.get(f"raster:{name}"), asset.get(name))
    value = next((value for value in places if value is not None), None)
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _is_sentinel2(item: Json) -> bool:
    properties = item.get("properties", {})
    names = (properties.get("constellation"), properties.get("platform"))
    return "s2:processing_baseline" in properties or any(
        str(name).lower().replace(" ", "-").startswith("sentinel-2") for name in names if name
    )


def _is_reflectance(key: str, band: Json) -> bool:
    if key.upper() in {"SCL", "AOT", "WVP", "TCI", "VISUAL", "CLD", "SNW"}:
        return False
    return bool(re.fullmatch(r"B(0?[1-9]|1[0-2]|8A)", key.upper()) or band.get("common_name"))


def _has_offset(item: Json) -> bool:
    baseline = baseline_of(item)
    try:
        return float(baseline) >= SENTINEL2_OFFSET_SINCE
    except ValueError:
        return str(item.get("properties", {}).get("datetime") or "") >= SENTINEL2_OFFSET_DATE


def _offset_is_applied(item: Json) -> bool:
    """Earth Search has subtracted the offset from some files while their `raster:bands` still names it."""
    properties = item.get("properties", {})
    return any(properties.get(f"{prefix}:boa_offset_applied") is True for prefix in ("earthsearch", "sentinel"))
