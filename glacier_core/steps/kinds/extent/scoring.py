"""Scores beside baselines on places that training never saw, and the calibration of the intervals."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glacier_core.errors import DataError
from glacier_core.recipes import Measure
from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.extent.cases import THRESHOLD, Case
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, log

if TYPE_CHECKING:
    from glacier_core.measure import Counts


def write_scores(
    step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any, *, weights: str, calibration: str | None
) -> None:
    """Thresholds and interval are fitted, or taken over, and the test units are scored; see `Kind.score`.

    Raises:
        DataError: there is no test unit.
    """
    network = Network(step, weights)
    fitted = _kept(step, calibration) if calibration else _fitted(step, plan, entries, network)
    measure = plan.recipe.measure
    rows = []
    tested = [entry for entry in entries if plan.units[entry["unit"]].part == "test"]
    for number, entry in enumerate(tested, start=1):
        rows.append(_row(Case.read(step, plan, entry, network), fitted, min_clear=measure.min_clear))
        if number % 20 == 0 or number == len(tested):
            log.info("[evaluate] %d of %d test units", number, len(tested))
    if not rows:
        raise DataError("the test set is empty", expected="at least one labelled unit", do="change split or labels")
    attempt.write_json("rows.json", rows)
    attempt.write_json("calibration.json", fitted.to_json())
    attempt.write_json("scores.json", summary(rows, measure=measure, baselines=fitted.names()))


STRATIFIED = ("iou/glacier", "f1/glacier", "area_error/mean")
"""What is also told by stratum."""
REGION = re.compile(r"RGI(?:60-|2000-v[\d.]+-[GC]-)(?P<region>\d\d)")
"""The first-order region in an RGI id, of version 6 or 7."""
SIZES_KM2 = ((1.0, "below_1_km2"), (5.0, "1_to_5_km2"), (math.inf, "5_km2_or_more"))
"""Upper ends of the classes of true area, and their names."""


@dataclass(frozen=True)
class _Fitted:
    """What was fitted before the test set is touched."""

    calibration: Any
    baselines: list[Any]

    def names(self) -> list[str]:
        return [baseline.name for baseline in self.baselines]

    def to_json(self) -> dict[str, Any]:
        return {
            "calibration": self.calibration.to_json(),
            "baselines": [baseline.to_json() for baseline in self.baselines],
        }


def _kept(step: Step, model: str) -> _Fitted:
    from glacier_core.measure import Baseline, Calibration

    value = step.read(model).read_json("calibration.json")
    return _Fitted(
        calibration=Calibration.from_json(value["calibration"]),
        baselines=[Baseline.from_json(found) for found in value["baselines"]],
    )


def _fitted(step: Step, plan: Plan, done: Sequence[Mapping[str, Any]], network: Network) -> _Fitted:
    """Thresholds on the training places, the interval's width on the validation places."""
    from glacier_core.measure import calibrate, fit_baselines

    def cases(part: str, network: Network | None) -> list[Case]:
        chosen = [entry for entry in done if plan.units[entry["unit"]].part == part]
        return [Case.read(step, plan, entry, network) for entry in chosen]

    training = cases("train", None)
    imagery = plan.recipe.imagery
    baselines = fit_baselines(
        [(case.bands, case.truth, case.domain & case.observed) for case in training],
        green=imagery.green,
        swir=imagery.swir,
    )
    validation = [case for case in cases("validation", network) if not case.stale]
    estimates = [case.estimate() for case in validation]
    usable = [
        (estimate, case.true_area_km2)
        for estimate, case in zip(estimates, validation, strict=True)
        if estimate.clear_fraction >= plan.recipe.measure.min_clear
    ]
    calibration = calibrate(
        [estimate for estimate, _ in usable],
        [truth for _, truth in usable],
        confidence=plan.recipe.measure.confidence,
    )
    log.info("[evaluate] interval calibrated on %d validation units, %d baselines", len(usable), len(baselines))
    return _Fitted(calibration=calibration, baselines=baselines)


def _row(case: Case, fitted: _Fitted, *, min_clear: float) -> dict[str, Any]:
    """One test unit: counts of the model and of each baseline, area beside the truth."""
    from glacier_core.measure import Counts

    where = case.domain & case.observed
    estimate = case.estimate()
    low, high = fitted.calibration.interval(estimate)
    return {
        "unit": case.unit,
        "glacier_id": case.glacier_id,
        "year": case.year,
        "stale": case.stale,
        "scored": not case.stale and estimate.clear_fraction >= min_clear,
        "label_age_days": case.label_age_days,
        "clear_fraction": round(estimate.clear_fraction, 6),
        "area_km2": round(estimate.area_km2, 6),
        "area_low_km2": round(low, 6),
        "area_high_km2": round(high, 6),
        "true_area_km2": round(case.true_area_km2, 6),
        "counts": {
            "model": Counts.of(case.probability >= THRESHOLD, case.truth, where).to_json(),
            **{
                baseline.name: Counts.of(baseline.apply(case.bands), case.truth, where).to_json()
                for baseline in fitted.baselines
            },
        },
    }


