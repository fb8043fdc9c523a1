"""Velocity from the displacements of many pairs, its error over stable ground, and how it compares with a given one.

Means over pairs follow Dehecq, Gourmelen and Trouvé 2015, doi 10.1016/j.rse.2015.01.031: many redundant pairs, outliers
by their distance from the median. A pair's displacement has the same error in pixels whatever its separation, its
velocity one that falls with the separation; so pairs count by the square of it.

Stable ground as the measure of error: Paul et al. 2017, doi 10.1016/j.rse.2017.08.038 (median: what all vectors have
alike; NMAD: how far they scatter, Höhle and Höhle 2009, doi 10.1016/j.isprsjprs.2009.02.003).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError
from glacier_core.measure.motion.displacements import Displacements

NMAD = 1.4826
"""What makes the median absolute deviation of a normal distribution its standard deviation."""

RAYLEIGH = 0.8493
"""What makes the median length of normal errors in two directions the standard deviation of one: 1/sqrt(2 ln 2)."""

OUTLIER = 3.0
"""Pairs farther from the median of all pairs than this many of their spreads do not count."""

LEAST_SPREAD_PX = 0.05
"""Disagreement of pairs, in pixels of displacement, that makes none of them an outlier."""


@dataclass(frozen=True)
class Velocities:
    """A velocity field in pixels a day on a grid of template centres (n, m)."""

    rows: NDArray[np.float64]
    """(n,), row of each vector in the image."""
    columns: NDArray[np.float64]
    """(m,), column of each vector."""
    vx: NDArray[np.float32]
    """(n, m), to the right, px/day; NaN where unknown."""
    vy: NDArray[np.float32]
    """(n, m), down, px/day."""
    spread: NDArray[np.float32]
    """(n, m), scatter of the pairs around their median as the standard deviation of a component, px/day; NaN below
    three pairs."""
    pairs: NDArray[np.int32]
    """(n, m), number of pairs that count."""

    @property
    def speed(self) -> NDArray[np.float32]:
        """(n, m), px/day."""
        return np.hypot(self.vx, self.vy)


@dataclass(frozen=True)
class Stability:
    """What vectors over ground that does not move say about the error of all: components in the field's unit."""

    n: int
    """Number of vectors over stable ground."""
    median_x: float
    """Median of the components to the right (east); NaN where there is no vector."""
    median_y: float
    """Median of the components down (or north, as the field has it)."""
    nmad_x: float
    """Normalised median absolute deviation of the components to the right."""
    nmad_y: float
    """The same of the others."""

    @property
    def nmad(self) -> float:
        """Error of one component: the root of the mean square of both."""
        return float(np.hypot(self.nmad_x, self.nmad_y) / np.sqrt(2))

    def to_json(self) -> dict[str, Any]:
        """A plain object; numbers that are not known are null."""
        plain = {key: (value if np.isfinite(value) else None) for key, value in asdict(self).items()}
        return {**plain, "nmad": self.nmad if np.isfinite(self.nmad) else None}


@dataclass(frozen=True)
class Comparison:
    """A velocity field against a given one, where both are known; in the unit of both."""

    n: int
    """Number of vectors that both have."""
    bias_x: float
    """Median difference to the right, ours less the given."""
    bias_y: float
    """Median difference down (or north)."""
    nmad_x: float
    """Scatter of the differences to the right."""
    nmad_y: float
    """Scatter of the other differences."""
    speed_bias: float
    """Median difference of the speeds."""
    correlation: float
    """Of the speeds; NaN below three vectors or where one field is constant."""

    def to_json(self) -> dict[str, Any]:
        """A plain object; numbers that are not known are null."""
        return {key: (value if np.isfinite(value) else None) for key, value in asdict(self).items()}


