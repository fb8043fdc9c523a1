"""`report`: everything that a person looks at, delivered to the store's `products` folder."""

from __future__ import annotations

from typing import Any

from glacier_core.steps.plans import gather, read_plan
from glacier_core.steps.provenance import withheld
from glacier_core.steps.running import running
from glacier_core.store import Output

PAGE = "report.html"
TRAINING_PAGE = "training.html"


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
            plan.kind.products(step, plan, entries, step.read(chain["aggregate"]), attempt.local_folder())

        part = {
            # where the data lie says nothing about what they are
            "recipe": plan.recipe.model_dump(mode="json", exclude={"data"}),
            "alias": plan.model["alias"],
            "withheld": withheld(plan, entries),
        }
        inputs = [chain["aggregate"], plan.model["reference"]]
        output = step.build("report", part=part, inputs=inputs, make=make)
        folder = step.store.deliver(output, f"products/{plan.recipe.name}-{output.digest}")
        step.facts = {"products": folder, "page": _page(output)}
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
                card=model_card(step, plan, chain, model),
                headline=plan.kind.headline,
                lower_is_better=plan.kind.lower_is_better,
            )
            write_training_report(folder, inputs)

        part = {"version": chain["version"], "alias": chain["alias"]}
        output = step.build("training_report", part=part, inputs=[chain["model"], chain["gate"]], make=make)
        folder = step.store.deliver(output, f"products/{plan.recipe.name}-model-{output.digest}")
        step.facts = {"products": folder, "page": TRAINING_PAGE}
        return folder


def _page(output: Output) -> str:
    """The page to open first."""
    pages = [name for name in output.files() if name.endswith(".html") and "/" not in name]
    return PAGE if PAGE in pages else next(iter(pages), "")
