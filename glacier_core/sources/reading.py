"""Pixels of STAC items on a grid, scene by scene: what cannot be read is recorded and left out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from glacier_core.errors import SceneError
from glacier_core.sources import landsat, scene_classes
from glacier_core.sources.assets import NotNowError
from glacier_core.sources.bands import BandSource, band_sources, missing_band
from glacier_core.sources.mosaics import BETWEEN_IDS, Pixels, merged_items, one_by_one, same_day
from glacier_core.sources.pixels import PixelRequest, read_pixels
from glacier_core.sources.remote import host_of, unreachable
from glacier_core.sources.times import time_of

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from glacier_core.grids import Grid

    Bands = list[NDArray[np.float32] | SceneError | NotNowError]

log = logging.getLogger(__name__)

SCENES_AT_ONCE = 4
"""Scenes whose bands are read together at most, so that no thread waits for the last band of one."""
BYTES_AT_ONCE = 2**27
"""Fewer are read together where their pixels would take more memory than this."""


@dataclass(frozen=True)
class SceneTrouble:
    """A scene that was left out."""

    scene: str
    """Item id."""
    reason: str
    """Why, in one line."""
    temporary: bool = False
    """Whether its service stayed busy or silent: another time, the scene may be readable."""
    readable: bool = False
    """Whether it could be read, and has nothing to show that is not shown already."""


class _NothingThereError(SceneError):
    """The scene can be read and shows nothing in the window."""


@dataclass(frozen=True)
class Wanted:
    """What is to be read of every scene."""

    bands: tuple[str, ...]
    """Names of the bands."""
    mask: str
    """Name of the scene classification; empty for none."""
    grid: Grid
    """Where the pixels are wanted."""
    retries: int
    """How often a read that may succeed later is tried again."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every band that is read."""
        return (*self.bands, *([self.mask] if self.mask else []))


@dataclass(frozen=True)
class Image:
    """One scene, or one day's scenes laid together."""

    time: datetime
    """When the earliest scene of the group was acquired (UTC)."""
    scenes: tuple[Mapping[str, Any], ...]
    """The items whose pixels it shows; none if nothing could be read."""
    pixels: Pixels | None
    """What they show; None if nothing could be read."""
    troubles: tuple[SceneTrouble, ...]
    """Scenes that were left out."""
    silent_host: str
    """A host that did not answer; empty if there is none."""

    @property
    def name(self) -> str:
        """The ids of its scenes."""
        return BETWEEN_IDS.join(str(item["id"]) for item in self.scenes)

    @property
    def has_scan_gaps(self) -> bool:
        """Whether Landsat 7 recorded it without its scan line corrector."""
        return any(landsat.has_scan_gaps(item, time_of(item).date()) for item in self.scenes)


