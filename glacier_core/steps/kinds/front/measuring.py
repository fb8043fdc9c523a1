"""Front lines become positions along the flow, and tables of all places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glacier_core.errors import WithheldError
from glacier_core.steps.cubing import CUBE
from glacier_core.steps.kinds.front.labelling import LABELS, labelled
from glacier_core.steps.kinds.front.predicting import LINES
from glacier_core.steps.kinds.front.units import pixel_metres
from glacier_core.steps.running import Step, reference
from glacier_core.steps.splitting import place_names
from glacier_core.steps.tables import to_parquet

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from glacier_core.steps.kinds.contract import Entry
    from glacier_core.steps.plans import Plan
    from glacier_core.units import SeriesUnit

FRONTS = "fronts.parquet"
RATES = "rates.parquet"
ROWS = "rows.json"
COLUMNS = (
    "place",
    "series",
    "image",
    "time",
    "sensor",
    "position",
    "centre_position",
    "advance",
    "length",
    "distance_to_drawn",
    "length_unit",
    "model",
    "flags",
)
SHORT = 0.5
"""A front shorter than this part of its place's median is flagged."""
FAR = 5.0
"""So is one further from the median position of the five images around it than this many median deviations."""
NEIGHBOURS = 5


def measured(step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
    """The reference of a unit's rows, one an image."""
    prediction = step.read(entry["refs"]["predict"])
    label = _label(step, plan, unit)
    model = step.read(plan.model["reference"])
    split = model.read_json("split.json")
    trained_on = unit.unit_id in {*split.get("train", ()), *split.get("validation", ())}

    def make(attempt: Any) -> None:
        attempt.write_json(ROWS, _rows(step, plan, unit, entry, label=label, trained_on=trained_on))

    part = {
        "flow": plan.recipe.flow.model_dump(mode="json"),
        "units": plan.recipe.units,
        "model": plan.model_name(),
        "trained_on": trained_on,
        "promoted": plan.promoted(),
    }
    inputs = [reference(prediction), plan.model["reference"], *([label] if label else [])]
    return reference(step.build("measure", part=part, inputs=inputs, make=make))


def write_tables(step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
    """Join the rows, count advance from each place's first image, and fit rates; see `Kind.aggregate`."""
    import pandas as pd

    rows = [row for entry in entries for row in step.read(entry["refs"]["measure"]).read_json(ROWS)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = ["position", "centre_position", "advance", "length", "distance_to_drawn"]
    table = table.astype(dict.fromkeys(numbers, "float64"))
    table = table.sort_values(["place", "time", "image"], ignore_index=True)
    # a box stands in one series: advance is counted within it
    table["advance"] = table["position"] - table.groupby("series")["position"].transform("first")
    table["flags"] = _flagged(table)
    attempt.write_bytes(FRONTS, to_parquet(table))
    attempt.write_bytes(RATES, to_parquet(_rates(table, plan.recipe.measure.confidence)))


def lines_of(step: Step, entry: Entry) -> dict[str, NDArray[np.float64]]:
    """The predicted front of each image, row and column."""
    import numpy as np

    found = step.read(entry["refs"]["predict"]).read_json(LINES)
    return {frame: np.array(value["line"], dtype=np.float64).reshape(-1, 2) for frame, value in found.items()}


def drawn_of(step: Step, plan: Plan, unit: SeriesUnit) -> dict[str, NDArray[np.float64]]:
    """The true front of each image that has one."""
    import numpy as np

    label = _label(step, plan, unit)
    found = step.read(label).read_json(LABELS) if label else {}
    return {frame: np.array(value["line"], dtype=np.float64) for frame, value in found.items()}


def _guessed(step: Step, entry: Entry) -> set[str]:
    """The images that the network sees no likely front in."""
    found = step.read(entry["refs"]["predict"]).read_json(LINES)
    return {frame for frame, value in found.items() if not value["sure"]}


def years_of(times: Sequence[str]) -> list[float]:
    """Times as years and fractions of years."""
    import pandas as pd

    moments = pd.DatetimeIndex(pd.to_datetime(list(times)))
    return [float(year + (day - 1) / 365.25) for year, day in zip(moments.year, moments.dayofyear, strict=True)]


def _label(step: Step, plan: Plan, unit: SeriesUnit) -> str:
    """The reference of the unit's truth; empty where there is none."""
    if not plan.recipe.has_labels:
        return ""
    try:
        return labelled(step, plan, unit)
    except WithheldError:
        return ""


def _rows(
    step: Step, plan: Plan, unit: SeriesUnit, entry: Entry, *, label: str, trained_on: bool
) -> list[dict[str, Any]]:
    import numpy as np

    from glacier_core.cube import open_cube
    from glacier_core.labels.fronts import length_of
    from glacier_core.measure.fronts import FlowFrame, box_position, centre_position, common_box, compare_fronts

    flow = plan.recipe.flow
    cube = open_cube(step.read(entry["refs"]["prepare"]).path(CUBE))
    lines, guessed = lines_of(step, entry), _guessed(step, entry)
    true = step.read(label).read_json(LABELS) if label else {}
    frame_of_flow = FlowFrame(shape=unit.grid.shape, upstream=flow.upstream)
    box = flow.box_px or common_box(list(lines.values()), frame_of_flow)
    centre = sum(box) / 2 if flow.centre_px is None else flow.centre_px
    metres = pixel_metres(plan.recipe, unit.grid)
    scale = metres or 1.0
    flags = [*["trained_on"] * trained_on, *["unpromoted"] * (not plan.promoted())]
    sensors = cube["sensor"].values if "sensor" in cube.coords else [""] * len(cube["time"])
    rows = []
    for frame, time, sensor in zip(cube["frame"].values, cube["time"].values, sensors, strict=True):
        line = lines[str(frame)]
        drawn = true.get(str(frame))
        crossing = centre_position(line, frame_of_flow, across=centre)
        error = compare_fronts(line, np.array(drawn["line"], dtype=np.float64)).symmetric * scale if drawn else None
        rows.append(
            {
                "place": place_names(plan.units)[unit.unit_id],
                "series": unit.unit_id,
                "image": str(frame),
                "time": str(time)[:19],
                "sensor": str(sensor),
                "position": box_position(line, frame_of_flow, box=box) * scale,
                "centre_position": None if crossing is None else crossing * scale,
                "advance": 0.0,
                "length": length_of(line) * scale,
                "distance_to_drawn": error,
                "length_unit": "m" if metres else "px",
                "model": plan.model_name(),
                "flags": ";".join([*flags, *["unsure"] * (str(frame) in guessed)]),
            }
        )
    return rows


def _flagged(table: pd.DataFrame) -> list[str]:
    """The flags, with `short_front` and `far_from_neighbours` where they hold."""
    lengths = table.groupby("series")["length"].transform("median")
    around = table.groupby("series")["position"].transform(
        lambda values: values.rolling(NEIGHBOURS, center=True, min_periods=1).median()
    )
    off = (table["position"] - around).abs()
    usual = off.groupby(table["series"]).transform("median")
    told = {
        "short_front": table["length"] < SHORT * lengths,
        "far_from_neighbours": (off > FAR * usual) & (off > 0.1 * lengths),
    }
    return [
        ";".join([*([flags] if flags else []), *(name for name, holds in told.items() if holds.iloc[number])])
        for number, flags in enumerate(table["flags"])
    ]


def _rates(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Theil-Sen slope of the position with its interval, by series; NaN below three dates."""
    import numpy as np
    import pandas as pd

    from glacier_core.measure import theil_sen

    rows: list[Mapping[str, Any]] = []
    for series, one in table.groupby("series"):
        usable = one[~one["flags"].str.contains("short_front|far_from_neighbours")]
        years = np.array(years_of(list(usable["time"])), dtype=np.float64)
        slope = theil_sen(years, usable["position"].to_numpy(), confidence=confidence)
        rows.append(
            {
                "place": one["place"].iloc[0],
                "series": series,
                "images": len(one),
                "used": len(usable),
                "first": one["time"].iloc[0][:10],
                "last": one["time"].iloc[-1][:10],
                "rate_per_yr": slope.slope,
                "rate_low": slope.low,
                "rate_high": slope.high,
                "length_unit": one["length_unit"].iloc[0],
            }
        )
    return pd.DataFrame(rows)
