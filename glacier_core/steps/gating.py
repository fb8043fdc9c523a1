"""The verdict of the gate: the challenger beside the best baseline and the champion on ground that neither has seen."""

from __future__ import annotations

from typing import Any

from glacier_core.steps.evaluating import THRESHOLD, Case, by_glacier
from glacier_core.steps.models import import_model, open_registry
from glacier_core.steps.plans import gather
from glacier_core.steps.predicting import Predictor
from glacier_core.steps.running import Step
from glacier_core.store import Output


def verdict_of(step: Step, chain: dict[str, Any]) -> Output:
    """The published verdict {passed, reason, differences, n, against}."""
    plan, entries = gather(step, chain["label"])
    champion = _champion(step, plan.recipe, chain)
    measure = plan.recipe.measure

    def make(attempt: Any) -> None:
        from glacier_core.registry import gate as decide

        rows = [row for row in step.read(chain["evaluate"]).read_json("rows.json") if not row["stale"]]
        seen = set(_trained_on(step, champion["reference"])) if champion else set()
        rows = [row for row in rows if row["glacier_id"] not in seen and row["clear_fraction"] >= measure.min_clear]
        names = [name for name in (rows[0]["counts"] if rows else {}) if name != "model"]
        contenders = {name: by_glacier(rows, name) for name in names}
        best = max(contenders, key=lambda name: sum(contenders[name].values())) if contenders else ""
        verdict = decide(
            challenger=by_glacier(rows, "model"),
            best_baseline=contenders.get(best, {}),
            champion=_champion_scores(step, plan, entries, rows, champion) if champion else None,
            resamples=measure.resamples,
            confidence=measure.confidence,
        )
        attempt.write_json(
            "verdict.json",
            {**verdict.to_json(), "baseline": best, "champion": champion.get("version", "") if champion else ""},
        )

    inputs = [chain["model"], chain["evaluate"], *([champion["reference"]] if champion else [])]
    return step.build("gate", part={"measure": measure.model_dump(mode="json")}, inputs=inputs, make=make)


def _champion(step: Step, recipe: Any, chain: dict[str, Any]) -> dict[str, Any]:
    """The reigning champion as the plan describes a model; empty where there is none or it is the challenger itself."""
    version = open_registry(step.store).champion(recipe.name)
    if version is None or f"model/{version.digest}" == chain["model"]:
        return {}
    return import_model(step, f"{version.name}/{version.version}", recipe)


def _trained_on(step: Step, model: str) -> list[str]:
    split = step.read(model).read_json("split.json")
    return [*split["train"], *split["validation"]]


def _champion_scores(step: Step, plan: Any, entries: Any, rows: Any, champion: dict[str, Any]) -> dict[str, float]:
    from glacier_core.measure import Counts

    predictor = Predictor(step, champion["weights"])
    wanted = {row["unit"] for row in rows}
    found = []
    for entry in entries:
        if entry["unit"] in wanted:
            case = Case.read(step, plan, entry, predictor)
            counts = Counts.of(case.probability >= THRESHOLD, case.truth, case.domain & case.observed)
            found.append({"glacier_id": case.glacier_id, "counts": {"champion": counts.to_json()}})
    return by_glacier(found, "champion")
