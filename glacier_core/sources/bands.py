"""Bands of a STAC item: where each one is, and how its numbers become physical values.

Follows the STAC extensions projection (v1, v2), raster (v1, v2), eo, and the common `bands` of STAC 1.1.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlparse

from glacier_core.errors import ConfigurationError
from glacier_core.sources import landsat

Json = Mapping[str, Any]

SENTINEL2_SCALE = 1e-4
SENTINEL2_OFFSET = -0.1
SENTINEL2_OFFSET_SINCE = 4.0
"""Processing baseline that introduced BOA_ADD_OFFSET = -1000 (ESA, Sentinel-2 PSD 14.9)."""
SENTINEL2_OFFSET_DATE = "2022-01-25"
"""First day on which that baseline was in operation; counts where an item does not name its baseline."""
RADAR_NODATA = -32768.0
"""Number that stands for no data in Sentinel-1 RTC."""
CLASSES = "scene_class"
"""The name to which every collection's own classification (SCL, QA_PIXEL) answers."""
_RASTER_ENDINGS = (".tif", ".tiff", ".jp2", ".vrt", ".img")
_SENTINEL2_BAND = re.compile(r"(?:^|_)(B(?:0[1-9]|1[0-2]|8A)|SCL|AOT|WVP)(?:_\d+m)?$")
_HEIGHTS = {"elevation", "height", "dem", "dsm", "dtm"}
_HEIGHT_COLLECTIONS = ("cop-dem", "nasadem", "alos-dem", "3dep")
_POLARISATIONS = {"vv", "vh", "hh", "hv"}


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
    quantity: str = "digital_number"
    """What the physical values measure: reflectance, temperature (K), backscatter (linear power), height (m), class,
    digital_number, or `scaled`: numbers that the item scales without saying what they are."""
    coding: str = ""
    """How the codes of a classification are to be read: scl, qa_pixel; empty for what is none, or unknown."""


def band_sources(item: Json) -> dict[str, BandSource]:
    """Every band of an item by each of its names.

    A band is named by its asset's key (assets of one band), by its own name or common name, and as `<asset>.<index>`
    (assets of several bands). Landsat's and Sentinel-2's also answer to the product's own names (SR_B3, ST_B10,
    QA_PIXEL; B04, SCL), Landsat's to the common ones (green, lwir11), whatever the catalog calls them, and every
    collection's classification to `scene_class`. Where names collide, assets of one band go first, then the item's
    order.

    Args:
        item: STAC item with absolute hrefs.
    """
    assets = {key: asset for key, asset in item.get("assets", {}).items() if _is_raster(asset)}
    described = {key: _bands_of(item, asset) for key, asset in assets.items()}
    single = [key for key in assets if len(described[key]) == 1]
    several = [key for key in assets if key not in single]
    found: dict[str, BandSource] = {}
    for naming in (_key_names, _own_names, _common_names):
        for key in (*single, *several):
            for index, name in naming(key, described[key]):
                if name not in found:
                    found[name] = _source(item, key, index)
    for key in single:
        for name in _product_names(item, key):
            found.setdefault(name, _source(item, key, 1))
    return found


def quantities_of(items: Sequence[Json], bands: Sequence[str]) -> tuple[str, ...]:
    """What each band measures, the same in every item that has it; see `BandSource.quantity`.

    Raises:
        ConfigurationError: a band is in none of the items, or measures one thing here and another there.
    """
    sources = [(str(item["id"]), band_sources(item)) for item in items]
    found = []
    for band in bands:
        kinds = {known[band].quantity: name for name, known in sources if band in known}
        if len(kinds) > 1:
            told = ", ".join(f"{kind} in {name}" for kind, name in sorted(kinds.items()))
            raise ConfigurationError(f"band '{band}' is {told}", do="put scenes of one collection into one cube")
        if items and not kinds:
            raise missing_band(band, items)
        found.append(next(iter(kinds), "digital_number"))
    return tuple(found)


def with_own_bands(item: Json) -> dict[str, Any]:
    """The item with every asset's bands spelled out: items of STAC before 0.9 have numbers there, which count the
    bands of the whole item."""
    listed = item.get("properties", {}).get("eo:bands") or []

    def spelled(entry: Any) -> Any:
        return listed[entry] if isinstance(entry, int) and 0 <= entry < len(listed) else entry

    assets = {
        key: {**asset, "eo:bands": [spelled(entry) for entry in asset["eo:bands"]]} if asset.get("eo:bands") else asset
        for key, asset in item.get("assets", {}).items()
    }
    return {**item, "assets": assets}


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


def _bands_of(item: Json, asset: Json) -> list[dict[str, Any]]:
    """What the item says of each band, at least one."""
    listed = item.get("properties", {}).get("eo:bands") or []
    lists = [asset.get(key) or [] for key in ("bands", "raster:bands", "eo:bands")]
    count = max(1, *map(len, lists))
    merged: list[dict[str, Any]] = [{} for _ in range(count)]
    for entries in lists:
        for band, entry in zip(merged, entries, strict=False):
            # items of STAC before 0.9 have numbers here: they count the bands of the whole item
            told = listed[entry] if isinstance(entry, int) and 0 <= entry < len(listed) else entry
            if isinstance(told, Mapping):
                band.update(told)
    return merged


