"""How well class maps agree with the truth: one confusion matrix an independent unit, and what follows from them.

Intersection over union (Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x), F1 (Dice 1945, doi:10.2307/1932409) and
overall accuracy, pooled over pixels; intervals resample the units (Efron and Tibshirani 1993,
doi:10.1007/978-1-4899-4541-9).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import IGNORED
from glacier_core.errors import DataError
from glacier_core.measure.scores import Counts, Score, bootstrap_counts, bootstrap_sums

PER_CLASS = ("iou", "f1", "precision", "recall")


def confusion_matrix(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], *, classes: int) -> NDArray[np.int64]:
    """Pixels by true class (rows) and predicted class (columns); unlabelled and unseen ones (255) do not count.

    Args:
        truth: any shape.
        predicted: the same shape.
        classes: number of classes.

    Raises:
        DataError: the shapes differ, or a number is that of no class.
    """
    if truth.shape != predicted.shape:
        raise DataError(f"truth and prediction have the shapes {truth.shape} and {predicted.shape}", expected="one")
    known = (truth != IGNORED) & (predicted != IGNORED)
    true, found = truth[known].astype(np.int64), predicted[known].astype(np.int64)
    largest = int(max(true.max(initial=0), found.max(initial=0)))
    if largest >= classes:
        raise DataError(f"a pixel has the class {largest}", expected=f"0 to {classes - 1}, or {IGNORED}")
    return np.bincount(true * classes + found, minlength=classes**2).reshape(classes, classes)


def counts_of(matrix: NDArray[np.int64], number: int) -> Counts:
    """The counts of one class against all others, from a confusion matrix."""
    tp = int(matrix[number, number])
    fp, fn = int(matrix[:, number].sum()) - tp, int(matrix[number].sum()) - tp
    return Counts(tp=tp, fp=fp, fn=fn, tn=int(matrix.sum()) - tp - fp - fn)


def mean_iou(matrix: NDArray[np.int64]) -> float:
    """Mean of the IoU over the classes that occur in truth or prediction; 1 where nothing does."""
    return float(_mean_iou(matrix[None].astype(np.float64))[0])


def mean_iou_score(matrices: Sequence[NDArray[np.int64]], *, resamples: int, confidence: float, seed: int = 0) -> Score:
    """The mean IoU of all units together, whose interval resamples units.

    Args:
        matrices: one confusion matrix for each independent unit.
        resamples: number of bootstrap resamples.
        confidence: coverage of the interval.
        seed: everything random follows from it.

    Raises:
        DataError: there is no matrix.
    """
    if not matrices:
        raise DataError("there are no pixels to score", expected="at least one unit")
    classes = len(matrices[0])
    table = np.stack(matrices).reshape(len(matrices), -1).astype(np.float64)

    def score(total: NDArray[np.float64]) -> NDArray[np.float64]:
        return _mean_iou(total.reshape(-1, classes, classes))

    return bootstrap_sums(table, score, resamples=resamples, confidence=confidence, seed=seed)


def class_scores(
    matrices: Sequence[NDArray[np.int64]],
    *,
    classes: Sequence[str],
    resamples: int,
    confidence: float,
) -> dict[str, Score]:
    """All scores of one contender: of each class that occurs, the mean IoU and the accuracy.

    Args:
        matrices: one confusion matrix for each independent unit.
        classes: names of the classes.
        resamples: number of bootstrap resamples.
        confidence: coverage of the intervals.

    Returns:
        `iou/<class>`, `f1/<class>`, `precision/<class>`, `recall/<class>`, `iou/mean`, `accuracy/all`.

    Raises:
        DataError: there is no matrix.
    """
    found = {"iou/mean": mean_iou_score(matrices, resamples=resamples, confidence=confidence)}
    total = np.sum(matrices, axis=0)
    for number, name in enumerate(classes):
        if not total[number].any() and not total[:, number].any():
            continue
        counts = [counts_of(matrix, number) for matrix in matrices]
        for metric in PER_CLASS:
            found[f"{metric}/{name}"] = bootstrap_counts(
                counts, metric=metric, resamples=resamples, confidence=confidence
            )
    right = [
        Counts(tp=int(np.trace(matrix)), fp=int(matrix.sum() - np.trace(matrix)), fn=0, tn=0) for matrix in matrices
    ]
    found["accuracy/all"] = bootstrap_counts(right, metric="accuracy", resamples=resamples, confidence=confidence)
    return found


def _mean_iou(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean IoU of matrices (n, K, K)."""
    overlap = np.diagonal(matrices, axis1=1, axis2=2)
    union = matrices.sum(axis=1) + matrices.sum(axis=2) - overlap
    occurs = union > 0
    each = np.where(occurs, overlap / np.maximum(union, 1), 0)
    number = occurs.sum(axis=1)
    return np.asarray(np.where(number > 0, each.sum(axis=1) / np.maximum(number, 1), 1.0))
