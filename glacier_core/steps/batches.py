"""The stages that go through a batch's units one by one: `ingest`, `prepare`, `label`, `predict`, `measure`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan, read_batch, read_plan
from glacier_core.steps.running import Step, running


def ingest(*, store: str, run: str, batch: str) -> str:
    """Read the images of a batch's units into cubes.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        batch: `<plan digest>/<batch number>`.

    Returns:
        The reference of the batch's manifest.
    """
    digest, _, number = batch.rpartition("/")
    with running(store=store, run=run, stage="ingest") as step:
        plan = read_plan(step, f"plan/{digest}")
        entries = [
            {"unit": unit_id, "state": "done", "reason": "", "refs": {}} for unit_id in plan.batches[int(number)]
        ]
        results = step.over_units(entries, do=lambda entry: plan.kind.ingest(step, plan, plan.units[entry["unit"]]))
        return step.publish_batch(plan=plan.reference, batch=int(number), results=results)


def prepare(*, store: str, run: str, ingested: str) -> str:
    """Make what the model sees of each unit's cube.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        ingested: reference of the batch's `ingest` manifest.
    """
    with running(store=store, run=run, stage="prepare") as step:
        manifest, plan = read_batch(step, ingested)
        return _each(step, plan, manifest, plan.kind.prepare)


def label(*, store: str, run: str, prepared: str) -> str:
    """Make the truth of each unit of a batch.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        prepared: reference of the batch's `prepare` manifest.
    """
    with running(store=store, run=run, stage="label") as step:
        manifest, plan = read_batch(step, prepared)
        return _each(step, plan, manifest, plan.kind.label)


def predict(*, store: str, run: str, prepared: str) -> str:
    """Apply the plan's model to each unit of a batch.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        prepared: reference of the batch's `prepare` manifest.
    """
    with running(store=store, run=run, stage="predict") as step:
        manifest, plan = read_batch(step, prepared)
        network = Network(step, plan.model["weights"])

        def do(step: Step, plan: Plan, unit: Any, entry: Mapping[str, Any]) -> str:
            return plan.kind.predict(step, plan, unit, entry, network)

        return _each(step, plan, manifest, do)


def measure(*, store: str, run: str, predicted: str) -> str:
    """Turn the prediction of each unit of a batch into numbers.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        predicted: reference of the batch's `predict` manifest.
    """
    with running(store=store, run=run, stage="measure") as step:
        manifest, plan = read_batch(step, predicted)
        return _each(step, plan, manifest, plan.kind.measure, files=plan.kind.batch_files)


def _each(
    step: Step,
    plan: Plan,
    manifest: Mapping[str, Any],
    do: Callable[[Step, Plan, Any, Mapping[str, Any]], str],
    *,
    files: Callable[[Step, Plan, list[dict[str, Any]]], Mapping[str, bytes]] | None = None,
) -> str:
    """Do each unit of a batch; the reference of the manifest that says how each one ended."""
    results = step.over_units(manifest["units"], do=lambda entry: do(step, plan, plan.units[entry["unit"]], entry))
    kept = files(step, plan, results) if files else {}
    return step.publish_batch(plan=plan.reference, batch=manifest["batch"], results=results, files=kept)
