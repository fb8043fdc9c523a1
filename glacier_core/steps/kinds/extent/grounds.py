"""The ground of a glacier: what belongs to its grid and not to a year, found once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glacier_core.grids import Grid
from glacier_core.units import Unit

if TYPE_CHECKING:
    import numpy as np
    from geopandas import GeoDataFrame
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Ground:
    """Masks and areas of a glacier's grid; arrays are (y, x)."""

    outline: NDArray[np.bool_]
    """Inside the glacier's own outline."""
    domain: NDArray[np.bool_]
    """Where the glacier is measured."""
    pixel_area: NDArray[np.float64]
    """True area of each pixel in km²; may broadcast."""


class Grounds:
    """Gives the ground of each unit.

    Args:
        outlines: gives all outlines (EPSG:4326), once and only when they are needed.
        buffer_m: ice counts within this distance of the outline.
    """

    def __init__(self, outlines: Callable[[], GeoDataFrame], *, buffer_m: float) -> None:
        self._read = outlines
        self.buffer_m = buffer_m
        self._known: dict[tuple[str, Grid], Ground] = {}

    @functools.cached_property
    def outlines(self) -> GeoDataFrame:
        """All outlines (EPSG:4326)."""
        return self._read()

    def of(self, unit: Unit) -> Ground:
        """The ground of a unit's glacier."""
        key = unit.glacier_id, unit.grid
        if key not in self._known:
            self._known[key] = self._found(unit)
        return self._known[key]

    def _found(self, unit: Unit) -> Ground:
        from glacier_core.labels import glacier_domain, rasterize
        from glacier_core.measure import pixel_areas

        near = nearby(self.outlines, unit)
        return Ground(
            outline=rasterize(near[near["glacier_id"] == unit.glacier_id], unit.grid),
            domain=glacier_domain(near, unit.glacier_id, unit.grid, buffer_m=self.buffer_m),
            pixel_area=pixel_areas(unit.grid),
        )


def nearby(frame: GeoDataFrame, unit: Unit) -> GeoDataFrame:
    """The outlines that touch the unit's window (EPSG:4326 as in `frame`)."""
    import geopandas
    import shapely

    window = geopandas.GeoSeries([shapely.box(*unit.grid.bounds)], crs=unit.grid.crs).to_crs(frame.crs)
    return frame[frame.intersects(window.iloc[0])]
