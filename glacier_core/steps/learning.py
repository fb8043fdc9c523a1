"""`sample`: chips, split and normalisation. `train`: the network."""

from __future__ import annotations

from typing import Any

from glacier_core.errors import DataError
from glacier_core.steps.imagery import IMAGE
from glacier_core.steps.labelling import LABELS
from glacier_core.steps.plans import Plan, gather, read_plan
from glacier_core.steps.running import Step, log, reference, running, threads


def sample(*, store: str, run: str, labelled: list[str]) -> str:
    """Choose the chips of the training and validation sets and fit the normalisation on training data alone.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        labelled: references of the batches' `label` manifests.
    """
    with running(store=store, run=run, stage="sample") as step:
        plan, entries = gather(step, labelled)
        entries = [entry for entry in entries if entry["state"] == "done"]
        chips = {
            part: [
                chip
                for entry in entries
                if plan.units[entry["unit"]].part == part and _may_teach(step, plan, entry)
                for chip in _chips(plan, entry, part)
            ]
            for part in ("train", "validation")
        }
        for name, found in chips.items():
            if not found:
                raise DataError(
                    f"the {name} set of recipe '{plan.recipe.name}' is empty",
                    expected="at least one glacier with imagery and an outline within labels.tolerance_days",
                    do="add glaciers, widen labels.tolerance_days, or change split",
                )

        def make(attempt: Any) -> None:
            from glacier_core.prepare import fit_normalisation
            from glacier_core.samples import ChipReader, check_no_leak

            check_no_leak(plan.split)
            reader = ChipReader(_located(step, chips["train"]), bands=plan.recipe.imagery.bands)
            normalisation = fit_normalisation(
                (reader[index][0] for index in range(len(reader))), bands=plan.recipe.imagery.bands
            )
            attempt.write_json("samples.json", {"chips": chips, "normalisation": normalisation.to_json()})
            attempt.write_json("split.json", plan.split)
            log.info("[sample] %s chips", " and ".join(f"{len(found)} {part}" for part, found in chips.items()))

        made_from = sorted({ref for entry in entries for ref in (entry["refs"]["prepare"], entry["refs"]["label"])})
        part = {
            "bands": list(plan.recipe.imagery.bands),
            "chip": plan.recipe.training.chip,
            "split": plan.split,
            "train_on_stale": plan.recipe.labels.train_on_stale,
        }
        output = step.build("sample", part=part, inputs=made_from, make=make)
        return step.publish_chain({"plan": plan.reference, "label": labelled, "sample": reference(output)})


def train(*, store: str, run: str, sampled: str) -> str:
    """Train the recipe's network on the chips.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        sampled: what `sample` returned.
    """
    with running(store=store, run=run, stage="train") as step:
        chain = step.read_chain(sampled)
        plan = read_plan(step, chain["plan"])
        samples = step.read(chain["sample"])
        recipe = plan.recipe

        def make(attempt: Any) -> None:
            _train(step, plan, samples, attempt)

        part = {
            "kind": recipe.kind,
            "model": recipe.model.model_dump(mode="json"),
            "training": recipe.training.model_dump(mode="json"),
        }
        output = step.build("train", part=part, inputs=[reference(samples)], make=make)
        return step.publish_chain({**chain, "train": reference(output)})


def _train(step: Step, plan: Plan, samples: Any, attempt: Any) -> None:
    from glacier_core.prepare import Normalisation
    from glacier_core.samples import ChipReader
    from glacier_core.store import digest_of
    from glacier_core.training import ModelSpec, save_model
    from glacier_core.training import train as fit

    recipe = plan.recipe
    value = samples.read_json("samples.json")
    normalisation = Normalisation.from_json(value["normalisation"])
    sources = {
        part: ChipReader(_located(step, chips), bands=recipe.imagery.bands) for part, chips in value["chips"].items()
    }

    def track(number: int, metrics: dict[str, float]) -> None:
        log.info("[train] epoch %d: %s", number, ", ".join(f"{name} {found:.4g}" for name, found in metrics.items()))

    trained = fit(
        model=recipe.model,
        training=recipe.training,
        bands=len(recipe.imagery.bands),
        classes=2,
        train=sources["train"],
        validation=sources["validation"],
        normalisation=normalisation,
        checkpoints=step.store.work_folder(f"train/{digest_of([samples.digest, recipe.model, recipe.training])}"),
        track=track,
        threads=threads(),
    )
    folder = attempt.local_folder()
    spec = ModelSpec(
        name=recipe.model.name,
        bands=tuple(recipe.imagery.bands),
        classes=("other", "glacier"),
        width=recipe.model.width,
        depth=recipe.model.depth,
        normalisation=normalisation,
        split=plan.split["hash"],
        kind=recipe.kind,
    )
    save_model(str(folder), state=trained.state, spec=spec)
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


def _may_teach(step: Step, plan: Plan, entry: dict[str, Any]) -> bool:
    """Whether the outline is near enough to the image to train on, or the recipe says that stale ones may."""
    if plan.recipe.labels.train_on_stale:
        return True
    labels: dict[str, Any] = step.read(entry["refs"]["label"]).read_json("labels.json")
    return not labels["ice"]["stale"]


def _chips(plan: Plan, entry: dict[str, Any], part: str) -> list[dict[str, Any]]:
    from glacier_core.samples import chips_of

    unit = plan.units[entry["unit"]]
    size = plan.recipe.training.chip
    # training windows overlap by half, so that each pixel is seen beside several neighbours
    windows = chips_of(unit.grid.shape, size=size, stride=size // 2 if part == "train" else size)
    return [
        {"image": entry["refs"]["prepare"], "label": entry["refs"]["label"], "row": row, "column": column, "size": size}
        for row, column in windows
    ]


def _located(step: Step, chips: list[dict[str, Any]]) -> list[Any]:
    """Chips with the paths of their cubes: references are looked up once each."""
    from glacier_core.samples import Chip

    paths: dict[str, str] = {}
    for name, variable in (("image", IMAGE), ("label", LABELS)):
        for chip in chips:
            if chip[name] not in paths:
                paths[chip[name]] = step.read(chip[name]).path(variable)
    return [
        Chip(
            image=paths[chip["image"]],
            label=paths[chip["label"]],
            row=chip["row"],
            column=chip["column"],
            size=chip["size"],
        )
        for chip in chips
    ]
