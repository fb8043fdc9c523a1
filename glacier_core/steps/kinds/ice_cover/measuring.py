"""Area and extent of forecasts and of what came, in 10^6 km²."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.ice_cover.learning import region_of
from glacier_core.steps.kinds.ice_cover.predicting import FORECAST, forecast_in
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, reference
from glacier_core.units import SeriesUnit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEASURES = "measures.json"
KM2_PER_MILLION = 1e6


def measured(step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
    """The unit's areas and extents; see `Kind.measure`."""
    recipe = plan.recipe

    def make(attempt: Any) -> None:
        region = region_of(step, plan, entry)
        forecast = forecast_in(step.read(entry["refs"]["predict"]).read_bytes(FORECAST))
        limits = (1 - recipe.measure.confidence) / 2, (1 + recipe.measure.confidence) / 2
        rows = []
        for number, (lead, target) in enumerate(zip(forecast.leads, forecast.targets, strict=True)):
            amounts = _amounts(forecast.point[number], region.area_P, recipe.threshold)
            spans = _spans(forecast.members[number], region.area_P, recipe.threshold, limits)
            rows.append(
                {"unit": unit.name, "issue": forecast.issue, "target": target, "lead": lead, **amounts, **spans}
            )
        attempt.write_json(MEASURES, {"forecasts": rows, "hindcasts": _hindcasts(region, forecast, recipe, unit.name)})

    part = {"threshold": recipe.threshold, "confidence": recipe.measure.confidence}
    return reference(step.build("measure", part=part, inputs=[entry["refs"]["predict"]], make=make))


def write_tables(step: Step, entries: Sequence[Entry], attempt: Any) -> None:
    """`forecasts.parquet` and `hindcasts.parquet` of all units."""
    import pandas as pd

    from glacier_core.steps.tables import to_parquet

    kept = [step.read(entry["refs"]["measure"]).read_json(MEASURES) for entry in entries if entry["state"] == "done"]
    for name in ("forecasts", "hindcasts"):
        attempt.write_bytes(f"{name}.parquet", to_parquet(pd.DataFrame([row for one in kept for row in one[name]])))


def _amounts(values_P: NDArray[np.float32], area_P: NDArray[np.float64], threshold: float) -> dict[str, float]:  # noqa: N803
    import numpy as np

    extent = float(area_P @ (values_P >= np.float32(threshold)))
    area = float(area_P @ values_P.astype(np.float64))
    return {"area": round(area / KM2_PER_MILLION, 6), "extent": round(extent / KM2_PER_MILLION, 6)}


def _spans(
    members_MP: NDArray[np.float32],  # noqa: N803 - shape suffixes
    area_P: NDArray[np.float64],  # noqa: N803 - shape suffixes
    threshold: float,
    limits: tuple[float, float],
) -> dict[str, float]:
    """Intervals of area and extent from the members."""
    import numpy as np

    found: dict[str, float] = {}
    each = [_amounts(member, area_P, threshold) for member in members_MP]
    for name in ("area", "extent"):
        low, high = np.quantile([one[name] for one in each], limits, method="median_unbiased")
        found |= {f"{name}_low": round(float(low), 6), f"{name}_high": round(float(high), 6)}
    return found


def _hindcasts(region: Any, forecast: Any, recipe: Any, name: str) -> list[dict[str, Any]]:
    """Forecast beside observed area and extent of months that have come; over the cells that were observed."""
    import numpy as np

    from glacier_core.measure.ice_cover import month_number

    rows = []
    for issue, fields in zip(forecast.hindcast_issues, forecast.hindcast, strict=True):
        for lead, field in enumerate(fields, start=1):
            row = month_number(issue) - region.series.first + lead
            if row >= len(region.series) or not np.isfinite(field).all() or not region.series.seen[row]:
                continue
            truth = region.series.values_NP[row]
            seen = np.isfinite(truth)
            own, came = (
                _amounts(np.where(seen, values, 0), region.area_P, recipe.threshold) for values in (field, truth)
            )
            error = np.where(seen, field - truth, 0).astype(np.float64)
            area = region.area_P * seen
            rows.append(
                {
                    "unit": name,
                    "issue": issue,
                    "target": region.series.name(row),
                    "lead": lead,
                    **own,
                    "observed_area": came["area"],
                    "observed_extent": came["extent"],
                    "mae": round(float(area @ np.abs(error) / area.sum()), 6),
                    "rmse": round(float(np.sqrt(area @ error**2 / area.sum())), 6),
                }
            )
    return rows
