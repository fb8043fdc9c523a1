"""The verdict of the gate: the challenger beside the best baseline and the champion on ground that neither has seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glacier_core.steps.evaluating import evaluation
from glacier_core.steps.models import champion_of
from glacier_core.steps.plans import gather
from glacier_core.steps.running import Step
from glacier_core.store import Output


def verdict_of(step: Step, chain: dict[str, Any]) -> Output:
    """The published verdict {passed, decided, reason, differences, n, baseline, champion}."""
    plan, entries = gather(step, chain["label"])
    kind, measure = plan.kind, plan.recipe.measure
    champion = champion_of(step, plan.recipe)
    if champion and champion["reference"] == chain["model"]:
        champion = {}

    def make(attempt: Any) -> None:
        from glacier_core.registry import gate as decide

        evaluated = step.read(chain["evaluate"])
        rows = evaluated.read_json("rows.json")
        reigning: dict[str, float] | None = None
        if champion:
            seen = step.read(champion["reference"]).read_json("split.json")
            rows = kind.unseen(rows, seen)
            scored = evaluation(step, plan, entries, weights=champion["weights"], calibration=champion["reference"])
            reigning = kind.contest(kind.unseen(scored.read_json("rows.json"), seen), "model")
        challenger = kind.contest(rows, "model")
        names = evaluated.read_json("scores.json")["baselines"]
        contenders = {name: kind.contest(rows, name) for name in names} if rows else {}
        best = _hardest(challenger, contenders)
        verdict = decide(
            challenger=challenger,
            best_baseline=contenders.get(best, {}),
            champion=reigning,
            resamples=measure.resamples,
            confidence=measure.confidence,
        )
        attempt.write_json(
            "verdict.json",
            {**verdict.to_json(), "baseline": best, "champion": champion.get("version", "") if champion else ""},
        )

    inputs = [chain["model"], chain["evaluate"], *([champion["reference"]] if champion else [])]
    return step.build("gate", part={"measure": measure.model_dump(mode="json")}, inputs=inputs, make=make)


def _hardest(challenger: Mapping[str, float], contenders: Mapping[str, Mapping[str, float]]) -> str:
    """The baseline that comes nearest to the challenger, or leads furthest, on the units that both have; or empty."""
    lead: dict[str, float] = {}
    for name, scores in contenders.items():
        shared = challenger.keys() & scores.keys()
        if shared:
            lead[name] = sum(scores[unit] - challenger[unit] for unit in sorted(shared)) / len(shared)
    return max(lead, key=lead.__getitem__) if lead else ""
