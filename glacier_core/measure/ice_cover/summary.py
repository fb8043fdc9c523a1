"""From sums of single months to scores with intervals that resample blocks of twelve months.

Months of one year resemble each other, so that a bootstrap of single months would give intervals that are too narrow;
blocks of at least twelve months are the units here (Künsch 1989, doi:10.1214/aos/1176347265), without overlap.

A row is one target month at one lead: {time, lead, block, season, region, sums: {who: FieldSums}, members: MemberSums
or None}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.measure.ice_cover.members import MemberSums
from glacier_core.measure.ice_cover.scores import FieldSums
from glacier_core.measure.scores import Score, bootstrap_sums

Row = Mapping[str, Any]
Sums = NDArray[np.float64]

_FIELD = {name: place for place, name in enumerate(FieldSums().to_json())}
_MEMBER = {name: place for place, name in enumerate(MemberSums().to_json())}
KM2_PER_MILLION = 1e6
PER_FIELD = len(_FIELD)


def _column(name: str, of: Mapping[str, int]) -> Callable[[Sums], Sums]:
    return lambda sums: np.asarray(sums[..., of[name]])


def _over(part: str, whole: str, of: Mapping[str, int]) -> Callable[[Sums], Sums]:
    return lambda sums: np.asarray(sums[..., of[part]] / np.maximum(sums[..., of[whole]], 1e-12))


def _edge(sums: Sums) -> Sums:
    return np.asarray(sums[..., _FIELD["over"]] + sums[..., _FIELD["under"]])


def _r2(sums: Sums) -> Sums:
    area = np.maximum(sums[..., _FIELD["area"]], 1e-12)
    variance = sums[..., _FIELD["observed_squared"]] - sums[..., _FIELD["observed"]] ** 2 / area
    return np.asarray(1 - sums[..., _FIELD["squared"]] / np.maximum(variance, 1e-12))


def _mean(amount: Callable[[Sums], Sums]) -> Callable[[Sums], Sums]:
    """Mean of a month; the last column counts the months."""
    return lambda sums: amount(sums) / np.maximum(sums[..., -1], 1) / KM2_PER_MILLION


FIELD_METRICS: Mapping[str, tuple[Callable[[Sums], Sums], str]] = {
    "mae": (_over("absolute", "area", _FIELD), "1"),
    "rmse": (lambda sums: np.sqrt(_over("squared", "area", _FIELD)(sums)), "1"),
    "r2": (_r2, "1"),
    "ssim": (_over("similarity", "similarity_area", _FIELD), "1"),
    "iiee": (_mean(_edge), "10^6 km2"),
    "iiee_over": (_mean(_column("over", _FIELD)), "10^6 km2"),
    "iiee_under": (_mean(_column("under", _FIELD)), "10^6 km2"),
    "iiee_fraction": (lambda sums: _edge(sums) / np.maximum(sums[..., _FIELD["extent"]], 1e-12), "1"),
    "extent_error": (
        _mean(lambda sums: np.asarray(sums[..., _FIELD["over"]] - sums[..., _FIELD["under"]])),
        "10^6 km2",
    ),
    "area_error": (
        _mean(lambda sums: np.asarray(sums[..., _FIELD["forecast"]] - sums[..., _FIELD["observed"]])),
        "10^6 km2",
    ),
    "area_mae": (_mean(_column("area_gap", _FIELD)), "10^6 km2"),
    "extent_mae": (_mean(_column("extent_gap", _FIELD)), "10^6 km2"),
    "binary_accuracy": (lambda sums: 1 - _edge(sums) / np.maximum(sums[..., _FIELD["area"]], 1e-12), "1"),
}
"""What is told of every contender: from sums to a number, and its unit."""
MEMBER_METRICS: Mapping[str, tuple[Callable[[Sums], Sums], str]] = {
    "crps": (_over("crps", "area", _MEMBER), "1"),
    "spread_skill": (lambda sums: np.sqrt(_over("variance", "squared", _MEMBER)(sums)), "1"),
    "coverage": (_over("covered", "area", _MEMBER), "1"),
    "coverage_plain": (_over("covered_plain", "area", _MEMBER), "1"),
    "coverage_unsure": (_over("unsure_covered", "unsure", _MEMBER), "1"),
}
"""What is told of the members."""
MAIN = ("mae", "rmse", "iiee", "iiee_fraction", "area_mae")
"""Metrics that a model is measured by beside the baselines, all better if less."""


def scores_of(
    rows: Sequence[Row], who: str, *, metrics: Iterable[str] = FIELD_METRICS, resamples: int, confidence: float
) -> dict[str, Score]:
    """`<metric>/lead<n>` of one contender, each lead by itself."""
    found = {}
    for lead, own in _by_lead(rows).items():
        table = _table(own, [who])
        for metric in metrics:
            if metric == "ssim" and not table[:, _FIELD["similarity_area"]].any():
                continue
            statistic, unit = FIELD_METRICS[metric]
            found[f"{metric}/lead{lead}"] = bootstrap_sums(
                table, statistic, resamples=resamples, confidence=confidence, unit=unit
            )
    return found


def member_scores_of(rows: Sequence[Row], *, resamples: int, confidence: float) -> dict[str, Score]:
    """`<metric>/lead<n>` of the model's members; leads without members that differ have none."""
    found = {}
    for lead, own in _by_lead([row for row in rows if row["members"]]).items():
        table = _pooled(own, lambda row: [row["members"][name] for name in _MEMBER])
        for metric, (statistic, unit) in MEMBER_METRICS.items():
            found[f"{metric}/lead{lead}"] = bootstrap_sums(
                table, statistic, resamples=resamples, confidence=confidence, unit=unit
            )
    return found


def gain_over(
    rows: Sequence[Row], one: str, other: str, *, metric: str, lead: int, resamples: int, confidence: float
) -> Score:
    """One contender's metric minus the other's over the same blocks; below zero where the first has less error."""
    statistic, unit = FIELD_METRICS[metric]

    def difference(sums: Sums) -> Sums:
        months = sums[..., -1:]
        halves = (np.concatenate([sums[..., start : start + PER_FIELD], months], axis=-1) for start in (0, PER_FIELD))
        first, second = (statistic(half) for half in halves)
        return np.asarray(first - second)

    own = [row for row in rows if row["lead"] == lead]
    table = _table(own, [one, other])
    return bootstrap_sums(table, difference, resamples=resamples, confidence=confidence, unit=unit)


def best_baseline(scores: Mapping[str, Mapping[str, Score]], metric: str) -> str:
    """The baseline that is best by a metric whose less is better, such as `rmse/lead3`."""
    return min(sorted(scores), key=lambda name: scores[name][metric].value)


def _by_lead(rows: Sequence[Row]) -> dict[int, list[Row]]:
    leads = sorted({int(row["lead"]) for row in rows})
    return {lead: [row for row in rows if row["lead"] == lead] for lead in leads}


def _table(rows: Sequence[Row], contenders: Sequence[str]) -> Sums:
    """Sums of each block: (block, columns of each contender, and the number of months)."""
    return _pooled(rows, lambda row: [row["sums"][who][name] for who in contenders for name in _FIELD])


def _pooled(rows: Sequence[Row], columns: Callable[[Row], list[float]]) -> Sums:
    blocks: dict[str, Sums] = {}
    for row in rows:
        own = np.array([*columns(row), 1.0])
        key = str(row["unit"])
        blocks[key] = blocks[key] + own if key in blocks else own
    return np.stack([blocks[key] for key in sorted(blocks)])
