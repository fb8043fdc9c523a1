"""`evaluate`: scores beside baselines on units that training never saw. `score`: those of a registered model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glacier_core.errors import DataError
from glacier_core.steps.plans import Plan, gather, usable
from glacier_core.steps.running import Step, log, reference, running
from glacier_core.steps.versions import data_versions
from glacier_core.store import Output

if TYPE_CHECKING:
    from glacier_core.steps.kinds.contract import Kind


def evaluate(*, store: str, run: str, trained: str) -> str:
    """Score the network on the test units, beside baselines tuned on the training units.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        trained: the chain that `train` returned.
    """
    with running(store=store, run=run, stage="evaluate") as step:
        chain = step.read_chain(trained)
        plan, entries = gather(step, chain["label"])
        output = evaluation(step, plan, entries, weights=chain["train"], calibration=None)
        step.facts = shown(plan.kind, output.read_json("scores.json"))
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
        entries = _not_trained_on(step, plan, entries)
        output = evaluation(step, plan, entries, weights=plan.model["weights"], calibration=plan.model["reference"])
        step.facts = shown(plan.kind, output.read_json("scores.json"))
        return step.publish_chain({"plan": plan.reference, "label": labelled, "evaluate": reference(output)})


def _not_trained_on(step: Step, plan: Plan, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries, without the units that the model was trained or validated on where these are the same data.

    The same names may stand for other data. Data are other where the model tells, by the same versions of the stages,
    what its samples were made from, and none of that is here; where it does not, names decide. Of a split by time, the
    plan has left out the periods.

    Raises:
        DataError: none is left.
    """
    split = step.read(plan.model["reference"]).read_json("split.json")
    if split["by"] == "time":
        return entries
    made_from = split.get("made_from", {})
    told = bool(made_from) and made_from["versions"] == data_versions(plan.recipe.kind)
    if told and not {entry["refs"].get("prepare") for entry in entries} & set(made_from["outputs"]):
        return entries
    seen = {*split["train"], *split["validation"]}
    left = [entry for entry in entries if plan.units[entry["unit"]].split_name not in seen]
    if not left:
        raise DataError(
            f"model {plan.model_name()} was trained or validated on every unit that is here",
            expected="places that it has not seen",
            do="name other data with --data",
        )
    if len(left) < len(entries):
        how = "were seen in training" if told else "have names of the training, whose data are not known here"
        log.info("[evaluate] %d of %d units %s: left out", len(entries) - len(left), len(entries), how)
    return left


def evaluation(
    step: Step, plan: Plan, entries: Sequence[Mapping[str, Any]], *, weights: str, calibration: str | None
) -> Output:
    """The published scores: `rows.json`, `calibration.json`, `scores.json`.

    Args:
        step: the running stage.
        plan: the plan.
        entries: labelled units of all parts.
        weights: reference of the network.
        calibration: reference of a model whose calibration and baselines are kept; None: fit them here.
    """
    done = usable(plan, entries)

    def make(attempt: Any) -> None:
        plan.kind.score(step, plan, done, attempt, weights=weights, calibration=calibration)

    refs = sorted({entry["refs"][stage] for entry in done for stage in ("prepare", "label")})
    parts = sorted((entry["unit"], plan.units[entry["unit"]].part) for entry in done)
    inputs = [weights, *([calibration] if calibration else []), *refs]
    return step.build("evaluate", part={**plan.kind.score_part(plan), "parts": parts}, inputs=inputs, make=make)


def shown(kind: Kind, scores: Mapping[str, Any]) -> dict[str, Any]:
    """A model's scores as the command shows them, and which of them stands for it."""
    return {
        "scores": scores["model"],
        "baselines": scores["baselines"],
        "headline": {"metric": kind.headline, "lower_is_better": kind.lower_is_better},
    }
