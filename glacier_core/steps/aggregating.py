"""`aggregate`: the measures of all units become tables, and what follows from all of them."""

from __future__ import annotations

from typing import Any

from glacier_core.steps.plans import gather, usable
from glacier_core.steps.running import reference, running


def aggregate(*, store: str, run: str, measured: list[str]) -> str:
    """Join what was measured in the batches.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        measured: references of the batches' `measure` manifests.
    """
    with running(store=store, run=run, stage="aggregate") as step:
        plan, entries = gather(step, measured)
        done = usable(plan, entries)

        def make(attempt: Any) -> None:
            plan.kind.aggregate(step, plan, done, attempt)

        part = {"measure": plan.recipe.measure.model_dump(mode="json")}
        # the units' own outputs and not the batches': how units were packed, and where the store is, changes nothing
        units = sorted(entry["refs"]["measure"] for entry in done)
        output = step.build("aggregate", part=part, inputs=units, make=make)
        return step.publish_chain({"plan": plan.reference, "measure": measured, "aggregate": reference(output)})
