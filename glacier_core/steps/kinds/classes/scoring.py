"""`score`: how the network's classes and those of classical maps agree with the truth on the test images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.errors import DataError
from glacier_core.recipes import ClassesRecipe, Measure
from glacier_core.steps.kinds.classes.featuring import FEATURES
from glacier_core.steps.kinds.classes.labelling import LABELS, TOLD
from glacier_core.steps.kinds.classes.predicting import PREDICTION, predicted
from glacier_core.steps.kinds.classes.sampling import part_of
from glacier_core.steps.kinds.contract import Entry, Row
from glacier_core.steps.kinds.series import season_of
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, log
from glacier_core.steps.splitting import place_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glacier_core.measure.classes import ClassicalMap

STRATA = ("season", "sensor", "series")
FEWEST_OF_STRATUM = 2
"""A stratum is told where there are at least so many."""


@dataclass(frozen=True)
class Case:
    """One image with its truth; arrays are (y, x)."""

    unit: str
    """The independent unit that it belongs to: its place."""
    series: str
    """Its series."""
    frame: str
    """Its id."""
    time: str
    """ISO 8601; empty where it is not known."""
    sensor: str
    """What took it; empty where that is not known."""
    stale: bool
    """Whether the truth is older than the recipe allows."""
    channels: dict[str, NDArray[np.float32]]
    """What the model sees of it, by name."""
    truth: NDArray[np.uint8]
    """True classes, 255 where unlabelled."""
    probability: NDArray[np.float32] | None
    """(class, y, x), NaN where unseen; None where no network was asked."""

    @property
    def clear_fraction(self) -> float:
        """Part of the image that was seen."""
        return float(np.isfinite(next(iter(self.channels.values()))).mean())


def write_scores(
    step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any, *, weights: str, calibration: str | None
) -> None:
    """See `Kind.score`."""
    from glacier_core.measure.classes import read_classical

    network = Network(step, weights)
    if calibration:
        kept = step.read(calibration).read_json("calibration.json")
        rules = [read_classical(value) for value in kept["baselines"]]
    else:
        rules = _fitted(step, plan, entries)
    rows = []
    for case in cases_of(step, plan, entries, "test", network):
        rows.append(_row(plan, case, rules))
        if len(rows) % 20 == 0:
            log.info("[evaluate] %d test images", len(rows))
    if not rows:
        raise DataError("the test set is empty", expected="at least one labelled image", do="change split or labels")
    attempt.write_json("rows.json", rows)
    attempt.write_json("calibration.json", {"baselines": [rule.to_json() for rule in rules]})
    names = [rule.name for rule in rules]
    attempt.write_json(
        "scores.json", summary(rows, classes=plan.recipe.classes, measure=plan.recipe.measure, baselines=names)
    )


def by_unit(rows: Sequence[Row], who: str) -> dict[str, float]:
    """One number for each place, more is better: the IoU of the second of two classes, else the mean IoU."""
    from glacier_core.measure.classes import counts_of, mean_iou

    pooled = _pooled(rows, who)
    if all(len(matrix) == 2 for matrix in pooled.values()):
        return {unit: counts_of(matrix, 1).iou for unit, matrix in pooled.items()}
    return {unit: mean_iou(matrix) for unit, matrix in pooled.items()}


def summary(
    rows: Sequence[Row], *, classes: Sequence[str], measure: Measure, baselines: Sequence[str]
) -> dict[str, Any]:
    """Scores of the model and of each baseline as the command's JSON shows them.

    Images of which too little was seen do not count. Where fresh truth is there, stale truth does not count with it but
    gives scores of its own, `iou_stale/<class>`.

    Args:
        rows: what was found on each test image.
        classes: names of the classes.
        measure: the recipe's part.
        baselines: names of the baselines.
    """
    clear = [row for row in rows if row["clear_fraction"] >= measure.min_clear]
    fresh, stale = ([row for row in clear if row["stale"] == old] for old in (False, True))
    found = {
        who: {
            **_agreement(fresh, who, classes, measure),
            **{
                name.replace("/", "_stale/", 1): score
                for name, score in _agreement(stale, who, classes, measure).items()
                if name.startswith("iou/")
            },
        }
        for who in ("model", *baselines)
    }
    for stratum in STRATA:
        values = sorted({str(row[stratum]) for row in fresh if row[stratum]})
        if len(values) < FEWEST_OF_STRATUM:
            continue
        for value in values:
            own = _agreement([row for row in fresh if str(row[stratum]) == value], "model", classes, measure)
            found["model"].update({f"{name}@{stratum}={value}": own[name] for name in own if name.startswith("iou/")})
    return {"model": found.pop("model"), "baselines": found}


def _agreement(rows: Sequence[Row], who: str, classes: Sequence[str], measure: Measure) -> dict[str, Any]:
    from glacier_core.measure.classes import class_scores

    if not rows:
        return {}
    matrices = list(_pooled(rows, who).values())
    scores = class_scores(matrices, classes=classes, resamples=measure.resamples, confidence=measure.confidence)
    return {name: score.to_json() for name, score in scores.items()}


def _pooled(rows: Sequence[Row], who: str) -> dict[str, NDArray[np.int64]]:
    """One contender's confusion matrix, summed over the images of each place."""
    pooled: dict[str, NDArray[np.int64]] = {}
    for row in sorted(rows, key=lambda found: str(found["unit"])):
        own = np.asarray(row["matrices"][who], dtype=np.int64)
        pooled[row["unit"]] = pooled.get(row["unit"], np.zeros_like(own)) + own
    return pooled


