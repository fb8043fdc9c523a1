"""The Sea Ice Index's monthly concentration pictures (PNG) as ice fractions on the 25 km grid.

What was measured on 374 pictures of `N_YYYYMM_conc_v3.0.png`:

- In the picture of 420 x 500 pixels the map is the rectangle of 304 x 448 pixels whose upper left pixel is column 16,
  row 29. It has the size of the northern 25 km grid and shows one cell with each pixel: its pole hole is centred where
  the grid has the pole, and its radii are those of the sensors' holes (24, 12.3 and 3.8 cells).
- The picture of 292 x 446 pixels is cut from that map: its pixel (row, column) is cell (row + 1, column + 12). All
  other offsets agree on less than 97 % of the land; this one agrees on all but 1 or 2 of 130,232 pixels, so the
  residual is zero cells, and nothing is resampled. Its frame leaves out 12 columns and 2 rows, which stay unknown.
- Colours of the map are exact: a level of the legend, land, coast, or the pole hole's grey. Everything else has been
  drawn over the map and is blended with it: the graticule, labels, and the median edge of the years 1981 to 2010.
- So decoded, the extent (at least 15 %, and the pole hole) is 4.32 million km2 in September 2007 and 7.91 in September
  1996; the Sea Ice Index publishes 4.3 and 7.9.

What is drawn over the sea is filled from the cells around it in the same picture. To leave it empty would keep the
median's line, which is known only after 2010, readable in what is missing. As it is, all months of a sensor are empty
in the same cells, and what is filled has one of the legend's levels like all else. `DecodedPicture.drawn` tells which
cells were filled.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glacier_core.errors import SceneError
from glacier_core.sources.nsidc.polar import GRIDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    RGB = NDArray[np.uint8]
    """(y, x, 3)."""


@dataclass(frozen=True)
class Layout:
    """Where the map lies in a picture."""

    rows: tuple[int, int]
    """First row of the picture that shows the map, and the one behind the last."""
    columns: tuple[int, int]
    """The same for columns."""
    cell: tuple[int, int]
    """Row and column of the grid's cell that the map's first pixel shows."""
    margin: bool
    """Whether legend and caption stand around the map."""


LAYOUTS = {
    (420, 500): Layout(rows=(29, 477), columns=(16, 320), cell=(0, 0), margin=True),
    (292, 446): Layout(rows=(0, 446), columns=(0, 292), cell=(1, 12), margin=False),
}
"""Layouts by width and height of the picture (northern hemisphere)."""

LAND = 0x777777
COAST = 0x000000
POLE_HOLE = 0x4F4F4F
OPEN_WATER_BELOW = 0.15
"""The pictures show less than 15 % as open water; so the legend's lowest level is no ice, not its middle."""
MOST_DRAWN = 0.2
"""Part of the map that graticule, labels and lines may cover; they cover 0.04 to 0.1."""
LETTERING_PIXELS = 500
"""Yellow pixels from which a picture says NO DATA (6,354 where it does, 0 where not)."""
SHORTEST_BAR = 150
SHORTEST_NEAR_REAL_TIME = 60
"""Rows that the words `near-real-time data` cover at least; `final data` covers 38."""
REACH = 2
"""Cells around one that was drawn over, from which it is filled where they show the sea."""

LARGEST_HOLE_CELLS = 30
"""Cells from the pole within which grey is the pole hole (24 with SMMR); further off it is a cell without data."""

SEA_CELL, LAND_CELL, HOLE_CELL, EMPTY_CELL, DRAWN_CELL, OUTSIDE_CELL = range(6)


@dataclass(frozen=True)
class Legend:
    """What the colours of a picture mean."""

    colours: tuple[int, ...]
    """Colours as 0xRRGGBB, from the lowest level up."""
    edges: tuple[float, ...]
    """Lower edge of each level as a fraction, and the upper edge of the last: one more than colours."""

    @property
    def fractions(self) -> tuple[float, ...]:
        """The fraction that each colour stands for: the middle of its level; 0 for the lowest (open water)."""
        middles = [(low + high) / 2 for low, high in itertools.pairwise(self.edges)]
        highs = self.edges[1:]
        return tuple(0.0 if high <= OPEN_WATER_BELOW else middle for high, middle in zip(highs, middles, strict=True))


@dataclass(frozen=True)
class DecodedPicture:
    """A picture on the northern 25 km grid."""

    fraction: NDArray[np.float32]
    """Ice fraction 0 to 1, (448, 304); NaN on land, in the pole hole and outside the picture."""
    land: NDArray[np.uint8]
    """1 land or coast, 0 none, 255 outside the picture."""
    pole_hole: NDArray[np.bool_]
    """Where the sensor saw nothing around the pole."""
    drawn: NDArray[np.bool_]
    """Where lines or letters hid the map, so that `fraction` and the masks come from the cells around."""


