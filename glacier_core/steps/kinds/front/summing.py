"""Rows of test images become scores with their intervals, in all and by stratum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glacier_core.measure import Score
    from glacier_core.measure.fronts import FrontError
    from glacier_core.recipes import FrontRecipe

Rows = Sequence[Mapping[str, Any]]
MODEL = "model"
STRATA: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "place": lambda row: str(row["place"]),
    "sensor": lambda row: str(row["sensor"]),
    "season": lambda row: str(row["time"])[5:7],
    "resolution": lambda row: str(row["resolution_m"]),
    "code": lambda row: str(row["code"]),
}
"""The stratum of a row, by the stratum's name; empty: none."""


def summary(rows: Rows, *, recipe: FrontRecipe, who: Sequence[str]) -> dict[str, Any]:
    """Scores of the model and of each baseline as the command's JSON shows them.

    Intervals resample places; below eight of them there is none.

    Args:
        rows: of the test images.
        recipe: the recipe.
        who: names of the baselines.
    """
    model = {**_distances(rows, MODEL, recipe), **_classes(rows, recipe)}
    for stratum in recipe.strata:
        for value, chosen in _strata(rows, stratum).items():
            found = _distances(chosen, MODEL, recipe)
            model |= {
                f"{name}@{stratum}={value}": found[name]
                for name in ("front_distance/mean", "front_distance/predicted_from_drawn", "front_distance/caffe")
                if name in found
            }
    return {"model": model, "baselines": {name: _distances(rows, name, recipe) for name in who}}


def distance_of(row: Mapping[str, Any], who: str) -> float:
    """The symmetric distance of an image's front, in the row's unit; a missing front is off by the image's diagonal.

    Whoever finds no front in the hard images gains nothing by it.

    Args:
        row: a test image.
        who: the model, or a baseline's name.
    """
    error = row["errors"][who]
    return float(row["diagonal_px"] if error is None else error["symmetric"]) * float(row["metres"])


def _strata(rows: Rows, stratum: str) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        value = STRATA[stratum](row)
        if value:
            found[value].append(row)
    return dict(sorted(found.items())) if len(found) > 1 else {}


def _distances(rows: Rows, who: str, recipe: FrontRecipe) -> dict[str, Any]:
    import numpy as np

    from glacier_core.measure import bootstrap_groups
    from glacier_core.measure.fronts import FrontError

    found = [row for row in rows if row["errors"][who] is not None]
    measure, unit = recipe.measure, str(rows[0]["length_unit"])
    options: dict[str, Any] = {"resamples": measure.resamples, "confidence": measure.confidence}
    places: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        places[str(row["place"])].append(distance_of(row, who))
    every = [distance for group in places.values() for distance in group]
    scores: dict[str, Any] = {
        "front_distance/mean": bootstrap_groups(list(places.values()), unit=unit, **options).to_json(),
        "front_distance/median": _plain(float(np.median(every)), len(every), unit),
        "front_missing": _plain(len(rows) - len(found), len(rows), "images"),
    }
    if who == MODEL:
        unsure = sum(not row["sure"] for row in rows)
        scores["front_unsure"] = _plain(unsure, len(rows), "images")
    if not found:
        return scores
    errors = [(row, FrontError(**row["errors"][who])) for row in found]

    def by_place(value: Callable[[FrontError], float]) -> list[list[float]]:
        groups: dict[str, list[float]] = defaultdict(list)
        for row, error in errors:
            groups[str(row["place"])].append(value(error) * row["metres"])
        return list(groups.values())

    def mean(value: Callable[[FrontError], float]) -> Score:
        return bootstrap_groups(by_place(value), unit=unit, **options)

    directed = [value for group in by_place(lambda error: error.directed) for value in group]
    scores["front_distance/predicted_from_drawn"] = mean(lambda error: error.directed).to_json()
    scores["front_distance/predicted_from_drawn_median"] = _plain(float(np.median(directed)), len(directed), unit)
    scores["front_distance/predicted_from_drawn_pooled"] = _pooled(
        [(error.directed * error.directed_points * row["metres"], error.directed_points) for row, error in errors], unit
    )
    scores["front_distance/caffe"] = _pooled(
        [(error.total * row["metres"], error.points) for row, error in errors], unit
    )
    scores["front_distance/along"] = mean(lambda error: error.along).to_json()
    scores["front_distance/hausdorff95"] = mean(lambda error: error.hausdorff95).to_json()
    return scores


def _pooled(sums: Sequence[tuple[float, int]], unit: str) -> dict[str, Any]:
    """The mean over the points of all images, from the sum of the distances and the number of points of each."""
    points = sum(count for _, count in sums)
    return _plain(sum(total for total, _ in sums) / points, len(sums), unit)


def _classes(rows: Rows, recipe: FrontRecipe) -> dict[str, Any]:
    """IoU and F1 of each class, accuracy, and accuracy inside the front's bounding box."""
    from glacier_core.measure import Counts, bootstrap_counts

    counted = [row for row in rows if row["counts"]]
    if not counted:
        return {}
    options: dict[str, Any] = {"resamples": recipe.measure.resamples, "confidence": recipe.measure.confidence}
    scores = {}
    names = [name for name in counted[0]["counts"] if name != "in_box"]
    for name in names:
        places: dict[str, Counts] = {}
        for row in counted:
            counts = Counts(*row["counts"][name])
            places[row["place"]] = places[row["place"]] + counts if row["place"] in places else counts
        for metric in ("iou", "f1"):
            scores[f"{metric}/{name}"] = bootstrap_counts(list(places.values()), metric=metric, **options).to_json()
    right = sum(row["counts"][name][0] for row in counted for name in names)
    known = sum(sum(row["counts"][names[0]]) for row in counted)
    inside = [sum(row["counts"]["in_box"][part] for row in counted) for part in (0, 1)]
    scores["accuracy"] = _plain(right / max(known, 1), len(counted), "1")
    scores["accuracy/front_box"] = _plain(inside[0] / max(inside[1], 1), len(counted), "1")
    return scores


def _plain(value: float, n: int, unit: str) -> dict[str, Any]:
    return {"value": float(value), "low": None, "high": None, "n": n, "unit": unit}
