"""Scores of the test months beside all baselines, in blocks of twelve months.

Baselines of the test are fitted on the months of training and validation. A row is one month at one lead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.errors import DataError
from glacier_core.steps.kinds.contract import Entry, Row
from glacier_core.steps.kinds.ice_cover.learning import region_of
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, log

if TYPE_CHECKING:
    from glacier_core.recipes import Measure
    from glacier_core.steps.kinds.ice_cover.forecasting import Dressing, Forecaster
    from glacier_core.steps.kinds.ice_cover.regions import Region

SEASONS = ("DJF", "MAM", "JJA", "SON")
STRATA_METRICS = ("mae", "rmse", "iiee_fraction")
ALIKE = "no validation month tells the errors that members are made of"
EVERY = 3
"""Of the cells every third stands for its neighbours where members are scored."""
SIMILAR_EVERY = 5
"""Of the months every fifth, which comes to each calendar month in turn, has its structural similarity computed."""


def score_part(plan: Plan) -> dict[str, Any]:
    """What of the recipe decides the scores."""
    recipe = plan.recipe
    return {
        "measure": recipe.measure.model_dump(mode="json"),
        "members": recipe.members,
        "threshold": recipe.threshold,
        "target_months": list(recipe.target_months),
        "periods": recipe.split.model_dump(mode="json"),
        "split": plan.split,
    }


def write_scores(
    step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any, *, weights: str, calibration: str | None
) -> None:
    """`rows.json`, `calibration.json`, `scores.json`; see `Kind.score`.

    Raises:
        DataError: there is no month to test.
    """
    from glacier_core.steps.kinds.ice_cover.forecasting import Forecaster, dress

    module, spec = Network(step, weights).load()
    kept = step.read(calibration).read_json("calibration.json")["stretch"] if calibration else None
    rows: list[dict[str, Any]] = []
    stretch: Sequence[float] = ()
    for entry in entries:
        region = region_of(step, plan, entry)
        dressing = dress(region, module, spec, plan.recipe, stretch=kept)
        stretch = dressing.stretch
        log.info("[evaluate] %s: members stretched by %s", region.name, ", ".join(f"{one:g}" for one in stretch))
        if unknown := [lead for lead in range(1, len(stretch) + 1) if not dressing.knows(lead)]:
            leads = ", ".join(map(str, unknown))
            log.warning("[evaluate] %s: %s; no scores of members at lead %s", region.name, ALIKE, leads)
        forecaster = Forecaster(region, module, spec, plan.recipe, region.fitted)
        rows += region_rows(region, forecaster, dressing, plan.recipe)
    if not rows:
        raise DataError("the test set is empty", expected="months after split.validation_to", do="add months")
    attempt.write_json("rows.json", rows)
    attempt.write_json("calibration.json", {"stretch": list(stretch)})
    attempt.write_json("scores.json", summary(rows, measure=plan.recipe.measure))


def region_rows(region: Region, forecaster: Forecaster, dressing: Dressing, recipe: Any) -> list[dict[str, Any]]:
    """One row for each tested month and lead."""
    leads = forecaster.fields.leads
    wanted = {lead: set(region.issues("test", lookback=recipe.lookback, lead=lead)) for lead in range(1, leads + 1)}
    issues = sorted(set().union(*wanted.values()))
    tested = [row for row, part in enumerate(region.parts) if part == "test"]
    rows = []
    for number, issue in enumerate(issues, start=1):
        centres = forecaster.centres(issue)
        for lead in range(1, leads + 1):
            if issue in wanted[lead]:
                own = [centre[lead - 1] for centre in centres]
                rows.append(_row(region, forecaster, dressing, recipe, own, issue=issue, lead=lead, first=tested[0]))
        if number % 24 == 0 or number == len(issues):
            log.info("[evaluate] %d of %d months of issue", number, len(issues))
    return rows


def _row(
    region: Region,
    forecaster: Forecaster,
    dressing: Dressing,
    recipe: Any,
    centres: Sequence[Any],
    *,
    issue: int,
    lead: int,
    first: int,
) -> dict[str, Any]:
    from glacier_core.measure.ice_cover import BASELINES, MONTHS, field_sums, member_sums
    from glacier_core.measure.similarity import similarity_map

    target = issue + lead
    truth = region.series.values_NP[target]
    window = region.window()
    observed = region.on_grid(truth, window, fill=np.nan)
    base = forecaster.fields.bases[lead - 1]

    def sums(forecast: Any, *, similar: bool) -> dict[str, float]:
        alike = None
        if similar and target % SIMILAR_EVERY == 0:
            shown = similarity_map(region.on_grid(forecast, window, fill=np.nan), observed)
            alike = region.of_grid(shown, window)
        found = field_sums(forecast, truth, region.area_P, threshold=recipe.threshold, similarity_P=alike)
        return found.to_json()

    spread = None
    if dressing.knows(lead):
        members = dressing.members(centres, issue, lead, count=recipe.members)[:, ::EVERY]
        spread = member_sums(
            members,
            truth[::EVERY],
            region.area_P[::EVERY],
            confidence=recipe.measure.confidence,
            level=region.level,
        ).to_json()
    month = (region.series.first + target) % MONTHS + 1
    block = region.series.name(first + (target - first) // MONTHS * MONTHS)
    return {
        "unit": f"{region.name} from {block}",
        "region": region.name,
        "time": f"{region.series.name(target)}-01",
        "lead": lead,
        "season": SEASONS[month % MONTHS // 3],
        "sums": {
            "model": sums(centres[0], similar=True),
            **{name: sums(forecaster.fields.baseline(name, issue, lead), similar=name == base) for name in BASELINES},
        },
        "members": spread,
    }


def summary(rows: Sequence[Row], *, measure: Measure) -> dict[str, Any]:
    """Scores by lead of the model and of each baseline; the model's beside the best baseline; seasons and regions."""
    from glacier_core.measure.ice_cover import (
        BASELINES,
        FIELD_METRICS,
        MAIN,
        best_baseline,
        gain_over,
        member_scores_of,
        scores_of,
    )

    how = {"resamples": measure.resamples, "confidence": measure.confidence}
    found = {who: scores_of(rows, who, metrics=FIELD_METRICS, **how) for who in ("model", *BASELINES)}  # type: ignore[arg-type]
    model = found["model"]
    model.update(member_scores_of(rows, **how))  # type: ignore[arg-type]
    baselines = {name: found[name] for name in BASELINES}
    for lead in sorted({int(row["lead"]) for row in rows}):
        for metric in MAIN:
            best = best_baseline(baselines, f"{metric}/lead{lead}")
            model[f"{metric}_against_best/lead{lead}"] = gain_over(
                rows,
                "model",
                best,
                metric=metric,
                lead=lead,
                **how,  # type: ignore[arg-type]
            )
    for stratum in ("season", "region"):
        values = sorted({str(row[stratum]) for row in rows})
        for value in values if len(values) > 1 else ():
            own = [row for row in rows if row[stratum] == value]
            for who, scores in found.items():
                part = scores_of(own, who, metrics=STRATA_METRICS, **how)  # type: ignore[arg-type]
                scores.update({f"{name}@{stratum}={value}": score for name, score in part.items()})
    plain = {who: {name: score.to_json() for name, score in scores.items()} for who, scores in found.items()}
    return {"model": plain.pop("model"), "baselines": plain}


def by_block(rows: Sequence[Row], who: str) -> dict[str, float]:
    """Of each block of twelve months the RMSE, mean over leads, negative: more is better."""
    errors: dict[str, dict[int, list[Mapping[str, float]]]] = {}
    for row in rows:
        errors.setdefault(str(row["unit"]), {}).setdefault(int(row["lead"]), []).append(row["sums"][who])
    found = {}
    for unit, leads in sorted(errors.items()):
        each = [
            float(np.sqrt(sum(one["squared"] for one in own) / max(sum(one["area"] for one in own), 1e-9)))
            for own in leads.values()
        ]
        found[unit] = -sum(each) / len(each)
    return found
