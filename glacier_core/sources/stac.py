"""Scenes from STAC: an API or a static catalog is searched, scenes are chosen, pixels are read.

STAC 1.0 and 1.1 (https://github.com/radiantearth/stac-spec), STAC API item search. Items stay plain dictionaries with
absolute, unsigned links: links are signed when they are read (`signing`), which may be hours after the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

from glacier_core.errors import DataError
from glacier_core.sources.assets import open_asset
from glacier_core.sources.bands import band_sources, baseline_of, missing_band, projection
from glacier_core.sources.catalogs import ApiCatalog, StaticCatalog, load_root
from glacier_core.sources.mosaics import merged_items, version_of
from glacier_core.sources.reading import SceneTrouble, read_scenes
from glacier_core.sources.times import is_dated, time_of

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

__all__ = [
    "CatalogSource",
    "SceneItem",
    "SceneTrouble",
    "choose_scenes",
    "native_grid",
    "open_catalog",
    "read_scenes",
]

SAME_ACQUISITION_S = 60.0
"""Items of one platform and tile nearer in time than this show the same acquisition."""
ADDS_COVER = 0.01
"""Part of a window, or of a footprint, below which a scene is not worth reading for the ground that it adds."""


@dataclass(frozen=True)
class SceneItem:
    """One scene as a catalog describes it."""

    id: str
    """Item id."""
    datetime: datetime
    """Time of acquisition (UTC)."""
    cloud_percent: float | None
    """Cloud cover of the whole scene, 0 to 100; None if unknown."""
    updated: str
    """When the item was last changed, as the catalog writes it; empty if unknown."""
    size: int | None
    """Bytes of all its files, where the item tells them."""
    platform: str
    """Satellite, or empty."""
    baseline: str
    """Processing baseline, or empty."""
    item: dict[str, Any] = field(repr=False, compare=False)
    """The STAC item with absolute, unsigned links."""

    @classmethod
    def of(cls, item: dict[str, Any]) -> SceneItem:
        """Read what the choice of scenes needs off a STAC item."""
        properties = item.get("properties", {})
        cloud = properties.get("eo:cloud_cover")
        sizes = [asset.get("file:size") for asset in item.get("assets", {}).values()]
        updates = (properties.get(key) for key in ("updated", "s2:generation_time", "created"))
        return cls(
            id=str(item["id"]),
            datetime=time_of(item),
            # the USGS writes -1 where clouds were not looked for
            cloud_percent=None if cloud is None or float(cloud) < 0 else float(cloud),
            updated=next((str(value) for value in updates if value), ""),
            size=sum(sizes) if sizes and all(isinstance(size, int) for size in sizes) else None,
            platform=str(properties.get("platform") or properties.get("eo:platform") or ""),
            baseline=baseline_of(item),
            item=item,
        )

    def fingerprint(self) -> dict[str, Any]:
        """What digests start from: it changes when the scene's pixels may have changed, and not with its location."""
        return {"id": self.id, "updated": self.updated, "size": self.size}


class CatalogSource(Protocol):
    """A STAC catalog that can be searched."""

    @property
    def location(self) -> str:
        """Path or URL."""

    def search(
        self,
        *,
        bbox: tuple[float, float, float, float],
        start: date,
        end: date,
        collection: str,
        max_cloud_percent: float,
    ) -> list[SceneItem]:
        """Scenes that touch `bbox`, in order of time; each id once.

        Args:
            bbox: west, south, east, north in degrees (WGS 84).
            start: first day (UTC). Collections whose dates mean nothing (elevation) are found whatever the days.
            end: last day (UTC), inclusive.
            collection: id of the STAC collection, or several with commas between them; empty for any.
            max_cloud_percent: scenes known to have more cloud are left out.

        Raises:
            ServiceUnavailableError: the catalog does not answer.
            ConfigurationError: the catalog refuses the search (unknown collection, ...).
        """


@dataclass(frozen=True)
class _Source:
    """A catalog of either kind behind one search."""

    location: str
    catalog: ApiCatalog | StaticCatalog

    def search(
        self,
        *,
        bbox: tuple[float, float, float, float],
        start: date,
        end: date,
        collection: str,
        max_cloud_percent: float,
    ) -> list[SceneItem]:
        """See `CatalogSource.search`."""
        import shapely

        area = shapely.box(*bbox)
        found = self.catalog.items(
            bbox=bbox, start=start, end=end, collection=collection, max_cloud_percent=max_cloud_percent
        )
        scenes: dict[str, SceneItem] = {}
        for item in merged_items(found):
            scene = SceneItem.of(dict(item))
            dated = is_dated(str(item.get("collection") or collection))
            if dated and not start <= scene.datetime.date() <= end:
                continue
            if (scene.cloud_percent or 0.0) <= max_cloud_percent and footprint_of(item).intersects(area):
                scenes[scene.id] = scene
        return sorted(scenes.values(), key=lambda scene: (scene.datetime, scene.id))


def open_catalog(location: str) -> CatalogSource:
    """A catalog that can be searched: the URL of a STAC API, or the path or URL of a static catalog.

    Which of the two it is, its root document tells.

    Args:
        location: URL, or path of `catalog.json` or of its folder.

    Raises:
        ConfigurationError: there is no catalog, or it is no STAC.
        ServiceUnavailableError: the host does not answer; the message names it and `--catalog`.
    """
    root = load_root(location)
    is_api = "conformsTo" in root.content or any(link.get("rel") == "search" for link in root.content.get("links", []))
    return _Source(location, ApiCatalog(root.href) if is_api else StaticCatalog(root))


