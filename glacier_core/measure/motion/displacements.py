"""How far the surface moved between two images: vectors on a regular grid of templates, and which can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Displacements:
    """Vectors of one pair of images, in pixels, on a grid of template centres (n, m)."""

    rows: NDArray[np.float64]
    """(n,), row of each template's centre in the first image."""
    columns: NDArray[np.float64]
    """(m,), column of each template's centre."""
    dx_px: NDArray[np.float32]
    """(n, m), columns by which the surface moved right; NaN where nothing could be matched."""
    dy_px: NDArray[np.float32]
    """(n, m), rows by which it moved down; NaN likewise."""
    correlation: NDArray[np.float32]
    """(n, m), normalised cross-correlation at the peak, -1 to 1."""
    peak_ratio: NDArray[np.float32]
    """(n, m), height of the peak over that of the next one."""
    round_trip_px: NDArray[np.float32]
    """(n, m), how far the match forward and the match backward miss each other."""
    reliable: NDArray[np.bool_]
    """(n, m), whether the vector passed every test."""

    @property
    def length_px(self) -> NDArray[np.float32]:
        """(n, m), length of each vector."""
        return np.hypot(self.dx_px, self.dy_px)

    def without(self, offset: tuple[float, float]) -> Displacements:
        """The vectors less a displacement (dx, dy) that the whole image has, such as that of the ground beside."""
        return replace(self, dx_px=self.dx_px - np.float32(offset[0]), dy_px=self.dy_px - np.float32(offset[1]))
