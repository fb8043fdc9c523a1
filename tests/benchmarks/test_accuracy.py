"""The tables of docs/results.md: pooled, averaged and compared as they say."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accuracy import doing, writing
from benchmarks.accuracy.declared import Column, Experiment, Fold, Table
from benchmarks.accuracy.experiments import TABLES
from benchmarks.accuracy.summing import ablation, baseline_lines, model_line
from glacier_pipelines.choosing import recipe_named

METRIC = "front_distance/mean"
TABLE = Table(
    name="fronts",
    kind="front",
    title="Fronts",
    needs="front/landsat_greenland",
    about="Four folds by place.",
    columns=(Column(METRIC, "distance (px)", digits=2), Column("mae/lead1", "MAE", group="lead 1")),
    experiments=(Experiment("plain", "demo"), Experiment("scse", "demo", ("model.name=unet_scse",), against="plain")),
    folds=(Fold("a", ("split.seed=1",)), Fold("b", ("split.seed=2",))),
    published=("1.97 px (Mohajerani et al. 2019).",),
)


def score(value: float, n: int = 10) -> dict[str, Any]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n, "unit": "px"}


def record(label: str, *, fold: str, seed: int, value: float, n: int = 10, error: str = "") -> dict[str, Any]:
    units = {f"{fold}{k}": -value - 0.01 * k for k in range(6)}
    return {
        "table": "fronts",
        "label": label,
        "fold": fold,
        "seed": seed,
        "command": "glacier train demo --set training.seed=0",
        "error": error,
        "lower_is_better": True,
        "confidence": 0.9,
        "parameters": 1234,
        "split_hash": f"hash-{fold}",
        "samples": {"train": 100, "validation": 20},
        "scores": {METRIC: score(value, n)},
        "baselines": {"path": {METRIC: score(4.0, n)}, "mean": {METRIC: score(3.0, n)}},
        "units": {
            "model": units,
            "path": dict.fromkeys(units, -4.0),
            "mean": {unit: -3.0 - 0.02 * k for k, unit in enumerate(units)},
        },
        "train_s": 10.0,
    }


def records(label: str, shift: float = 0.0) -> list[dict[str, Any]]:
    return [
        record(label, fold=fold, seed=seed, value=value + shift + 0.1 * seed, n=n)
        for fold, value, n in (("a", 1.0, 10), ("b", 2.0, 30))
        for seed in (0, 1, 2)
    ]


def test_scores_are_pooled_over_folds_and_averaged_over_seeds() -> None:
    line = model_line(TABLE, TABLE.experiments[0], records("plain"))
    cell = line.cells[METRIC]
    by_seed = [(10 * (1.0 + 0.1 * seed) + 30 * (2.0 + 0.1 * seed)) / 40 for seed in range(3)]
    assert cell.value == pytest.approx(statistics.fmean(by_seed))
    assert cell.spread == pytest.approx(statistics.stdev(by_seed))
    assert cell.low is None
    assert (line.parameters, line.seeds, line.samples, line.missing) == (1234, 3, "100 + 20", "")


def test_a_score_of_all_folds_at_once_goes_before_their_mean() -> None:
    whole = {"model": {METRIC: score(1.7, 40)}, "baselines": {"path": {METRIC: score(4.2, 40)}}}
    done = [{**one, "pooled": whole} for one in records("plain")]
    cell = model_line(TABLE, TABLE.experiments[0], done).cells[METRIC]
    assert cell.value == pytest.approx(1.7)
    assert cell.spread == pytest.approx(0.0)
    assert cell.low == pytest.approx(1.6)
    assert {line.label: line.cells[METRIC].value for line in baseline_lines(TABLE, done) if line.cells} == {"path": 4.2}


def test_a_model_is_compared_with_the_best_baseline_unit_by_unit() -> None:
    line = model_line(TABLE, TABLE.experiments[0], records("plain"))
    assert line.rival == "mean"
    assert line.difference is not None
    assert line.difference.n == 12
    assert line.difference.low is not None
    assert line.difference.low > 0
    assert line.difference.value == pytest.approx(3.05 - (1.1 + 2.1) / 2 - 0.025)


def test_a_model_is_compared_with_the_one_without_its_part() -> None:
    found = ablation(records("scse", -0.5), records("plain"))
    assert found is not None
    assert found.value == pytest.approx(0.5)
    assert ablation([], records("plain")) is None


def test_baselines_are_ordered_by_what_is_better() -> None:
    assert [line.label for line in baseline_lines(TABLE, records("plain"))] == ["mean", "path"]


def test_what_failed_or_is_missing_is_said() -> None:
    assert model_line(TABLE, TABLE.experiments[0], []).missing == "not trained yet"
    some = [*records("plain")[:5], record("plain", fold="b", seed=2, value=math.nan, error="the loss is nan")]
    line = model_line(TABLE, TABLE.experiments[0], some)
    assert line.missing == "5 of 6 trainings: the loss is nan"


def test_a_section_says_everything(tmp_path: Path) -> None:
    everything = [*records("plain"), *records("scse", -0.5)]
    checks = [{"label": "warp", "lines": [["median error", "0.06 px"]], "error": "", "wall_s": 1.0}]
    text = writing.section(TABLE, everything, checks, where="Made on two cores; commit abc.", absent=False)
    for said in (
        "1.85 ± 0.10",
        "**+",
        "| `scse` | `plain` | **+0.5000",
        "glacier train demo --set training.seed=0",
        "`hash-a`, `hash-b`",
        "Mohajerani",
        "median error",
        "1,234",
        "commit abc",
        "| lead 1 | MAE |",
    ):
        assert said in text, said
    absent = writing.section(TABLE, [], [], where="", absent=True)
    assert "`$GLACIER_DATA/front/landsat_greenland` is absent" in absent


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    writing.replace_sections(page, {"one": "## One\n\nstale text", "two": "## Two"}, ["two", "one"])
    writing.replace_sections(page, {"one": "## One\n\nnew"}, ["two", "one"])
    text = page.read_text(encoding="utf-8")
    assert "stale text" not in text
    assert text.index("## Two") < text.index("## One") < text.index("## Losses and surprises")
    again = page.read_bytes()
    writing.replace_sections(page, {"one": "## One\n\nnew"}, ["two", "one"])
    assert page.read_bytes() == again


def test_every_experiment_is_a_valid_recipe_with_a_column_to_compare() -> None:
    assert len({table.name for table in TABLES}) == len(TABLES)
    for table in TABLES:
        assert table.columns
        labels = [experiment.label for experiment in table.experiments]
        assert len(set(labels)) == len(labels)
        assert all(experiment.against in ("", *labels) for experiment in table.experiments)
        for job in doing.jobs_of(table):
            assert recipe_named(job.recipe, job.assignments).kind == table.kind
            assert job.command.startswith("glacier train ")


def test_a_job_has_one_name_and_another_seed_another(tmp_path: Path) -> None:
    first, second, *_ = doing.jobs_of(TABLE)
    assert doing.record_path(tmp_path, first) != doing.record_path(tmp_path, second)
    assert doing.known_record(tmp_path, first) is None
    path = doing.record_path(tmp_path, first)
    path.parent.mkdir(parents=True)
    path.write_text('{"error": "the loss is nan"}', encoding="utf-8")
    assert doing.known_record(tmp_path, first) is None
    path.write_text('{"error": ""}', encoding="utf-8")
    assert doing.known_record(tmp_path, first) == {"error": ""}
