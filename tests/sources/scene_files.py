"""Small scenes for the tests of the sources: cloud-optimised GeoTIFFs, and the STAC items and catalogs of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

CRS = "EPSG:32645"
CORNER = (500_000.0, 3_100_000.0)
COLLECTION = "sentinel-2-l2a"


@dataclass(frozen=True)
class Ground:
    """Where a scene lies."""

    corner: tuple[float, float] = CORNER  # upper left, metres
    size: int = 96  # rows and columns at 10 m
    crs: str = CRS

    def bounds(self) -> tuple[float, float, float, float]:
        left, top = self.corner
        return left, top - 10 * self.size, left + 10 * self.size, top


def write_raster(
    path: Path,
    pixels: NDArray[Any],
    *,
    resolution: float = 10.0,
    ground: Ground | None = None,
    nodata: float | None = 0,
    driver: str = "COG",
) -> Path:
    """A GeoTIFF of (y, x) or (band, y, x) pixels."""
    ground = ground or Ground()
    layers = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    path.parent.mkdir(parents=True, exist_ok=True)
    left, top = ground.corner
    options: dict[str, Any] = {"blocksize": 128} if driver == "COG" else {}
    with rasterio.open(
        path,
        "w",
        driver=driver,
        dtype=layers.dtype,
        count=len(layers),
        height=layers.shape[1],
        width=layers.shape[2],
        crs=ground.crs,
        transform=from_origin(left, top, resolution, resolution),
        nodata=nodata,
        compress="deflate",
        **options,
    ) as file:
        file.write(layers)
    return path


def numbers(seed: int, size: int, *, low: int = 1, high: int = 9000) -> NDArray[np.uint16]:
    """Pixels without structure, so that no shift goes unseen."""
    return np.random.default_rng(seed).integers(low, high, (size, size)).astype(np.uint16)


def make_item(
    name: str,
    *,
    day: str,
    links: Mapping[str, str],
    ground: Ground | None = None,
    cloud: float = 10.0,
    fields: Mapping[str, Any] | None = None,
    assets: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """A STAC item of Sentinel-2 as the Planetary Computer writes it: without `raster:bands`."""
    ground = ground or Ground()
    west, south, east, north = transform_bounds(ground.crs, "EPSG:4326", *ground.bounds())
    left, top = ground.corner
    described = {}
    for band, link in links.items():
        resolution = 20.0 if band in {"SCL", "B11"} else 10.0
        described[band] = {
            "href": link,
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "proj:transform": [resolution, 0.0, left, 0.0, -resolution, top],
            **(assets or {}).get(band, {}),
        }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": ["https://stac-extensions.github.io/projection/v1.0.0/schema.json"],
        "id": name,
        "collection": COLLECTION,
        "geometry": shapely.geometry.mapping(shapely.box(west, south, east, north)),
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": f"{day}T05:00:00Z",
            "platform": "Sentinel-2A",
            "eo:cloud_cover": cloud,
            "proj:epsg": int(ground.crs.removeprefix("EPSG:")),
            "s2:processing_baseline": "03.00",
            **(fields or {}),
        },
        "assets": described,
        "links": [],
    }


def plain_item(
    name: str,
    *,
    collection: str,
    when: str,
    ground: Ground,
    assets: Mapping[str, Mapping[str, Any]],
    fields: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A STAC item of any collection, its assets as they are given (`href` and whatever else they say)."""
    west, south, east, north = transform_bounds(ground.crs, "EPSG:4326", *ground.bounds())
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": name,
        "collection": collection,
        "geometry": shapely.geometry.mapping(shapely.box(west, south, east, north)),
        "bbox": [west, south, east, north],
        "properties": {"datetime": when, **(fields or {})},
        "assets": {key: {"type": "image/tiff; application=geotiff", **asset} for key, asset in assets.items()},
        "links": [],
    }


def write_catalog(folder: Path, items: Sequence[Mapping[str, Any]]) -> Path:
    """A static catalog in `folder` whose items stand in folders of their own."""
    links = []
    for item in items:
        path = folder / "items" / item["id"] / f"{item['id']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(item), encoding="utf-8")
        links.append({"rel": "item", "href": f"./{path.relative_to(folder)}"})
    catalog = {"type": "Catalog", "stac_version": "1.0.0", "id": "test", "description": "test", "links": links}
    (folder / "catalog.json").write_text(json.dumps(catalog), encoding="utf-8")
    return folder / "catalog.json"
