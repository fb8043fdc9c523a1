"""Features of pixels beside each other on one grid: bands, indices, terrain, and the distance from the middle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError
from glacier_core.prepare.indices import spectral_index
from glacier_core.prepare.terrain import aspect_deg, slope_deg, terrain_gradient

if TYPE_CHECKING:
    from glacier_core.grids import Grid

TERRAIN_CHANNELS: Mapping[str, tuple[str, ...]] = {
    "elevation": ("elevation",),
    "slope": ("slope",),
    "aspect": ("aspect_sin", "aspect_cos"),
}
"""Channels that each feature of the terrain becomes."""
PLACE_CHANNELS = ("middle_round", "middle_square")


def feature_names(
    bands: Sequence[str], *, indices: Sequence[str] = (), terrain: Sequence[str] = (), place: bool = False
) -> tuple[str, ...]:
    """Names of the channels, in their order: bands, indices, terrain, place.

    Args:
        bands: bands of the imagery.
        indices: spectral indices.
        terrain: features of the terrain, keys of `TERRAIN_CHANNELS`.
        place: whether the distance from the middle is among them.

    Raises:
        ConfigurationError: two channels would have one name.
    """
    relief = [channel for feature in terrain for channel in TERRAIN_CHANNELS[feature]]
    names = (*bands, *indices, *relief, *(PLACE_CHANNELS if place else ()))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"the features name {', '.join(twice)} twice", expected="one channel of each name")
    return names


def index_channels(
    image: NDArray[np.float32], *, bands: Sequence[str], common: Callable[[str], str], indices: Sequence[str]
) -> NDArray[np.float32]:
    """Spectral indices of an image.

    Args:
        image: (band, ...) reflectance, NaN where nothing was seen.
        bands: names of its bands.
        common: what a band sees, by its name.
        indices: names of the indices.

    Returns:
        (index, ...); NaN where an index has no value.

    Raises:
        ConfigurationError: a band that an index needs is not there.
    """
    seen = {common(band): pixels for band, pixels in zip(bands, image, strict=True)}
    found = [spectral_index(name, seen) for name in indices]
    return np.stack(found) if found else np.empty((0, *image.shape[1:]), np.float32)


def terrain_channels(
    height: NDArray[np.float32], grid: Grid, *, features: Sequence[str], pixel_size_m: float | None = None
) -> NDArray[np.float32]:
    """What of the terrain the model sees.

    Aspect becomes sine and cosine, for 359° and 1° are neighbours; both are 0 where the ground is level.

    Args:
        height: (y, x), metres, NaN where unknown.
        grid: where the heights lie.
        features: keys of `TERRAIN_CHANNELS`.
        pixel_size_m: pixel size on the ground, for a grid that has no CRS.

    Returns:
        (channel, y, x): elevation in metres, slope in degrees, sine and cosine of the aspect; NaN where unknown.
    """
    channels: list[NDArray[np.float32]] = []
    gradient = terrain_gradient(height, grid, pixel_size_m=pixel_size_m) if {*features} - {"elevation"} else None
    for feature in features:
        if gradient is None or feature == "elevation":
            channels.append(height)
        elif feature == "slope":
            channels.append(slope_deg(gradient))
        else:
            level = (gradient[0] == 0) & (gradient[1] == 0)
            around = np.deg2rad(aspect_deg(gradient))
            channels += [np.where(level, np.float32(0), wave(around)) for wave in (np.sin, np.cos)]
    return np.stack(channels).astype(np.float32) if channels else np.empty((0, *grid.shape), np.float32)


def place_channels(shape: tuple[int, int]) -> NDArray[np.float32]:
    """How far each pixel lies from the image's middle, in parts of its half sides.

    For labels that hold what lies in the middle of the image and nothing else: which of several equal things is meant
    can be told by nothing but where it lies. Both channels are the same from every side, so that turned and mirrored
    samples keep their meaning.

    Args:
        shape: rows and columns.

    Returns:
        (2, y, x): the distance in a round and in a square sense; 1 at the middle of a side, 0 in the middle.
    """
    rows, columns = (np.abs((np.arange(length) + 0.5) / length * 2 - 1).astype(np.float32) for length in shape)
    down, across = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([np.hypot(down, across), np.maximum(down, across)]).astype(np.float32)
