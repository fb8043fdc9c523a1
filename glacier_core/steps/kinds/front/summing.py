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

    `front_distance/mean` resamples places; below eight of them it has no interval. `front_distance/mean_of_images` is
    the same number with an interval that resamples images: it holds for other images of the same places alone.

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
                for name in ("front_distance/mean", "front_distance/caffe")
                if name in found
            }
    return {"model": model, "baselines": {name: _distances(rows, name, recipe) for name in who}}


def _strata(rows: Rows, stratum: str) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        value = STRATA[stratum](row)
        if value:
            found[value].append(row)
    return dict(sorted(found.items())) if len(found) > 1 else {}


def _distances(rows: Rows, who: str, recipe: FrontRecipe) -> dict[str, Any]:
    import numpy as np

    from glacier_core.measure import bootstrap, bootstrap_groups
    from glacier_core.measure.fronts import FrontError

    found = [row for row in rows if row["errors"][who] is not None]
    scores: dict[str, Any] = {"front_missing": _plain(len(rows) - len(found), len(rows), "images")}
    if not found:
        return scores
    measure = recipe.measure
    options: dict[str, Any] = {"resamples": measure.resamples, "confidence": measure.confidence}
    unit = str(found[0]["length_unit"])
    errors = [(row, FrontError(**row["errors"][who])) for row in found]

    def by_place(value: Callable[[FrontError], float]) -> list[list[float]]:
        groups: dict[str, list[float]] = defaultdict(list)
        for row, error in errors:
            groups[str(row["place"])].append(value(error) * row["metres"])
        return list(groups.values())

    def mean(value: Callable[[FrontError], float]) -> Score:
        return bootstrap_groups(by_place(value), unit=unit, **options)

    symmetric = [value for group in by_place(lambda error: error.symmetric) for value in group]
    scores["front_distance/mean"] = mean(lambda error: error.symmetric).to_json()
    scores["front_distance/mean_of_images"] = bootstrap(symmetric, unit=unit, **options).to_json()
    scores["front_distance/median"] = _plain(float(np.median(symmetric)), len(symmetric), unit)
    scores["front_distance/caffe"] = _pooled(errors, unit, len(found))
    scores["front_distance/along"] = mean(lambda error: error.along).to_json()
    scores["front_distance/hausdorff95"] = mean(lambda error: error.hausdorff95).to_json()
    return scores


def _pooled(errors: Sequence[tuple[Mapping[str, Any], FrontError]], unit: str, count: int) -> dict[str, Any]:
    points = sum(error.points for _, error in errors)
    return _plain(sum(error.total * row["metres"] for row, error in errors) / points, count, unit)


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
