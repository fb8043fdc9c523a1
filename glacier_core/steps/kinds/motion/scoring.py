"""Scores: predicted next images beside "no change" and the mean of those in; displacement where its truth is known.

A row is one image that came, or one tracked pair. Windows of one place are no independent units: intervals and the gate
resample places, and below eight of them there is no interval.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glacier_core.errors import DataError
from glacier_core.steps.kinds.contract import Entry, Row
from glacier_core.steps.kinds.motion.forecasting import BASELINES, baseline_frames, predicted_frames, scale_of
from glacier_core.steps.kinds.motion.images import Images, grounds_of, images_of
from glacier_core.steps.kinds.motion.sequences import Run, ground_of, part_of_run, runs_of
from glacier_core.steps.kinds.motion.tracks import tracked_pairs
from glacier_core.steps.kinds.motion.truth import displacement_errors
from glacier_core.steps.kinds.series import metres_per_pixel
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.grids import Grid
    from glacier_core.recipes import MotionRecipe
    from glacier_core.units import SeriesUnit

FRAME, PAIR = "frame", "pair"
METRICS = ("mae", "rmse", "ssim")
STRATA: Mapping[str, Callable[[Row], str]] = {
    "place": lambda row: str(row["unit"]),
    "month": lambda row: str(row["time"])[5:7],
    "sensor": lambda row: str(row["sensor"]),
    "resolution": lambda row: str(row.get("resolution", "")),
    "region": lambda row: str(row.get("region", "")),
}
"""Groups of rows that have scores of their own, where there are several."""
MOST_STRATA = 24


def write_scores(step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any, *, weights: str) -> None:
    """`rows.json`, `calibration.json` and `scores.json`; see `Kind.score`.

    Raises:
        DataError: no test sequence is there.
    """
    network = Network(step, weights)
    rows: list[dict[str, Any]] = []
    for entry in entries:
        rows += unit_rows(step, plan, entry, network)
    if not any(row["what"] == FRAME for row in rows):
        sequences = plan.recipe.sequences
        raise DataError(
            f"recipe '{plan.recipe.name}' has no sequence to test",
            expected=f"{sequences.inputs} images in and {sequences.outputs} out in the test set",
            do="add images or move the split's dates",
        )
    attempt.write_json("rows.json", rows)
    attempt.write_json("calibration.json", {})
    attempt.write_json("scores.json", scores_of(rows, plan.recipe.measure))


def unit_rows(step: Step, plan: Plan, entry: Entry, network: Network) -> list[dict[str, Any]]:
    """The rows of a unit: one for each lead of each of its test sequences, and for each pair whose truth is known."""
    unit = plan.units[entry["unit"]]
    images = images_of(step, plan.recipe, entry)
    rows: list[dict[str, Any]] = []
    for run in runs_of(plan.recipe, len(images.times)):
        if part_of_run(plan.split, unit, run, images.times) == "test":
            ground = ground_of(plan.split, unit.name, "test", unit.grid)
            rows += list(_frame_rows(unit.name, images, run, ground, network))
    if rows and plan.recipe.knows_truth:
        for pair in tracked_pairs(plan.recipe, images, grounds_of(plan.recipe, unit, images)):
            moved, still = displacement_errors(plan.recipe, unit.name, pair)
            rows.append(
                {
                    "unit": unit.name,
                    "what": PAIR,
                    "time": images.times[pair.second].isoformat(),
                    "sensor": images.sensors[pair.second],
                    "days": pair.days,
                    "displacement_error": {"model": moved, "no_motion": still},
                }
            )
    where = {"resolution": _resolution(unit, plan.recipe), "region": region_of(unit.grid)}
    return [{**row, **where} for row in rows]


def region_of(grid: Grid) -> str:
    """The field of ten degrees that holds the grid's centre by its southwest corner, `N30E070`; empty without a CRS."""
    if not grid.crs:
        return ""
    from pyproj import Transformer

    left, bottom, right, top = grid.bounds
    forward = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    corner = [math.floor(angle / 10) * 10 for angle in forward.transform((left + right) / 2, (bottom + top) / 2)]
    return f"{'NS'[corner[1] < 0]}{abs(corner[1]):02d}{'EW'[corner[0] < 0]}{abs(corner[0]):03d}"


def _resolution(unit: SeriesUnit, recipe: MotionRecipe) -> str:
    metres = metres_per_pixel(unit.grid, recipe)
    return "" if metres is None else f"{metres:g} m"


