"""`plan`: a recipe becomes units, packed into batches.

A plan is computed on every run and kept under the digest of its content: new imagery makes a new plan, and through the
fingerprints of its images new work for the units that it touches, and nothing else does.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.recipes import Recipe, recipe_from_json
from glacier_core.steps.evaluating import shown
from glacier_core.steps.fitting import check_recipe
from glacier_core.steps.kinds import kind_of
from glacier_core.steps.models import champion_of, import_model
from glacier_core.steps.plans import PURPOSES, Plan, Purpose, read_plan
from glacier_core.steps.running import Step, log, reference, running
from glacier_core.steps.splitting import without_what_was_seen
from glacier_core.store import Store
from glacier_core.units import pack


def plan(*, store: str, run: str, recipe: str, purpose: str, catalog: str = "", model: str = "") -> list[str]:
    """Resolve a recipe to units, images and batches, and publish the plan.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        recipe: the recipe as JSON.
        purpose: train (units with labels), monitor (all units) or evaluate (units with a truth to compare with).
        catalog: a STAC catalog that replaces the recipe's.
        model: `name@alias` or `name/version` that predicts; empty for training.

    Returns:
        One `<plan digest>/<batch number>` for each batch.
    """
    with running(store=store, run=run, stage="plan") as step:
        if purpose not in PURPOSES:
            raise ConfigurationError(f"purpose is '{purpose}'", expected=f"one of {', '.join(PURPOSES)}")
        step.made += 1  # a plan is computed anew on every run
        made = make_plan(step, recipe_from_json(recipe), purpose=cast("Purpose", purpose), catalog=catalog, model=model)
        log.info("[plan] %d units in %d batches", len(made.units), len(made.batches))
        step.units["withheld"] = sum(entry["state"] == "withheld" for entry in made.left_out)
        step.notes = [entry for entry in made.left_out if entry["state"] == "withheld"]
        if made.model:
            step.facts = {
                "model": {key: str(made.model[key]) for key in ("name", "version", "alias")},
                **shown(made.kind, step.read(made.model["reference"]).read_json("scores.json")),
            }
        return [f"{made.output.digest}/{number}" for number in range(len(made.batches))]


def make_plan(step: Step, recipe: Recipe, *, purpose: Purpose, catalog: str, model: str) -> Plan:
    """Compute and publish the plan; see `plan`.

    Raises:
        ConfigurationError: the recipe's network is not of its kind, the model does not fit the recipe, or its split
            would leak.
        DataError: nothing is left to do.
    """
    kind = kind_of(recipe)
    step.kind = recipe.kind
    check_recipe(kind, recipe)
    if purpose == "train":
        # one that cannot be held against what is trained is refused now, and not at the gate
        champion_of(step, recipe)
    chosen = import_model(step, model, recipe) if model else {}
    survey = kind.survey(step, recipe, purpose=purpose, catalog=catalog)
    if not survey.units:
        reasons = sorted({entry["reason"] for entry in survey.left_out})
        raise DataError(
            f"recipe '{recipe.name}' leaves nothing to do ({'; '.join(reasons[:3]) or 'no unit has labels'})",
            expected="at least one unit with imagery" + (" and labels" if purpose != "monitor" else ""),
            do="check the imagery, years, season, places and labels of the recipe, and the catalog",
        )
    if purpose == "evaluate" and chosen:
        seen = step.read(chosen["reference"]).read_json("split.json")
        survey = replace(survey, split=without_what_was_seen(survey.split, seen=seen))
    value = {
        "recipe": recipe.model_dump(mode="json"),
        "purpose": purpose,
        "units": [unit.to_json() for unit in survey.units],
        "batches": [[unit.unit_id for unit in batch] for batch in pack(survey.units, batches=_batches(recipe))],
        "shared": survey.shared,
        "model": chosen,
        "left_out": survey.left_out,
        "split": survey.split,
    }
    output = step.store.publish_content(
        "plan",
        {"plan.json": json.dumps(value, sort_keys=True).encode(), **survey.tables},
        part={"recipe": recipe.name, "purpose": purpose},
        inputs=[*survey.made_from, *([chosen["reference"]] if chosen else [])],
    )
    return read_plan(step, reference(output))


def estimate(*, store: Store, recipe: Recipe, catalog: str) -> dict[str, Any]:
    """What a `monitor` run of the recipe would do, without doing it.

    Args:
        store: the store; only looked at, for a simulated archive that is there already.
        recipe: the recipe.
        catalog: a STAC catalog that replaces the recipe's, or empty.

    Returns:
        Counts of units, images and batches, the pixels and the bytes of the cubes before compression.

    Raises:
        ConfigurationError: the recipe's network is not of its kind, or its imagery is not there.
    """
    kind = kind_of(recipe)
    check_recipe(kind, recipe)
    return kind.estimate(Step(store=store, run="", stage="check", kind=recipe.kind), recipe, catalog=catalog)


def _batches(recipe: Any) -> int:
    return int(recipe.batches)
