"""Predictions become areas and front positions, tables of all units, and their trends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.extent.cases import THRESHOLD
from glacier_core.steps.kinds.extent.grounds import Grounds
from glacier_core.steps.kinds.extent.predicting import PREDICTION
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, reference
from glacier_core.steps.tables import from_parquet, to_parquet
from glacier_core.units import Unit

if TYPE_CHECKING:
    import pandas as pd

AREAS = "areas.parquet"
TRENDS = "trends.parquet"
AREA_COLUMNS = (
    "glacier_id",
    "year",
    "area_km2",
    "area_low_km2",
    "area_high_km2",
    "clear_fraction",
    "scenes",
    "model",
    "flags",
    "front_m",
)


def table_of(step: Step, entries: Sequence[Entry]) -> pd.DataFrame:
    """The rows of all units that are measured."""
    import pandas as pd

    rows = [step.read(entry["refs"]["measure"]).read_json("row.json") for entry in entries if entry["state"] == "done"]
    return pd.DataFrame(rows, columns=list(AREA_COLUMNS)).astype({"front_m": "float64"})


def write_tables(step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
    """Join the batches' tables and fit each glacier's trend; see `Kind.aggregate`."""
    import pandas as pd

    manifests = sorted({str(entry["batch"]) for entry in entries})
    tables = [from_parquet(step.read(manifest).read_bytes(AREAS)) for manifest in manifests]
    areas = pd.concat(tables).sort_values(["glacier_id", "year"], ignore_index=True)
    attempt.write_bytes(AREAS, to_parquet(_with_retreat(areas)))
    attempt.write_bytes(TRENDS, to_parquet(trends(areas, plan.recipe.measure.confidence)))


class Meter:
    """Measures units with one calibration; flow lines are found once a glacier."""

    def __init__(self, step: Step, plan: Plan, grounds: Grounds) -> None:
        from glacier_core.measure import Calibration

        self.step = step
        self.plan = plan
        self.grounds = grounds
        model = step.read(plan.model["reference"])
        self.calibration = Calibration.from_json(model.read_json("calibration.json")["calibration"])
        split = model.read_json("split.json")
        self.trained_on = {*split["train"], *split["validation"]}
        self._flows: dict[str, Any] = {}

    def unit(self, unit: Unit, entry: Entry) -> str:
        """The reference of the unit's row."""
        predicted = self.step.read(entry["refs"]["predict"])
        scenes = self.step.read(entry["refs"]["prepare"]).read_json("scenes.json")

        def make(attempt: Any) -> None:
            attempt.write_json("row.json", self._row(unit, predicted.path(PREDICTION), scenes))

        part = {
            "model": self.plan.model_name(),
            "trained_on": unit.glacier_id in self.trained_on,
            "promoted": self.plan.promoted(),
            "buffer_m": self.plan.recipe.glaciers.buffer_m,
            "min_clear": self.plan.recipe.measure.min_clear,
        }
        inputs = [reference(predicted), self.plan.model["reference"]]
        return reference(self.step.build("measure", part=part, inputs=inputs, make=make))

    def _row(self, unit: Unit, prediction: str, scenes: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        from glacier_core.cube import read_image
        from glacier_core.measure import estimate_area, terminus_position

        ground = self.grounds.of(unit)
        probability = read_image(prediction)[0]
        estimate = estimate_area(
            probability=probability,
            domain=ground.domain,
            outline=ground.outline,
            pixel_area=ground.pixel_area,
            threshold=THRESHOLD,
        )
        low, high = self.calibration.interval(estimate)
        flow = self._flow(unit, ground.outline)
        # where nothing was seen the front is not known to be gone
        ice = np.where(np.isfinite(probability), probability >= THRESHOLD, ground.outline) & ground.domain
        front = terminus_position(flow, ice, unit.grid) if flow is not None else None
        return {
            "glacier_id": unit.glacier_id,
            "year": unit.year,
            "area_km2": estimate.area_km2,
            "area_low_km2": low,
            "area_high_km2": high,
            "clear_fraction": estimate.clear_fraction,
            "scenes": ";".join(scenes["used"]),
            "model": self.plan.model_name(),
            "flags": ";".join(self._flags(unit, estimate.clear_fraction)),
            "front_m": None if front is None else float(front),
        }

    def _flow(self, unit: Unit, outline: Any) -> Any:
        from glacier_core.measure import flow_line

        if unit.glacier_id not in self._flows:
            outlines = self.grounds.outlines
            own = outlines[outlines["glacier_id"] == unit.glacier_id].iloc[0]
            terminus = _projected(unit, own["term_lon"], own["term_lat"])
            self._flows[unit.glacier_id] = flow_line(outline, unit.grid, terminus=terminus)
        return self._flows[unit.glacier_id]

    def _flags(self, unit: Unit, clear_fraction: float) -> list[str]:
        flags = []
        if clear_fraction < self.plan.recipe.measure.min_clear:
            flags.append("mostly_unobserved")
        if unit.glacier_id in self.trained_on:
            flags.append("trained_on")
        if not self.plan.promoted():
            flags.append("unpromoted")
        return flags


def _projected(unit: Unit, longitude: float, latitude: float) -> tuple[float, float] | None:
    if not (math.isfinite(longitude) and math.isfinite(latitude)):
        return None
    from pyproj import Transformer

    x, y = Transformer.from_crs("EPSG:4326", unit.grid.crs, always_xy=True).transform(longitude, latitude)
    return float(x), float(y)


def _with_retreat(areas: pd.DataFrame) -> pd.DataFrame:
    """Areas with `terminus_retreat_m`: how far the front has gone back since the first year that shows it."""
    table = areas.copy()
    first = table.groupby("glacier_id")["front_m"].transform("first")
    table["terminus_retreat_m"] = table["front_m"] - first
    return table.drop(columns="front_m")


def trends(areas: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Theil-Sen slope with its interval and the Mann-Kendall test for each glacier; NaN below three years."""
    import pandas as pd

    from glacier_core.measure import mann_kendall, theil_sen

    rows = []
    for glacier, table in areas.groupby("glacier_id"):
        clear = table[~table["flags"].str.contains("mostly_unobserved")]
        slope = theil_sen(clear["year"].to_numpy(), clear["area_km2"].to_numpy(), confidence=confidence)
        test = mann_kendall(clear["area_km2"].to_numpy())
        front = clear.dropna(subset="front_m")
        retreat = theil_sen(front["year"].to_numpy(), front["front_m"].to_numpy(), confidence=confidence)
        rows.append(
            {
                "glacier_id": glacier,
                "slope_km2_per_yr": slope.slope,
                "slope_low": slope.low,
                "slope_high": slope.high,
                "p_value": test.p_value,
                "retreat_m_per_yr": retreat.slope,
            }
        )
    return pd.DataFrame(rows)
