"""What `glacier run`, `train`, `monitor` and `evaluate` do: pipelines run here, and what they left is gathered."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from glacier_core.recipes import Recipe
from glacier_core.store import Store
from glacier_pipelines.local import run_pipeline
from glacier_pipelines.result import Result


def train_recipe(recipe: Recipe, store: Store, *, catalog: str) -> Result:
    """Run the pipeline `train`."""
    from glacier_pipelines.training import train_pipeline

    run = new_run("train")
    run_pipeline(train_pipeline, store=store, run=run, recipe=recipe.model_dump_json(), catalog=located(catalog))
    result = Result.of(recipe, store)
    result.absorb(store.notes(run).values(), counted="label")
    return result


def monitor_recipe(recipe: Recipe, store: Store, *, catalog: str, model: str, after: Result | None) -> Result:
    """Run the pipeline `monitor`.

    Args:
        recipe: the recipe.
        store: the store.
        catalog: a catalog that replaces the recipe's, or empty.
        model: the model version, or empty: the one that `after` trained, else the recipe's champion.
        after: the training that went before, whose figures are carried on.
    """
    from glacier_pipelines.monitoring import monitor_pipeline

    if after is not None:
        model = f"{after.model['name']}/{after.model['version']}"
    run = new_run("monitor")
    run_pipeline(
        monitor_pipeline,
        store=store,
        run=run,
        recipe=recipe.model_dump_json(),
        catalog=located(catalog),
        model=model or f"{recipe.name}@champion",
    )
    result = after or Result.of(recipe, store)
    result.absorb(store.notes(run).values(), counted="measure")
    return result


def evaluate_recipe(recipe: Recipe, store: Store, *, catalog: str, model: str) -> Result:
    """Score a model: the stages of `train` up to the labels, then the scores, in this process."""
    from glacier_core import steps

    run = new_run("evaluate")
    common = {"store": store.url, "run": run}
    labelled = []
    batches = steps.plan(
        **common, recipe=recipe.model_dump_json(), purpose="evaluate", catalog=located(catalog), model=model
    )
    for batch in batches:
        ingested = steps.ingest(**common, batch=batch)
        prepared = steps.prepare(**common, ingested=ingested)
        labelled.append(steps.label(**common, prepared=prepared))
    steps.score(**common, labelled=labelled)
    result = Result.of(recipe, store)
    result.absorb(store.notes(run).values(), counted="label")
    return result


def new_run(purpose: str) -> str:
    """An identifier that sorts by time: `train-20260131T120000-1a2b`."""
    return f"{purpose}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"


def located(catalog: str) -> str:
    """The catalog as every task finds it, from whichever folder it runs in."""
    return catalog if not catalog or "://" in catalog else str(Path(catalog).resolve())
