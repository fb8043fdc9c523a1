"""Pixels of STAC items on a grid, scene by scene: what cannot be read is recorded and left out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glacier_core.errors import SceneError
from glacier_core.sources.assets import NotNowError, read_asset
from glacier_core.sources.bands import BandSource, band_sources, missing_band
from glacier_core.sources.remote import host_of, unreachable
from glacier_core.sources.times import time_of
from glacier_core.sources.windows import Resampling, read_band

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from glacier_core.grids import Grid

    Scene = tuple[Mapping[str, Any], Mapping[str, NDArray[np.float32]]]
    """An item and its bands (y, x)."""

log = logging.getLogger(__name__)

READERS = 8
"""Bands of one scene read at a time, where they come over a network."""


@dataclass(frozen=True)
class SceneTrouble:
    """A scene that was left out."""

    scene: str
    """Item id."""
    reason: str
    """Why, in one line."""
    temporary: bool = False
    """Whether its service stayed busy or silent: another time, the scene may be readable."""


def read_scenes(
    items: Sequence[Mapping[str, Any]],
    *,
    bands: Sequence[str],
    mask: str,
    grid: Grid,
    retries: int = 4,
) -> tuple[xr.Dataset, list[SceneTrouble]]:
    """Scenes on a grid, as physical values.

    Args:
        items: STAC items with absolute, unsigned links; an id that comes twice is read once.
        bands: names of the bands: asset keys, band names or common names.
        mask: name of the scene classification band; empty for none.
        grid: where the pixels are wanted. A band whose lattice agrees is copied, others are warped: bilinear,
            the classification by nearest neighbour.
        retries: how often a read that may succeed later is tried again.

    Returns:
        A dataset with `imagery` (time, band, y, x) float32, scale and offset applied, NaN where there is no data;
        `scene_class` (time, y, x) uint8, 0 where there is no data, if `mask` is named; coordinates time
        (datetime64[ns], sorted, one entry a scene), scene (time, item ids), band, y, x (pixel centres). And the
        scenes that were left out: unreadable, without one of the bands, or without any data in the window.

    Raises:
        ConfigurationError: a band is in none of the items; the message names the bands that there are.
        ServiceUnavailableError: nothing could be read because a host does not answer; the message names it.
    """
    unique = list({str(item["id"]): item for item in items}.values())
    sources = [band_sources(item) for item in unique]
    for band in (*bands, *([mask] if mask else [])):
        if unique and not any(band in known for known in sources):
            raise missing_band(band, unique)

    read: list[Scene] = []
    troubles: list[SceneTrouble] = []
    silent = ""
    for item, known in zip(unique, sources, strict=True):
        try:
            _avoid(silent, known)
            read.append((item, _read_scene(known, bands=bands, mask=mask, grid=grid, retries=retries)))
        except (NotNowError, SceneError) as error:
            silent = silent or getattr(error, "host", "")
            troubles.append(SceneTrouble(str(item["id"]), str(error), temporary=isinstance(error, NotNowError)))
            log.debug("scene %s is left out: %s", item["id"], error)
    if silent and not read:
        raise unreachable(f"https://{silent}", detail=troubles[0].reason)
    return _dataset(read, bands=bands, mask=mask, grid=grid), troubles


def _avoid(silent: str, known: Mapping[str, BandSource]) -> None:
    """Do not ask a host again that kept silent: its connections may take minutes to fail."""
    if silent and any(host_of(source.href) == silent for source in known.values()):
        raise NotNowError(f"{silent} does not answer", host=silent)


def _read_scene(
    known: Mapping[str, BandSource], *, bands: Sequence[str], mask: str, grid: Grid, retries: int
) -> dict[str, NDArray[np.float32]]:
    """Every wanted band (y, x) of one scene; spectral ones as physical values."""
    import numpy as np

    wanted = [*bands, *([mask] if mask else [])]
    absent = [band for band in wanted if band not in known]
    if absent:
        raise SceneError(f"band {', '.join(absent)} is missing", expected=f"one of {', '.join(sorted(known))}")

    def read(band: str) -> NDArray[np.float32]:
        return _read_band(known[band], grid=grid, classes=band == mask, retries=retries)

    if any("://" in known[band].href for band in wanted):
        with ThreadPoolExecutor(READERS) as pool:
            pixels = dict(zip(wanted, pool.map(read, wanted), strict=True))
    else:
        pixels = {band: read(band) for band in wanted}
    if all(np.isnan(pixels[band]).all() for band in bands):
        raise SceneError("it has no data in the window")
    return pixels


def _read_band(source: BandSource, *, grid: Grid, classes: bool, retries: int) -> NDArray[np.float32]:
    import numpy as np

    def read(dataset: Any) -> NDArray[np.float32]:
        if dataset.crs is None:
            raise SceneError(f"{source.asset} has no CRS")
        if source.index > dataset.count:
            raise SceneError(f"{source.asset} has {dataset.count} bands", expected=f"at least {source.index}")
        how: Resampling = "nearest" if classes else "bilinear"
        return read_band(dataset, index=source.index, grid=grid, resampling=how, nodata=source.nodata)

    numbers = read_asset(source.href, name=source.asset, read=read, retries=retries)
    if not classes and (source.scale, source.offset) != (1.0, 0.0):
        numbers *= np.float32(source.scale)
        numbers += np.float32(source.offset)
    return numbers


def _dataset(read: Sequence[Scene], *, bands: Sequence[str], mask: str, grid: Grid) -> xr.Dataset:
    import numpy as np
    import xarray as xr

    ordered = sorted(read, key=lambda scene: (time_of(scene[0]), str(scene[0]["id"])))
    imagery = np.empty((len(ordered), len(bands), *grid.shape), np.float32)
    for number, (_, pixels) in enumerate(ordered):
        for position, band in enumerate(bands):
            imagery[number, position] = pixels[band]
    variables: dict[str, Any] = {"imagery": (("time", "band", "y", "x"), imagery)}
    if mask:
        classes = np.zeros((len(ordered), *grid.shape), np.uint8)
        for number, (_, pixels) in enumerate(ordered):
            classes[number] = np.nan_to_num(pixels[mask], nan=0.0)
        variables["scene_class"] = (("time", "y", "x"), classes)
    a, _, left, _, e, top = grid.transform
    # xarray's times have no zone: UTC
    times = [np.datetime64(time_of(item).replace(tzinfo=None), "ns") for item, _ in ordered]
    return xr.Dataset(
        variables,
        coords={
            "time": np.array(times, "datetime64[ns]"),
            "scene": ("time", np.array([str(item["id"]) for item, _ in ordered], dtype=str)),
            "band": list(bands),
            "y": top + e * (np.arange(grid.height) + 0.5),
            "x": left + a * (np.arange(grid.width) + 0.5),
        },
    )
