"""`report`: everything that a person looks at, delivered to the store's `products` folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glacier_core.steps.evaluating import THRESHOLD
from glacier_core.steps.grounds import Grounds
from glacier_core.steps.imagery import IMAGE
from glacier_core.steps.plans import Plan, gather, read_plan
from glacier_core.steps.predicting import PREDICTION
from glacier_core.steps.running import Step, running
from glacier_core.steps.tables import from_parquet
from glacier_core.store import Output


def report(*, store: str, run: str, aggregated: str) -> str:
    """Write and deliver the products of a `monitor` run.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        aggregated: the chain that `aggregate` returned.

    Returns:
        URL of the folder of products.
    """
    with running(store=store, run=run, stage="report") as step:
        chain = step.read_chain(aggregated)
        plan, entries = gather(step, chain["measure"])

        def make(attempt: Any) -> None:
            from glacier_core.report import write_products

            write_products(attempt.local_folder(), _inputs(step, plan, entries, chain))

        part = {
            # where the data lie says nothing about what they are
            "recipe": plan.recipe.model_dump(mode="json", exclude={"data"}),
            "alias": plan.model["alias"],
            "withheld": _withheld(plan, entries),
        }
        inputs = [chain["aggregate"], plan.model["reference"]]
        output = step.build("report", part=part, inputs=inputs, make=make)
        folder = step.store.deliver(output, f"products/{plan.recipe.name}-{output.digest}")
        step.facts = {"products": folder, "page": "report.html"}
        return folder


def training_report(*, store: str, run: str, promoted: str) -> str:
    """Write and deliver the page about a training run.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        promoted: the chain that `promote` returned.

    Returns:
        URL of the folder of products.
    """
    with running(store=store, run=run, stage="training_report") as step:
        chain = step.read_chain(promoted)
        plan = read_plan(step, chain["plan"])

        def make(attempt: Any) -> None:
            from glacier_core.report import TrainingInputs, write_training_report
            from glacier_core.steps.cards import model_card, sample_pictures

            folder = attempt.local_folder()
            model = step.read(chain["model"])
            pictures = folder / "pictures"
            pictures.mkdir()
            inputs = TrainingInputs(
                recipe=plan.recipe,
                version=chain["version"],
                alias=chain["alias"],
                history=step.read(chain["train"]).read_json("history.json"),
                scores=model.read_json("scores.json"),
                verdict=step.read(chain["gate"]).read_json("verdict.json"),
                rows=step.read(chain["evaluate"]).read_json("rows.json"),
                split=model.read_json("split.json"),
                pictures=sample_pictures(step, chain, pictures),
                card=model_card(step, plan.recipe, chain, model),
            )
            write_training_report(folder, inputs)

        part = {"version": chain["version"], "alias": chain["alias"]}
        output = step.build("training_report", part=part, inputs=[chain["model"], chain["gate"]], make=make)
        folder = step.store.deliver(output, f"products/{plan.recipe.name}-model-{output.digest}")
        step.facts = {"products": folder, "page": "training.html"}
        return folder


def _inputs(step: Step, plan: Plan, entries: list[dict[str, Any]], chain: Mapping[str, Any]) -> Any:

    from glacier_core.report import ReportInputs

    aggregated = step.read(chain["aggregate"])
    model = step.read(plan.model["reference"])
    scores = model.read_json("scores.json")
    outlines = plan.outlines()
    chosen = {unit.glacier_id for unit in plan.units.values()}
    return ReportInputs(
        recipe=plan.recipe,
        areas=from_parquet(aggregated.read_bytes("areas.parquet")),
        trends=from_parquet(aggregated.read_bytes("trends.parquet")),
        outlines=outlines[outlines["glacier_id"].isin(chosen)],
        model={
            "name": plan.model["name"],
            "version": plan.model["version"],
            "alias": plan.model["alias"],
            "promoted": plan.model["alias"] == "champion",
        },
        scores=scores["model"],
        baselines=scores["baselines"],
        lineage=_lineage(step, [chain["aggregate"], plan.model["reference"]]),
        image=_Images(step, plan, entries).year,
        withheld=_withheld(plan, entries),
    )


def _withheld(plan: Plan, entries: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Units without a result, and glaciers that the plan left out, with reasons."""
    told = [{key: entry[key] for key in ("unit", "state", "reason")} for entry in entries if entry["state"] != "done"]
    return [*plan.left_out, *told]


class _Images:
    """The year's image, prediction and domain of a glacier, read when they are drawn."""

    def __init__(self, step: Step, plan: Plan, entries: list[dict[str, Any]]) -> None:
        self.step = step
        self.plan = plan
        self.entries = {entry["unit"]: entry for entry in entries}
        self.grounds = Grounds(plan.outlines, buffer_m=plan.recipe.glaciers.buffer_m)

    def year(self, glacier_id: str, year: int) -> Any:
        """What is known of a glacier in a year, or None."""
        import numpy as np

        from glacier_core.cube import read_image
        from glacier_core.report import YearImage

        entry = self.entries.get(f"{glacier_id}_{year}")
        if entry is None or entry["state"] != "done":
            return None
        unit = self.plan.units[entry["unit"]]
        prepared = self.step.read(entry["refs"]["prepare"])
        probability = read_image(self.step.read(entry["refs"]["predict"]).path(PREDICTION))[0]
        rgb = read_image(prepared.path(IMAGE), bands=self.plan.recipe.imagery.rgb)
        domain = self.grounds.of(unit).domain
        return YearImage(
            rgb=np.moveaxis(rgb, 0, -1),
            ice=(probability >= THRESHOLD) & domain,
            probability=probability,
            observed=np.isfinite(probability),
            domain=domain,
            grid=unit.grid,
            acquired=prepared.read_json("scenes.json")["used"],
        )


def _lineage(step: Step, roots: list[str]) -> list[dict[str, Any]]:
    """The outputs that stand behind the products, one entry each, without the thousands of units' own."""
    seen: dict[str, Output] = {}
    waiting = list(roots)
    while waiting:
        found = waiting.pop()
        if found in seen or found.split("/")[0] in UNIT_STAGES:
            continue
        seen[found] = step.read(found)
        waiting.extend(seen[found].record["inputs"])
    return [
        {
            "stage": output.stage,
            "digest": output.digest,
            "inputs": [link for link in output.record["inputs"] if link.split("/")[0] not in UNIT_STAGES],
            "packages": output.record["packages"],
            "image": output.record["image"],
            "threads": output.record["threads"],
        }
        for _, output in sorted(seen.items())
    ]


UNIT_STAGES = ("ingest", "prepare", "label", "predict", "measure")
