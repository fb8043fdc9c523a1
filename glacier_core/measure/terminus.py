"""The position of a glacier's front along its flow line.

The flow line is the path of least cost between terminus and head, where keeping to the middle of the glacier is cheap
(Kienholz et al. 2014, doi 10.5194/tc-8-503-2014). The front is where the ice, followed along that line, ends (the
centreline method of Lea et al. 2014, doi 10.3189/2014JoG13J061). Coordinates are in units of the grid's CRS, distances
in metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glacier_core.grids import Grid

# How much dearer a step at the margin is than one in the middle, and how fast that falls off inwards.
MARGIN_COST = 30.0
MARGIN_POWER = 2.0
# The line goes on below the terminus, so that an advance is seen.
BEYOND_TERMINUS_M = 1000.0
SMOOTHING_PIXELS = 4.0
SAMPLES_PER_PIXEL = 4
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True)
class FlowLine:
    """A glacier's flow line, from below its terminus up to its head."""

    points: NDArray[np.float64]
    """(n, 2) x and y in units of the CRS, lowest first."""
    distance_m: NDArray[np.float64]
    """(n,) metres upstream from the terminus; negative below it."""


def flow_line(
    outline: NDArray[np.bool_],
    grid: Grid,
    *,
    terminus: tuple[float, float] | None = None,
    elevation: NDArray[np.float32] | None = None,
) -> FlowLine | None:
    """The flow line of the glacier inside `outline`.

    It starts at the terminus, or at the lowest pixel where only an elevation is known, and ends at the highest pixel,
    or where no elevation is known at the one that is farthest from the terminus on the way over the ice.

    Args:
        outline: (y, x) inside the glacier's outline.
        grid: its pixel grid, in a projected CRS.
        terminus: x and y of the terminus in units of the CRS; it is moved to the nearest pixel of the outline.
        elevation: (y, x) terrain elevation in metres.

    Returns:
        None where neither terminus nor elevation is known: nothing else tells the lower end from the upper one. None
        also for an outline of fewer than two pixels.
    """
    from scipy import ndimage

    labels, count = ndimage.label(outline, structure=np.ones((3, 3)))
    if count == 0 or (terminus is None and elevation is None):
        return None
    rows, columns = np.nonzero(outline)
    if terminus is not None:
        a, _, left, _, e, top = grid.transform
        column, row = (terminus[0] - left) / a - 0.5, (terminus[1] - top) / e - 0.5
        lowest = int(np.argmin((rows - row) ** 2 + (columns - column) ** 2))
    else:
        lowest = int(np.nanargmin(_known(elevation, outline)))
    ice = labels == labels[rows[lowest], columns[lowest]]
    if np.count_nonzero(ice) < 2:
        return None
    path = _path(ice, (int(rows[lowest]), int(columns[lowest])), elevation)
    return _smooth_line(path, grid) if len(path) > 1 else None


def terminus_position(flow: FlowLine, ice: NDArray[np.bool_], grid: Grid) -> float | None:
    """Metres along the flow line from the terminus up to the ice front: it grows as the glacier retreats.

    Only the largest connected piece of ice counts; a snow patch below the front does not.

    Args:
        flow: the glacier's flow line.
        ice: (y, x) ice of this glacier in some year.
        grid: the pixel grid of `ice`.

    Returns:
        The position; negative where the ice has advanced beyond the terminus of the flow line. None where the largest
        piece of ice does not reach the flow line.
    """
    from scipy import ndimage

    labels, count = ndimage.label(ice)
    if count == 0:
        return None
    main = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    a, _, left, _, e, top = grid.transform
    columns = np.floor((flow.points[:, 0] - left) / a).astype(int)
    rows = np.floor((flow.points[:, 1] - top) / e).astype(int)
    inside = (rows >= 0) & (rows < grid.height) & (columns >= 0) & (columns < grid.width)
    on_ice = np.zeros(rows.shape, dtype=bool)
    on_ice[inside] = main[rows[inside], columns[inside]]
    if not on_ice.any():
        return None
    first = int(np.argmax(on_ice))
    before = max(first - 1, 0)
    return float((flow.distance_m[before] + flow.distance_m[first]) / 2)


def _known(elevation: NDArray[np.float32] | None, outline: NDArray[np.bool_]) -> NDArray[np.float64]:
    if elevation is None:
        return np.zeros(int(outline.sum()))
    return elevation[outline].astype(np.float64)