def average(fields: Sequence[Displacements], *, days: Sequence[float], fewest_pairs: int = 1) -> Velocities:
    """The mean velocity of many pairs; a pair counts by the square of its separation, reliable vectors alone.

    Args:
        fields: displacements of each pair, all on one grid.
        days: separation of each pair, above 0.
        fewest_pairs: vectors that fewer pairs agree on are unknown.

    Raises:
        DataError: there is no pair, a separation is not positive, or the grids differ.
    """
    if not fields or len(fields) != len(days) or min(days) <= 0:
        raise DataError(
            f"{len(fields)} pairs of {list(days)[:5]} days", expected="pairs with a separation above 0 days"
        )
    first = fields[0]
    if any(not (np.array_equal(f.rows, first.rows) and np.array_equal(f.columns, first.columns)) for f in fields):
        raise DataError("pairs on different grids cannot be averaged", expected="one grid of templates")
    separation = np.array(days, dtype=np.float64)[:, None, None]
    vx = np.stack([np.where(f.reliable, f.dx_px, np.nan) for f in fields]) / separation
    vy = np.stack([np.where(f.reliable, f.dy_px, np.nan) for f in fields]) / separation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)
        distance = np.hypot(vx - np.nanmedian(vx, axis=0), vy - np.nanmedian(vy, axis=0))
        spread = RAYLEIGH * np.nanmedian(distance, axis=0)
    allowed = OUTLIER * np.maximum(spread, LEAST_SPREAD_PX / separation)
    kept = np.isfinite(vx) & (np.nan_to_num(distance, nan=np.inf) <= allowed)
    count = kept.sum(axis=0)
    weight = np.where(kept, separation**2, 0.0)
    total = np.where(count >= max(fewest_pairs, 1), weight.sum(axis=0), np.nan)
    return Velocities(
        rows=first.rows,
        columns=first.columns,
        vx=((weight * np.nan_to_num(vx)).sum(axis=0) / total).astype(np.float32),
        vy=((weight * np.nan_to_num(vy)).sum(axis=0) / total).astype(np.float32),
        spread=np.where(np.isfinite(total) & (count >= 3), spread, np.nan).astype(np.float32),
        pairs=np.where(np.isfinite(total), count, 0).astype(np.int32),
    )


def over_stable_ground(x: NDArray[np.float32], y: NDArray[np.float32], *, stable: NDArray[np.bool_]) -> Stability:
    """Median and NMAD of both components over stable ground.

    Args:
        x: components to the right (or east), any shape and unit; NaN where unknown.
        y: the other components, of the same shape.
        stable: where the ground does not move, of the same shape.
    """
    known = stable & np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return Stability(n=0, median_x=np.nan, median_y=np.nan, nmad_x=np.nan, nmad_y=np.nan)
    (median_x, nmad_x), (median_y, nmad_y) = (_middle(values[known]) for values in (x, y))
    return Stability(int(known.sum()), median_x, median_y, nmad_x, nmad_y)


def compare(
    x: NDArray[np.float32], y: NDArray[np.float32], *, given_x: NDArray[np.float32], given_y: NDArray[np.float32]
) -> Comparison:
    """How a velocity field differs from a given one; all of one shape, one unit and one orientation.

    Args:
        x: our components to the right (or east), NaN where unknown.
        y: our other components.
        given_x: the given components to the right (or east).
        given_y: the other given components.

    Raises:
        DataError: the shapes differ.
    """
    if not x.shape == y.shape == given_x.shape == given_y.shape:
        raise DataError(f"fields of the shapes {x.shape} and {given_x.shape}", expected="one shape")
    known = np.isfinite(x) & np.isfinite(y) & np.isfinite(given_x) & np.isfinite(given_y)
    if not known.any():
        return Comparison(0, *[np.nan] * 6)
    (bias_x, nmad_x), (bias_y, nmad_y) = (_middle((a - b)[known]) for a, b in ((x, given_x), (y, given_y)))
    own, given = np.hypot(x, y)[known].astype(np.float64), np.hypot(given_x, given_y)[known].astype(np.float64)
    varied = len(own) >= 3 and own.std() > 0 and given.std() > 0
    return Comparison(
        n=int(known.sum()),
        bias_x=bias_x,
        bias_y=bias_y,
        nmad_x=nmad_x,
        nmad_y=nmad_y,
        speed_bias=float(np.median(own - given)),
        correlation=float(np.corrcoef(own, given)[0, 1]) if varied else float("nan"),
    )


def _middle(values: NDArray[np.float32]) -> tuple[float, float]:
    """Median and NMAD."""
    median = float(np.median(values))
    return median, NMAD * float(np.median(np.abs(values - median)))
