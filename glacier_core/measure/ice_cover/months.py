"""Months in a row: fields of one region, one for each calendar month, also where a month is missing.

Shapes: N months, P cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError

MONTHS = 12
Floats = NDArray[np.float32]


def month_number(time: str) -> int:
    """Months since January 1970 of an ISO time or day."""
    return (int(time[:4]) - 1970) * MONTHS + int(time[5:7]) - 1


def month_name(number: int) -> str:
    """`YYYY-MM` of a number of months since January 1970."""
    return f"{1970 + number // MONTHS:04d}-{number % MONTHS + 1:02d}"


@dataclass(frozen=True)
class MonthlySeries:
    """The cells of one region, month after month."""

    first: int
    """The first month, in months since January 1970."""
    values_NP: Floats  # noqa: N815 - shape suffixes
    """(N, P) float32; NaN where nothing was seen, whole rows where a month is missing."""

    @classmethod
    def of(cls, times: Sequence[str], fields_NP: Floats) -> MonthlySeries:  # noqa: N803 - shape suffixes
        """Fields in a row of months.

        Args:
            times: ISO time of each field, in any order.
            fields_NP: the fields (N, P).

        Raises:
            DataError: there is no field, or two of one month.
        """
        numbers = [month_number(time) for time in times]
        if not numbers or len(set(numbers)) != len(numbers):
            twice = next((month_name(one) for one in numbers if numbers.count(one) > 1), "none at all")
            raise DataError(f"months of a series: {twice} twice" if numbers else "a series without months")
        values = np.full((max(numbers) - min(numbers) + 1, fields_NP.shape[1]), np.nan, np.float32)
        values[np.array(numbers) - min(numbers)] = fields_NP
        return cls(min(numbers), values)

    def __len__(self) -> int:
        return len(self.values_NP)

    @property
    def months(self) -> NDArray[np.int64]:
        """Month of the year of each row, 0 to 11: (N,)."""
        return (self.first + np.arange(len(self))) % MONTHS

    @property
    def years(self) -> NDArray[np.int64]:
        """Calendar year of each row: (N,)."""
        return 1970 + (self.first + np.arange(len(self))) // MONTHS

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Whether anything was seen in each month: (N,)."""
        return np.asarray(np.isfinite(self.values_NP).any(axis=1))

    def name(self, row: int) -> str:
        """`YYYY-MM` of a row; rows may lie beyond the last."""
        return month_name(self.first + row)

    def cells(self, chosen: NDArray[np.intp]) -> MonthlySeries:
        """The same months of some cells."""
        return MonthlySeries(self.first, self.values_NP[:, chosen])


def carried_on(values_NP: Floats, *, reach: int) -> Floats:  # noqa: N803 - shape suffixes
    """The last value seen at each cell, as far as `reach` months back; NaN where there was none.

    Args:
        values_NP: (N, P) months in a row.
        reach: how many months a value lasts at most.
    """
    found = values_NP.copy()
    age = np.where(np.isfinite(found[0]), 0, reach)
    for row in range(1, len(found)):
        seen = np.isfinite(found[row])
        age = np.where(seen, 0, age + 1)
        found[row] = np.where(seen | (age > reach), found[row], found[row - 1])
    return found