def cases_of(step: Step, plan: Plan, entries: Sequence[Entry], part: str, network: Network | None) -> Iterator[Case]:
    """The labelled images of a part."""
    from glacier_core.cube import IMAGERY, open_cube, open_pixels

    place_of = place_names(plan.units)
    for entry in entries:
        unit = plan.units[entry["unit"]]
        stamps = dict(zip(unit.frames, unit.times, strict=True))
        labelled = step.read(entry["refs"]["label"])
        told = labelled.read_json(TOLD)
        wanted = [
            number
            for number, found in enumerate(told)
            if sum(found["counts"]) and part_of(plan, unit, stamps.get(found["frame"], "")) == part
        ]
        if not wanted:
            continue
        path = step.read(entry["refs"]["prepare"]).path(FEATURES)
        cube, pixels, truth = open_cube(path), open_pixels(path), open_pixels(labelled.path(LABELS))
        likely = None
        if network is not None:
            likely = open_pixels(step.read(predicted(step, entry, network, views=plan.recipe.views)).path(PREDICTION))
        sensors = [str(name) for name in cube["sensor"].values] if "sensor" in cube.coords else [""] * len(told)
        for number in wanted:
            at = slice(number, number + 1)
            frame = told[number]["frame"]
            yield Case(
                unit=place_of[unit.name],
                series=unit.name,
                frame=frame,
                time=stamps.get(frame, "") if cube.attrs["dated"] else "",
                sensor=sensors[number],
                stale=bool(told[number]["stale"]),
                channels=dict(zip(pixels.bands, pixels.physical(times=at)[0], strict=True)),
                truth=np.asarray(truth.read(IMAGERY, (at,))[0, 0], dtype=np.uint8),
                probability=None if likely is None else likely.physical(times=at)[0],
            )


def _fitted(step: Step, plan: Plan, entries: Sequence[Entry]) -> list[ClassicalMap]:
    """Classical maps of the training images that the network may learn from."""
    from glacier_core.measure.classes import fit_classical

    recipe: ClassesRecipe = plan.recipe
    common = {recipe.features.common_name(band): band for band in reversed(recipe.spectral_bands())}
    cases = cases_of(step, plan, entries, "train", None)
    rules = fit_classical(
        ((case.channels, case.truth) for case in cases if recipe.labels.train_on_stale or not case.stale),
        classes=len(recipe.classes),
        spectral=(*recipe.spectral_bands(), *recipe.features.indices),
        green=common.get("green", ""),
        swir=common.get("swir16", ""),
    )
    log.info("[evaluate] %d classical maps fitted", len(rules))
    return rules


def _row(plan: Plan, case: Case, rules: Sequence[ClassicalMap]) -> dict[str, Any]:
    from glacier_core.measure.classes import confusion_matrix

    classes = len(plan.recipe.classes)
    if case.probability is None:
        raise DataError(f"{case.frame} has no prediction", expected="one")
    found = classes_of(case.probability)
    # everybody is scored on the same pixels
    truth = np.where(found == 255, np.uint8(255), case.truth)
    matrices = {"model": confusion_matrix(truth, found, classes=classes)}
    for rule in rules:
        own = rule.apply(case.channels)
        matrices[rule.name] = confusion_matrix(truth, np.where(own == 255, np.uint8(0), own), classes=classes)
    return {
        "unit": case.unit,
        "series": case.series,
        "frame": case.frame,
        "time": case.time,
        "sensor": case.sensor,
        "season": season_of(int(case.time[5:7])) if case.time else "",
        "stale": case.stale,
        "clear_fraction": round(case.clear_fraction, 6),
        "matrices": {name: matrix.tolist() for name, matrix in matrices.items()},
    }


def classes_of(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The likeliest class of each pixel (y, x) of probabilities (class, y, x); 255 where nothing was seen."""
    seen = np.isfinite(probability).all(axis=0)
    likeliest = np.where(seen, probability, np.float32(0)).argmax(axis=0)
    return np.where(seen, likeliest, 255).astype(np.uint8)