def open_picture(body: bytes, *, name: str) -> RGB:
    """A picture's pixels.

    Raises:
        SceneError: it is no picture, has an unknown size, or says NO DATA.
    """
    pixels = _decoded(body, name=name)
    height, width = pixels.shape[:2]
    if (width, height) not in LAYOUTS:
        known = " or ".join(f"{w} x {h}" for w, h in LAYOUTS)
        raise SceneError(f"{name} has {width} x {height} pixels", expected=known)
    if _says_no_data(pixels):
        raise SceneError(f"{name} says NO DATA: the month is missing")
    return pixels


def _decoded(body: bytes, *, name: str) -> RGB:
    """A PNG's pixels, whatever its colour type."""
    import imagecodecs
    import numpy as np

    try:
        decoded = imagecodecs.png_decode(body)
    # imagecodecs has an error of its own for each codec, and raises others too
    except (RuntimeError, ValueError, TypeError) as error:
        raise SceneError(
            f"{name} is no picture that can be read ({(str(error) or 'empty').splitlines()[0][:80]})"
        ) from None
    if decoded.dtype != np.uint8 or decoded.ndim != 3 or decoded.shape[2] not in {3, 4}:
        raise SceneError(f"{name} holds {decoded.dtype} of shape {decoded.shape}", expected="a picture in colour")
    pixels: RGB = decoded[..., :3]
    return pixels


def check_picture(body: bytes) -> None:
    """Raise SceneError where bytes are no picture in colour."""
    _decoded(body, name="what came")


def _says_no_data(pixels: RGB) -> bool:
    """Whether big yellow letters cover the map: no other part of a picture is yellow."""
    import numpy as np

    red, green, blue = (pixels[..., band] for band in range(3))
    return int(np.count_nonzero((red > 150) & (green > 130) & (blue < 90))) >= LETTERING_PIXELS


def layout_of(pixels: RGB) -> Layout:
    """The layout of a picture that `open_picture` has taken."""
    return LAYOUTS[pixels.shape[1], pixels.shape[0]]


def version_of(pixels: RGB) -> str:
    """`final` or `near_real_time`, as the words left of the map say; `unknown` where the picture has no margin."""
    import numpy as np

    layout = layout_of(pixels)
    if not layout.margin:
        return "unknown"
    strip = pixels[layout.rows[0] : layout.rows[1] + 3, : layout.columns[0] - 1]
    rows = np.flatnonzero((strip != pixels[-1, -1]).any(axis=(1, 2)))
    if not len(rows):
        return "unknown"
    return "near_real_time" if rows[-1] - rows[0] >= SHORTEST_NEAR_REAL_TIME else "final"


def legend_of(pixels: RGB, *, name: str) -> Legend | None:
    """The levels that the colour bar right of the map shows; None where the picture has no margin.

    The bar's ends are 100 % and 0 %, as the numbers beside it say; each colour's share of its height tells its level.

    Raises:
        SceneError: there is a margin, but no such bar in it.
    """
    import numpy as np

    layout = layout_of(pixels)
    if not layout.margin:
        return None
    margin = _packed(pixels[:, layout.columns[1] :])
    background = _packed(pixels[-1:, -1:])[0, 0]
    column = _longest_bar(margin != background)
    if column is None:
        raise SceneError(f"{name} has no legend", expected="a colour bar right of the map")
    at, top, bottom = column
    bar = margin[top:bottom, at]
    starts = np.flatnonzero(np.r_[True, bar[1:] != bar[:-1]])
    edges = 1 - np.r_[starts, len(bar)] / len(bar)
    rounded = np.round(edges, 2)
    if len(starts) < 3 or np.abs(edges - rounded).max() > 1.0 / len(bar) or len(set(bar[starts])) != len(starts):
        raise SceneError(f"{name} has a legend that cannot be read", expected="levels at whole percents")
    return Legend(tuple(int(bar[start]) for start in starts[::-1]), tuple(float(edge) for edge in rounded[::-1]))


def _longest_bar(filled: NDArray[np.bool_]) -> tuple[int, int, int] | None:
    """Column, first row and the row behind the last of the longest unbroken run of filled pixels."""
    import numpy as np

    best: tuple[int, int, int] | None = None
    for at in np.flatnonzero(filled.sum(axis=0) >= SHORTEST_BAR):
        steps = np.flatnonzero(np.diff(np.r_[False, filled[:, at], False].astype(np.int8)))
        runs = steps.reshape(-1, 2)
        top, bottom = runs[np.argmax(runs[:, 1] - runs[:, 0])]
        if bottom - top >= SHORTEST_BAR and (best is None or bottom - top > best[2] - best[1]):
            best = int(at), int(top), int(bottom)
    return best


