"""A series: dated images on one grid, each read when it is asked for. Every source becomes one or several of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from glacier_core.grids import Grid
from glacier_core.sources.reading import SceneTrouble

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One image of a series, not yet read."""

    id: str
    """What a person finds it by: the item's id or the file's name."""
    time: datetime
    """When it was acquired, or the first instant of the period that it stands for (UTC)."""
    read: Callable[[slice], NDArray[np.float32]] = field(repr=False, compare=False)
    """Reads rows [start, stop) of the grid: (band, y, x) float32, physical values, NaN where nothing was seen.
    Raises SceneError where the image cannot be used; it is then recorded and left out. Raises
    ServiceUnavailableError where its service stays busy or silent."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What is known of it: sensor, version, orbit and so on; every frame of a series has the same keys."""


@dataclass(frozen=True)
class Series:
    """Images of one place on one grid, in order of time."""

    name: str
    """Names the cube among those of a recipe: a place, a glacier, a hemisphere; letters, digits, `-`, `_` and `.`."""
    grid: Grid
    """The pixels; an empty CRS where the imagery has none."""
    bands: tuple[str, ...]
    """Names of the bands."""
    quantities: tuple[str, ...]
    """What each band measures, a name of `glacier_core.cube.PACKINGS`: reflectance, temperature, ice_fraction, ..."""
    frames: tuple[Frame, ...]
    """In order of time."""
    masks: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict, repr=False, compare=False)
    """What holds for every time, (y, x) by name (land, pole_hole, ...): 1 yes, 0 no, 255 unknown."""
    troubles: tuple[SceneTrouble, ...] = ()
    """Images that were left out before any was read."""
    dated: bool = True
    """False where only the order in time is known: the times are then days from 1970-01-01 on."""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    """What else is known of the whole: source, product, citation."""
