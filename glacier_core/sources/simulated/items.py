"""STAC items of simulated scenes, as catalogs of Sentinel-2 Level-2A write them.

Follows STAC 1.0.0 and its extensions eo, file, projection, raster and view.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from glacier_core.grids import Grid
from glacier_core.sources.simulated.scenes import QUANTIZATION, Scene
from glacier_core.sources.simulated.spectra import BANDS, COMMON_NAMES, WAVELENGTH_UM

EXTENSIONS = [
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
    "https://stac-extensions.github.io/view/v1.0.0/schema.json",
]
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
COARSE = ("B11", "SCL")
"""Assets at 20 m."""
CATALOG_ID = "simulated-sentinel-2-l2a"


def coarse_grid(grid: Grid) -> Grid:
    """The 20 m grid over a 10 m grid."""
    a, b, c, d, e, f = grid.transform
    return Grid(
        crs=grid.crs, transform=(2 * a, b, c, d, 2 * e, f), width=-(-grid.width // 2), height=-(-grid.height // 2)
    )


def item_of(
    scene: Scene, *, scene_id: str, when: datetime, platform: str, grid: Grid, sizes: dict[str, int]
) -> dict[str, Any]:
    """The STAC item of a scene, with its files at `../../scenes/<id>/<asset>.tif`.

    Args:
        scene: the scene.
        scene_id: id of the item.
        when: time of the acquisition (UTC).
        platform: such as sentinel-2a.
        grid: the 10 m grid.
        sizes: size of each asset in bytes.
    """
    ring = _ring(grid)
    longitudes, latitudes = zip(*ring, strict=True)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": EXTENSIONS,
        "id": scene_id,
        "geometry": {"type": "Polygon", "coordinates": [[list(corner) for corner in ring]]},
        "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        "properties": {
            "datetime": _time(when),
            "created": _time(when + timedelta(hours=12)),
            "updated": _time(when + timedelta(hours=12)),
            "title": "Simulated scene: an identical twin, not an observation",
            "platform": platform,
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "gsd": 10,
            "eo:cloud_cover": round(scene.cloud_percent, 2),
            "proj:code": grid.crs,
            "s2:processing_baseline": scene.baseline,
            "view:off_nadir": 0,
            "view:sun_azimuth": round(scene.sun.azimuth, 3),
            "view:sun_elevation": round(scene.sun.elevation, 3),
        },
        "links": [
            {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../../catalog.json", "type": "application/json"},
        ],
        "assets": {
            name: _asset(name, scene=scene, scene_id=scene_id, grid=grid, size=size) for name, size in sizes.items()
        },
    }


def catalog_of(item_ids: Sequence[str]) -> dict[str, Any]:
    """The static catalog of all items, self-contained."""
    links = [{"rel": "root", "href": "./catalog.json", "type": "application/json"}]
    links += [
        {"rel": "item", "href": f"./items/{item_id}/{item_id}.json", "type": "application/geo+json"}
        for item_id in item_ids
    ]
    return {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": CATALOG_ID,
        "description": "Simulated Sentinel-2 Level-2A scenes of glaciers whose true outlines are known.",
        "links": links,
    }


def _asset(name: str, *, scene: Scene, scene_id: str, grid: Grid, size: int) -> dict[str, Any]:
    own = coarse_grid(grid) if name in COARSE else grid
    resolution = own.transform[0]
    asset: dict[str, Any] = {
        "href": f"../../scenes/{scene_id}/{name}.tif",
        "type": COG_TYPE,
        "title": "Scene classification" if name not in BANDS else f"{COMMON_NAMES[name]}, {resolution:.0f} m",
        "roles": ["data"],
        "gsd": resolution,
        "file:size": size,
        "proj:code": own.crs,
        "proj:shape": list(own.shape),
        "proj:transform": [*own.transform, 0.0, 0.0, 1.0],
    }
    if name in BANDS:
        asset["eo:bands"] = [
            {"name": name, "common_name": COMMON_NAMES[name], "center_wavelength": WAVELENGTH_UM[name]}
        ]
        asset["raster:bands"] = [
            {
                "data_type": "uint16",
                "spatial_resolution": resolution,
                "nodata": 0,
                "scale": QUANTIZATION,
                "offset": scene.offset,
            }
        ]
    else:
        asset["raster:bands"] = [{"data_type": "uint8", "spatial_resolution": resolution, "nodata": 0}]
    return asset


def _ring(grid: Grid) -> list[tuple[float, float]]:
    """The footprint in degrees, counter-clockwise, closed."""
    from pyproj import Transformer

    left, bottom, right, top = grid.bounds
    transformer = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    degrees = [transformer.transform(x, y) for x, y in corners]
    return [(round(longitude, 7), round(latitude, 7)) for longitude, latitude in degrees]


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
