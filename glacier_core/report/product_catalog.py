"""A static STAC catalog of any kind of product (https://github.com/radiantearth/stac-spec, 1.1.0)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import DataError
from glacier_core.report.catalog import CATALOG_FILE, rounded, save_catalog

if TYPE_CHECKING:
    from pystac import Item

_OVERVIEWS = (".png", ".gif", ".html", ".jpg")


@dataclass(frozen=True)
class ProductItem:
    """One item: a glacier's front on a date, a pair's velocity, a forecast."""

    id: str
    """Unique in the catalog."""
    start: date | datetime
    """First moment that it is about (UTC where it names no zone)."""
    end: date | datetime
    """Last moment."""
    geometry: Mapping[str, Any] | None = None
    """GeoJSON geometry in degrees; None where the imagery has no CRS."""
    bbox: Sequence[float] | None = None
    """West, south, east, north in degrees; None: that of the geometry."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Figures, with names such as `glacier:area_km2`."""
    assets: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    """Key: href relative to the products' folder, media type, title."""


def write_product_catalog(folder: Path, *, name: str, title: str, kind: str, items: Sequence[ProductItem]) -> list[str]:
    """Write `catalog.json` and one file an item; links are relative, so that the folder can be moved.

    No extension is declared, so that the catalog can be validated without a network.

    Args:
        folder: the products' folder.
        name: identifier of the catalog, the recipe's name.
        title: headline.
        kind: kind of work, such as `front`; kept in every item as `glacier:kind`.
        items: at least none.

    Returns:
        The files that were written, relative to `folder`.

    Raises:
        DataError: two items have one id, an item ends before it starts, or an asset lies outside the folder.
    """
    import pystac

    ids = [item.id for item in items]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise DataError(f"two items of the catalog are called {twice[0]}", expected="an id each")
    catalog = pystac.Catalog(
        id=name, title=title or name, description=f"{title or name}: products of the kind {kind}, made by Glacierflow."
    )
    for item in items:
        catalog.add_item(_item(item, kind))
    return save_catalog(catalog, folder)


def _item(found: ProductItem, kind: str) -> Item:
    import pystac

    start, end = _moment(found.start), _moment(found.end, last=True)
    if end < start:
        raise DataError(f"item {found.id} ends before it starts", expected="start <= end")
    geometry = None if found.geometry is None else rounded(dict(found.geometry))
    bbox = found.bbox
    if geometry is not None and bbox is None:
        from shapely.geometry import shape

        bbox = shape(geometry).bounds
    item = pystac.Item(
        id=found.id,
        geometry=geometry,
        bbox=None if bbox is None or geometry is None else [round(float(value), 6) for value in bbox],
        datetime=start,
        start_datetime=start,
        end_datetime=end,
        properties={"glacier:kind": kind, **found.properties},
    )
    for key, (href, media_type, title) in found.assets.items():
        if "://" in href or href.startswith("/") or ".." in Path(href).parts:
            raise DataError(f"asset {key} of item {found.id} is {href}", expected="a path inside the products' folder")
        role = "overview" if Path(href).suffix in _OVERVIEWS else "data"
        item.add_asset(
            key, pystac.Asset(href=f"../{href}", media_type=media_type or None, roles=[role], title=title or None)
        )
    return item


def _moment(found: date | datetime, *, last: bool = False) -> datetime:
    if isinstance(found, datetime):
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return datetime.combine(found, time(23, 59, 59) if last else time(), UTC)


__all__ = ["CATALOG_FILE", "ProductItem", "write_product_catalog"]
