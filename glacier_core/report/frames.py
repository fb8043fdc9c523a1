"""Pictures of the years of one glacier, small enough to keep."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from glacier_core.report.inputs import YearImage
from glacier_core.report.overview import Glacier, YearRow
from glacier_core.report.pictures import Line, Stretch, lines_of, shrunk
from glacier_core.report.vectors import polygons_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

LONGEST = 320
"""Longest side of a picture in pixels."""
FINEST = 640
"""Longest side of the masks that outlines for drawing are taken from."""
SPECK = 4.0
"""Smaller patches of ice are not drawn, in pixels."""
CLEAR = 0.9
"""Clear fraction from which a year's outline may stand for the glacier when years are compared."""
QUALITY = 62


@dataclass(frozen=True, eq=False)
class Frame:
    """One year of one glacier."""

    row: YearRow
    """Its measurement."""
    rgb: NDArray[np.float32]
    """True colour (y, x, 3), shrunk."""
    shape: tuple[Line, ...]
    """Predicted ice as closed rings, in pixels of the full grid."""
    edge: tuple[Line, ...]
    """Its outline where both sides were seen: beside ground that was not, nobody knows where the ice ends."""
    size: tuple[int, int]
    """Columns and rows of the full grid."""
    metres_per_pixel: float
    """Size of a full pixel on the ground."""

    @classmethod
    def of(cls, row: YearRow, image: YearImage) -> Frame:
        """Keep what pictures need of a year."""
        shape, edge = _outlines(image)
        return cls(
            row=row,
            rgb=shrunk(image.rgb, longest=LONGEST),
            shape=shape,
            edge=edge,
            size=(image.grid.width, image.grid.height),
            metres_per_pixel=_metres_per_pixel(image),
        )


@dataclass(frozen=True, eq=False)
class Strip:
    """The frames of one glacier, with one stretch for all."""

    glacier: Glacier
    """The glacier."""
    frames: tuple[Frame, ...]
    """Its years in order."""

    @cached_property
    def stretch(self) -> Stretch:
        """The range of values that all its years are shown with."""
        return Stretch.of(frame.rgb for frame in self.frames)

    def frame(self, year: int) -> Frame | None:
        """A year's frame."""
        return next((frame for frame in self.frames if frame.row.year == year), None)

    @property
    def clear(self) -> tuple[Frame, ...]:
        """The years that show nearly all of the glacier, whose outlines compare; all usable ones where none does."""
        usable = tuple(frame for frame in self.frames if frame.row.usable)
        return tuple(frame for frame in usable if frame.row.clear_fraction >= CLEAR) or usable


def encoded(rgb: NDArray[np.float32], stretch: Stretch) -> str:
    """A picture as a WebP data URL."""
    from PIL import Image as Images

    return data_url(Images.fromarray(stretch.apply(rgb)))


def data_url(picture: Image) -> str:
    """A photograph as a WebP data URL."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def svg_path(lines: Sequence[Line]) -> str:
    """Lines as the `d` of an SVG path."""
    return "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line) for line in lines)


def _outlines(image: YearImage) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Rings of the ice, without specks and their stairs smoothed, and those stretches that were seen on both sides."""
    from shapely.geometry import MultiPolygon

    step = math.ceil(max(image.grid.shape) / FINEST)
    seen = image.observed[::step, ::step]
    found = polygons_of(image.ice[::step, ::step] & seen)
    ice = MultiPolygon([polygon for polygon in found.geoms if polygon.area >= SPECK]).simplify(0.75)
    boundary = ice.boundary
    known = boundary if seen.all() else boundary.difference(polygons_of(~seen).buffer(1.2, quad_segs=1))
    return _scaled(boundary, step), _scaled(known, step)


def _scaled(lines: Any, step: int) -> tuple[Line, ...]:
    return tuple(tuple((x * step, y * step) for x, y in line) for line in lines_of(lines))


def _metres_per_pixel(image: YearImage) -> float:
    from pyproj import CRS, Geod

    crs = CRS.from_user_input(image.grid.crs)
    if not crs.is_geographic:
        return image.grid.resolution * crs.axis_info[0].unit_conversion_factor
    left, bottom, right, top = image.grid.bounds
    _, _, across = Geod(ellps="WGS84").inv(left, (bottom + top) / 2, right, (bottom + top) / 2)
    return float(across) / image.grid.width
