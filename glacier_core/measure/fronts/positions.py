"""Where a front stands along the glacier's flow, so that fronts of several dates can be compared.

- Box method (Moon and Joughin 2008, doi 10.1029/2007JF000927): the area between the front and a line across the
  glacier, within a box of constant width, divided by that width: advance and retreat averaged over the front.
- Centre line method (Lea et al. 2014, doi 10.3189/2014JoG13J061): where the front crosses one line along the flow.

Positions are pixels from the edge of the image that the glacier comes from, and grow as the glacier advances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glacier_core.errors import DataError
from glacier_core.labels.fronts import Upstream, oriented, resample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Line = NDArray[np.float64]


@dataclass(frozen=True)
class FlowFrame:
    """The direction of flow in an image."""

    shape: tuple[int, int]
    """Rows and columns of the image."""
    upstream: Upstream
    """Edge of the image that the glacier comes from."""

    def along_across(self, line: Line) -> Line:
        """Row and column become the distance from the upstream edge, and the distance across the flow.

        Looking from the glacier to the ocean, the second grows to the right.
        """
        height, width = self.shape
        rows, columns = line[:, 0], line[:, 1]
        along, across = {
            "down": (height - 0.5 - rows, columns),
            "up": (rows + 0.5, width - 1 - columns),
            "right": (width - 0.5 - columns, height - 1 - rows),
            "left": (columns + 0.5, rows),
        }[self.upstream]
        return np.stack([along, across], axis=1)


def common_box(lines: Sequence[Line], frame: FlowFrame) -> tuple[float, float]:
    """The range across the flow that half of the fronts or more reach across: where a box may stand.

    Raises:
        DataError: there is no line.
    """
    ends = [
        (found[:, 1].min(), found[:, 1].max())
        for found in (frame.along_across(line) for line in lines if len(line) > 1)
    ]
    if not ends:
        raise DataError("no front tells how wide the box may be", expected="at least one line")
    first, last = (float(np.median(values)) for values in zip(*ends, strict=True))
    return (first, last) if last > first else (first - 0.5, first + 0.5)


def box_position(line: Line, frame: FlowFrame, *, box: tuple[float, float]) -> float:
    """The front's mean position over the width of a box.

    Where the front ends inside the box it is taken to go on straight across.

    Args:
        line: row and column.
        frame: the direction of flow.
        box: first and last position across the flow.

    Raises:
        DataError: the line has fewer than two points, or the box has no width.
    """
    first, last = box
    if len(line) < 2 or not last > first:
        raise DataError(
            f"a front of {len(line)} points and a box from {first:g} to {last:g}", expected="a line and a box"
        )
    found = frame.along_across(resample(oriented(line, upstream=frame.upstream)))
    if found[0, 1] > found[-1, 1]:
        found = found[::-1]
    lead = [[found[0, 0], min(first, found[0, 1])]]
    tail = [[found[-1, 0], max(last, found[-1, 1])]]
    found = np.concatenate([lead, found, tail])
    across = np.clip(found[:, 1], first, last)
    # the signed integral is the area under the line, also where the line doubles back on itself
    return float((np.diff(across) * (found[:-1, 0] + found[1:, 0]) / 2).sum() / (last - first))


def centre_position(line: Line, frame: FlowFrame, *, across: float) -> float | None:
    """Where the front crosses the line along the flow at `across`; of several crossings the one nearest to the ocean.

    Args:
        line: row and column.
        frame: the direction of flow.
        across: where the centre line lies across the flow.

    Returns:
        None where they do not cross.
    """
    if len(line) < 2:
        return None
    found = frame.along_across(line)
    offset = found[:, 1] - across
    crosses = np.flatnonzero((offset[:-1] <= 0) != (offset[1:] <= 0))
    if not len(crosses):
        return None
    part = offset[crosses] / (offset[crosses] - offset[crosses + 1])
    return float((found[crosses, 0] + part * (found[crosses + 1, 0] - found[crosses, 0])).max())
