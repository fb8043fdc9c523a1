"""`evaluate`: scores beside baselines on places that training never saw, and the calibration of the intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glacier_core.errors import DataError
from glacier_core.recipes import Measure
from glacier_core.steps.imagery import IMAGE
from glacier_core.steps.labelling import LABELS
from glacier_core.steps.plans import Plan, gather
from glacier_core.steps.predicting import PREDICTION, Predictor
from glacier_core.steps.running import Step, log, reference, running

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.measure import Counts

THRESHOLD = 0.5


def evaluate(*, store: str, run: str, trained: str) -> str:
    """Score the network on the test places, beside baselines tuned on the training places.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        trained: the chain that `train` returned.
    """
    with running(store=store, run=run, stage="evaluate") as step:
        chain = step.read_chain(trained)
        plan, entries = gather(step, chain["label"])
        output = evaluation(step, plan, entries, weights=chain["train"], calibration=None)
        step.facts = shown(output.read_json("scores.json"))
        return step.publish_chain({**chain, "evaluate": reference(output)})


def score(*, store: str, run: str, labelled: list[str]) -> str:
    """Score the plan's registered model on data that it has not been trained on.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        labelled: references of the batches' `label` manifests.
    """
    with running(store=store, run=run, stage="evaluate") as step:
        plan, entries = gather(step, labelled)
        output = evaluation(step, plan, entries, weights=plan.model["weights"], calibration=plan.model["reference"])
        step.facts = shown(output.read_json("scores.json"))
        return step.publish_chain({"plan": plan.reference, "label": labelled, "evaluate": reference(output)})


def evaluation(
    step: Step, plan: Plan, entries: Sequence[Mapping[str, Any]], *, weights: str, calibration: str | None
) -> Any:
    """The published scores.

    Args:
        step: the running stage.
        plan: the plan.
        entries: labelled units of all parts.
        weights: reference of the network.
        calibration: reference of a model whose calibration and baselines are kept; None: fit them here.
    """
    done = [entry for entry in entries if entry["state"] == "done"]

    def make(attempt: Any) -> None:
        predictor = Predictor(step, weights)
        fitted = _kept(step, calibration) if calibration else _fitted(step, plan, done, predictor)
        rows = []
        tested = [entry for entry in done if plan.units[entry["unit"]].part == "test"]
        for number, entry in enumerate(tested, start=1):
            rows.append(_row(Case.read(step, plan, entry, predictor), fitted))
            if number % 20 == 0 or number == len(tested):
                log.info("[evaluate] %d of %d test units", number, len(tested))
        if not rows:
            raise DataError("the test set is empty", expected="at least one labelled unit", do="change split or labels")
        attempt.write_json("rows.json", rows)
        attempt.write_json("calibration.json", fitted.to_json())
        attempt.write_json("scores.json", summary(rows, measure=plan.recipe.measure, baselines=fitted.names()))

    refs = sorted({entry["refs"][stage] for entry in done for stage in ("prepare", "label")})
    part = {
        "measure": plan.recipe.measure.model_dump(mode="json"),
        "parts": sorted((entry["unit"], plan.units[entry["unit"]].part) for entry in done),
        "bands": [plan.recipe.imagery.green, plan.recipe.imagery.swir],
    }
    inputs = [weights, *([calibration] if calibration else []), *refs]
    return step.build("evaluate", part=part, inputs=inputs, make=make)


@dataclass(frozen=True)
class Case:
    """One unit with everything that scores need; arrays are (y, x) on the unit's grid.

    `probability` is NaN throughout where no predictor was asked.
    """

    unit: str
    glacier_id: str
    year: int
    bands: dict[str, NDArray[np.float32]]
    probability: NDArray[np.float32]
    truth: NDArray[np.bool_]
    domain: NDArray[np.bool_]
    outline: NDArray[np.bool_]
    pixel_area: NDArray[np.float64]
    stale: bool
    label_age_days: int

    @classmethod
    def read(cls, step: Step, plan: Plan, entry: Mapping[str, Any], predictor: Predictor | None) -> Case:
        """Read a unit's image, labels and prediction (made now if it is not there)."""
        import numpy as np

        from glacier_core.cube import read_image, read_mask
        from glacier_core.measure import pixel_areas

        unit = plan.units[entry["unit"]]
        image = step.read(entry["refs"]["prepare"]).path(IMAGE)
        labelled = step.read(entry["refs"]["label"])
        labels = labelled.path(LABELS)
        bands = plan.recipe.imagery.all_bands()
        dates = labelled.read_json("labels.json")["reference"]
        pixels = read_image(image, bands=bands)
        probability = np.full(pixels.shape[1:], np.nan, dtype=np.float32)
        if predictor is not None:
            probability = read_image(step.read(predictor.unit(entry)).path(PREDICTION))[0]
        pixels = np.where(read_mask(image, "clear"), pixels, np.nan)
        return cls(
            unit=unit.unit_id,
            glacier_id=unit.glacier_id,
            year=unit.year,
            bands=dict(zip(bands, pixels, strict=True)),
            probability=probability,
            truth=read_mask(labels, "reference"),
            domain=read_mask(labels, "domain"),
            outline=read_mask(labels, "outline"),
            pixel_area=pixel_areas(unit.grid),
            stale=bool(dates["stale"]),
            label_age_days=int(dates["age_days"]),
        )

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Where every band was seen."""
        import numpy as np

        return np.asarray(np.all([np.isfinite(band) for band in self.bands.values()], axis=0))

    @property
    def true_area_km2(self) -> float:
        """Ice inside the domain by the reference outlines, in km²."""
        import numpy as np

        return float(np.sum(self.pixel_area * (self.truth & self.domain)))

    def estimate(self) -> Any:
        """The model's area."""
        from glacier_core.measure import estimate_area

        return estimate_area(
            probability=self.probability,
            domain=self.domain,
            outline=self.outline,
            pixel_area=self.pixel_area,
            threshold=THRESHOLD,
        )


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


def _fitted(step: Step, plan: Plan, done: Sequence[Mapping[str, Any]], predictor: Predictor) -> _Fitted:
    """Thresholds on the training places, the interval's width on the validation places."""
    from glacier_core.measure import calibrate, fit_baselines

    def cases(part: str, predictor: Predictor | None) -> list[Case]:
        chosen = [entry for entry in done if plan.units[entry["unit"]].part == part]
        return [Case.read(step, plan, entry, predictor) for entry in chosen]

    training = cases("train", None)
    imagery = plan.recipe.imagery
    baselines = fit_baselines(
        [(case.bands, case.truth, case.domain & case.observed) for case in training],
        green=imagery.green,
        swir=imagery.swir,
    )
    validation = [case for case in cases("validation", predictor) if not case.stale]
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


def _row(case: Case, fitted: _Fitted) -> dict[str, Any]:
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

    Units whose label is stale give `iou_stale/glacier` and a bias; the others give accuracies.
    """
    fresh = [row for row in rows if not row["stale"] and row["clear_fraction"] >= measure.min_clear]
    stale = [row for row in rows if row["stale"] and row["clear_fraction"] >= measure.min_clear]
    scores = {
        "model": {**_agreement(fresh, "model", measure), **_areas(fresh, measure), **_stale(stale, "model", measure)}
    }
    for name in baselines:
        scores[name] = {**_agreement(fresh, name, measure), **_stale(stale, name, measure)}
    return {"model": scores.pop("model"), "baselines": scores}


def shown(scores: Mapping[str, Any]) -> dict[str, Any]:
    """A model's scores as the command shows them."""
    return {"scores": scores["model"], "baselines": scores["baselines"]}


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
