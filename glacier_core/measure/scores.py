"""Scores of masks, and intervals that resample independent units.

Bootstrap: Efron and Tibshirani 1993, doi 10.1007/978-1-4899-4541-9, with the expanded percentiles of Hesterberg 2015,
doi 10.1080/00031305.2015.1089789, which keep intervals of few units from being too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Below this number of independent units there is no interval.
FEWEST_UNITS = 8
# Resamples are drawn in blocks of about this many indices, so that memory does not grow with the number of units.
INDICES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Counts:
    """Pixels of a predicted mask against the truth."""

    tp: int
    """Ice in both."""
    fp: int
    """Ice in the prediction only."""
    fn: int
    """Ice in the truth only."""
    tn: int
    """Ice in neither."""

    @classmethod
    def of(cls, predicted: NDArray[np.bool_], truth: NDArray[np.bool_], where: NDArray[np.bool_]) -> Counts:
        """Counts of the pixels `where` both are known; all of one shape.

        Raises:
            DataError: the shapes differ.
        """
        if not predicted.shape == truth.shape == where.shape:
            raise DataError(
                f"prediction, truth and domain have the shapes {predicted.shape}, {truth.shape} and {where.shape}",
                expected="one shape",
            )
        found, true = predicted[where].astype(bool), truth[where].astype(bool)
        tp = int(np.count_nonzero(found & true))
        fp, fn = int(np.count_nonzero(found)) - tp, int(np.count_nonzero(true)) - tp
        return cls(tp=tp, fp=fp, fn=fn, tn=int(found.size) - tp - fp - fn)

    def __add__(self, other: Counts) -> Counts:
        return Counts(tp=self.tp + other.tp, fp=self.fp + other.fp, fn=self.fn + other.fn, tn=self.tn + other.tn)

    @property
    def iou(self) -> float:
        """Intersection over union (Jaccard 1912, doi 10.1111/j.1469-8137.1912.tb05611.x); 1 where both are empty."""
        return self.metric("iou")

    @property
    def f1(self) -> float:
        """F1 score (Dice 1945, doi 10.2307/1932409); 1 where both are empty."""
        return self.metric("f1")

    @property
    def accuracy(self) -> float:
        """Share of pixels that agree; 1 where there is no pixel."""
        return self.metric("accuracy")

    @property
    def precision(self) -> float:
        """Share of the predicted ice that is true; where none is predicted, 1 if there is none and else 0."""
        return self.metric("precision")

    @property
    def recall(self) -> float:
        """Share of the true ice that is found; where there is none, 1 if none is predicted and else 0."""
        return self.metric("recall")

    def metric(self, name: str) -> float:
        """The metric of that name: one of METRICS."""
        return float(_metric(name, np.array([self.tp, self.fp, self.fn, self.tn], dtype=np.float64)))

    def to_json(self) -> dict[str, int]:
        """A plain object that `from_json` takes back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, int]) -> Counts:
        """The inverse of `to_json`."""
        return cls(tp=int(value["tp"]), fp=int(value["fp"]), fn=int(value["fn"]), tn=int(value["tn"]))


# Each metric is part/whole, both weighted sums of (tp, fp, fn, tn). Where the whole is nothing it is 1, unless there
# are errors of the kind that the third row counts.
METRICS: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "iou": ((1, 0, 0, 0), (1, 1, 1, 0), (0, 0, 0, 0)),
    "f1": ((2, 0, 0, 0), (2, 1, 1, 0), (0, 0, 0, 0)),
    "accuracy": ((1, 0, 0, 1), (1, 1, 1, 1), (0, 0, 0, 0)),
    "precision": ((1, 0, 0, 0), (1, 1, 0, 0), (0, 0, 1, 0)),
    "recall": ((1, 0, 0, 0), (1, 0, 1, 0), (0, 1, 0, 0)),
}


