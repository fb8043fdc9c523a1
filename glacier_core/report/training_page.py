"""`training.html`: what a training run came to, beside its baselines."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from glacier_core.recipes import dump_recipe
from glacier_core.report.inputs import TrainingInputs
from glacier_core.report.rendering import rendered
from glacier_core.report.score_charts import curves_chart, number_text, truth_chart
from glacier_core.report.score_tables import score_tables

PAGE_FILE = "training.html"
PARTS = ("train", "validation", "test")


def write_training_report(folder: Path, inputs: TrainingInputs) -> list[str]:
    """Write the page about a training run.

    Args:
        folder: where to; made if it is absent.
        inputs: what the run came to.

    Returns:
        The files' paths relative to `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recipe = inputs.recipe
    sizes = [len(inputs.split.get(part, ())) for part in PARTS]
    scores = score_tables(
        inputs.scores["model"],
        inputs.scores["baselines"],
        headline=inputs.headline,
        lower_is_better=inputs.lower_is_better,
    )
    rows = [row for row in inputs.rows if "true_area_km2" in row and row["clear_fraction"] >= recipe.measure.min_clear]
    text = rendered(
        PAGE_FILE,
        title=recipe.title or recipe.name,
        recipe=recipe,
        recipe_yaml=dump_recipe(recipe),
        version=inputs.version,
        alias=inputs.alias,
        promoted=inputs.alias == "champion",
        sizes=sizes,
        of_areas=recipe.kind == "extent",
        units=_units(recipe),
        figures=_figures(inputs, scores),
        scores=scores,
        verdict=inputs.verdict,
        differences=_differences(inputs.verdict),
        confidence=f"{100 * recipe.measure.confidence:g} %",
        truth=truth_chart(rows, label="Error of the measured area of each test unit") if rows else None,
        stale_rows=any(row.get("stale") for row in rows),
        coverage=_coverage(inputs.scores["model"].get("interval_coverage")),
        curves=_curves(inputs.history),
        pictures=[(path.stem, _data_url(path)) for path in inputs.pictures if path.exists()],
        card=markdown(inputs.card),
        split=[(part, list(inputs.split.get(part, ()))) for part in PARTS],
        split_hash=str(inputs.split.get("hash", "")),
    )
    (folder / PAGE_FILE).write_text(text, encoding="utf-8")
    return [PAGE_FILE]


def _units(recipe: Any) -> str:
    """What the split deals out, in the plural."""
    if recipe.kind == "extent":
        return "glaciers"
    return "periods" if recipe.split.by == "time" else "series"


def markdown(text: str) -> Markup:
    """Headings, paragraphs, lists and tables of a model card; everything else is text, and all of it is escaped."""
    written = Markup("")
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.strip()]
        while lines and lines[0].startswith("#"):
            written += Markup("<h3>{}</h3>").format(_inline(lines.pop(0).lstrip("#").strip()))
        if not lines:
            continue
        if lines[0].startswith("|"):
            written += _table(lines)
        elif all(line.lstrip().startswith("- ") for line in lines):
            items = Markup("").join(Markup("<li>{}</li>").format(_inline(line.lstrip()[2:])) for line in lines)
            written += Markup("<ul>{}</ul>").format(items)
        else:
            written += Markup("<p>{}</p>").format(_inline(" ".join(lines)))
    return written


def _inline(text: str) -> Markup:
    """Text with `code` marked."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece) for number, piece in enumerate(pieces)
    )


def _table(lines: Sequence[str]) -> Markup:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if set(line) - set("|-: ")]
    head, *body = rows

    def row(cells: Sequence[str], tag: str) -> Markup:
        form = Markup("<th>{}</th>") if tag == "th" else Markup("<td>{}</td>")
        opened = Markup("").join(form.format(_inline(cell)) for cell in cells)
        return Markup("<tr>{}</tr>").format(opened)

    return Markup('<div class="scroll"><table><thead>{}</thead><tbody>{}</tbody></table></div>').format(
        row(head, "th"), Markup("").join(row(cells, "td") for cells in body)
    )


def _figures(inputs: TrainingInputs, scores: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    found = []
    main, best = scores["main_score"], scores["best"]
    if main:
        found.append((number_text(main["value"]), f"{scores['main'][0]}, model", _interval(main)))
    if best:
        found.append((number_text(best[1]["value"]), f"best baseline: {best[0]}", _interval(best[1])))
    for metric, what in (("area_error/mean", "mean area error"), ("interval_coverage", "interval coverage")):
        score = inputs.scores["model"].get(metric)
        if score:
            found.append((number_text(score["value"], score["unit"]), what, _interval(score)))
    return found


def _differences(verdict: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Rivals with the names that the verdict knows them by, and the model's advantage over each."""
    names = {"baseline": "best baseline", "champion": "champion"}
    found = []
    for rival, score in sorted(dict(verdict.get("differences") or {}).items()):
        known = verdict.get(rival)
        shown = names.get(rival, rival.replace("_", " "))
        found.append((f"{shown}: {known}" if known else shown, score))
    return found


def _interval(score: Mapping[str, Any]) -> str:
    if score.get("low") is None:
        return f"no interval; n = {score['n']}"
    unit = score.get("unit", "")
    return f"{number_text(score['low'], unit)} to {number_text(score['high'], unit)}; n = {score['n']}"


def _coverage(score: Mapping[str, Any] | None) -> str:
    return "" if score is None else f"{score['value']:.0f} % of the units"


def _curves(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, Markup]]:
    """Losses in one chart, every other number that changes in one of its own."""
    epochs = [float(row.get("epoch", number)) for number, row in enumerate(history, start=1)]
    names = [name for name in dict.fromkeys(key for row in history for key in row) if name != "epoch"]
    curves: dict[str, list[tuple[float, float]]] = {}
    for name in names:
        values = [(epoch, _finite(row.get(name))) for epoch, row in zip(epochs, history, strict=True)]
        known = [(epoch, value) for epoch, value in values if value is not None]
        if len(known) > 1:
            curves[name] = known
    losses = {name: curve for name, curve in curves.items() if "loss" in name}
    # the validation loss decides, so it is drawn first, as the main curve
    losses = dict(sorted(losses.items(), key=lambda entry: "val" not in entry[0]))
    best = min(next(iter(losses.values())), key=lambda pair: pair[1])[0] if losses else None
    charts = []
    if losses:
        shown = {name.replace("_", " "): curve for name, curve in losses.items()}
        charts.append(("Loss", curves_chart(shown, label="Loss by epoch", best=best)))
    for name, curve in curves.items():
        told = any(word in name for word in ("loss", "second", "step", "epoch"))
        if not told and len({value for _, value in curve}) > 1:
            charts.append(
                (
                    name.replace("_", " "),
                    curves_chart({name.replace("_", " "): curve}, label=f"{name} by epoch", best=best),
                )
            )
    return charts


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _data_url(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
