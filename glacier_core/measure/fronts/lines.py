"""Front lines out of zones, of a thin front map, or of a network's probabilities. Pixel centres are whole numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glacier_core.labels.fronts import Upstream, length_of, resample, trace
from glacier_core.measure.fronts.paths import least_cost_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Line = NDArray[np.float64]

FEWEST_POINTS = 8
SHORTEST = 0.1
"""Lines shorter than this part of the image's shorter side are taken for noise while a lower probability may do."""
LEAST_SUPPORT = 0.001
"""Below this probability the network tells nothing, and the path of least cost is taken."""
NEAR_PX = 5
"""Both sides of a front are looked for in a window of so many pixels."""
PRESENCE = 0.05
"""Keeps the cost of a pixel without any evidence finite: it is twenty times that of a certain one."""


def front_of_zones(
    zones: NDArray[np.uint8],
    *,
    ocean: int,
    glacier: int,
    box: tuple[slice, slice] | None = None,
    smoothing: float = 0.0,
) -> Line:
    """The longest ocean-glacier boundary within the bounding box, smoothed.

    Args:
        zones: (y, x) codes.
        ocean: code of the ocean, ice mélange included.
        glacier: code of the glacier.
        box: rows and columns inside which the front lies; None: anywhere.
        smoothing: standard deviation of the smoothing along the line, in pixels.

    Returns:
        (n, 2) points between the two zones; empty where they do not meet.
    """
    rows, columns = box or (slice(None), slice(None))
    inside = zones[rows, columns]
    side = np.where(inside == glacier, 1.0, np.where(inside == ocean, -1.0, np.nan))
    line = trace(crossings(side), largest_gap=1.5)
    corner = np.array([rows.start or 0, columns.start or 0], dtype=np.float64)
    return smoothed(line + corner if len(line) else line, smoothing)


def front_of_sides(
    ocean: NDArray[np.floating],
    glacier: NDArray[np.floating],
    *,
    presence: float,
    largest_gap: float,
    smoothing: float = 0.0,
    upstream: Upstream = "down",
) -> Line:
    """The line on which the ocean's side of the front gives way to the glacier's, where either is likely.

    An image in which no front is that likely is asked again at half the probability, and in the end gives the path of
    least cost from edge to edge, across the flow: a front is always found. `probability_along` tells what it is worth.

    Args:
        ocean: (y, x) probability of the ocean's side.
        glacier: (y, x) probability of the glacier's side.
        presence: least probability of both sides together.
        largest_gap: pieces of the line that are further apart, in pixels, are not joined.
        smoothing: standard deviation of the smoothing along the line, in pixels.
        upstream: edge of the image that the glacier comes from.
    """
    likely, difference = ocean + glacier, glacier - ocean
    support = presence
    while support >= LEAST_SUPPORT:
        points = crossings(np.where(likely >= support, difference, np.nan))
        line = trace(points, largest_gap=largest_gap)
        if length_of(line) >= _shortest(ocean.shape):
            return smoothed(line, smoothing)
        support /= 2
    return smoothed(_across(1.0 / (PRESENCE + 4 * ocean * glacier), upstream), smoothing)


def front_of_band(
    band: NDArray[np.floating],
    *,
    presence: float,
    largest_gap: float,
    smoothing: float = 0.0,
    upstream: Upstream = "down",
) -> Line:
    """The middle of a band of high front probability; always one, as of `front_of_sides`.

    Args:
        band: (y, x) probability of the front.
        presence: least probability of what belongs to it.
        largest_gap: pieces that are further apart, in pixels, are not joined.
        smoothing: standard deviation of the smoothing along the line, in pixels.
        upstream: edge of the image that the glacier comes from.
    """
    support = presence
    while support >= LEAST_SUPPORT:
        rough = trace(np.argwhere(band >= support).astype(np.float64), largest_gap=largest_gap)
        if length_of(rough) >= _shortest(band.shape):
            first, last = ((int(row), int(column)) for row, column in (rough[0], rough[-1]))
            return smoothed(least_cost_path(1.0 / (PRESENCE + band) ** 2, ends=([first], [last])), smoothing)
        support /= 2
    return smoothed(_across(1.0 / (PRESENCE + band) ** 2, upstream), smoothing)


def likely_between(ocean: NDArray[np.floating], glacier: NDArray[np.floating]) -> NDArray[np.floating]:
    """How likely a front is at each pixel (y, x): both of its sides have to be near, each with half of it or more.

    Where `front_of_sides` finds a line with a probability, this is at least as large along it.

    Args:
        ocean: (y, x) probability of the ocean's side.
        glacier: (y, x) probability of the glacier's side.
    """
    from scipy.ndimage import maximum_filter

    near = [np.asarray(maximum_filter(side, size=NEAR_PX)) for side in (ocean, glacier)]
    return np.asarray(np.minimum(1.0, 2 * np.minimum(*near)))


def probability_along(line: Line, likely: NDArray[np.floating]) -> float:
    """What the network says of a line's surroundings: the median over its points. Below `presence` it is a guess.

    Args:
        line: (n, 2) row and column.
        likely: (y, x) probability of the front's surroundings.
    """
    if not len(line):
        return 0.0
    rows, columns = np.clip(np.round(line).astype(int), 0, np.array(likely.shape) - 1).T
    return float(np.median(likely[rows, columns]))


def smoothed(line: Line, sigma: float) -> Line:
    """The line without its stairs; it is mirrored through its ends, so that these stay where they are.

    Args:
        line: (n, 2) points.
        sigma: standard deviation in pixels along the line; 0: the line itself.
    """
    from scipy.ndimage import gaussian_filter1d

    if sigma <= 0 or len(line) < 3:
        return line
    dense = resample(line)
    step = length_of(dense) / max(len(dense) - 1, 1)
    reach = min(len(dense) - 1, int(4 * sigma / step) + 1)
    before, after = 2 * dense[0] - dense[reach:0:-1], 2 * dense[-1] - dense[-2 : -2 - reach : -1]
    smooth = gaussian_filter1d(np.concatenate([before, dense, after]), sigma / step, axis=0, mode="nearest")
    return np.asarray(smooth[len(before) : len(before) + len(dense)], dtype=np.float64)


def _across(cost: NDArray[np.floating], upstream: Upstream) -> Line:
    """The path of least cost across the flow."""
    if upstream in ("left", "right"):
        return least_cost_path(cost.T)[:, ::-1]
    return least_cost_path(cost)


def _shortest(shape: tuple[int, ...]) -> float:
    return max(float(FEWEST_POINTS), SHORTEST * min(shape))


def crossings(difference: NDArray[np.floating]) -> Line:
    """Points between neighbouring pixels at which a field changes sign, to a fraction of a pixel; NaN is no field."""
    found = []
    for axis in (0, 1):
        first = difference[:-1] if axis == 0 else difference[:, :-1]
        second = difference[1:] if axis == 0 else difference[:, 1:]
        crosses = np.isfinite(first) & np.isfinite(second) & ((first > 0) != (second > 0))
        points = np.argwhere(crosses).astype(np.float64)
        one, other = first[crosses].astype(np.float64), second[crosses].astype(np.float64)
        points[:, axis] += one / (one - other)
        found.append(points)
    return np.concatenate(found)
