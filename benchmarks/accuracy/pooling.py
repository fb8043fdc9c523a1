"""Scores over several folds: the kind's own summary of all their rows, as if they were one test set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from glacier_core.store import Store
from glacier_pipelines.choosing import recipe_named

Rows = Sequence[Mapping[str, Any]]
Summary = Callable[[Rows, Any, Sequence[str]], Mapping[str, Any]]


def with_pooled(records: Sequence[Mapping[str, Any]], store: Store) -> list[dict[str, Any]]:
    """The records; each that was done holds in `pooled` the scores of its model and seed over all folds.

    Args:
        records: of one table.
        store: holds the rows that the scores were made of.
    """
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for record in records:
        if not record["error"]:
            groups.setdefault((record["label"], record["seed"]), []).append(record)
    pooled = {key: _pooled(group, store) for key, group in groups.items() if len(group) > 1}
    return [{**record, "pooled": pooled.get((record["label"], record["seed"]))} for record in records]


def _pooled(folds: Sequence[Mapping[str, Any]], store: Store) -> Mapping[str, Any] | None:
    first = folds[0]
    summary = _SUMMARIES.get(first["kind"])
    if summary is None:
        return None
    rows: list[Mapping[str, Any]] = []
    for record in folds:
        stage, _, digest = record["evaluated"].partition("/")
        rows += store.read(stage, digest).read_json("rows.json")
    recipe = recipe_named(first["recipe"], [*first["overrides"], f"training.seed={first['seed']}"])
    shared = [name for name in first["baselines"] if all(name in record["baselines"] for record in folds)]
    return summary(rows, recipe, shared)


def _classes(rows: Rows, recipe: Any, baselines: Sequence[str]) -> Mapping[str, Any]:
    from glacier_core.steps.kinds.classes.scoring import summary

    return summary(rows, classes=recipe.classes, measure=recipe.measure, baselines=baselines)


def _front(rows: Rows, recipe: Any, baselines: Sequence[str]) -> Mapping[str, Any]:
    from glacier_core.steps.kinds.front.summing import summary

    return summary(rows, recipe=recipe, who=baselines)


def _ice_cover(rows: Rows, recipe: Any, baselines: Sequence[str]) -> Mapping[str, Any]:  # noqa: ARG001 - knows its own
    from glacier_core.steps.kinds.ice_cover.scoring import summary

    return summary(rows, measure=recipe.measure)


def _motion(rows: Rows, recipe: Any, baselines: Sequence[str]) -> Mapping[str, Any]:  # noqa: ARG001 - knows its own
    from glacier_core.steps.kinds.motion.scoring import scores_of

    return scores_of(rows, recipe.measure)


_SUMMARIES: Mapping[str, Summary] = {
    "classes": _classes,
    "front": _front,
    "ice_cover": _ice_cover,
    "motion": _motion,
}
