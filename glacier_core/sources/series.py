"""A series: dated images on one grid, each read when it is asked for. Every source becomes one or several of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.grids import Grid
from glacier_core.sources.reading import SceneTrouble

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SMALL = 2**20
"""Files up to so many bytes are told apart by their content, larger ones by size and time of change."""


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
    version: str = ""
    """Another one whenever its pixels may be others, where neither the recipe's own files nor the labels tell; it is
    part of what a cube is found by, and stands in none."""


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


def file_version(path: Path) -> str:
    """What a local file holds, as far as a digest must tell; empty if there is no such file."""
    try:
        state = path.stat()
        if state.st_size > SMALL:
            return f"{state.st_size} {state.st_mtime_ns}"
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
