"""Intervals of areas by split conformal prediction, normalised by each estimate's own spread.

Vovk, Gammerman and Shafer 2005, doi 10.1007/b106715; Angelopoulos and Bates 2021, arXiv:2107.07511, section 2.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glacier_core.errors import DataError
from glacier_core.measure.areas import AreaEstimate


@dataclass(frozen=True)
class Calibration:
    """How many spreads wide an interval must be."""

    quantile: float
    """Half width of the interval in units of an estimate's spread."""
    confidence: float
    """Coverage that the interval is made for."""
    n: int
    """Number of calibration units; 0: none, the quantile is the normal distribution's."""
    exact: bool
    """Whether there were enough calibration units for the finite-sample guarantee."""

    def interval(self, estimate: AreaEstimate) -> tuple[float, float]:
        """Lower and upper end in km², never below zero nor above the domain."""
        half = self.quantile * estimate.spread_km2
        return max(0.0, estimate.area_km2 - half), min(estimate.domain_km2, estimate.area_km2 + half)

    def to_json(self) -> dict[str, Any]:
        """A plain object that `from_json` takes back."""
        return {"quantile": self.quantile, "confidence": self.confidence, "n": self.n, "exact": self.exact}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Calibration:
        """The inverse of `to_json`."""
        return cls(
            quantile=float(value["quantile"]),
            confidence=float(value["confidence"]),
            n=int(value["n"]),
            exact=bool(value["exact"]),
        )


def calibrate(estimates: Sequence[AreaEstimate], truths: Sequence[float], *, confidence: float) -> Calibration:
    """The width that covers the truth of a new unit with probability `confidence`.

    The scores are |truth - area| / spread. Their ⌈(n + 1)·confidence⌉-th smallest gives marginal coverage of at least
    `confidence`, whatever the distribution, for a unit that is exchangeable with the calibration units; years of one
    glacier resemble each other, so that the coverage varies more from one calibration set to another than n units
    suggest. Fewer units than that rank needs (9 at 0.9) cannot guarantee anything: the quantile is then the larger of
    the normal distribution's and the largest score, and `exact` is False.

    Args:
        estimates: calibration units, none of them trained on.
        truths: their true areas in km², in the same order.
        confidence: wanted coverage, between 0 and 1.

    Raises:
        DataError: as many estimates as truths are needed, finite, and with a positive spread.
    """
    if len(estimates) != len(truths):
        raise DataError(f"{len(estimates)} estimates and {len(truths)} truths", expected="one truth for each estimate")
    scores = sorted(_score(estimate, truth) for estimate, truth in zip(estimates, truths, strict=True))
    rank = math.ceil((len(scores) + 1) * confidence - 1e-9)
    if rank <= len(scores):
        return Calibration(quantile=scores[rank - 1], confidence=confidence, n=len(scores), exact=True)
    return Calibration(
        quantile=max(_normal_quantile(confidence), *scores[-1:], 0.0),
        confidence=confidence,
        n=len(scores),
        exact=False,
    )


def _score(estimate: AreaEstimate, truth: float) -> float:
    score = abs(truth - estimate.area_km2) / estimate.spread_km2 if estimate.spread_km2 > 0 else math.nan
    if not math.isfinite(score):
        raise DataError(
            f"calibration unit with area {estimate.area_km2}, spread {estimate.spread_km2} and truth {truth} km²",
            expected="finite areas and a positive spread",
        )
    return score


def _normal_quantile(confidence: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + confidence) / 2)