def _path(ice: NDArray[np.bool_], start: tuple[int, int], elevation: NDArray[np.float32] | None) -> NDArray[np.float64]:
    """(n, 2) row and column of the pixels from the terminus to the head, along the middle of the ice."""
    from scipy import ndimage
    from scipy.sparse.csgraph import dijkstra

    inner = ndimage.distance_transform_edt(np.pad(ice, 1))[1:-1, 1:-1]
    margin = 1.0 - inner / inner.max()
    nodes = np.full(ice.shape, -1)
    nodes[ice] = np.arange(np.count_nonzero(ice))
    source = int(nodes[start])
    rows, columns = np.nonzero(ice)
    if elevation is not None and np.isfinite(_known(elevation, ice)).any():
        head = int(np.nanargmax(_known(elevation, ice)))
    else:
        length = dijkstra(_graph(ice, nodes, np.ones(ice.shape)), directed=False, indices=source)
        head = int(np.argmax(np.where(np.isfinite(length), length, -1)))
    cost = 1.0 + MARGIN_COST * margin**MARGIN_POWER
    _, previous = dijkstra(_graph(ice, nodes, cost), directed=False, indices=source, return_predecessors=True)
    found = [head]
    while found[-1] != source and previous[found[-1]] >= 0:
        found.append(int(previous[found[-1]]))
    found.reverse()
    return np.stack([rows[found], columns[found]], axis=1).astype(np.float64)


def _graph(ice: NDArray[np.bool_], nodes: NDArray[np.int_], cost: NDArray[np.float64]) -> object:
    """Neighbouring pixels of the ice and the cost of a step between them: length in pixels times mean cost."""
    from scipy.sparse import csr_array

    count = int(nodes.max()) + 1
    starts, ends, lengths = [], [], []
    height, width = ice.shape
    for down, right in NEIGHBOURS:
        one = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
        other = (slice(down, height), slice(max(0, right), width + min(0, right)))
        both = ice[one] & ice[other]
        starts.append(nodes[one][both])
        ends.append(nodes[other][both])
        lengths.append(np.hypot(down, right) * (cost[one] + cost[other])[both] / 2)
    return csr_array((np.concatenate(lengths), (np.concatenate(starts), np.concatenate(ends))), shape=(count, count))


def _smooth_line(path: NDArray[np.float64], grid: Grid) -> FlowLine:
    """The path without the stairs of the grid, extended below the terminus, in steps of a fraction of a pixel."""
    from pyproj import CRS
    from scipy import ndimage

    a, _, left, _, e, top = grid.transform
    corners = np.stack([left + a * (path[:, 1] + 0.5), top + e * (path[:, 0] + 0.5)], axis=1)
    sigma = min(SMOOTHING_PIXELS, len(path) / 4)
    # mirrored through the end points, so that these stay where they are
    padding = max(1, min(len(path) - 1, int(4 * sigma) + 1))
    before = 2 * corners[0] - corners[padding:0:-1]
    after = 2 * corners[-1] - corners[-2 : -2 - padding : -1]
    smooth = ndimage.gaussian_filter1d(np.concatenate([before, corners, after]), sigma, axis=0, mode="nearest")
    smooth = smooth[len(before) : len(before) + len(corners)]
    unit_m = float(CRS.from_user_input(grid.crs).axis_info[0].unit_conversion_factor)
    reach = min(len(smooth) - 1, max(1, int(4 * SMOOTHING_PIXELS)))
    downstream = smooth[0] - smooth[reach]
    downstream /= max(float(np.hypot(*downstream)), 1e-12)
    smooth = np.concatenate([[smooth[0] + downstream * BEYOND_TERMINUS_M / unit_m], smooth])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(smooth, axis=0).T))])
    # the terminus itself is a sample: distances count from it
    step = abs(a) / SAMPLES_PER_PIXEL
    upstream = np.arange(0.0, along[-1] - along[1] + step / 2, step)
    distance = np.concatenate([-np.arange(step, along[1] + step / 2, step)[::-1], upstream])
    positions = distance + along[1]
    points = np.stack([np.interp(positions, along, smooth[:, axis]) for axis in (0, 1)], axis=1)
    return FlowLine(points=points, distance_m=distance * unit_m)