def summary(rows: Sequence[Mapping[str, Any]], *, measure: Measure, baselines: Sequence[str]) -> dict[str, Any]:
    """Scores of the model and of each baseline as the command's JSON shows them.

    Units whose label is stale give `iou_stale/glacier` and a bias; the others give accuracies, which are also told for
    each region and size class where there are several.
    """
    fresh = [row for row in rows if not row["stale"] and row["clear_fraction"] >= measure.min_clear]
    stale = [row for row in rows if row["stale"] and row["clear_fraction"] >= measure.min_clear]
    scores = {
        "model": {**_agreement(fresh, "model", measure), **_areas(fresh, measure), **_stale(stale, "model", measure)}
    }
    for stratum, value_of in STRATA.items():
        for value, chosen in _strata(fresh, value_of).items():
            found = {**_agreement(chosen, "model", measure), **_areas(chosen, measure)}
            scores["model"] |= {f"{name}@{stratum}={value}": found[name] for name in STRATIFIED}
    for name in baselines:
        scores[name] = {**_agreement(fresh, name, measure), **_stale(stale, name, measure)}
    return {"model": scores.pop("model"), "baselines": scores}


def _strata(
    rows: Sequence[Mapping[str, Any]], value_of: Callable[[Mapping[str, Any]], str]
) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        value = value_of(row)
        if value:
            found.setdefault(value, []).append(row)
    return dict(sorted(found.items())) if len(found) > 1 else {}


def _region(row: Mapping[str, Any]) -> str:
    found = REGION.match(row["glacier_id"])
    return found["region"] if found else ""


def _size(row: Mapping[str, Any]) -> str:
    return next(name for limit, name in SIZES_KM2 if row["true_area_km2"] < limit)


STRATA: Mapping[str, Callable[[Mapping[str, Any]], str]] = {"region": _region, "size": _size}
"""The stratum of a unit, by the stratum's name; empty: none."""


def by_glacier(rows: Sequence[Mapping[str, Any]], who: str) -> dict[str, float]:
    """IoU of one contender pooled over the years of each glacier: the unit that the bootstrap resamples."""
    return {glacier: counts.iou for glacier, counts in sorted(_pooled(rows, who).items())}


def _pooled(rows: Sequence[Mapping[str, Any]], who: str) -> dict[str, Counts]:
    """One contender's counts, summed over the years of each glacier."""
    from glacier_core.measure import Counts

    pooled: dict[str, Counts] = {}
    for row in rows:
        counts = Counts.from_json(row["counts"][who])
        pooled[row["glacier_id"]] = pooled[row["glacier_id"]] + counts if row["glacier_id"] in pooled else counts
    return pooled


def _agreement(rows: Sequence[Mapping[str, Any]], who: str, measure: Measure) -> dict[str, Any]:
    from glacier_core.measure import bootstrap_counts

    if not rows:
        return {}
    counts = list(_pooled(rows, who).values())
    return {
        f"{metric}/glacier": bootstrap_counts(
            counts, metric=metric, resamples=measure.resamples, confidence=measure.confidence
        ).to_json()
        for metric in ("iou", "f1", "precision", "recall")
    }


def _areas(rows: Sequence[Mapping[str, Any]], measure: Measure) -> dict[str, Any]:
    from glacier_core.measure import bootstrap_groups

    if not rows:
        return {}
    errors: dict[str, list[float]] = {}
    covered: dict[str, list[float]] = {}
    for row in rows:
        error = 100 * abs(row["area_km2"] - row["true_area_km2"]) / row["true_area_km2"]
        errors.setdefault(row["glacier_id"], []).append(error)
        inside = row["area_low_km2"] <= row["true_area_km2"] <= row["area_high_km2"]
        covered.setdefault(row["glacier_id"], []).append(100.0 * inside)
    pooled = [error for found in errors.values() for error in found]

    def score(groups: dict[str, list[float]], unit: str) -> dict[str, Any]:
        found = bootstrap_groups(
            list(groups.values()), resamples=measure.resamples, confidence=measure.confidence, unit=unit
        )
        return dict(found.to_json())

    return {
        "area_error/mean": score(errors, "%"),
        "area_error/largest": {"value": max(pooled), "low": None, "high": None, "n": len(pooled), "unit": "%"},
        "interval_coverage": score(covered, "%"),
    }


def _stale(rows: Sequence[Mapping[str, Any]], who: str, measure: Measure) -> dict[str, Any]:
    if not rows:
        return {}
    found = _agreement(rows, who, measure)
    scores = {"iou_stale/glacier": found["iou/glacier"]}
    if who == "model":
        bias = [100 * (row["area_km2"] / row["true_area_km2"] - 1) for row in rows if row["true_area_km2"] > 0]
        scores["area_bias_stale"] = {
            "value": sum(bias) / len(bias),
            "low": None,
            "high": None,
            "n": len(bias),
            "unit": "%",
        }
    return scores
