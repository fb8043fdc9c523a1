"""Which items make one image: duplicates, halves of one product, neighbours of a day; how they are laid together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from glacier_core.sources import landsat
from glacier_core.sources.bands import baseline_of, with_own_bands
from glacier_core.sources.scene_classes import NO_DATA
from glacier_core.sources.times import is_dated, solar_day, time_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.grids import Grid

Item = Mapping[str, Any]

BETWEEN_IDS = ";"
"""Stands between the ids of the scenes that one image was laid together from."""


def merged_items(items: Iterable[Item]) -> list[Item]:
    """Each scene once, in the order in which they come.

    An id that comes twice counts once: the item that was updated last, among equals the later one. Surface reflectance
    and surface temperature of one Landsat scene, which the USGS describes in two items (ids alike but for _SR and _ST,
    or items of two collections), become one item with the assets of both.
    """
    products: dict[str, dict[tuple[str, str], Item]] = {}
    for item in items:
        halves = products.setdefault(landsat.product_id(item), {})
        half = (str(item["id"]), str(item.get("collection") or "") if landsat.satellite_of(item) else "")
        if half not in halves or _updated(item) >= _updated(halves[half]):
            halves[half] = item
    return [_joined(name, list(halves.values())) for name, halves in products.items()]


def same_day(items: Iterable[Item], grid: Grid) -> list[list[Item]]:
    """Items in groups that show one place on one day, in order of time.

    A group holds the scenes of one collection, one satellite and one direction of flight (ascending or descending,
    where the items tell) on one day by the sun at the middle of the grid. Items of a collection without dates of its
    own (elevation) are one group.

    Within a group the newest processing comes first, then the earliest scene, then the ids' order decides.
    """
    longitude = _longitude(grid)
    groups: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        collection = str(item.get("collection") or "")
        key: tuple[str, ...] = (collection,)
        if is_dated(collection):
            orbit = str(item.get("properties", {}).get("sat:orbit_state") or "")
            key = (collection, platform_of(item), orbit, solar_day(time_of(item), longitude).isoformat())
        groups.setdefault(key, []).append(item)
    return sorted((_ranked(group) for group in groups.values()), key=_first)


def one_by_one(items: Iterable[Item]) -> list[list[Item]]:
    """Every item as a group of its own, in order of time."""
    return sorted(([item] for item in items), key=_first)


def platform_of(item: Item) -> str:
    """Satellite, else constellation, in one spelling (sentinel-2a, landsat-8); empty if unknown."""
    properties = item.get("properties", {})
    names = (properties.get(key) for key in ("platform", "eo:platform", "constellation"))
    return next((str(name).lower().replace("_", "-").replace(" ", "-") for name in names if name), "")


@dataclass
class Pixels:
    """Bands of one image on a grid; scenes are laid under it one after the other."""

    bands: list[NDArray[np.float32]]
    """(y, x) each; NaN where nothing was seen."""
    classes: NDArray[np.uint8] | None = None
    """(y, x), see `scene_classes`; None where there is no classification."""
    _whole: NDArray[np.bool_] | None = field(default=None, repr=False)
    """(y, x): pixels of which every band is known."""
    _any: NDArray[np.bool_] | None = field(default=None, repr=False)
    """(y, x): pixels of which some band is known."""

    @property
    def is_empty(self) -> bool:
        """Whether no band shows anything."""
        import numpy as np

        return all(np.isnan(band).all() for band in self.bands)

    def classify(self, classes: NDArray[np.uint8]) -> None:
        """Add a classification (y, x); where no band shows anything, it says so too."""
        import numpy as np

        _, some = self._seen()
        self.classes = np.where(some, classes, np.uint8(NO_DATA))

    def lay_under(self, other: Pixels) -> bool:
        """Fill what this image does not show with another.

        A pixel is taken whole, all bands and its class from one scene, so that its spectrum is one that was seen: from
        the first scene that has all bands there, or else from the first that has any.

        Returns:
            Whether any pixel was taken.
        """
        import numpy as np

        whole, some = self._seen()
        other_whole, other_some = other._seen()
        taken = (other_whole & ~whole) | (other_some & ~some)
        if not taken.any():
            return False
        for band, filling in zip(self.bands, other.bands, strict=True):
            np.copyto(band, filling, where=taken)
        if self.classes is not None and other.classes is not None:
            np.copyto(self.classes, other.classes, where=taken)
        whole |= other_whole
        some |= other_some
        return True

    def _seen(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        import numpy as np

        if self._whole is None or self._any is None:
            first = np.isfinite(self.bands[0])
            self._whole, self._any = first, first.copy()
            for band in self.bands[1:]:
                finite = np.isfinite(band)
                self._whole &= finite
                self._any |= finite
        return self._whole, self._any


def _joined(name: str, halves: Sequence[Item]) -> Item:
    if len(halves) == 1:
        return halves[0]
    # reflectance first: where both halves have an asset, as QA_PIXEL, its link is taken
    ordered = [with_own_bands(item) for item in sorted(halves, key=_half)]
    joined: dict[str, Any] = {}
    for part in ("properties", "assets"):
        joined[part] = {key: value for item in reversed(ordered) for key, value in item.get(part, {}).items()}
    if updated := max(map(_updated, ordered)):
        joined["properties"]["updated"] = updated
    return {**ordered[0], **joined, "id": name}


def _half(item: Item) -> tuple[str, str]:
    return str(item.get("collection") or ""), str(item["id"])


def _updated(item: Item) -> str:
    return str(item.get("properties", {}).get("updated") or "")


def _ranked(group: Sequence[Item]) -> list[Item]:
    by_time = sorted(group, key=lambda item: (time_of(item), str(item["id"])))
    return sorted(by_time, key=lambda item: version_of(baseline_of(item)), reverse=True)


def version_of(baseline: str) -> tuple[int, ...]:
    """A processing baseline such as 05.10 as numbers that compare."""
    return tuple(int(part) for part in baseline.split(".") if part.isdigit())


def _first(group: Sequence[Item]) -> tuple[Any, str]:
    return min((time_of(item), str(item["id"])) for item in group)


def _longitude(grid: Grid) -> float:
    """Degrees east of the grid's middle; 0 where the grid has no CRS."""
    if not grid.crs:
        return 0.0
    from pyproj import Transformer

    left, bottom, right, top = grid.bounds
    transformer = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    return float(transformer.transform((left + right) / 2, (bottom + top) / 2)[0])
