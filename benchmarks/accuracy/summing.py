"""Records of one table as lines: means and spreads over seeds, scores pooled over folds, differences with intervals."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.accuracy.declared import Column, Experiment, Table
from glacier_core.measure import Score, paired_difference

RESAMPLES = 4000
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A score in the table."""

    value: float
    """Mean over the seeds, pooled over the folds."""
    spread: float | None
    """Standard deviation over the seeds; None: there is one, or none."""
    low: float | None
    """Lower end of the interval, the lowest of all seeds; None: there is none."""
    high: float | None
    """Upper end, the highest of all seeds."""


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    label: str
    """Model or baseline."""
    cells: Mapping[str, Cell]
    """By metric."""
    difference: Score | None = None
    """Mean advantage over the best baseline for each independent unit; more is better."""
    rival: str = ""
    """That baseline."""
    parameters: int = 0
    """Numbers in the network; 0: it is none."""
    samples: str = ""
    """Samples of training and validation, over the folds."""
    seconds: float = 0.0
    """Mean training time."""
    seeds: int = 0
    """Trainings with other random numbers, for each fold."""
    missing: str = ""
    """What of it could not be done, and why."""


def model_line(table: Table, experiment: Experiment, records: Sequence[Record]) -> Line:
    """The line of a trained model.

    Args:
        table: the table.
        experiment: the model.
        records: its records, of all folds and seeds, failures included.
    """
    done = [record for record in records if not record["error"]]
    failed = [record for record in records if record["error"]]
    wanted = len(table.folds) * len(experiment.seeds)
    if not records:
        return Line(label=experiment.label, cells={}, missing="not trained yet")
    missing = f"{len(done)} of {wanted} trainings" if len(done) < wanted else ""
    if failed:
        missing += f": {failed[0]['error']}"
    if not done:
        return Line(label=experiment.label, cells={}, missing=missing)
    seeds = sorted({record["seed"] for record in done})
    by_seed = [[record for record in done if record["seed"] == seed] for seed in seeds]
    units = _units(done, "model")
    rival = _best_baseline(done, units)
    first = by_seed[0]
    return Line(
        label=experiment.label,
        cells=_cells(table.columns, [_scores(group, "scores") for group in by_seed]),
        difference=_difference(units, _units(done, rival), done[0]) if rival else None,
        rival=rival,
        parameters=int(first[0]["parameters"]),
        samples=_counts(first),
        seconds=statistics.fmean(record["train_s"] for record in done),
        seeds=len(seeds),
        missing=missing,
    )


def baseline_lines(table: Table, records: Sequence[Record]) -> list[Line]:
    """The lines of the baselines: they know no seeds, so those of the first one are taken."""
    done = [record for record in records if not record["error"]]
    if not done:
        return []
    seed = min(record["seed"] for record in done)
    label = next(record["label"] for record in done if record["seed"] == seed)
    group = [record for record in done if record["seed"] == seed and record["label"] == label]
    names = [name for name in group[0]["baselines"] if not table.baselines or name in table.baselines]
    found = _scores(group, "baselines")
    lines = [
        Line(label=name, cells=_cells(table.columns, [[baselines.get(name, {}) for baselines in found]]))
        for name in names
    ]
    main, sign = table.columns[0].metric, 1.0 if group[0]["lower_is_better"] else -1.0
    return sorted(lines, key=lambda line: sign * line.cells[main].value if main in line.cells else float("inf"))


def ablation(one: Sequence[Record], other: Sequence[Record]) -> Score | None:
    """Mean advantage of one model over another on the units of both."""
    mine, theirs = ([record for record in records if not record["error"]] for records in (one, other))
    if not mine or not theirs:
        return None
    return _difference(_units(mine, "model"), _units(theirs, "model"), mine[0])


def _cells(columns: Sequence[Column], by_seed: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Cell]:
    found = {}
    for column in columns:
        held = [[scores[column.metric] for scores in folds if column.metric in scores] for folds in by_seed]
        seeds = [_pooled(scores, adds_up=column.adds_up) for scores in held]
        known = [value for value in seeds if value is not None]
        if not known:
            continue
        scores = [score for each in held for score in each]
        single = all(len(folds) == 1 for folds in by_seed)
        lows, highs = ([score[end] for score in scores if score[end] is not None] for end in ("low", "high"))
        found[column.metric] = Cell(
            value=statistics.fmean(known),
            spread=statistics.stdev(known) if len(known) > 1 else None,
            low=min(lows) if single and lows else None,
            high=max(highs) if single and highs else None,
        )
    return found


def _scores(folds: Sequence[Record], what: str) -> list[Mapping[str, Any]]:
    """What was scored over all folds at once, where that is known, else of each fold."""
    pooled = folds[0].get("pooled")
    return [pooled["model" if what == "scores" else what]] if pooled else [record[what] for record in folds]


def _pooled(scores: Sequence[Mapping[str, Any]], *, adds_up: bool) -> float | None:
    """The folds' sum, or their mean, each counted by the number of its test units."""
    known = [(score["value"], max(int(score["n"]), 1)) for score in scores if score["value"] is not None]
    if adds_up:
        return sum(float(value) for value, _ in known) if known else None
    total = sum(n for _, n in known)
    return sum(value * n for value, n in known) / total if total else None


def _units(records: Sequence[Record], who: str) -> dict[str, float]:
    """One score for each independent unit, of all folds, mean over the seeds; more is better."""
    found: dict[str, list[float]] = {}
    for record in records:
        for unit, value in record["units"].get(who, {}).items():
            found.setdefault(unit, []).append(float(value))
    return {unit: statistics.fmean(values) for unit, values in found.items()}


def _best_baseline(records: Sequence[Record], units: Mapping[str, float]) -> str:
    """The baseline that is best on the model's units."""
    names = dict.fromkeys(name for record in records for name in record["baselines"])
    means = {}
    for name in names:
        shared = [value for unit, value in _units(records, name).items() if unit in units]
        if shared:
            means[name] = statistics.fmean(shared)
    return max(means, key=means.__getitem__, default="")


def _difference(one: Mapping[str, float], other: Mapping[str, float], record: Record) -> Score | None:
    if not one.keys() & other.keys():
        return None
    return paired_difference(one, other, resamples=RESAMPLES, confidence=float(record["confidence"]))


def _counts(folds: Sequence[Record]) -> str:
    """Samples of the sets; of several folds the smallest and the largest."""
    shown = []
    for part in ("train", "validation"):
        numbers = sorted({record["samples"].get(part, 0) for record in folds})
        shown.append(f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}\N{EN DASH}{numbers[-1]}")
    return " + ".join(shown)
