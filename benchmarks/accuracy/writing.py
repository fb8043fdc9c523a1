"""docs/results.md: a section for each table, replaced on its own, so that one can be made anew without the others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy.declared import Column, Experiment, Table
from benchmarks.accuracy.summing import Cell, Line, ablation, baseline_lines, model_line
from glacier_core.measure import Score

SURPRISES = Path(__file__).with_name("surprises.md")
DASH = "\N{EN DASH}"
HEAD = """# Results

Every model beside its baselines, on data that training never saw. Made by `make results` from the data under
`GLACIER_DATA`; `make results KIND=front` makes one kind's tables anew. Scores of models are means over trainings that
differ in `training.seed` alone, with their standard deviation after the sign; with several folds, scores are pooled
over what each held out. Square brackets hold intervals over independent test units, such as places or blocks of months
(bootstrap); below eight of them there is none. "Better by" is the mean advantage over the best baseline for each
independent unit (IoU, or minus the error) with its interval, in bold where that excludes zero.
"""


def section(
    table: Table, records: Sequence[Mapping[str, Any]], checks: Sequence[Mapping[str, Any]], *, where: str, absent: bool
) -> str:
    """A table's section.

    Args:
        table: what was declared.
        records: the records of its trainings.
        checks: what its measurements gave.
        where: hardware, commit and date, in one line.
        absent: whether its data are not there.
    """
    lines = [f"## {table.title}", "", table.about, ""]
    if absent:
        lines += [f"Not made: `$GLACIER_DATA/{table.needs}` is absent.", ""]
        return "\n".join(lines)
    models = {experiment.label: _of(experiment, records) for experiment in table.experiments}
    found = [model_line(table, experiment, models[experiment.label]) for experiment in table.experiments]
    baselines = baseline_lines(table, records)
    for number, columns in enumerate(_groups(table.columns).values()):
        lines += _scores(columns, found, baselines, main=number == 0)
    lines += _trainings(found)
    lines += _ablations(table.experiments, models)
    lines += _checks(checks)
    lines += [*(f"- {text}" for text in table.published), *([""] if table.published else [])]
    lines += _commands(table.experiments, models)
    lines += [where, ""]
    return "\n".join(lines)


def replace_sections(
    path: Path, sections: Mapping[str, str], order: Sequence[str], *, elsewhere: Mapping[str, str]
) -> None:
    """Write the page: these sections new, the others as they stand, and what was written by hand at the end.

    Args:
        path: the page; it need not exist.
        sections: text by the table's name.
        order: every table's name.
        elsewhere: why a recipe stands in no table, by the recipe's name.
    """
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    known = {name: text.strip() for name, text in re.findall(r"<!-- (\S+) -->\n(.*?)<!-- / -->", before, re.DOTALL)}
    known |= {name: text.strip() for name, text in sections.items()}
    parts = [HEAD, *(f"<!-- {name} -->\n{known[name]}\n<!-- / -->\n" for name in order if name in known)]
    if elsewhere:
        told = [f"- `{name}`: {reason}" for name, reason in sorted(elsewhere.items())]
        parts.append("\n".join(["## Shipped recipes without a table", "", *told, ""]))
    parts.append(SURPRISES.read_text(encoding="utf-8"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts), encoding="utf-8")


def _of(experiment: Experiment, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [record for record in records if record["label"] == experiment.label]


def _groups(columns: Sequence[Column]) -> dict[str, list[Column]]:
    found: dict[str, list[Column]] = {}
    for column in columns:
        found.setdefault(column.group, []).append(column)
    return found


def _scores(columns: Sequence[Column], models: Sequence[Line], baselines: Sequence[Line], *, main: bool) -> list[str]:
    """One table of scores: models, then baselines; with the comparison where it holds the main score."""
    group = columns[0].group
    heads = [group or "model", *(column.heading for column in columns), *(["better by", "than"] if main else [])]
    lines = [*_head(heads)]
    for line in (*models, *baselines):
        cells = [_cell(line.cells.get(column.metric), column) for column in columns]
        name = f"`{line.label}`" if line in models else line.label
        extra = [_difference(line.difference), line.rival or ("" if line in models else "baseline")] if main else []
        lines.append(_row([name, *cells, *extra]))
    return [*lines, ""]


def _trainings(models: Sequence[Line]) -> list[str]:
    done = [line for line in models if line.seeds or line.missing]
    if not done:
        return []
    lines = [*_head(["model", "parameters", "samples, training + validation", "trainings", "time of one", "missing"])]
    for line in done:
        cells = [f"{line.parameters:,}", line.samples, f"{line.seeds}", f"{line.seconds:.0f} s"]
        lines.append(_row([f"`{line.label}`", *(cells if line.seeds else [DASH] * 4), line.missing or DASH]))
    return [*lines, ""]


def _ablations(experiments: Sequence[Experiment], models: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    rows = []
    for experiment in experiments:
        if experiment.against in models:
            found = ablation(models[experiment.label], models[experiment.against])
            rows.append(_row([f"`{experiment.label}`", f"`{experiment.against}`", _difference(found)]))
    return [*_head(["model", "beside", "better by"]), *rows, ""] if rows else []


def _checks(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    if not checks:
        return []
    lines = [*_head(["measurement", "what", "value"])]
    for found in checks:
        if found["error"]:
            lines.append(_row([found["label"], "not done", found["error"]]))
        lines += [_row([found["label"], what, value]) for what, value in found["lines"]]
    return [*lines, ""]


def _commands(experiments: Sequence[Experiment], models: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """The command of each line, its split and its units; of several seeds and folds the first."""
    lines = []
    for experiment in experiments:
        done = [record for record in models[experiment.label] if not record["error"]]
        if done:
            first = done[0]
            folds = len({record["fold"] for record in done})
            splits = ", ".join(f"`{name}`" for name in dict.fromkeys(record["split_hash"] for record in done))
            more = f" ({folds} folds, the first: {first['fold']})" if folds > 1 else ""
            lines.append(f"- `{experiment.label}`: `{first['command']}`{more}; split {splits}")
    return ["Commands:", "", *lines, ""] if lines else []


def _cell(cell: Cell | None, column: Column) -> str:
    if cell is None:
        return DASH
    text = f"{cell.value:.{column.digits}f}"
    if cell.spread is not None:
        text += f" \N{PLUS-MINUS SIGN} {cell.spread:.{column.digits}f}"
    if cell.low is not None and cell.high is not None:
        text += f" [{cell.low:.{column.digits}f}, {cell.high:.{column.digits}f}]"
    return text


def _difference(found: Score | None) -> str:
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return f"{found.value:+.4f}, no interval (n = {found.n})"
    sure = "**" if found.low > 0 or found.high < 0 else ""
    return f"{sure}{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]{sure}, n = {found.n}"


def _head(names: Sequence[str]) -> list[str]:
    return [_row(names), "|" + "---|" * len(names)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
