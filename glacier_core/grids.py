"""The pixel grid of a cube: a CRS, an affine transform and a size. Light to import; heavy parts load on use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affine import Affine
    from odc.geo.geobox import GeoBox


@dataclass(frozen=True)
class Grid:
    """A north-up pixel grid.

    Rows run south, columns east; pixel (0, 0) has its outer corner at (transform[2], transform[5]).
    """

    crs: str
    """Coordinate reference system: an authority code such as EPSG:32645, or WKT."""
    transform: tuple[float, float, float, float, float, float]
    """Affine coefficients a, b, c, d, e, f: x = a·col + b·row + c, y = d·col + e·row + f, in units of the CRS."""
    width: int
    """Number of columns."""
    height: int
    """Number of rows."""

    @classmethod
    def covering(
        cls,
        bounds: tuple[float, float, float, float],
        *,
        crs: str,
        resolution: float,
        origin: tuple[float, float] = (0.0, 0.0),
    ) -> Grid:
        """The smallest grid that covers `bounds`, with pixel edges on the lattice of `origin`.

        Args:
            bounds: left, bottom, right, top in units of `crs`.
            crs: the grid's CRS.
            resolution: the pixel size in units of `crs`.
            origin: any pixel corner of the lattice, such as the imagery's upper left corner.
        """
        left, bottom, right, top = bounds
        x0, y0 = origin
        first_column = math.floor((left - x0) / resolution + 1e-6)
        last_column = math.ceil((right - x0) / resolution - 1e-6)
        first_row = math.floor((y0 - top) / resolution + 1e-6)
        last_row = math.ceil((y0 - bottom) / resolution - 1e-6)
        return cls(
            crs=crs,
            transform=(resolution, 0.0, x0 + first_column * resolution, 0.0, -resolution, y0 - first_row * resolution),
            width=last_column - first_column,
            height=last_row - first_row,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.height, self.width

    @property
    def resolution(self) -> float:
        """The pixel size in units of the CRS (square pixels)."""
        return self.transform[0]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in units of the CRS."""
        a, _, left, _, e, top = self.transform
        return left, top + e * self.height, left + a * self.width, top

    def affine(self) -> Affine:
        """The transform as an `affine.Affine`."""
        from affine import Affine

        return Affine(*self.transform)

    def geobox(self) -> GeoBox:
        """The grid as an `odc.geo.geobox.GeoBox`."""
        from odc.geo.geobox import GeoBox

        return GeoBox(self.shape, self.affine(), self.crs)

    def to_json(self) -> dict[str, Any]:
        """A plain object that `from_json` takes back."""
        return {"crs": self.crs, "transform": list(self.transform), "width": self.width, "height": self.height}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Grid:
        """The inverse of `to_json`."""
        a, b, c, d, e, f = value["transform"]
        return cls(crs=value["crs"], transform=(a, b, c, d, e, f), width=value["width"], height=value["height"])
