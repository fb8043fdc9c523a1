"""Calving fronts: a drawn line becomes an ordered line, and that the zones on both sides of it.

A line is (n, 2) float64, row and column, pixel centres at whole numbers. It is ordered so that who walks along it has
the glacier on the right hand: the side of a pixel is then the sign of a cross product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from glacier_core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Line = NDArray[np.float64]

Upstream = Literal["down", "up", "left", "right"]
"""Where in the image the glacier comes from."""

OTHER, OCEAN_SIDE, GLACIER_SIDE = 0, 1, 2
"""Codes of `front_sides`."""
SIDES = ("other", "ocean_side", "glacier_side")
STEP = 0.5
TANGENT_PIXELS = 4.0
"""Half the length of line whose direction decides the side: the stairs of a drawn line do not."""


def resample(line: Line, *, step: float = STEP) -> Line:
    """The line in points that are about `step` pixels apart along it; its ends stay where they are."""
    if len(line) < 2:
        return line
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    count = max(2, round(float(along[-1]) / step) + 1)
    wanted = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(wanted, along, line[:, axis]) for axis in (0, 1)], axis=1)


def length_of(line: Line) -> float:
    """Length in pixels."""
    return float(np.hypot(*np.diff(line, axis=0).T).sum()) if len(line) > 1 else 0.0


def trace(points: Line, *, largest_gap: float = np.inf) -> Line:
    """The longest way through scattered points of a thin line, from one of its ends to the other.

    The points' Euclidean minimum spanning tree (a part of their Delaunay triangulation) is cut at gaps; of the pieces
    that remain the longest path is taken. Side branches fall away.

    Args:
        points: (n, 2) in any order.
        largest_gap: points that are further apart are not joined.

    Returns:
        (m, 2) in order; empty where there are no two points that belong together.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    points = np.unique(np.asarray(points, dtype=np.float64), axis=0)
    if len(points) < 2:
        return points[:0]
    start, end = _neighbours(points)
    lengths = np.hypot(*(points[start] - points[end]).T)
    near = lengths <= largest_gap
    graph = coo_array((lengths[near], (start[near], end[near])), shape=(len(points), len(points)))
    tree = minimum_spanning_tree(graph.tocsr())
    return points[_longest_path(tree + tree.T)]


def trace_mask(mask: NDArray[np.bool_], *, largest_gap: float = np.inf) -> Line:
    """The line that a mask of its pixels shows, one pixel or a few wide; see `trace`."""
    return trace(np.argwhere(mask).astype(np.float64), largest_gap=largest_gap)


def oriented(line: Line, *, upstream: Upstream) -> Line:
    """The line, turned round where needed so that the glacier lies on the right hand.

    Args:
        line: in any direction.
        upstream: where in the image the glacier comes from.
    """
    if len(line) < 2:
        return line
    (row, column), (last_row, last_column) = line[0], line[-1]
    towards = {
        "down": last_column - column,
        "up": column - last_column,
        "right": row - last_row,
        "left": last_row - row,
    }[upstream]
    return line if towards >= 0 else line[::-1]


def signed_distance(line: Line, shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Distance of each pixel from the line, and whether it lies beside it.

    Args:
        line: ordered, with the glacier on the right hand.
        shape: rows and columns of the image.

    Returns:
        (y, x) pixels, above zero on the glacier's side; and (y, x) False where the nearest point is an end of the line.

    Raises:
        DataError: the line has fewer than two points.
    """
    from scipy.spatial import cKDTree

    if len(line) < 2:
        raise DataError(f"the front line has {len(line)} points", expected="at least two")
    dense = resample(line)
    reach = max(1, round(TANGENT_PIXELS / STEP))
    index = np.arange(len(dense))
    tangent = dense[np.minimum(index + reach, len(dense) - 1)] - dense[np.maximum(index - reach, 0)]
    pixels = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 2).astype(np.float64)
    distance, nearest = cKDTree(dense).query(pixels)
    offset = pixels - dense[nearest]
    side = tangent[nearest, 1] * offset[:, 0] - tangent[nearest, 0] * offset[:, 1]
    beyond = ((nearest == 0) | (nearest == len(dense) - 1)) & (distance > 1.0)
    signed = np.where(side > 0, distance, -distance).astype(np.float32)
    return signed.reshape(shape), ~beyond.reshape(shape)


def front_sides(distance: NDArray[np.float32], beside: NDArray[np.bool_], *, width: float) -> NDArray[np.uint8]:
    """A band on each side of the front: codes of `SIDES`.

    Args:
        distance: from `signed_distance`.
        beside: from `signed_distance`.
        width: width of each band in pixels.
    """
    near = beside & (np.abs(distance) <= width)
    return np.where(near, np.where(distance > 0, GLACIER_SIDE, OCEAN_SIDE), OTHER).astype(np.uint8)


def front_band(distance: NDArray[np.float32], beside: NDArray[np.bool_], *, width: float) -> NDArray[np.uint8]:
    """1 within `width` pixels of the front, 0 elsewhere; arguments as of `front_sides`."""
    return (beside & (np.abs(distance) <= width)).astype(np.uint8)


def _neighbours(points: Line) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Pairs of points among which are all edges of their minimum spanning tree."""
    from scipy.spatial import Delaunay, QhullError

    centred = points - points.mean(axis=0)
    if len(points) > 3 and np.linalg.matrix_rank(centred) == 2:
        try:
            corners = Delaunay(points, qhull_options="QJ").simplices
        except QhullError:
            corners = None
        if corners is not None:
            pairs = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])
            pairs = np.unique(np.sort(pairs, axis=1), axis=0)
            return pairs[:, 0], pairs[:, 1]
    if len(points) <= 3:
        start, end = np.triu_indices(len(points), k=1)
        return start, end
    # all on one straight line: each is a neighbour of the next
    order = np.lexsort((points[:, 1], points[:, 0]))
    return order[:-1], order[1:]


def _longest_path(tree: object) -> NDArray[np.int_]:
    """Nodes of the longest path of a forest: from any node to the farthest, and from there to the farthest."""
    from scipy.sparse.csgraph import connected_components, dijkstra

    count, member = connected_components(tree, directed=False)
    best, longest = np.zeros(0, dtype=np.int_), 0.0
    for number in range(count):
        nodes = np.flatnonzero(member == number)
        if len(nodes) < 2:
            continue
        away = _reached(dijkstra(tree, directed=False, indices=int(nodes[0])))
        start = int(np.argmax(away))
        found, previous = dijkstra(tree, directed=False, indices=start, return_predecessors=True)
        away = _reached(found)
        end = int(np.argmax(away))
        if away[end] <= longest:
            continue
        longest, path = float(away[end]), [end]
        while path[-1] != start:
            path.append(int(previous[path[-1]]))
        best = np.array(path)
    return best


def _reached(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(distance), distance, -1.0)