def choose_scenes(items: Sequence[SceneItem], *, footprint: BaseGeometry, limit: int) -> list[SceneItem]:
    """The scenes to read for a window: they cover it if any do, and are the clearest of those.

    Scenes are ranked by the part of the window that they are expected to show clear: covered part · (1 - cloud). Ties
    go by date. Scenes that add ground which no better one covers go before the rest; the same acquisition counts once,
    in its newest processing.

    Args:
        items: candidates; the order does not matter.
        footprint: the window (EPSG:4326).
        limit: how many scenes at most.

    Returns:
        Scenes by rank, best first.
    """
    window_area = footprint.area
    shares: dict[str, tuple[float, BaseGeometry]] = {}
    for scene in items:
        part = footprint_of(scene.item).intersection(footprint)
        shares[scene.id] = (part.area / window_area if window_area else float(not part.is_empty), part)

    def rank(scene: SceneItem) -> tuple[float, datetime, str]:
        cover = min(shares[scene.id][0], 1.0)
        # an unknown cloud cover is taken for a half
        cloud = 50.0 if scene.cloud_percent is None else scene.cloud_percent
        return -round(cover * (1 - cloud / 100), 4), scene.datetime, scene.id

    ranked = sorted((scene for scene in newest_of_each(items) if shares[scene.id][0] > 0), key=rank)
    chosen: list[SceneItem] = []
    bare = footprint
    for scene in ranked:
        gained = bare.intersection(shares[scene.id][1]).area if window_area else 0.0
        if gained > ADDS_COVER * window_area and len(chosen) < limit:
            chosen.append(scene)
            bare = bare.difference(shares[scene.id][1])
    chosen += [scene for scene in ranked if scene not in chosen][: max(limit - len(chosen), 0)]
    return sorted(chosen, key=rank)


def newest_of_each(items: Sequence[SceneItem]) -> list[SceneItem]:
    """Each acquisition (platform, tile, time) in its newest processing.

    Older ones are kept where they show ground that the newest does not: a tile may be delivered in two parts.
    """
    groups: list[list[SceneItem]] = []
    for scene in sorted(items, key=lambda scene: (scene.platform, _tile(scene.item), scene.datetime, scene.id)):
        last = groups[-1][0] if groups else None
        if (
            last is not None
            and (last.platform, _tile(last.item)) == (scene.platform, _tile(scene.item))
            and (scene.datetime - last.datetime).total_seconds() <= SAME_ACQUISITION_S
        ):
            groups[-1].append(scene)
        else:
            groups.append([scene])
    return [scene for group in groups for scene in _adding_ground(group)]


def _adding_ground(group: Sequence[SceneItem]) -> list[SceneItem]:
    """The newest of several scenes, and those that show ground which no newer one does."""
    newest, *older = sorted(
        group, key=lambda scene: (version_of(scene.baseline), scene.updated, scene.id), reverse=True
    )
    kept, shown = [newest], footprint_of(newest.item)
    for scene in older:
        footprint = footprint_of(scene.item)
        if footprint.difference(shown).area > ADDS_COVER * footprint.area:
            kept.append(scene)
            shown = shown.union(footprint)
    return kept


def native_grid(item: Mapping[str, Any], band: str) -> tuple[str, float, tuple[float, float]]:
    """CRS, pixel size (units of the CRS) and the outer corner (x, y) of the upper left pixel of a band's own grid.

    Args:
        item: STAC item with absolute links.
        band: name of the band.

    Raises:
        ConfigurationError: the item has no such band.
        DataError: neither the item nor the file tells the grid.
    """
    source = band_sources(item).get(band)
    if source is None:
        raise missing_band(band, [item])
    known = projection(item, source.asset)
    if known is None:
        with open_asset(source.href) as dataset:
            if dataset.crs is None:
                raise DataError(
                    f"band '{band}' of scene {item['id']} has no CRS",
                    expected="georeferenced imagery",
                    do=f"assign a CRS to {source.href}",
                )
            known = dataset.crs.to_string(), tuple(dataset.transform)[:6]
    crs, (resolution, _, left, _, _, top) = known
    return crs, abs(resolution), (left, top)


def footprint_of(item: Mapping[str, Any]) -> BaseGeometry:
    """The item's footprint (EPSG:4326): its geometry, or else its bounding box."""
    import shapely

    if item.get("geometry"):
        return shapely.make_valid(shapely.geometry.shape(item["geometry"]))
    bbox: list[float] = item.get("bbox") or []
    half = len(bbox) // 2
    return shapely.box(bbox[0], bbox[1], bbox[half], bbox[half + 1]) if half in (2, 3) else shapely.Polygon()


def _tile(item: Mapping[str, Any]) -> str:
    properties = item.get("properties", {})
    for key in ("s2:mgrs_tile", "grid:code"):
        if properties.get(key):
            return str(properties[key])
    if properties.get("landsat:wrs_path") and properties.get("landsat:wrs_row"):
        return f"{properties['landsat:wrs_path']}/{properties['landsat:wrs_row']}"
    # without a tile's name, scenes with about the same corners show the same tile
    return ",".join(f"{value:.1f}" for value in footprint_of(item).bounds)
