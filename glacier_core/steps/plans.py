"""Plans and batch manifests as stages read them back from the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from glacier_core.errors import DataError
from glacier_core.recipes import ExtentRecipe
from glacier_core.steps.running import Step
from glacier_core.steps.tables import from_geoparquet
from glacier_core.store import Output
from glacier_core.units import Unit

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

PURPOSES = ("train", "monitor", "evaluate")
Purpose = Literal["train", "monitor", "evaluate"]


@dataclass(frozen=True)
class Plan:
    """What a run is going to do, as read back from the store."""

    reference: str
    """`plan/<digest>`."""
    recipe: ExtentRecipe
    """The recipe."""
    purpose: Purpose
    """What the units are for."""
    units: dict[str, Unit]
    """Units by id."""
    batches: list[list[str]]
    """Unit ids of each batch."""
    scenes: dict[str, dict[str, Any]]
    """STAC item and fingerprint of each scene by id."""
    model: dict[str, Any]
    """The model version that predicts, or empty."""
    left_out: list[dict[str, str]]
    """Glaciers and units that the plan does not hold, with reasons."""
    split: dict[str, Any]
    """The split file: glaciers of each part, and the hash of it."""
    output: Output
    """The published plan, for its outline tables."""

    def outlines(self, which: Literal["outlines", "reference"] = "outlines") -> GeoDataFrame:
        """The outlines (EPSG:4326), or those of several dates for calibration and scores."""
        return from_geoparquet(self.output.read_bytes(f"{which}.parquet"))


def read_plan(step: Step, planned: str) -> Plan:
    """The plan that a reference `plan/<digest>` names."""
    output = step.read(planned)
    value = output.read_json("plan.json")
    return Plan(
        reference=planned,
        recipe=ExtentRecipe.model_validate(value["recipe"]),
        purpose=value["purpose"],
        units={unit.unit_id: unit for unit in map(Unit.from_json, value["units"])},
        batches=value["batches"],
        scenes=value["scenes"],
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
    """The plan and all entries of the batches, in the order of the batches."""
    plan: Plan | None = None
    entries: list[dict[str, Any]] = []
    for manifest in sorted(manifests):
        value, plan = read_batch(step, manifest)
        entries.extend(value["units"])
    if plan is None:
        raise DataError("no batch has come", expected="at least one")
    return plan, sorted(entries, key=lambda entry: str(entry["unit"]))
