"""Scores as pages show them: a chart of the metric that counts most, and every metric of every contender."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from glacier_core.report.metric_names import metric_name, stratum_of
from glacier_core.report.score_charts import score_chart

Scores = Mapping[str, Mapping[str, Any]]


def score_tables(
    scores: Scores, baselines: Mapping[str, Scores], *, headline: str = "", lower_is_better: bool = False
) -> dict[str, Any]:
    """What pages show of scores: a chart of the main metric, and every metric of every contender.

    The baselines are ordered by their main metric, the best first. Scores of parts of the test set (`@` in the name)
    come after those of all of it.

    Args:
        scores: the model's: metric to {value, low, high, n, unit}.
        baselines: those of each baseline.
        headline: the main metric; empty: the IoU of ice.
        lower_is_better: whether less of it is better.
    """
    main = next((metric for metric in (headline, "iou/glacier", "iou_stale/glacier") if metric in scores), "")
    sign = 1.0 if lower_is_better else -1.0
    ordered = sorted(baselines.items(), key=lambda entry: (_order(entry[1].get(main), sign), entry[0]))
    contenders = [("model", scores), *ordered]
    shown = [(name, found[main]) for name, found in contenders if main in found]
    metrics = [*dict.fromkeys(metric for _, found in contenders for metric in found)]
    name, _ = metric_name(main)
    return {
        "main": metric_name(main),
        "main_score": scores.get(main),
        "main_stale": "stale" in main,
        "lower_is_better": lower_is_better,
        "best": shown[1] if len(shown) > 1 else None,
        "chart": score_chart(shown, label=f"{name} of the model and of each baseline") if shown else None,
        "contenders": [name for name, _ in contenders],
        "stale": any("stale" in metric for metric in metrics),
        "unsure": [metric for metric in scores if scores[metric].get("low") is None],
        "metrics": [_row(metric, contenders) for metric in metrics if "@" not in metric],
        "strata": [_row(metric, contenders) for metric in metrics if "@" in metric],
    }


def _row(metric: str, contenders: Sequence[tuple[str, Scores]]) -> dict[str, Any]:
    name, what = metric_name(metric)
    return {
        "key": metric,
        "name": name,
        "what": what,
        "stratum": stratum_of(metric),
        "stale": "stale" in metric,
        "scores": [found.get(metric) for _, found in contenders],
        "n": _same([found[metric]["n"] for _, found in contenders if metric in found]),
    }


def _same(numbers: Sequence[int]) -> int | None:
    """The number that all are equal to; None where they differ."""
    return numbers[0] if len(set(numbers)) == 1 else None


def _order(score: Mapping[str, Any] | None, sign: float) -> float:
    value = score["value"] if score else None
    return math.inf if value is None or not math.isfinite(value) else sign * float(value)