def _frame_rows(
    name: str, images: Images, run: Run, ground: tuple[slice, slice], network: Network
) -> Iterator[dict[str, Any]]:
    import numpy as np

    from glacier_core.measure.motion import frame_errors

    module, spec = network.load()
    values = images.read(run.first, run.end, rows=ground[0], columns=ground[1])
    inputs, came = values[: run.inputs], values[run.inputs :]
    days = images.days(run.first, run.end, after=run.target - 1)
    predicted = predicted_frames(module, inputs, days=days, scale=scale_of(spec.extra))
    others = baseline_frames(inputs)
    for lead in range(run.outputs):
        contenders: dict[str, NDArray[np.float32]] = {"model": predicted[lead], **others}
        seen = np.isfinite(came[lead]) & np.isfinite(predicted[lead])
        if not seen.any():
            continue
        errors = {
            who: frame_errors(forecast, came[lead], seen=seen, data_range=float(spec.extra["range"]))
            for who, forecast in contenders.items()
        }
        target = run.target + lead
        yield {
            "unit": name,
            "what": FRAME,
            "image": images.ids[target],
            "time": images.times[target].isoformat(),
            "since": images.times[run.first].isoformat(),
            "sensor": images.sensors[target],
            "lead": lead + 1,
            "days": days[run.inputs + lead],
            "pixels": int(seen.sum()),
            **{metric: {who: error[metric] for who, error in errors.items()} for metric in METRICS},
        }


def scores_of(rows: Sequence[Row], measure: Any) -> dict[str, Any]:
    """`scores.json` of rows.

    Args:
        rows: of test sequences and pairs.
        measure: the recipe's `measure`.
    """
    found: dict[str, dict[str, Any]] = {who: {} for who in ("model", *BASELINES, "no_motion")}
    for lead in sorted({row["lead"] for row in rows if row["what"] == FRAME}):
        chosen = [row for row in rows if row["what"] == FRAME and row["lead"] == lead]
        found["model"][f"windows/lead{lead}"] = _count(chosen)
        for metric in METRICS:
            _add(found, f"{metric}/lead{lead}", chosen, metric, measure=measure, unit="1")
    pairs = [row for row in rows if row["what"] == PAIR]
    if pairs:
        _add(found, "displacement_error/median", pairs, "displacement_error", measure=measure, unit="px")
    baselines = {who: scores for who, scores in found.items() if who != "model" and scores}
    return {"model": found["model"], "baselines": baselines}


def by_place(rows: Sequence[Row], who: str) -> dict[str, float]:
    """Of each place the mean absolute error over its images, negative: more is better."""
    errors: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["what"] == FRAME and who in row["mae"]:
            errors[str(row["unit"])].append(float(row["mae"][who]))
    return {place: -sum(found) / len(found) for place, found in errors.items()}


def unseen(rows: Sequence[Row], split: Mapping[str, Any]) -> list[Row]:
    """Rows of a split by time that share no image with training or validation."""
    first = str(split["validation_to"])
    return [row for row in rows if str(row.get("since", row["time"]))[:10] > first]


def _add(
    found: dict[str, dict[str, Any]], name: str, rows: Sequence[Row], metric: str, *, measure: Any, unit: str
) -> None:
    """The metric of everyone, over all rows and over each stratum of several."""
    groups: dict[str, Sequence[Row]] = {name: rows}
    for stratum, value_of in STRATA.items():
        values = sorted({value_of(row) for row in rows} - {""})
        if 1 < len(values) <= MOST_STRATA:
            for value in values:
                groups[f"{name}@{stratum}={value}"] = [row for row in rows if value_of(row) == value]
    for key, chosen in groups.items():
        for who, scores in found.items():
            score = _score(chosen, metric, who, measure=measure, unit=unit)
            if score is not None:
                scores[key] = score


def _score(rows: Sequence[Row], metric: str, who: str, *, measure: Any, unit: str) -> dict[str, Any] | None:
    from glacier_core.measure import bootstrap_groups

    groups: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        value = row[metric].get(who)
        if value is not None and value == value:  # noqa: PLR0124 NaN differs from itself
            groups[str(row["unit"])].append(float(value))
    if not groups:
        return None
    return bootstrap_groups(
        list(groups.values()), resamples=measure.resamples, confidence=measure.confidence, unit=unit
    ).to_json()


def _count(rows: Sequence[Row]) -> dict[str, Any]:
    places = len({row["unit"] for row in rows})
    return {"value": float(len(rows)), "low": None, "high": None, "n": places, "unit": "1"}
