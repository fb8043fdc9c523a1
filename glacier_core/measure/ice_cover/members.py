"""Scores of members, and the stretch that makes their spread as large as their error.

Members come in pairs on either side of the forecast, so that they are no independent draws: what corrects for the
number of independent members (the fair CRPS, (M + 1)/M in spread and skill) would flatter them, and is left out.

- CRPS of the members as they stand, equally likely values (Hersbach 2000,
  doi:10.1175/1520-0434(2000)015<0559:DOTCRP>2.0.CO;2).
- Spread and skill: the root of the members' mean variance over the RMSE of their mean, which the pairs make the
  forecast itself; 1 where the members are as far from it as the truth is (after Fortin et al. 2014,
  doi:10.1175/JHM-D-14-0008.1).
- Coverage: part of the area whose observation lies within the central interval of the members. An observation is known
  to its level alone, so half a level beyond either end still counts as inside; the plain coverage is told without that.
  Far from the edge all members agree with each other and with the truth, which covers without any merit; so coverage is
  also told for the cells whose interval is wider than 5 % alone.

Shapes: M members, P cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError

Floats = NDArray[np.float32]
FEWEST_MEMBERS = 10
UNSURE_WIDTH = 0.05
CODE = 1e-4
"""Step in which cubes keep fractions."""
MOST_VALUES = 1_000_000
"""Values at most by which a level is told."""
STRETCHES = (0.6, 0.75, 0.9, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.4, 3.0)


@dataclass(frozen=True)
class MemberSums:
    """Sums over the cells that were observed, weighted by cell area."""

    area: float = 0.0
    """Area of the cells, km²."""
    crps: float = 0.0
    """Continuous ranked probability score."""
    variance: float = 0.0
    """Variance of the members."""
    squared: float = 0.0
    """Squared error of the members' mean."""
    covered: float = 0.0
    """Area within the interval, or half a level beside it."""
    covered_plain: float = 0.0
    """Area within the interval itself."""
    unsure: float = 0.0
    """Area whose interval is wider than 5 %."""
    unsure_covered: float = 0.0
    """That of it within the interval."""

    def __add__(self, other: MemberSums) -> MemberSums:
        return MemberSums(**{own.name: getattr(self, own.name) + getattr(other, own.name) for own in fields(self)})

    def to_json(self) -> dict[str, float]:
        """A plain object that `from_json` takes back; rounded to 1e-6 km²."""
        return {name: round(value, 6) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, float]) -> MemberSums:
        """The inverse of `to_json`."""
        return cls(**value)


def crps(members_MP: Floats, observed_P: Floats) -> NDArray[np.float64]:  # noqa: N803 - shape suffixes
    """CRPS of each cell, (P,): E|X - y| - E|X - X'|/2 over all pairs of members, each with itself too.

    Raises:
        DataError: there is no member.
    """
    count = len(members_MP)
    if not count:
        raise DataError("no members", expected="at least one")
    ordered = np.sort(members_MP.astype(np.float64), axis=0)
    apart = np.abs(ordered - observed_P).mean(axis=0)
    # the sum of all pairs' distances, from their order alone
    weights = 2 * np.arange(1, count + 1) - count - 1
    pairs = 2 * (weights[:, None] * ordered).sum(axis=0) / count**2
    return np.asarray(apart - pairs / 2)


def level_of(values: Floats) -> float:
    """The step between the values that fields have: the median distance of neighbours among those that occur.

    Pictures in steps of 5 % have 0.05; counts, and fields that vary freely, the little that lies between them.

    Args:
        values: fractions of any shape; NaN where nothing was seen.
    """
    some = values.ravel()[:: max(1, values.size // MOST_VALUES)]
    codes = np.unique(np.rint(some[np.isfinite(some)] / CODE).astype(np.int64))
    return float(np.median(np.diff(codes)) * CODE) if len(codes) > 1 else 0.0


def interval_of(members_MP: Floats, *, confidence: float) -> tuple[Floats, Floats]:  # noqa: N803 - shape suffixes
    """Lower and upper end of the central interval at each cell.

    Quantiles as unbiased positions of a sample, (k - 1/3)/(M + 1/3) (Hyndman and Fan 1996, type 8).
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(members_MP, [tail, 1 - tail], axis=0, method="median_unbiased")
    return low.astype(np.float32), high.astype(np.float32)


def stretched(members_MP: Floats, middle_P: Floats, stretch: float) -> Floats:  # noqa: N803 - shape suffixes
    """Members moved away from the middle by a factor, cut to 0 to 1."""
    return np.asarray((middle_P + np.float32(stretch) * (members_MP - middle_P)).clip(0, 1), dtype=np.float32)


def member_sums(
    members_MP: Floats,  # noqa: N803 - shape suffixes
    observed_P: Floats,  # noqa: N803 - shape suffixes
    area_P: NDArray[np.float64],  # noqa: N803 - shape suffixes
    *,
    confidence: float,
    level: float = 0.0,
) -> MemberSums:
    """The sums of one month.

    Args:
        members_MP: fractions.
        observed_P: fractions; NaN where nothing was observed.
        area_P: true area of the cells, km².
        confidence: coverage that the interval is made for.
        level: step between the values that an observation can have, from `level_of`.

    Raises:
        DataError: fewer than ten members.
    """
    if len(members_MP) < FEWEST_MEMBERS:
        raise DataError(f"{len(members_MP)} members", expected=f"at least {FEWEST_MEMBERS}")
    seen = np.isfinite(observed_P)
    members, observed, area = members_MP[:, seen], observed_P[seen], area_P[seen]
    low, high = interval_of(members, confidence=confidence)
    inside, strictly = ((observed >= low - beside) & (observed <= high + beside) for beside in (level / 2, 0.0))
    unsure = high - low > UNSURE_WIDTH
    wide = members.astype(np.float64)
    return MemberSums(
        area=float(area.sum()),
        crps=float(area @ crps(members, observed)),
        variance=float(area @ wide.var(axis=0)),
        squared=float(area @ (wide.mean(axis=0) - observed) ** 2),
        covered=float(area @ inside),
        covered_plain=float(area @ strictly),
        unsure=float(area @ unsure),
        unsure_covered=float(area @ (inside & unsure)),
    )


def choose_stretch(found: Mapping[float, Sequence[MemberSums]], *, confidence: float) -> float:
    """The stretch whose intervals cover the validation's unsure cells most nearly as they should.

    Args:
        found: for each stretch the sums of the validation's months.
        confidence: wanted coverage.
    """

    def off(stretch: float) -> float:
        total = sum(found[stretch], start=MemberSums())
        return abs(total.unsure_covered / total.unsure - confidence) if total.unsure else 1.0

    return min(found, key=lambda stretch: (round(off(stretch), 4), abs(np.log(stretch))))
