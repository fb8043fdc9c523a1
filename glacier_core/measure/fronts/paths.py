"""The path of least cost through an image, from pixel to neighbouring pixel (Dijkstra 1959, doi 10.1007/BF01386390)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from glacier_core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pixel = tuple[int, int]
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


def least_cost_path(
    cost: NDArray[np.floating], *, ends: tuple[Sequence[Pixel], Sequence[Pixel]] | None = None
) -> NDArray[np.float64]:
    """The cheapest way from any of some pixels to any of others, or from the left to the right edge.

    A step costs its length times the mean of its two pixels' costs.

    Args:
        cost: (y, x) above zero; infinite where no path leads.
        ends: pixels of which the path takes one first, and one last; None: the first column and the last.

    Returns:
        (n, 2) row and column of its pixels, in order.

    Raises:
        DataError: no path leads there.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    height, width = cost.shape
    number = np.arange(height * width).reshape(height, width)
    starts, stops, costs = [], [], []
    for down, right in _STEPS:
        one = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
        other = (slice(down, height), slice(max(0, right), width + min(0, right)))
        step = np.hypot(down, right) * (cost[one] + cost[other]) / 2
        open_ = np.isfinite(step)
        starts.append(number[one][open_])
        stops.append(number[other][open_])
        costs.append(step[open_])
    # two nodes more: one beside each pixel of the first column, one beside each of the last
    source, target = height * width, height * width + 1
    edges = [number[:, 0], number[:, -1]]
    if ends is not None:
        edges = [np.array([number[pixel] for pixel in end]) for end in ends]
    for node, pixels in zip((source, target), edges, strict=True):
        starts.append(np.full(len(pixels), node))
        stops.append(pixels)
        costs.append(np.full(len(pixels), 1e-9))
    graph = csr_array(
        (np.concatenate(costs), (np.concatenate(starts), np.concatenate(stops))), shape=(target + 1, target + 1)
    )
    away, previous = dijkstra(graph, directed=False, indices=source, return_predecessors=True)
    if not np.isfinite(away[target]):
        raise DataError("no path leads from one end to the other", expected="finite costs in between")
    path = [int(previous[target])]
    while previous[path[-1]] != source:
        path.append(int(previous[path[-1]]))
    return np.stack(np.unravel_index(path[::-1], cost.shape), axis=1).astype(np.float64)