def decode_picture(pixels: RGB, *, legend: Legend, name: str, land: NDArray[np.uint8] | None = None) -> DecodedPicture:
    """What a picture shows, on the northern 25 km grid.

    Args:
        pixels: as `open_picture` gives them.
        legend: what its colours mean.
        name: names the picture in errors.
        land: the land of all pictures (1 yes, 0 no, 255 unknown), where that is known: lines and letters hide some.

    Raises:
        SceneError: too much of the map is drawn over.
    """
    import numpy as np

    layout, grid = layout_of(pixels), GRIDS["north"]
    colours = _packed(pixels[slice(*layout.rows), slice(*layout.columns)])
    cells = np.full(grid.shape, OUTSIDE_CELL, np.uint8)
    fraction = np.full(grid.shape, np.nan, np.float32)
    window = tuple(slice(start, start + size) for start, size in zip(layout.cell, colours.shape, strict=True))
    cells[window] = DRAWN_CELL
    for colour, kind in ((LAND, LAND_CELL), (COAST, LAND_CELL), (POLE_HOLE, HOLE_CELL)):
        cells[window][colours == colour] = kind
    for colour, level in zip(legend.colours, legend.fractions, strict=True):
        shown = colours == colour
        cells[window][shown] = SEA_CELL
        fraction[window][shown] = level
    cells[(cells == HOLE_CELL) & ~_around_pole()] = EMPTY_CELL
    if land is not None:
        # single cells of coast are dots that lines cover in some months and not in others
        cells[(cells == LAND_CELL) & (land == 0)] = DRAWN_CELL
        cells[(cells != OUTSIDE_CELL) & (land == 1)] = LAND_CELL
        fraction[land == 1] = np.nan
    drawn = cells == DRAWN_CELL
    if drawn[window].mean() > MOST_DRAWN:
        raise SceneError(f"{name} shows the map on only {1 - drawn[window].mean():.0%} of its pixels")
    if not np.isfinite(fraction).any():
        raise SceneError(f"{name} shows no sea")
    _resolve(cells, drawn, land)
    _fill(fraction, cells=cells, drawn=drawn, legend=legend)
    masks = np.where(cells == OUTSIDE_CELL, 255, cells == LAND_CELL).astype(np.uint8)
    return DecodedPicture(fraction, masks, cells == HOLE_CELL, drawn)


def _around_pole() -> NDArray[np.bool_]:
    """Cells of the grid that may belong to a pole hole."""
    import numpy as np

    grid = GRIDS["north"]
    a, _, left, _, e, top = grid.transform
    rows, columns = np.ogrid[: grid.height, : grid.width]
    near: NDArray[np.bool_] = np.hypot(columns + 0.5 + left / a, rows + 0.5 + top / e) <= LARGEST_HOLE_CELLS
    return near


def _packed(pixels: RGB) -> NDArray[np.uint32]:
    """Colours as 0xRRGGBB."""
    import numpy as np

    wide = pixels.astype(np.uint32)
    packed: NDArray[np.uint32] = ((wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]).astype(np.uint32)
    return packed


def _nearest(sources: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The flat index of the source cell that is nearest to each cell (distances as OpenCV's 5 x 5 mask has them)."""
    import cv2
    import numpy as np

    _, labels = cv2.distanceTransformWithLabels(
        np.where(sources, 0, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.zeros(int(labels.max()) + 1, np.intp)
    places[labels[sources]] = np.flatnonzero(sources)
    nearest: NDArray[np.intp] = places[labels]
    return nearest


def _resolve(cells: NDArray[np.uint8], drawn: NDArray[np.bool_], land: NDArray[np.uint8] | None) -> None:
    """Say what the hidden cells are: as all pictures together know it, else as the nearest cell that can be seen."""
    seen = (cells != DRAWN_CELL) & (cells != OUTSIDE_CELL)
    if land is not None:
        # land is out of the question: the nearest of the others
        water = drawn & (land == 0)
        cells[water] = cells.flat[_nearest(seen & (cells != LAND_CELL))[water]]
        drawn = drawn & (land == 255)
        if not drawn.any():
            return
    cells[drawn] = cells.flat[_nearest(seen)[drawn]]


def _fill(
    fraction: NDArray[np.float32],
    *,
    cells: NDArray[np.uint8],
    drawn: NDArray[np.bool_],
    legend: Legend,
) -> None:
    """Give hidden sea the mean of the sea that can be seen around it (weights 1/d²), or the nearest one's value.

    The mean becomes the level that it lies in: values between levels would tell where lines have been.
    """
    import cv2
    import numpy as np

    hidden = drawn & (cells == SEA_CELL)
    seen = np.isfinite(fraction)
    offsets = np.arange(-REACH, REACH + 1)
    squares = (offsets[:, None] ** 2 + offsets[None, :] ** 2).astype(np.float32)
    kernel = np.float32(1.0) / np.where(squares == 0, np.float32(np.inf), squares)
    weight = cv2.filter2D(seen.astype(np.float32), -1, kernel, borderType=cv2.BORDER_CONSTANT)
    total = cv2.filter2D(np.where(seen, fraction, 0.0).astype(np.float32), -1, kernel, borderType=cv2.BORDER_CONSTANT)
    enough = weight >= 1 / (8 * REACH**2)
    around = np.where(enough, total / np.where(enough, weight, 1.0), fraction.flat[_nearest(seen)])[hidden]
    level = np.searchsorted(np.array(legend.edges[1:-1]), around, side="right")
    fraction[hidden] = np.array(legend.fractions, np.float32)[level]
