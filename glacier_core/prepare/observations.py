"""A cube's clear observations, strip by strip: memory holds one strip of all scenes, never the cube."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import WithheldError
from glacier_core.prepare.clouds import clear_mask

if TYPE_CHECKING:
    import xarray as xr

STRIP_BYTES = 128 * 2**20
"""Pixels of all scenes and bands in one strip, as float32."""
CHUNK_ROWS = 256
"""Strips end where the cube's chunks do, so that none is decoded twice."""


@dataclass(frozen=True)
class Strip:
    """Some rows of every scene."""

    rows: slice
    """Which rows of the cube."""
    pixels: NDArray[np.float32]
    """(time, band, y, x)"""
    seen: NDArray[np.bool_]
    """(time, y, x): every band has a value."""
    clear: NDArray[np.bool_]
    """(time, y, x): seen, and no cloud."""


@dataclass
class Tally:
    """What the strips of a cube have shown of each scene so far."""

    seen: NDArray[np.bool_]
    """(time,): the scene has data in the window."""
    clear: NDArray[np.int64]
    """(time,): how many of its pixels are clear."""
    peak: float = float("-inf")
    """The greatest value of all."""

    @classmethod
    def of(cls, count: int) -> Tally:
        """An empty one of so many scenes."""
        return cls(np.zeros(count, bool), np.zeros(count, np.int64))

    def add(self, strip: Strip) -> None:
        """Count one strip more."""
        flat = (len(strip.clear), -1)
        self.seen |= strip.seen.reshape(flat).any(axis=1)
        self.clear += np.count_nonzero(strip.clear.reshape(flat), axis=1)
        # fmax passes NaN over and warns of nothing
        self.peak = max(self.peak, float(np.fmax.reduce(strip.pixels, axis=None, initial=-np.inf)))

    def left_out(self, names: Sequence[str]) -> list[dict[str, str]]:
        """The scenes that show nothing clearly, and why.

        Raises:
            WithheldError: none shows anything.
        """
        entries = [
            {"scene": name, "reason": "all cloud" if seen else "no data in the window"}
            for name, seen, clear in zip(names, self.seen, self.clear, strict=True)
            if not clear
        ]
        if not self.clear.any():
            reasons = "; ".join(f"{entry['scene']}: {entry['reason']}" for entry in entries)
            raise WithheldError(f"none of {len(names)} scenes shows anything clearly ({reasons})")
        return entries


def strips(scenes: xr.Dataset, *, cloud_edge_pixels: int, scene: int | None = None) -> Iterator[Strip]:
    """A cube's strips from north to south.

    Args:
        scenes: a cube with `imagery` (time, band, y, x) and, where clouds are to be masked, `scene_class` (time, y, x).
        cloud_edge_pixels: clouds grow by this many pixels before they are masked.
        scene: number of the only scene wanted; None for all.
    """
    count, bands, height, width = scenes["imagery"].shape
    if scene is not None:
        # a slice, for a list of indices would read every time
        scenes = scenes.isel(time=slice(scene, scene + 1))
    imagery = scenes["imagery"]
    rows = max(STRIP_BYTES // max(4 * count * bands * width, 1), 1)
    if rows > CHUNK_ROWS:
        rows -= rows % CHUNK_ROWS
    for start in range(0, height, rows):
        part = slice(start, min(start + rows, height))
        pixels = np.asarray(imagery.isel(y=part).values, dtype=np.float32)
        seen: NDArray[np.bool_] = np.asarray(np.isfinite(pixels).all(axis=1))
        yield Strip(part, pixels, seen, seen & _cloudless(scenes, part, cloud_edge_pixels))


def scene_names(scenes: xr.Dataset) -> list[str]:
    """What a person finds each scene by."""
    if "scene" in scenes.variables:
        return [str(name) for name in scenes["scene"].values]
    return [str(instant)[:19] for instant in scenes["time"].values]


def _cloudless(scenes: xr.Dataset, rows: slice, edge: int) -> NDArray[np.bool_] | bool:
    """(time, y, x) of some rows; clouds of the rows around grow into them."""
    if "scene_class" not in scenes:
        return True
    first, last = max(rows.start - edge, 0), min(rows.stop + edge, scenes.sizes["y"])
    classes = scenes["scene_class"].isel(y=slice(first, last)).values
    clear = clear_mask(classes, dilation_pixels=edge)
    return clear[:, rows.start - first : rows.stop - first]
