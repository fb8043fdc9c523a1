"""`measure`: predictions become areas and front positions. `aggregate`: tables of all units, and their trends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glacier_core.errors import DataError
from glacier_core.steps.evaluating import THRESHOLD
from glacier_core.steps.grounds import Grounds
from glacier_core.steps.plans import Plan, gather, read_batch
from glacier_core.steps.predicting import PREDICTION
from glacier_core.steps.running import Step, reference, running
from glacier_core.steps.tables import from_parquet, to_parquet
from glacier_core.units import Unit

if TYPE_CHECKING:
    import pandas as pd

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


def measure(*, store: str, run: str, predicted: str) -> str:
    """Measure area and front position of each unit of a batch.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        predicted: reference of the batch's `predict` manifest.
    """
    with running(store=store, run=run, stage="measure") as step:
        manifest, plan = read_batch(step, predicted)
        meter = _Meter(step, plan)
        results = step.over_units(manifest["units"], do=meter.unit)
        files = {"areas.parquet": to_parquet(meter.table(results))}
        return step.publish_batch(plan=plan.reference, batch=manifest["batch"], results=results, files=files)


def aggregate(*, store: str, run: str, measured: list[str]) -> str:
    """Join the batches' tables and fit each glacier's trend.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        measured: references of the batches' `measure` manifests.
    """
    with running(store=store, run=run, stage="aggregate") as step:
        import pandas as pd

        plan, entries = gather(step, measured)
        tables = [from_parquet(step.read(manifest).read_bytes("areas.parquet")) for manifest in measured]
        if not sum(map(len, tables)):
            reasons = sorted({str(entry["reason"]) for entry in entries})
            raise DataError(
                f"no unit of recipe '{plan.recipe.name}' could be measured ({'; '.join(reasons[:2])})",
                do="see the reasons; other years, seasons or catalogs may serve",
            )
        areas = pd.concat(tables).sort_values(["glacier_id", "year"], ignore_index=True)

        def make(attempt: Any) -> None:
            attempt.write_bytes("areas.parquet", to_parquet(_with_retreat(areas)))
            attempt.write_bytes("trends.parquet", to_parquet(trends(areas, plan.recipe.measure.confidence)))

        part = {"measure": plan.recipe.measure.model_dump(mode="json")}
        # the units' own outputs and not the batches': how units were packed, and where the store is, changes nothing
        units = sorted(entry["refs"]["measure"] for entry in entries if entry["state"] == "done")
        output = step.build("aggregate", part=part, inputs=units, make=make)
        return step.publish_chain({"plan": plan.reference, "measure": measured, "aggregate": reference(output)})


class _Meter:
    """Measures units with one calibration; flow lines are found once a glacier."""

    def __init__(self, step: Step, plan: Plan) -> None:
        from glacier_core.measure import Calibration

        self.step = step
        self.plan = plan
        self.grounds = Grounds(plan.outlines, buffer_m=plan.recipe.glaciers.buffer_m)
        model = step.read(plan.model["reference"])
        self.calibration = Calibration.from_json(model.read_json("calibration.json")["calibration"])
        split = model.read_json("split.json")
        self.trained_on = {*split["train"], *split["validation"]}
        self._flows: dict[str, Any] = {}

    def unit(self, entry: Mapping[str, Any]) -> str:
        """The reference of the unit's row."""
        unit = self.plan.units[entry["unit"]]
        predicted = self.step.read(entry["refs"]["predict"])
        scenes = self.step.read(entry["refs"]["prepare"]).read_json("scenes.json")

        def make(attempt: Any) -> None:
            attempt.write_json("row.json", self._row(unit, predicted.path(PREDICTION), scenes))

        part = {
            "model": self._model_name(),
            "trained_on": unit.glacier_id in self.trained_on,
            "promoted": self.plan.model["alias"] == "champion",
            "buffer_m": self.plan.recipe.glaciers.buffer_m,
            "min_clear": self.plan.recipe.measure.min_clear,
        }
        inputs = [reference(predicted), self.plan.model["reference"]]
        return reference(self.step.build("measure", part=part, inputs=inputs, make=make))

    def table(self, results: list[dict[str, Any]]) -> pd.DataFrame:
        """The rows of all units that are done."""
        import pandas as pd

        rows = [
            self.step.read(entry["refs"]["measure"]).read_json("row.json")
            for entry in results
            if entry["state"] == "done"
        ]
        return pd.DataFrame(rows, columns=list(AREA_COLUMNS)).astype({"front_m": "float64"})

    def _model_name(self) -> str:
        return f"{self.plan.model['name']}/{self.plan.model['version']}"

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
            "model": self._model_name(),
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
        if self.plan.model["alias"] != "champion":
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
