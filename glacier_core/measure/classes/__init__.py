"""Class maps measured: agreement with the truth, areas, change between dates, and the classical maps beside them."""

from __future__ import annotations

from glacier_core.measure.classes.agreement import (
    class_scores,
    confusion_matrix,
    counts_of,
    mean_iou,
    mean_iou_score,
)
from glacier_core.measure.classes.change import change_codes, class_areas, transition_areas
from glacier_core.measure.classes.classical import (
    ClassicalMap,
    MajorityClass,
    MaximumLikelihood,
    NearestMean,
    PlaceRule,
    Threshold,
    fit_classical,
    read_classical,
)

__all__ = [
    "ClassicalMap",
    "MajorityClass",
    "MaximumLikelihood",
    "NearestMean",
    "PlaceRule",
    "Threshold",
    "change_codes",
    "class_areas",
    "class_scores",
    "confusion_matrix",
    "counts_of",
    "fit_classical",
    "mean_iou",
    "mean_iou_score",
    "read_classical",
    "transition_areas",
]
