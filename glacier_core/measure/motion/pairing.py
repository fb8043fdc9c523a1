"""Which images of a series are tracked against each other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

SECONDS_A_DAY = 86400.0


def days_between(first: datetime, second: datetime) -> float:
    """Separation of two times in days."""
    return (second - first).total_seconds() / SECONDS_A_DAY


def pairs_of(
    times: Sequence[datetime], *, shortest_days: float, longest_days: float, most: int
) -> list[tuple[int, int]]:
    """Pairs (earlier, later) whose separation lies between two bounds, spread evenly over the series if too many.

    Args:
        times: of the images, in order.
        shortest_days: pairs closer in time move too little.
        longest_days: pairs further apart no longer look alike.
        most: so many pairs at most; 0: all.
    """
    found = [
        (one, two)
        for one in range(len(times))
        for two in range(one + 1, len(times))
        if shortest_days <= days_between(times[one], times[two]) <= longest_days
    ]
    if not most or len(found) <= most:
        return found
    return [found[int(index)] for index in np.linspace(0, len(found) - 1, most).round()]