def read_scenes(
    items: Sequence[Mapping[str, Any]],
    *,
    bands: Sequence[str],
    mask: str,
    grid: Grid,
    retries: int = 4,
    mosaic: bool = False,
) -> tuple[xr.Dataset, list[SceneTrouble]]:
    """Scenes on a grid, as physical values.

    Args:
        items: STAC items with absolute, unsigned links; a scene that comes twice is read once (`merged_items`).
        bands: names of the bands: asset keys, band names or common names.
        mask: name of the scene classification band; `scene_class` for each collection's own; empty for none.
        grid: where the pixels are wanted. A band whose lattice agrees is copied, others are warped: bilinear,
            the classification by nearest neighbour.
        retries: how often a read that may succeed later is tried again.
        mosaic: whether the scenes of one satellite and day (`same_day`) become one time. Where they overlap, the
            newest processing goes first, then the earliest scene; where it shows nothing, the next one fills in.

    Returns:
        A dataset with `imagery` (time, band, y, x) float32, scale and offset applied, NaN where there is no data;
        `scene_class` (time, y, x) uint8, if `mask` is named: codes of `scene_classes` whatever the collection's own
        are, 0 where there is no data; coordinates time (datetime64[ns], sorted, one entry a scene, or a day), scene
        (time, item ids; several stand between semicolons), slc_off (time, true for Landsat 7 without its scan line
        corrector: its gaps are no data), band, quantity (band, see `BandSource`), y, x (pixel centres). And the scenes
        that were left out: unreadable, without one of the bands, without any data in the window, or wholly hidden by
        others of their day.

    Raises:
        ConfigurationError: a band is in none of the items; the message names the bands that there are.
        ServiceUnavailableError: nothing could be read because a host does not answer; the message names it.
    """
    import numpy as np

    scenes = merged_items(items)
    wanted = Wanted(tuple(bands), mask, grid, retries)
    check_bands(scenes, wanted)
    groups = same_day(scenes, grid) if mosaic else one_by_one(scenes)
    # pages that no scene is written to cost no memory
    imagery = np.empty((len(groups), len(bands), *grid.shape), np.float32)
    classes = np.empty((len(groups), *grid.shape), np.uint8) if mask else None
    images: list[Image] = []
    troubles: list[SceneTrouble] = []
    silent = ""
    for image in read_images(groups, wanted):
        troubles += image.troubles
        silent = silent or image.silent_host
        if image.pixels is None:
            continue
        for position, band in enumerate(image.pixels.bands):
            imagery[len(images), position] = band
        if classes is not None and image.pixels.classes is not None:
            classes[len(images)] = image.pixels.classes
        images.append(replace(image, pixels=None))
    if silent and not images:
        passing = next(trouble for trouble in troubles if trouble.temporary)
        raise unreachable(f"https://{silent}", detail=passing.reason)
    return _dataset(images, imagery, classes, wanted=wanted, items=scenes), troubles


def check_bands(scenes: Sequence[Mapping[str, Any]], wanted: Wanted) -> None:
    """Refuse bands that none of the scenes has.

    Raises:
        ConfigurationError: the message names the bands that there are.
    """
    known = [band_sources(item) for item in scenes]
    for band in wanted.names:
        if scenes and not any(band in sources for sources in known):
            raise missing_band(band, scenes)


def read_images(groups: Sequence[Sequence[Mapping[str, Any]]], wanted: Wanted) -> Iterator[Image]:
    """One image for each group of items: the first item's pixels, what it does not show filled with the next ones'.

    Never more than a few scenes are held at a time. A host that kept silent once is not asked again.
    """
    reader = _Reader(wanted)
    scenes = [item for group in groups for item in group]
    results = reader.read_all(scenes)
    for group in groups:
        top: Pixels | None = None
        shown: list[Mapping[str, Any]] = []
        troubles: list[SceneTrouble] = []
        for item in group:
            found = next(results)
            if isinstance(found, SceneTrouble):
                troubles.append(found)
            elif top is None:
                top = found
                shown.append(item)
            elif top.lay_under(found):
                shown.append(item)
            else:
                reason = "other scenes of its day show all that it shows"
                troubles.append(SceneTrouble(str(item["id"]), reason, readable=True))
        for trouble in troubles:
            log.debug("scene %s is left out: %s", trouble.scene, trouble.reason)
        earliest = min(time_of(item) for item in group)
        yield Image(earliest, tuple(shown), top, tuple(troubles), reader.silent)


