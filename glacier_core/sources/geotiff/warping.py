"""Where a grid's pixels lie in a file, and what is there: coordinate maps, remapping, and a mask that goes along.

The exact projection is asked on a coarse lattice, made finer until straight lines between its nodes err by less than
`LATTICE_ERROR_PX`. Interpolation follows GDAL's (`GWKBilinearResample4SampleT`): a pixel is there where the file's
pixel that holds its centre is valid; its value is the mean of the valid ones of the four around it, by their weights.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glacier_core.sources.geotiff.blocks import Window

LATTICE_ERROR_PX = 0.02
"""Error of the coordinates between the lattice's nodes, in pixels of the file."""
COARSEST_STEP = 64
"""Pixels of the grid between two nodes."""
FINEST_STEP = 4
"""Where even this is too coarse, the mapping is no smooth one (a pole, the antimeridian)."""
TIE = 2.0**-12
"""Pixels by which nearest neighbours lean to the lower right: GDAL's choice where two are equally near."""

Project = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""(columns, rows) of the grid -> (columns, rows) of the file; pixel centres are whole numbers in both."""


class NotSmoothError(Exception):
    """The mapping cannot be interpolated."""


@dataclass(frozen=True)
class Lattice:
    """File coordinates at regular places of a grid."""

    row: int
    """First row of the part of the grid that it covers."""
    column: int
    """First column."""
    step: int
    """Grid pixels between two nodes; node (0, 0) lies half a step up and left of the part's first cell centre."""
    nodes: NDArray[np.float64]
    """(2, rows, columns): columns and rows of the file."""

    def maps(self, part: Window, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Columns and rows of a window of the file at each pixel of a part of the grid."""
        (top, left), columns, rows = self._first_cell(part), *self._around(part)
        height, width = part[0].stop - part[0].start, part[1].stop - part[1].start
        down, right = part[0].start - self.row - top * self.step, part[1].start - self.column - left * self.step
        maps = []
        for values, first in ((columns, window[1].start), (rows, window[0].start)):
            near = (values - first).astype(np.float32)
            size = (near.shape[1] * self.step, near.shape[0] * self.step)
            fine = cv2.resize(near, size, interpolation=cv2.INTER_LINEAR)
            # the first node lies a whole step before the first cell
            y, x = down + self.step, right + self.step
            maps.append(np.ascontiguousarray(fine[y : y + height, x : x + width]))
        return maps[0], maps[1]

    def _first_cell(self, part: Window) -> tuple[int, int]:
        return (part[0].start - self.row) // self.step, (part[1].start - self.column) // self.step

    def _around(self, part: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The nodes of the cells of a part of the grid, and one more on each side."""
        top, left = self._first_cell(part)
        bottom = -(-(part[0].stop - self.row) // self.step)
        right = -(-(part[1].stop - self.column) // self.step)
        columns, rows = self.nodes[:, top : bottom + 2, left : right + 2]
        return columns, rows


def window_of(project: Project, part: Window, shape: tuple[int, int], margin: int) -> Window:
    """The part of a file (of `shape`) that a part of a grid needs, `margin` pixels wider on each side.

    A smooth mapping takes its extremes on the edge of the part, so only that is asked.

    Raises:
        NotSmoothError: the projection fails there.
    """
    top, bottom, left, right = part[0].start - 0.5, part[0].stop - 0.5, part[1].start - 0.5, part[1].stop - 0.5
    down = np.linspace(top, bottom, 2 + int(bottom - top) // COARSEST_STEP)
    across = np.linspace(left, right, 2 + int(right - left) // COARSEST_STEP)
    columns = np.concatenate([across, across, np.full_like(down, left), np.full_like(down, right)])
    rows = np.concatenate([np.full_like(across, top), np.full_like(across, bottom), down, down])
    x, y = project(columns, rows)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise NotSmoothError
    found = []
    for values, size in ((y, shape[0]), (x, shape[1])):
        first = int(np.clip(np.floor(values.min()) - margin, 0, size))
        found.append(slice(first, max(first, int(np.clip(np.ceil(values.max()) + 1 + margin, 0, size)))))
    return found[0], found[1]


def lattice_of(project: Project, part: Window) -> Lattice:
    """The coarsest lattice over a part of a grid whose straight lines are close enough to `project`.

    Raises:
        NotSmoothError: none is, or the projection fails there.
    """
    step = COARSEST_STEP
    coarse = _nodes(project, part, step)
    while step > FINEST_STEP:
        fine = _nodes(project, part, step // 2)
        if not np.isfinite(fine).all():
            raise NotSmoothError
        if _error(coarse, fine) <= LATTICE_ERROR_PX:
            return Lattice(part[0].start, part[1].start, step, coarse)
        step, coarse = step // 2, fine
    raise NotSmoothError


def _nodes(project: Project, part: Window, step: int) -> NDArray[np.float64]:
    """Nodes at the centres of cells of `step` pixels, one cell more on each side."""
    axes = []
    for side in part:
        cells = -(-(side.stop - side.start) // step)
        axes.append(side.start + (np.arange(-1, cells + 1) + 0.5) * step - 0.5)
    rows, columns = np.meshgrid(axes[0], axes[1], indexing="ij")
    x, y = project(columns.ravel(), rows.ravel())
    return np.stack([x.reshape(rows.shape), y.reshape(rows.shape)])


def _error(coarse: NDArray[np.float64], fine: NDArray[np.float64]) -> float:
    """How far the fine nodes are from straight lines between the coarse ones, in pixels of the file."""
    # between coarse nodes j and j + 1 lie fine ones at a quarter and at three quarters of the way
    rows, columns = coarse.shape[1] - 1, coarse.shape[2] - 1
    worst = 0.0
    for down in (0, 1):
        for right in (0, 1):
            v, u = 0.25 + 0.5 * down, 0.25 + 0.5 * right
            straight = (
                (1 - v) * (1 - u) * coarse[:, :-1, :-1]
                + (1 - v) * u * coarse[:, :-1, 1:]
                + v * (1 - u) * coarse[:, 1:, :-1]
                + v * u * coarse[:, 1:, 1:]
            )
            exact = fine[:, down : down + 2 * rows : 2, right : right + 2 * columns : 2]
            shared = tuple(map(min, straight.shape, exact.shape))
            gap = straight[:, : shared[1], : shared[2]] - exact[:, : shared[1], : shared[2]]
            worst = max(worst, float(np.abs(gap).max(initial=0.0)))
    # the middle of a cell errs by a third more than its quarters
    return worst * 4 / 3


def remap_bilinear(
    numbers: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    maps: tuple[NDArray[np.float32], NDArray[np.float32]],
    out: NDArray[np.float32],
) -> None:
    """Write interpolated numbers into `out`, NaN where there are none.

    Args:
        numbers: a window of the file (y, x).
        valid: which of them count; None: all, and no place of the maps lies beyond the window's edge.
        maps: columns and rows of the window for each pixel of `out`.
        out: (y, x).
    """
    x, y = maps
    if valid is None:
        cv2.remap(numbers, x, y, cv2.INTER_LINEAR, dst=out, borderMode=cv2.BORDER_REPLICATE)
        return
    if not valid.any():
        out[...] = np.nan
        return
    whole = np.where(valid, numbers, np.float32(0))
    weights = cv2.remap(valid.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    here = cv2.remap(valid.view(np.uint8), x + TIE, y + TIE, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    sums = cv2.remap(whole, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    out[...] = np.nan
    np.divide(sums, weights, out=out, where=here.astype(bool) & (weights > 0))


def remap_nearest(
    numbers: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    maps: tuple[NDArray[np.float32], NDArray[np.float32]],
    out: NDArray[np.float32],
) -> None:
    """Write the nearest numbers into `out`, NaN where there are none; arguments as for `remap_bilinear`."""
    x, y = maps[0] + np.float32(TIE), maps[1] + np.float32(TIE)
    whole = numbers if valid is None else np.where(valid, numbers, np.float32(np.nan))
    cv2.remap(whole, x, y, cv2.INTER_NEAREST, dst=out, borderMode=cv2.BORDER_CONSTANT, borderValue=(np.nan,) * 4)


_lock = threading.Lock()
_users = 0
_threads_before = 0


@contextmanager
def own_threads() -> Iterator[None]:
    """Keep OpenCV from starting threads of its own beside ours; its setting comes back with the last user."""
    global _users, _threads_before  # noqa: PLW0603 the setting is the process's
    with _lock:
        if _users == 0:
            _threads_before = cv2.getNumThreads()
            cv2.setNumThreads(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                cv2.setNumThreads(_threads_before)
