"""A static STAC catalog of the products (https://github.com/radiantearth/stac-spec, 1.1.0)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.recipes import ExtentRecipe
from glacier_core.report.naming import file_name
from glacier_core.report.overview import Overview
from glacier_core.report.rasters import NODATA, mask_path
from glacier_core.report.vectors import OutlineRecord

if TYPE_CHECKING:
    from pystac import Catalog, Item

CATALOG_FILE = "catalog.json"
_TYPES = {
    ".csv": "text/csv",
    ".png": "image/png",
    ".gif": "image/gif",
    ".html": "text/html",
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
}
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def write_catalog(
    folder: Path,
    *,
    recipe: ExtentRecipe,
    overview: Overview,
    records: Sequence[OutlineRecord],
    files: Sequence[str],
    model: str,
) -> list[str]:
    """Write `catalog.json`, one item of the products that span everything, and one item a glacier and year.

    Links are relative, so that the folder can be moved. No extension is declared, so that the catalog can be
    validated without a network.

    Args:
        folder: the products' folder.
        recipe: the recipe.
        overview: the ranked glaciers.
        records: the outlines.
        files: products that span all glaciers, relative to `folder`.
        model: name and version.

    Returns:
        The files that were written, relative to `folder`.
    """
    import pystac

    catalog = pystac.Catalog(
        id=recipe.name,
        title=recipe.title or recipe.name,
        description=f"Areas, outlines and masks of {len(overview.glaciers)} glaciers, made by Glacierflow.",
    )
    if records:
        catalog.add_item(_products(recipe, records, files, model))
    for record in records:
        catalog.add_item(_unit(record, recipe, model))
    return save_catalog(catalog, folder)


def save_catalog(catalog: Catalog, folder: Path) -> list[str]:
    """Write a catalog and its items under `items/`, with relative links; the files, relative to `folder`."""
    from pystac import CatalogType

    written = [CATALOG_FILE]
    for item in catalog.get_items():
        relative = f"items/{file_name(item.id)}.json"
        item.set_self_href(str(folder / relative))
        written.append(relative)
    catalog.set_self_href(str(folder / CATALOG_FILE))
    (folder / "items").mkdir(exist_ok=True)
    catalog.catalog_type = CatalogType.SELF_CONTAINED
    for item in catalog.get_items():
        item.save_object(include_self_link=False)
    catalog.save_object(include_self_link=False)
    return written


def _unit(record: OutlineRecord, recipe: ExtentRecipe, model: str) -> Item:
    import pystac
    from shapely.geometry import mapping

    row, glacier = record.row, record.glacier
    shown = record.geometry.simplify(1e-4)
    start, end = recipe.season_of(row.year)
    empty = shown.is_empty
    item = pystac.Item(
        id=f"{glacier.glacier_id}_{row.year}",
        geometry=None if empty else rounded(mapping(shown)),
        bbox=None if empty else [round(value, 6) for value in shown.bounds],
        datetime=datetime.combine(record.src_date, time(), UTC),
        start_datetime=datetime.combine(start, time(), UTC),
        end_datetime=datetime.combine(end, time(), UTC),
        properties={
            "title": f"{glacier.name}, {row.year}",
            "gsd": recipe.imagery.resolution_m,
            "glacier:id": glacier.glacier_id,
            "glacier:area_km2": round(row.area_km2, 4),
            "glacier:area_interval_km2": [round(row.low_km2, 4), round(row.high_km2, 4)],
            "glacier:clear_fraction": round(row.clear_fraction, 4),
            "glacier:scenes": list(row.scenes),
            "glacier:model": model,
            "glacier:flags": list(row.flags),
        },
    )
    item.add_asset(
        "ice",
        pystac.Asset(
            href=f"../{mask_path(glacier.glacier_id, row.year)}",
            media_type=_COG,
            roles=["data"],
            title="ice: 1 yes, 0 no, 255 not measured",
            extra_fields={"data_type": "uint8", "nodata": NODATA, "bands": [{"name": "ice"}]},
        ),
    )
    return item


def _products(recipe: ExtentRecipe, records: Sequence[OutlineRecord], files: Sequence[str], model: str) -> Item:
    import pystac
    from shapely.geometry import box, mapping

    bounds = [record.geometry.bounds for record in records if not record.geometry.is_empty]
    west, south = (min((found[i] for found in bounds), default=0.0) for i in (0, 1))
    east, north = (max((found[i] for found in bounds), default=0.0) for i in (2, 3))
    start, _ = recipe.season_of(recipe.years[0])
    _, end = recipe.season_of(recipe.years[1])
    item = pystac.Item(
        id=f"{recipe.name}-products",
        geometry=rounded(mapping(box(west, south, east, north))),
        bbox=[round(value, 6) for value in (west, south, east, north)],
        datetime=datetime.combine(end, time(), UTC),
        start_datetime=datetime.combine(start, time(), UTC),
        end_datetime=datetime.combine(end, time(), UTC),
        properties={"title": recipe.title or recipe.name, "glacier:model": model},
    )
    for name in files:
        path = Path(name)
        role = "overview" if path.suffix in {".png", ".gif", ".html"} else "data"
        key = f"{path.stem}_{path.suffix[1:]}"
        item.add_asset(key, pystac.Asset(href=f"../{name}", media_type=_TYPES.get(path.suffix), roles=[role]))
    return item


def rounded(geometry: Any) -> Any:
    """Coordinates as rounded lists (a microdegree is 0.1 m)."""
    if isinstance(geometry, dict):
        return {**geometry, "coordinates": rounded(geometry["coordinates"])}
    if isinstance(geometry, (list, tuple)):
        return [rounded(part) for part in geometry]
    return round(float(geometry), 6)