def _key_names(key: str, bands: Sequence[Json]) -> Iterator[tuple[int, str]]:
    if len(bands) == 1:
        yield 1, key
    else:
        yield from ((index, f"{key}.{index}") for index in range(1, len(bands) + 1))


def _own_names(key: str, bands: Sequence[Json]) -> Iterator[tuple[int, str]]:  # noqa: ARG001 one form for all three
    for index, band in enumerate(bands, start=1):
        if band.get("name"):
            yield index, str(band["name"])


def _common_names(key: str, bands: Sequence[Json]) -> Iterator[tuple[int, str]]:  # noqa: ARG001 one form for all three
    for index, band in enumerate(bands, start=1):
        if common := _common_name(band):
            yield index, common


def _product_names(item: Json, key: str) -> Iterator[str]:
    """Names that an asset of one band answers to in every catalog of its product."""
    product = landsat.product_band(item, key)
    if product:
        yield from landsat.names_of(item, product)
    elif _is_sentinel2(item):
        # Earth Search calls B04 red and SCL scl; its files are called as the product's are
        stem = posixpath.splitext(posixpath.basename(urlparse(str(item["assets"][key]["href"])).path))[0]
        if match := _SENTINEL2_BAND.search(stem):
            yield match[1]
    if _coding(key, product):
        yield CLASSES


def _common_name(band: Json) -> str:
    return str(band.get("common_name") or band.get("eo:common_name") or "")


def _source(item: Json, key: str, index: int) -> BandSource:
    asset = item["assets"][key]
    band = _bands_of(item, asset)[index - 1]
    product = landsat.product_band(item, key)
    declared = _Numbers(*(_field(name, band, asset) for name in ("scale", "offset", "nodata")))
    quantity = _quantity(item, key, product, band=band, declared=declared)
    numbers = _calibrated(item, product, quantity, declared)
    return BandSource(
        asset=key,
        href=str(asset["href"]),
        index=index,
        scale=1.0 if numbers.scale is None else numbers.scale,
        offset=0.0 if numbers.offset is None else numbers.offset,
        nodata=numbers.nodata,
        quantity=quantity,
        coding=_coding(key, product),
    )


class _Numbers(NamedTuple):
    """How numbers become values; None where nobody says."""

    scale: float | None
    offset: float | None
    nodata: float | None

    @property
    def are_scaled(self) -> bool:
        return (self.scale or 1.0, self.offset or 0.0) != (1.0, 0.0)


def _calibrated(item: Json, product: str, quantity: str, declared: _Numbers) -> _Numbers:
    """What the item declares, completed by what is known of its collection."""
    scale, offset, nodata = declared
    if product.startswith(("SR_B", "ST_B")):
        if not declared.are_scaled:
            # neither the items of the USGS nor the files say; the numbers themselves are never meant
            scale, offset = landsat.REFLECTANCE if product.startswith("SR_B") else landsat.TEMPERATURE
        nodata = landsat.FILL if nodata is None else nodata
    elif product == "QA_PIXEL":
        nodata = landsat.QA_FILL if nodata is None else nodata
    elif _is_sentinel2(item) and quantity == "reflectance":
        if scale is None and offset is None:
            # the Planetary Computer's items do not say: its files hold the numbers of the original products
            scale, offset = SENTINEL2_SCALE, SENTINEL2_OFFSET if _has_offset(item) else 0.0
        if _offset_is_applied(item):
            offset = 0.0
        nodata = 0.0 if nodata is None else nodata
    elif quantity == "backscatter":
        nodata = RADAR_NODATA if nodata is None else nodata
    return _Numbers(scale, offset, nodata)


def _coding(key: str, product: str) -> str:
    if product == "QA_PIXEL":
        return "qa_pixel"
    return "scl" if key.upper() == "SCL" else ""


def _quantity(item: Json, key: str, product: str, *, band: Json, declared: _Numbers) -> str:
    """See `BandSource.quantity`."""
    cases = {
        "class": bool(_coding(key, product)),
        "reflectance": product.startswith("SR_B")
        or (_is_reflectance(key, band) and (_is_sentinel2(item) or declared.are_scaled)),
        "temperature": product.startswith("ST_B") or str(band.get("unit", "")).lower() in {"k", "kelvin"},
        "backscatter": key.lower() in _POLARISATIONS and _is_terrain_corrected(item),
        "height": key.lower() in _HEIGHTS or str(item.get("collection") or "").startswith(_HEIGHT_COLLECTIONS),
        "scaled": declared.are_scaled or str(band.get("data_type", "")).startswith("float"),
    }
    return next((quantity for quantity, holds in cases.items() if holds), "digital_number")


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


def _is_terrain_corrected(item: Json) -> bool:
    """Whether radar numbers are gamma nought of terrain-corrected scenes, in linear power."""
    product = str(item.get("properties", {}).get("sar:product_type") or "")
    return product.upper() == "RTC" or str(item.get("collection") or "").endswith("-rtc")


def _is_reflectance(key: str, band: Json) -> bool:
    if key.upper() in {"SCL", "AOT", "WVP", "TCI", "VISUAL", "CLD", "SNW"}:
        return False
    return bool(re.fullmatch(r"B(0?[1-9]|1[0-2]|8A)", key.upper()) or _common_name(band))


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
