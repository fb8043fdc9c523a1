"""How far a predicted calving front is from the true one, in pixels.

- `symmetric`: mean distance of the predicted from the true line and of the true from the predicted one, halved.
- `directed`: the first of the two alone, mean distance of the predicted from the true line. It tells how far off the
  predicted line is and nothing of what it leaves out, so that it stands beside the symmetric one, not for it.
- `pooled`: the mean distance error of CaFFe (Gourmelon et al. 2022, doi 10.5194/essd-14-4287-2022): all distances of
  all images, from front pixels of either line to the nearest of the other, divided by their number, so that long
  fronts weigh more. Images without a predicted front do not enter; they are counted.
- `along`: Mohajerani et al. 2019 (doi 10.3390/rs11010074): both lines are cut into 1000 points of equal spacing, from
  the same end; the mean distance of points of the same number. (The authors first cut off what lies within 500 m of
  the fjord's walls; nobody does so here: images do not tell where the walls are.)
- `hausdorff95`: the larger of the two 95th percentiles of distances (Huttenlocher et al. 1993, doi 10.1109/34.232073).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.errors import DataError
from glacier_core.labels.fronts import resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Line = NDArray[np.float64]

POINTS_ALONG = 1000
STEP_PX = 1.0
"""Lines are compared at points that are about a pixel apart, as front pixels are."""


@dataclass(frozen=True)
class FrontError:
    """One image's predicted front against the true one; distances in pixels."""

    symmetric: float
    """Mean of the two mean distances."""
    directed: float
    """Mean distance of the predicted line's points from the true line."""
    directed_points: int
    """Number of those points."""
    along: float
    """Mean distance of points at the same fraction of either line's length."""
    hausdorff95: float
    """The larger 95th percentile of the distances."""
    total: float
    """Sum of the distances of both lines' points."""
    points: int
    """Number of those points."""

    def to_json(self) -> dict[str, Any]:
        """A plain object that the class takes back as keywords."""
        return asdict(self)


def compare_fronts(predicted: Line, true: Line) -> FrontError:
    """Distances between two lines.

    Args:
        predicted: (n, 2) row and column.
        true: likewise, n of its own.

    Raises:
        DataError: a line has fewer than two points.
    """
    from scipy.spatial import cKDTree

    for name, line in (("predicted", predicted), ("true", true)):
        if len(line) < 2:
            raise DataError(f"the {name} front has {len(line)} points", expected="at least two")
    found, drawn = resample(predicted, step=STEP_PX), resample(true, step=STEP_PX)
    there = np.asarray(cKDTree(drawn).query(found)[0])
    back = np.asarray(cKDTree(found).query(drawn)[0])
    return FrontError(
        symmetric=float((there.mean() + back.mean()) / 2),
        directed=float(there.mean()),
        directed_points=len(there),
        along=_along(predicted, true),
        hausdorff95=float(max(np.quantile(there, 0.95), np.quantile(back, 0.95))),
        total=float(there.sum() + back.sum()),
        points=len(there) + len(back),
    )


def pooled_error(errors: Sequence[FrontError]) -> float:
    """CaFFe's mean distance error of those images that have a predicted front, in pixels.

    Raises:
        DataError: there is none.
    """
    points = sum(error.points for error in errors)
    if not points:
        raise DataError("no image has a predicted front", expected="at least one")
    return sum(error.total for error in errors) / points


def _along(predicted: Line, true: Line) -> float:
    one, other = _equal_parts(predicted), _equal_parts(true)
    # lines have no direction of their own: they begin at the ends that are nearer to each other
    straight = np.hypot(*(one[[0, -1]] - other[[0, -1]]).T).sum()
    turned = np.hypot(*(one[[-1, 0]] - other[[0, -1]]).T).sum()
    return float(np.hypot(*((one if straight <= turned else one[::-1]) - other).T).mean())


def _equal_parts(line: Line) -> Line:
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    wanted = np.linspace(0.0, along[-1], POINTS_ALONG)
    return np.stack([np.interp(wanted, along, line[:, axis]) for axis in (0, 1)], axis=1)
