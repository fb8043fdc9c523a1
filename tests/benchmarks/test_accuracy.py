"""The tables of docs/results.md: pooled, averaged and compared as they say."""

from __future__ import annotations

import math
import shutil
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from benchmarks import bench_motion
from benchmarks.accuracy import doing, motion_checks, writing
from benchmarks.accuracy.declared import Check, Column, Experiment, Fold, Table
from benchmarks.accuracy.experiments import ELSEWHERE, TABLES
from benchmarks.accuracy.summing import ablation, baseline_lines, model_line
from glacier_core.models import MODELS
from glacier_core.settings import Settings
from glacier_core.steps.running import Step
from glacier_core.store import Store
from glacier_pipelines.choosing import RECIPES, recipe_named

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
    elsewhere = {"caffe-front": "its data are not at hand"}
    writing.replace_sections(page, {"one": "## One\n\nstale text", "two": "## Two"}, ["two", "one"], elsewhere={})
    writing.replace_sections(page, {"one": "## One\n\nnew"}, ["two", "one"], elsewhere=elsewhere)
    text = page.read_text(encoding="utf-8")
    assert "stale text" not in text
    assert text.index("## Two") < text.index("## One") < text.index("## Losses and surprises")
    assert "- `caffe-front`: its data are not at hand" in text
    again = page.read_bytes()
    writing.replace_sections(page, {"one": "## One\n\nnew"}, ["two", "one"], elsewhere=elsewhere)
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


def test_every_recipe_that_trains_stands_in_a_table_or_is_named_with_the_reason() -> None:
    trainable = {path.stem for path in RECIPES.glob("*.yaml") if recipe_named(path.stem, []).kind != "cube"}
    shown = {experiment.recipe for table in TABLES for experiment in table.experiments}
    assert shown | ELSEWHERE.keys() == trainable
    assert not shown & ELSEWHERE.keys()


def test_every_network_is_trained_with_three_seeds_in_some_table() -> None:
    found: dict[str, int] = {}
    for table in TABLES:
        for experiment in table.experiments:
            recipe: Any = recipe_named(experiment.recipe, experiment.overrides)
            found[recipe.model.name] = max(found.get(recipe.model.name, 0), len(experiment.seeds))
    assert found == dict.fromkeys(MODELS, 3)


def test_folds_that_two_tables_share_are_one_training() -> None:
    first, second = (
        {doing.job_key(job) for job in doing.jobs_of(table) if job.label == "unet" and job.seed == 0}
        for table in TABLES
        if table.name.startswith("greenland-front")
    )
    assert len(first & second) == 2


def test_measurements_of_motion_stand_beside_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {check.label.split()[1]: check for table in TABLES for check in table.checks}
    assert set(checks) == {"known", "given"}
    rough = gaussian_filter(np.random.default_rng(0).normal(100, 80, (240, 240)), 2).astype(np.float32)
    monkeypatch.setattr(bench_motion, "images", lambda motion: iter([("rough", rough)]))  # noqa: ARG005
    found = doing.check(checks["known"])
    assert found["error"] == ""
    assert found["lines"][0][1].endswith("(at most 0.1: held)")


@pytest.mark.skipif(not (Settings().data / "motion/kaskawulsh_velocity").is_dir(), reason="GLACIER_DATA lacks it")
def test_the_given_field_is_measured_over_bedrock() -> None:
    lines = dict(motion_checks.bedrock(Settings().data))
    assert lines["NMAD over bedrock, east"].endswith(" m/day")
    assert abs(float(lines["median over bedrock, east"].split()[0])) < 0.1


def test_a_measurement_without_its_files_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLACIER_DATA", str(tmp_path))
    check = Check("bedrock", "benchmarks.accuracy.motion_checks:known_warp")
    assert "20200101.jpg" in doing.check(check)["error"]


def test_changed_data_are_another_job(tmp_path: Path) -> None:
    for name in ("images/a.png", "drawn/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"one")
    job = doing.Job("t", "unet", "", 0, "greenland-front", (f"data={tmp_path}",))
    before = doing.job_key(job)
    shutil.copytree(tmp_path, tmp_path.with_name("copy"))
    assert doing.job_key(replace(job, overrides=(f"data={tmp_path.with_name('copy')}",))) == before
    (tmp_path / "drawn/a.png").write_bytes(b"two")
    doing.folder_digest.cache_clear()
    assert doing.job_key(job) != before


def test_parameters_are_those_of_all_members(tmp_path: Path) -> None:
    from safetensors.torch import save

    weights = save({"a": torch.zeros(2, 3)})

    def make(attempt: Any) -> None:
        for name in ("weights.safetensors", "member-1.safetensors", "training.json"):
            attempt.write_bytes(name, weights)

    trained = Step(store=Store(tmp_path), run="", stage="train").build("train", part={}, inputs=[], make=make)
    assert doing.parameters_of(trained) == 12


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
