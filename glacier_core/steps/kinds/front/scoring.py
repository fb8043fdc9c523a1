"""Scores of fronts beside baselines, on places that training never saw."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glacier_core.errors import DataError
from glacier_core.steps.kinds.front.images import drawn_by, fitted_baselines, known_images, told_of, window_of
from glacier_core.steps.kinds.front.labelling import box_of
from glacier_core.steps.kinds.front.parts import part_of
from glacier_core.steps.kinds.front.predicting import LINES, predicted
from glacier_core.steps.kinds.front.summing import distance_of, summary
from glacier_core.steps.kinds.front.units import pixel_metres
from glacier_core.steps.networks import Network
from glacier_core.steps.running import Step, log
from glacier_core.steps.splitting import place_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.measure.fronts import FrontBaseline
    from glacier_core.steps.kinds.contract import Entry
    from glacier_core.steps.plans import Plan

MODEL = "model"


def write_scores(
    step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any, *, weights: str, calibration: str | None
) -> None:
    """Baselines are fitted, or taken over, and the test images are scored; see `Kind.score`.

    Raises:
        DataError: there is no test image.
    """
    from glacier_core.measure.fronts import FrontBaseline

    network = Network(step, weights)
    if calibration:
        kept = step.read(calibration).read_json("calibration.json")["baselines"]
        baselines = [FrontBaseline.from_json(value) for value in kept]
    else:
        baselines = fitted_baselines(step, plan, entries)
        log.info("[evaluate] baselines: %s", "; ".join(baseline.describe() for baseline in baselines))
    rows = []
    for entry in entries:
        if any(part_of(plan, entry["unit"], frame) == "test" for frame in plan.units[entry["unit"]].frames):
            rows += _rows(step, plan, entry, network, baselines)
            log.info("[evaluate] %s: %d test images so far", entry["unit"], len(rows))
    if not rows:
        raise DataError("the test set is empty", expected="at least one image whose front is known", do="change split")
    attempt.write_json("rows.json", rows)
    attempt.write_json("calibration.json", {"baselines": [baseline.to_json() for baseline in baselines]})
    attempt.write_json("scores.json", summary(rows, recipe=plan.recipe, who=[b.name for b in baselines]))


def by_place(rows: Sequence[Mapping[str, Any]], who: str) -> dict[str, float]:
    """For each place minus the mean distance over its images: more is better. See `summing.distance_of`."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        found[str(row["place"])].append(-distance_of(row, who))
    return {place: sum(values) / len(values) for place, values in sorted(found.items())}


@dataclass(frozen=True)
class ScoredImage:
    """A test image with both of its fronts."""

    frame: str
    """Its id."""
    image: NDArray[np.float32]
    """First band, (y, x)."""
    drawn: NDArray[np.float64]
    """True front."""
    predicted: NDArray[np.float64]
    """The network's."""
    distance_px: float
    """Symmetric mean distance of the two."""


def scored_images(step: Step, plan: Plan, entries: Sequence[Entry], network: Network) -> Iterator[ScoredImage]:
    """Every test image whose front is known."""
    import numpy as np

    from glacier_core.measure.fronts import compare_fronts

    for entry in entries:
        if entry["state"] != "done":
            continue
        lines: dict[str, Any] = {}
        for image in known_images(step, plan, entry, ("test",)):
            lines = lines or step.read(predicted(step, plan, entry, network)).read_json(LINES)
            found = np.array(lines[image.frame]["line"], dtype=np.float64)
            distance = compare_fronts(found, image.line).symmetric
            yield ScoredImage(
                frame=image.frame, image=image.read(), drawn=image.line, predicted=found, distance_px=distance
            )