def _metric(name: str, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """A metric of counts (..., 4)."""
    part, whole, wrong = (counts @ np.array(weights, dtype=np.float64) for weights in METRICS[name])
    return np.asarray(np.where(whole > 0, part / np.maximum(whole, 1), np.where(wrong > 0, 0.0, 1.0)))


@dataclass(frozen=True)
class Score:
    """A number with its interval."""

    value: float
    """The statistic of all units."""
    low: float | None
    """Lower end of the interval; None below 8 independent units."""
    high: float | None
    """Upper end of the interval; None likewise."""
    n: int
    """Number of independent units."""
    unit: str
    """Unit of measurement: "1" for a ratio, "%", "km2", "m", ..."""

    def to_json(self) -> dict[str, Any]:
        """The score as the command shows it."""
        return asdict(self)


def bootstrap(values: Sequence[float], *, resamples: int, confidence: float, seed: int = 0, unit: str = "1") -> Score:
    """The mean of one value a unit.

    Args:
        values: one value for each independent unit.
        resamples: number of bootstrap resamples.
        confidence: coverage of the interval.
        seed: everything random follows from it.
        unit: unit of measurement.

    Raises:
        DataError: there is no value.
    """
    return bootstrap_groups(
        [[value] for value in values], resamples=resamples, confidence=confidence, seed=seed, unit=unit
    )


def bootstrap_groups(
    groups: Sequence[Sequence[float]], *, resamples: int, confidence: float, seed: int = 0, unit: str = "1"
) -> Score:
    """The mean of all values, whose interval resamples whole groups (the cluster bootstrap).

    Args:
        groups: the values of each independent unit, such as a glacier's years; empty groups are left out.
        resamples: number of bootstrap resamples.
        confidence: coverage of the interval.
        seed: everything random follows from it.
        unit: unit of measurement.

    Raises:
        DataError: there is no value.
    """
    sums = np.array([[sum(group), len(group)] for group in groups if len(group)], dtype=np.float64)
    if not len(sums):
        raise DataError("there is no value to average", expected="at least one unit")

    def mean(total: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(total[..., 0] / total[..., 1])

    return _resampled(sums, mean, resamples=resamples, confidence=confidence, seed=seed, unit=unit)


def bootstrap_counts(
    counts: Sequence[Counts], *, metric: str, resamples: int, confidence: float, seed: int = 0
) -> Score:
    """A metric of the counts of all units together, whose interval resamples units.

    Args:
        counts: the counts of each independent unit.
        metric: iou, f1, accuracy, precision or recall.
        resamples: number of bootstrap resamples.
        confidence: coverage of the interval.
        seed: everything random follows from it.

    Raises:
        ConfigurationError: the metric is unknown.
        DataError: there are no counts.
    """
    if metric not in METRICS:
        raise ConfigurationError(f"metric '{metric}' is unknown", expected=f"one of {', '.join(METRICS)}")
    if not counts:
        raise DataError("there are no counts to score", expected="at least one unit")
    table = np.array([[c.tp, c.fp, c.fn, c.tn] for c in counts], dtype=np.float64)

    def score(total: NDArray[np.float64]) -> NDArray[np.float64]:
        return _metric(metric, total)

    return _resampled(table, score, resamples=resamples, confidence=confidence, seed=seed, unit="1")


def bootstrap_sums(
    table: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    resamples: int,
    confidence: float,
    seed: int = 0,
    unit: str = "1",
) -> Score:
    """Any statistic of the sums over all units, whose interval resamples units.

    Args:
        table: (unit, column), what is summed of each independent unit.
        statistic: from sums (n, column) to (n,) values.
        resamples: number of bootstrap resamples.
        confidence: coverage of the interval.
        seed: everything random follows from it.
        unit: unit of measurement.
    """
    return _resampled(table, statistic, resamples=resamples, confidence=confidence, seed=seed, unit=unit)


def paired_difference(
    one: Mapping[str, float],
    other: Mapping[str, float],
    *,
    resamples: int,
    confidence: float,
    seed: int = 0,
    unit: str = "1",
) -> Score:
    """The mean of `one` minus `other` over the units that both know, resampled by unit.

    Args:
        one: a value for each unit.
        other: likewise.
        resamples: number of bootstrap resamples.
        confidence: coverage of the interval.
        seed: everything random follows from it.
        unit: unit of measurement.

    Raises:
        DataError: no unit is in both.
    """
    common = sorted(one.keys() & other.keys())
    if not common:
        raise DataError("the two have no unit in common", expected="values of the same units")
    return bootstrap(
        [one[name] - other[name] for name in common],
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        unit=unit,
    )


def _resampled(
    table: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    resamples: int,
    confidence: float,
    seed: int,
    unit: str,
) -> Score:
    """A statistic of the column sums of `table`, (unit, column), with its interval."""
    count = len(table)
    value = float(statistic(table.sum(axis=0)[None])[0])
    if count < FEWEST_UNITS:
        return Score(value=value, low=None, high=None, n=count, unit=unit)
    rng = np.random.default_rng(seed)
    block = max(1, INDICES_AT_ONCE // count)
    found = [
        statistic(table[rng.integers(0, count, size=(min(block, resamples - start), count))].sum(axis=1))
        for start in range(0, resamples, block)
    ]
    tail = _expanded_tail(count, confidence)
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
    return Score(value=value, low=float(low), high=float(high), n=count, unit=unit)


def _expanded_tail(count: int, confidence: float) -> float:
    """The percentile that makes up for the bootstrap's spread being too small by √((n-1)/n), and for normal tails."""
    from statistics import NormalDist

    from scipy.special import stdtrit

    wide = math.sqrt(count / (count - 1)) * float(stdtrit(count - 1, (1 - confidence) / 2))
    return NormalDist().cdf(wide)
