"""`sample`: samples, split and normalisation. `train`: the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from glacier_core.steps.models import flat, tracking_uri
from glacier_core.steps.plans import Plan, gather, read_plan, usable
from glacier_core.steps.running import Step, log, reference, running, threads
from glacier_core.steps.splitting import check_split
from glacier_core.store import Output


def sample(*, store: str, run: str, labelled: list[str]) -> str:
    """Choose the samples of training and validation and fit the normalisation on training data alone.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        labelled: references of the batches' `label` manifests.
    """
    with running(store=store, run=run, stage="sample") as step:
        plan, entries = gather(step, labelled)
        done = usable(plan, entries)
        check_split(plan.split)

        def make(attempt: Any) -> None:
            plan.kind.sample(step, plan, done, attempt)
            attempt.write_json("split.json", plan.split)

        made_from = sorted({ref for entry in done for ref in (entry["refs"]["prepare"], entry["refs"]["label"])})
        output = step.build("sample", part=plan.kind.sample_part(plan), inputs=made_from, make=make)
        return step.publish_chain({"plan": plan.reference, "label": labelled, "sample": reference(output)})


def train(*, store: str, run: str, sampled: str) -> str:
    """Train the recipe's network on the samples.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        sampled: what `sample` returned.
    """
    with running(store=store, run=run, stage="train") as step:
        chain = step.read_chain(sampled)
        plan = read_plan(step, chain["plan"])
        samples = step.read(chain["sample"])

        def make(attempt: Any) -> None:
            _train(step, plan, samples, attempt)

        part = {
            "kind": plan.recipe.kind,
            "model": plan.recipe.model.model_dump(mode="json"),
            "training": plan.recipe.training.model_dump(mode="json"),
            **_weights(plan.recipe),
        }
        output = step.build("train", part=part, inputs=[reference(samples)], make=make)
        # checkpoints are there to go on from, and what is published needs them no more
        step.store.drop_work(_work(output.digest))
        return step.publish_chain({**chain, "train": reference(output)})


def _work(digest: str) -> str:
    """Name of the folder of checkpoints: the output's own, so that those of other code or inputs are never met."""
    return f"train/{digest}"


def _weights(recipe: Any) -> dict[str, str]:
    """What the file of weights to start from holds, as far as a digest must tell."""
    if not recipe.model.weights:
        return {}
    from glacier_core.sources.series import file_version

    return {"weights": file_version(Path(recipe.path(recipe.model.weights)))}


def _located(plan: Plan) -> Plan:
    """The plan with weights to start from where they are; the recipe names them relative to its data."""
    recipe = plan.recipe
    if not recipe.model.weights:
        return plan
    model = recipe.model.model_copy(update={"weights": recipe.path(recipe.model.weights)})
    return replace(plan, recipe=recipe.model_copy(update={"model": model}))


def _train(step: Step, plan: Plan, samples: Output, attempt: Any) -> None:
    from glacier_core.registry import live_run
    from glacier_core.training import save_model

    recipe = plan.recipe
    told = {"model": recipe.model.model_dump(mode="json"), "training": recipe.training.model_dump(mode="json")}
    with live_run(
        tracking_uri(step.store), experiment=recipe.name, name="training", task=attempt.digest, params=flat(told)
    ) as live:

        def track(number: int, metrics: dict[str, float]) -> None:
            log.info(
                "[train] epoch %d: %s", number, ", ".join(f"{name} {found:.4g}" for name, found in metrics.items())
            )
            live.track(number, metrics)

        checkpoints = step.store.work_folder(_work(attempt.digest))
        fitted = plan.kind.fit(step, _located(plan), samples, checkpoints=checkpoints, track=track)
    trained = fitted.trained
    spec = replace(fitted.spec, extra={**fitted.spec.extra, "inputs": plan.kind.inputs(recipe)})
    save_model(str(attempt.local_folder()), state=trained.state, spec=spec)
    for name, content in fitted.files.items():
        attempt.write_bytes(name, content)
    attempt.write_json("history.json", trained.history)
    attempt.write_json(
        "training.json",
        {
            "best_epoch": trained.best_epoch,
            "stopped_epoch": trained.stopped_epoch,
            "precision": trained.precision,
            "threads": threads(),
            "seconds": round(trained.seconds, 1),
        },
    )