def _rows(
    step: Step, plan: Plan, entry: Entry, network: Network, baselines: Sequence[FrontBaseline]
) -> list[dict[str, Any]]:
    import numpy as np

    from glacier_core.labels.zones import read_zones

    prediction = step.read(predicted(step, plan, entry, network))
    lines = prediction.read_json(LINES)
    label_output = step.read(entry["refs"]["label"])
    unit = plan.units[entry["unit"]]
    metres = pixel_metres(plan.recipe, unit.grid)
    rows = []
    for known in known_images(step, plan, entry, ("test",)):
        true, label, found = known.line, known.label, lines[known.frame]
        image, window = known.read(), window_of(plan, known)
        classes = read_zones(prediction.path(found["classes"]))
        zones = read_zones(label_output.path(label["zones"])) if label["zones"] else None
        line = np.array(found["line"], dtype=np.float64)
        boxed = plan.recipe.line.within_box and label["box"]
        if boxed:
            line = _boxed(plan, classes, label)
        rows.append(
            {
                "unit": entry["unit"],
                "place": place_names(plan.units)[entry["unit"]],
                "frame": known.frame,
                "diagonal_px": math.hypot(*known.shape),
                "sure": bool(boxed or found["sure"]),
                "metres": metres or 1.0,
                "length_unit": "m" if metres else "px",
                **told_of(known),
                "errors": {
                    MODEL: _error(line, true),
                    **{baseline.name: _error(drawn_by(baseline, image, window), true) for baseline in baselines},
                },
                "counts": _counts(plan, classes, zones, true, box_of(label)),
            }
        )
    return rows


def _error(line: NDArray[np.float64], true: NDArray[np.float64]) -> dict[str, Any] | None:
    from glacier_core.measure.fronts import compare_fronts

    return compare_fronts(line, true).to_json() if len(line) > 1 else None


def _boxed(plan: Plan, classes: NDArray[np.uint8], label: dict[str, Any]) -> NDArray[np.float64]:
    """The line inside the bounding box, which may be none."""
    import numpy as np

    from glacier_core.labels.fronts import trace_mask
    from glacier_core.measure.fronts import front_of_zones
    from glacier_core.samples.fronts import CLASSES

    names, box = CLASSES[plan.recipe.target.of], box_of(label)
    if plan.recipe.target.of == "line":
        rows, columns = box or (slice(None), slice(None))
        line = trace_mask(classes[rows, columns] == names.index("front"))
        corner = np.array([rows.start or 0, columns.start or 0], dtype=np.float64)
        return np.asarray(line + corner)
    ocean, glacier = ("ocean", "glacier") if plan.recipe.target.of == "zones" else ("ocean_side", "glacier_side")
    return front_of_zones(
        classes,
        ocean=names.index(ocean),
        glacier=names.index(glacier),
        box=box,
        smoothing=plan.recipe.line.smoothing_px,
    )


def _counts(
    plan: Plan,
    classes: NDArray[np.uint8],
    zones: NDArray[np.uint8] | None,
    true: NDArray[np.float64],
    box: tuple[slice, slice] | None,
) -> dict[str, list[int]]:
    """Pixels by class: {class: [tp, fp, fn, tn]}; and `in_box`: [right, all] inside the front's bounding box."""
    import numpy as np

    from glacier_core.cube import IGNORED
    from glacier_core.labels.fronts import front_band, front_sides, signed_distance
    from glacier_core.samples.fronts import CLASSES, zone_classes

    target = plan.recipe.target
    if target.of == "zones":
        if zones is None:
            return {}
        truth = zone_classes(zones)
    else:
        make = front_sides if target.of == "sides" else front_band
        truth = make(*signed_distance(true, classes.shape), width=target.width_px)
    known = truth != IGNORED
    found = {}
    for number, name in enumerate(CLASSES[target.of]):
        one, other = (classes == number) & known, (truth == number) & known
        tp = int(np.count_nonzero(one & other))
        fp, fn = int(np.count_nonzero(one)) - tp, int(np.count_nonzero(other)) - tp
        found[name] = [tp, fp, fn, int(np.count_nonzero(known)) - tp - fp - fn]
    rows, columns = box or _around(true)
    inside = known[rows, columns]
    right = int(np.count_nonzero((classes == truth)[rows, columns] & inside))
    return {**found, "in_box": [right, int(np.count_nonzero(inside))]}


def _around(line: NDArray[np.float64]) -> tuple[slice, slice]:
    """The bounding box of a line."""
    low, high = line.min(axis=0), line.max(axis=0)
    first, last = (slice(max(0, int(a)), int(b) + 2) for a, b in zip(low, high, strict=True))
    return first, last
