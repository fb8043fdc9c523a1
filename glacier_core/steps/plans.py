"""Plans and batch manifests as stages read them back from the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from glacier_core.errors import DataError
from glacier_core.steps.kinds import kind_of
from glacier_core.steps.running import Step
from glacier_core.store import Output

if TYPE_CHECKING:
    from glacier_core.steps.kinds.contract import Kind

PURPOSES = ("train", "monitor", "evaluate")
Purpose = Literal["train", "monitor", "evaluate"]


@dataclass(frozen=True)
class Plan:
    """What a run is going to do, as read back from the store."""

    reference: str
    """`plan/<digest>`."""
    recipe: Any
    """The recipe, of its kind's class."""
    kind: Kind
    """What its stages do; what it remembers is of this plan."""
    purpose: Purpose
    """What the units are for."""
    units: dict[str, Any]
    """Units by id, of its kind's class."""
    batches: list[list[str]]
    """Unit ids of each batch."""
    shared: dict[str, Any]
    """What all units share, as plain JSON; each kind has its own keys."""
    model: dict[str, Any]
    """The model version that predicts, or empty."""
    left_out: list[dict[str, str]]
    """What the plan does not hold: {unit, state, reason}."""
    split: dict[str, Any]
    """The split file: units (or periods) of each part, and the hash of it."""
    output: Output
    """The published plan, for the tables that are kept beside it."""

    def model_name(self) -> str:
        """The model version that predicts, `name/version`."""
        return f"{self.model['name']}/{self.model['version']}"

    def promoted(self) -> bool:
        """Whether the model that predicts is the champion."""
        return bool(self.model["alias"] == "champion")


def read_plan(step: Step, planned: str) -> Plan:
    """The plan that a reference `plan/<digest>` names; the step works for its kind from now on."""
    output = step.read(planned)
    value = output.read_json("plan.json")
    step.kind = value["recipe"]["kind"]
    kind = kind_of(step.kind)
    return Plan(
        reference=planned,
        recipe=kind.recipe.model_validate(value["recipe"]),
        kind=kind,
        purpose=value["purpose"],
        units={unit.unit_id: unit for unit in map(kind.unit_from_json, value["units"])},
        batches=value["batches"],
        shared=value["shared"],
        model=value["model"],
        left_out=value["left_out"],
        split=value["split"],
        output=output,
    )


def read_batch(step: Step, manifest: str) -> tuple[dict[str, Any], Plan]:
    """A batch's manifest and the plan that it belongs to."""
    value: dict[str, Any] = step.read(manifest).read_json("units.json")
    return value, read_plan(step, value["plan"])


def gather(step: Step, manifests: Sequence[str]) -> tuple[Plan, list[dict[str, Any]]]:
    """The plan and all entries of the batches, in order of their units; `batch` names the manifest of each."""
    planned = ""
    entries: list[dict[str, Any]] = []
    for manifest in sorted(manifests):
        value = step.read(manifest).read_json("units.json")
        planned = value["plan"]
        entries.extend({**entry, "batch": manifest} for entry in value["units"])
    if not planned:
        raise DataError("no batch has come", expected="at least one")
    return read_plan(step, planned), sorted(entries, key=lambda entry: str(entry["unit"]))


def usable(plan: Plan, entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The units that are done.

    Raises:
        DataError: there is none; the message holds the reasons.
    """
    done = [entry for entry in entries if entry["state"] == "done"]
    if not done:
        reasons = sorted({str(entry["reason"]) for entry in entries})
        raise DataError(
            f"no unit of recipe '{plan.recipe.name}' is left ({'; '.join(reasons[:2])})",
            do="see the reasons; other years, seasons, places or catalogs may serve",
        )
    return done
