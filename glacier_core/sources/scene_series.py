"""Scenes of a catalog as a series: each day is read when it is asked for, a strip of rows at a time."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from glacier_core.errors import SceneError
from glacier_core.grids import Grid
from glacier_core.sources import landsat
from glacier_core.sources.bands import CLASSES, baseline_of, quantities_of
from glacier_core.sources.mosaics import BETWEEN_IDS, merged_items, one_by_one, platform_of, same_day
from glacier_core.sources.reading import Image, SceneTrouble, Wanted, check_bands, read_images
from glacier_core.sources.remote import unreachable
from glacier_core.sources.scene_classes import CLOUDY, UNSEEN
from glacier_core.sources.series import Frame, Series
from glacier_core.sources.stac import SceneItem, footprint_of, newest_of_each
from glacier_core.sources.times import time_of
from glacier_core.store import digest_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

Item = Mapping[str, Any]
OnTrouble = Callable[[SceneTrouble], None]

WIDENED_DEG = 0.05
"""Footprints are drawn roughly: scenes nearer to the grid than this may still show some of it."""


def scene_series(
    items: Sequence[Item],
    *,
    name: str,
    bands: Sequence[str],
    mask: str = "",
    grid: Grid,
    mosaic: bool = True,
    masked: bool = False,
    retries: int = 4,
    on_trouble: OnTrouble | None = None,
) -> Series:
    """The scenes of a catalog as a series on one grid; no pixel is read yet.

    A scene that was processed several times is taken in its newest processing (`newest_of_each`).

    Args:
        items: STAC items with absolute, unsigned links, in any order.
        name: name of the series.
        bands: names of the bands, as for `read_scenes`.
        mask: name of the scene classification band; `scene_class` for each collection's own; empty for none.
        grid: where the pixels are wanted.
        mosaic: whether the scenes of one satellite and day become one frame, as for `read_scenes`.
        masked: whether pixels of clouds and their shadows become NaN (no wider than they are flagged). If not, the
            classification is one more band, `scene_class`, after the others.
        retries: how often a read that may succeed later is tried again.
        on_trouble: is told, when a frame is read, of each scene that is left out of a day whose other scenes can be
            used; once a scene. By default it is logged.

    Returns:
        One frame a scene or day. Labels: `scene` (ids, semicolons between them), `platform`, `sensor`, `baseline`,
        `updated` (when the items were last changed), and `gaps`: `slc-off` where Landsat 7 recorded without its scan
        line corrector, else empty; its gaps are no data, neither cloud nor ground. Scenes whose footprint does not
        meet the grid are troubles of the series.
        A frame raises SceneError where none of its scenes can be read, and ServiceUnavailableError where a service
        stays busy or silent: another time the frame would be another one.

    Raises:
        ConfigurationError: a band is in none of the items, or measures different things in some of them.
    """
    wanted = Wanted(tuple(bands), mask, grid, retries)
    scenes = merged_items(items)
    check_bands(scenes, wanted)
    quantities = quantities_of(scenes, bands)
    near, troubles = _meeting(scenes, grid)
    newest = {scene.id for scene in newest_of_each([SceneItem.of(dict(item)) for item in near])}
    kept = [item for item in near if str(item["id"]) in newest]
    troubles += [SceneTrouble(str(item["id"]), "a newer processing replaces it") for item in near if item not in kept]
    groups = same_day(kept, grid) if mosaic else one_by_one(kept)
    told = on_trouble or _log
    classes = bool(mask) and not masked
    return Series(
        name=name,
        grid=grid,
        bands=(*bands, *((CLASSES,) if classes else ())),
        quantities=(*quantities, *(("class",) if classes else ())),
        frames=tuple(_frame(group, _Reader(tuple(group), wanted, masked, told, set())) for group in groups),
        troubles=tuple(troubles),
        attrs={"source": "; ".join(sorted({str(item.get("collection") or "") for item in kept} - {""}))},
    )


@dataclass(frozen=True)
class _Reader:
    """Reads strips of one frame."""

    scenes: tuple[Item, ...]
    wanted: Wanted
    masked: bool
    on_trouble: OnTrouble
    told: set[str]
    """Scenes whose trouble has been told."""

    def __call__(self, rows: slice) -> NDArray[np.float32]:
        """See `Frame.read`."""
        import numpy as np

        first, last, _ = rows.indices(self.wanted.grid.height)
        strip = strip_of(self.wanted.grid, first, last)
        (image,) = read_images([self.scenes], replace(self.wanted, grid=strip))
        self._judge(image)
        count = len(self.wanted.bands)
        keeps_classes = bool(self.wanted.mask) and not self.masked
        pixels = np.empty((count + keeps_classes, *strip.shape), np.float32)
        if image.pixels is None:
            pixels.fill(np.nan)
            return pixels
        for position, band in enumerate(image.pixels.bands):
            pixels[position] = band
        if self.wanted.mask and image.pixels.classes is not None:
            if self.masked:
                pixels[:, np.isin(image.pixels.classes, (*CLOUDY, *UNSEEN))] = np.nan
            else:
                pixels[count] = image.pixels.classes
        return pixels

    def _judge(self, image: Image) -> None:
        """Tell of what is left out, or give the frame up."""
        broken = [trouble for trouble in image.troubles if not trouble.readable]
        passing = next((trouble for trouble in broken if trouble.temporary), None)
        if passing is not None:
            host = image.silent_host or "the imagery's storage"
            raise unreachable(f"https://{host}" if image.silent_host else host, detail=passing.reason)
        if broken and len(broken) == len(self.scenes):
            raise SceneError("; ".join(f"{trouble.scene}: {trouble.reason}" for trouble in broken))
        for trouble in broken:
            if trouble.scene not in self.told:
                self.told.add(trouble.scene)
                self.on_trouble(trouble)


def strip_of(grid: Grid, first: int, last: int) -> Grid:
    """Rows [first, last) of a grid."""
    a, b, left, d, e, top = grid.transform
    return replace(grid, transform=(a, b, left, d, e, top + e * first), height=max(last - first, 0))


def _frame(group: Sequence[Item], reader: _Reader) -> Frame:
    name = BETWEEN_IDS.join(str(item["id"]) for item in group)
    return Frame(
        id=name,
        time=min(time_of(item) for item in group),
        read=reader,
        labels={
            "scene": name,
            "platform": _told(platform_of(item) for item in group),
            "sensor": _told(_sensor(item) for item in group),
            "baseline": _told(baseline_of(item) for item in group),
            "updated": _told(SceneItem.of(dict(item)).updated for item in group),
            "gaps": "slc-off" if any(landsat.has_scan_gaps(item, time_of(item).date()) for item in group) else "",
        },
        version=digest_of([(SceneItem.of(dict(item)).fingerprint(), _local_states(item)) for item in group]),
    )


def _local_states(item: Item) -> list[tuple[str, int, int]]:
    """Name, size and time of change of each asset that is a file here: an item need not tell that it was rewritten."""
    states = []
    for name, asset in sorted(item.get("assets", {}).items()):
        href = str(asset.get("href") or "").removeprefix("file://")
        try:
            state = os.stat(href) if href and "://" not in href else None  # noqa: PTH116 no path is wanted
        except OSError:
            state = None
        if state is not None:
            states.append((name, state.st_size, state.st_mtime_ns))
    return states


def _told(names: Any) -> str:
    return BETWEEN_IDS.join(dict.fromkeys(name for name in names if name))


def _sensor(item: Item) -> str:
    properties = item.get("properties", {})
    instruments = properties.get("instruments") or [properties.get("eo:instrument") or ""]
    return " ".join(str(name).lower().replace("_", " ") for name in instruments)


def _meeting(scenes: Sequence[Item], grid: Grid) -> tuple[list[Item], list[SceneTrouble]]:
    """Scenes whose footprint meets the grid, and the others."""
    area = _area(grid)
    near: list[Item] = []
    troubles: list[SceneTrouble] = []
    for item in scenes:
        footprint = footprint_of(item)
        if footprint.is_empty or area is None or footprint.intersects(area):
            near.append(item)
        else:
            troubles.append(SceneTrouble(str(item["id"]), "it has no data in the window"))
    return near, troubles


def _area(grid: Grid) -> Any:
    """The grid in degrees, a little widened; None where it has no CRS."""
    if not grid.crs:
        return None
    import shapely
    from rasterio.warp import transform_geom

    ring = shapely.segmentize(shapely.box(*grid.bounds), max(grid.width, grid.height) * abs(grid.resolution) / 16)
    area = shapely.geometry.shape(transform_geom(grid.crs, "EPSG:4326", shapely.geometry.mapping(ring)))
    return shapely.make_valid(area).buffer(WIDENED_DEG)


def _log(trouble: SceneTrouble) -> None:
    log.warning("scene %s is left out of its day: %s", trouble.scene, trouble.reason)
