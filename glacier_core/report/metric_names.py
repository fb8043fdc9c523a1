"""Names of scores as people read them; `<metric>/<what>@<stratum>=<value>` is how they are kept."""

from __future__ import annotations

import re
from collections.abc import Mapping

METRICS: Mapping[str, tuple[str, str]] = {
    "iou/glacier": ("IoU of ice", "intersection over union (Jaccard) of predicted and reference ice; 1 is perfect"),
    "f1/glacier": ("F1 of ice", "harmonic mean of precision and recall; 1 is perfect"),
    "precision/glacier": ("Precision", "part of the predicted ice that is ice"),
    "recall/glacier": ("Recall", "part of the ice that was found"),
    "area_error/mean": ("Mean area error", "mean of |measured / true - 1| over the test units"),
    "area_error/largest": ("Largest area error", "the worst test unit's |measured / true - 1|"),
    "interval_coverage": ("Interval coverage", "part of the test units whose interval holds the true area"),
    "iou_stale/glacier": ("IoU, stale labels", "agreement with outlines of another date: no accuracy"),
    "area_bias_stale": ("Area, stale labels", "mean of measured / outline - 1: a bias, which real change is part of"),
}
"""Scores with a name of their own, and what they are."""

FAMILIES: Mapping[str, tuple[str, str]] = {
    "iou": ("IoU", "intersection over union (Jaccard) of predicted and true pixels; 1 is perfect"),
    "iou_stale": ("IoU, stale labels", "agreement with labels of another date: no accuracy"),
    "f1": ("F1", "harmonic mean of precision and recall; 1 is perfect"),
    "precision": ("Precision", "part of what was predicted that is true"),
    "recall": ("Recall", "part of what is true that was found"),
    "accuracy": ("Accuracy", "part of the pixels that are right"),
    "front_distance": ("Front distance", "distance of the predicted from the drawn front; 0 is perfect"),
    "hausdorff95": ("Hausdorff 95", "95th percentile of the distance between the two fronts"),
    "front_missing": ("Without a front", "images in which no front was found"),
    "windows": ("Windows", "number of windows that were scored"),
    "mae": ("MAE", "mean absolute error"),
    "rmse": ("RMSE", "root of the mean squared error"),
    "mse": ("MSE", "mean squared error"),
    "r2": ("R²", "part of the variance that is explained; 1 is perfect"),
    "ssim": ("SSIM", "structural similarity; 1 is perfect"),
    "iiee": ("Ice-edge error", "area on the wrong side of the predicted ice edge (IIEE)"),
    "extent_error": ("Extent error", "predicted minus observed extent"),
    "binary_accuracy": ("Binary accuracy", "part of the area on the right side of the 15 % edge"),
    "crps": ("CRPS", "continuous ranked probability score; 0 is perfect"),
    "spread_skill": ("Spread and skill", "spread of the members over the error of their mean; 1 is right"),
    "coverage": ("Coverage", "part of the cells whose interval holds the truth, to half a level of the observations"),
    "coverage_plain": ("Coverage, plain", "the same without the half level"),
    "iiee_over": ("Ice-edge error, over", "area of ice in the forecast only"),
    "iiee_under": ("Ice-edge error, under", "area of ice in the observation only"),
    "iiee_fraction": ("Ice-edge error over extent", "area on the wrong side of the edge over the observed extent"),
    "coverage_unsure": ("Coverage, unsure cells", "the same of the cells whose interval is wider than 5 %"),
    "area_mae": ("Error of the whole area", "mean over months of |forecast - observed| area"),
    "extent_mae": ("Error of the whole extent", "mean over months of |forecast - observed| extent"),
    "displacement_error": (
        "Displacement error of the tracker",
        "length of the difference of tracked and true displacement; no network takes part",
    ),
    "area_error": ("Area error", "predicted minus observed area"),
}
"""Scores of one metric for several classes, leads or statistics."""

_AGAINST = "_against_best"


def metric_name(metric: str) -> tuple[str, str]:
    """What a score is called, and what it means; a name that is not known is made readable."""
    base = metric.partition("@")[0]
    if base in METRICS:
        return METRICS[base]
    family, _, what = base.partition("/")
    against = family.endswith(_AGAINST)
    label, meaning = FAMILIES.get(family.removesuffix(_AGAINST), (_readable(family.removesuffix(_AGAINST)), ""))
    if against:
        label, meaning = f"{label} against the best baseline", "the model's minus the best baseline's"
    return (f"{label}, {_readable(what, first=False)}" if what else label), meaning


def stratum_of(metric: str) -> str:
    """The part of the test set that a score is of, such as `sensor: LT05`; empty: all of it."""
    name, _, value = metric.partition("@")[2].partition("=")
    return f"{_readable(name, first=False)}: {value}" if value else _readable(name, first=False)


def _readable(text: str, *, first: bool = True) -> str:
    words = re.sub(r"^lead_?(\d+)$", r"lead \1", text).replace("_", " ")
    return words[:1].upper() + words[1:] if first else words