class _Reader:
    """Reads scenes a few at a time, and remembers which host is silent."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.silent = ""
        rows, columns = wanted.grid.shape
        size = max(4 * rows * columns * len(wanted.names), 1)
        self.at_once = max(1, min(SCENES_AT_ONCE, BYTES_AT_ONCE // size))

    def read_all(self, items: Sequence[Mapping[str, Any]]) -> Iterator[Pixels | SceneTrouble]:
        """One result a scene, in order."""
        for start in range(0, len(items), self.at_once):
            some = items[start : start + self.at_once]
            yield from self._read(some)

    def _read(self, items: Sequence[Mapping[str, Any]]) -> list[Pixels | SceneTrouble]:
        known = [band_sources(item) for item in items]
        refusals = [self._refusal(sources) for sources in known]
        requests = [
            PixelRequest(sources[name], self.wanted.grid, "nearest" if name == self.wanted.mask else "bilinear")
            for sources, refusal in zip(known, refusals, strict=True)
            if refusal is None
            for name in self.wanted.names
        ]
        read = iter(read_pixels(requests, retries=self.wanted.retries))
        results: list[Pixels | SceneTrouble] = []
        for item, sources, refusal in zip(items, known, refusals, strict=True):
            try:
                if refusal is not None:
                    raise refusal
                results.append(self._pixels([next(read) for _ in self.wanted.names], sources))
            except (NotNowError, SceneError) as error:
                self.silent = self.silent or getattr(error, "host", "")
                temporary = isinstance(error, NotNowError)
                readable = isinstance(error, _NothingThereError)
                results.append(SceneTrouble(str(item["id"]), str(error), temporary=temporary, readable=readable))
        return results

    def _refusal(self, sources: Mapping[str, BandSource]) -> SceneError | NotNowError | None:
        """Why a scene is not even asked for, or None."""
        absent = [name for name in self.wanted.names if name not in sources]
        if absent:
            return SceneError(f"band {', '.join(absent)} is missing", expected=f"one of {', '.join(sorted(sources))}")
        # connections to a host that kept silent may take minutes to fail
        if self.silent and any(host_of(sources[name].href) == self.silent for name in self.wanted.names):
            return NotNowError(f"{self.silent} does not answer", host=self.silent)
        return None

    def _pixels(self, read: Bands, sources: Mapping[str, BandSource]) -> Pixels:
        """A scene's bands as physical values, its classification in the one coding."""
        numbers: list[NDArray[np.float32]] = []
        for found in read:
            if isinstance(found, SceneError | NotNowError):
                raise found
            numbers.append(found)
        count = len(self.wanted.bands)
        for band, values in zip(self.wanted.bands, numbers[:count], strict=True):
            _calibrate(values, sources[band])
        pixels = Pixels(numbers[:count])
        if pixels.is_empty:
            raise _NothingThereError("it has no data in the window")
        if self.wanted.mask:
            pixels.classify(_classes(numbers[count], sources[self.wanted.mask]))
        return pixels


def _calibrate(numbers: NDArray[np.float32], source: BandSource) -> None:
    """Numbers into physical values, in place."""
    import numpy as np

    if (source.scale, source.offset) != (1.0, 0.0):
        numbers *= np.float32(source.scale)
        numbers += np.float32(source.offset)


def _classes(numbers: NDArray[np.float32], source: BandSource) -> NDArray[np.uint8]:
    import numpy as np

    if source.coding == "qa_pixel":
        return landsat.scene_class_of(numbers)
    return np.nan_to_num(numbers, nan=scene_classes.NO_DATA).astype(np.uint8)


def _dataset(
    images: Sequence[Image],
    imagery: NDArray[np.float32],
    classes: NDArray[np.uint8] | None,
    *,
    wanted: Wanted,
    items: Sequence[Mapping[str, Any]],
) -> xr.Dataset:
    import numpy as np
    import xarray as xr

    count, grid = len(images), wanted.grid
    variables: dict[str, Any] = {"imagery": (("time", "band", "y", "x"), imagery[:count])}
    if classes is not None:
        variables["scene_class"] = (("time", "y", "x"), classes[:count])
    a, _, left, _, e, top = grid.transform
    known = [band_sources(item) for item in items]
    kinds = [next((sources[band].quantity for sources in known if band in sources), "") for band in wanted.bands]
    return xr.Dataset(
        variables,
        coords={
            # xarray's times have no zone: UTC
            "time": np.array([image.time.replace(tzinfo=None) for image in images], "datetime64[ns]"),
            "scene": ("time", np.array([image.name for image in images], dtype=str)),
            "slc_off": ("time", np.array([image.has_scan_gaps for image in images], dtype=bool)),
            "band": list(wanted.bands),
            "quantity": ("band", np.array(kinds, dtype=str)),
            "y": top + e * (np.arange(grid.height) + 0.5),
            "x": left + a * (np.arange(grid.width) + 0.5),
        },
    )
