"""One training and its scores, through the stages of `glacier train`; its figures as a record."""

from __future__ import annotations

import functools
import importlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any

from benchmarks.accuracy.declared import Check, Experiment, Fold, Table
from benchmarks.recording import commit
from glacier_core import steps
from glacier_core.errors import GlacierError
from glacier_core.settings import Settings
from glacier_core.sources.series import file_version
from glacier_core.steps.kinds import kind_of
from glacier_core.steps.sweeping import make_samples
from glacier_core.steps.versions import KIND_VERSIONS, STAGE_VERSIONS
from glacier_core.store import Output, Store, digest_of
from glacier_pipelines.choosing import recipe_named


@dataclass(frozen=True)
class Job:
    """One training that a table wants."""

    table: str
    """Name of the table."""
    label: str
    """Label of the experiment."""
    fold: str
    """What is held out; empty: the recipe's own split."""
    seed: int
    """`training.seed`."""
    recipe: str
    """Name of the recipe."""
    overrides: tuple[str, ...]
    """Of the experiment and of the fold."""

    @property
    def assignments(self) -> list[str]:
        """Everything that differs from the recipe."""
        return [*self.overrides, f"training.seed={self.seed}"]

    @property
    def command(self) -> str:
        """The command that does the same."""
        return f"glacier train {self.recipe} " + " ".join(f"--set {_quoted(text)}" for text in self.assignments)


def jobs_of(table: Table) -> list[Job]:
    """Every training of a table, those of the first seed first, so that an early end leaves a whole table."""
    found = [
        _job(table, experiment, fold, seed)
        for experiment in table.experiments
        for fold in table.folds
        for seed in experiment.seeds
    ]
    return sorted(found, key=lambda job: job.seed)


def job_key(job: Job) -> str:
    """Names a job's record: what it trains, on which files, and by which versions of the stages.

    The folder's own name does not count: the same files elsewhere are the same data.
    """
    recipe: Any = recipe_named(job.recipe, job.assignments)
    described = recipe.model_dump(mode="json", exclude={"data"})
    files = "" if recipe.imagery.source.startswith("simulated") else folder_digest(recipe.data)
    return digest_of([described, files, STAGE_VERSIONS, KIND_VERSIONS[recipe.kind]])


@functools.cache
def folder_digest(folder: str) -> str:
    """Names and content of all files below a folder, large ones by their time of change; empty where there is none.

    Everything counts that a recipe's imagery, labels, terrain and outlines may be: what is not used costs a training.
    """
    root = Path(folder)
    if "://" in folder or not root.is_dir():
        return ""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return digest_of([(str(path.relative_to(root)), file_version(path)) for path in files])


def record_path(folder: Path, job: Job) -> Path:
    """Where a job's record lies."""
    return folder / "records" / job.table / f"{job_key(job)}.json"


def known_record(folder: Path, job: Job) -> dict[str, Any] | None:
    """A job's record, where it was done and did not fail."""
    path = record_path(folder, job)
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return None if found["error"] else found


def prepare(folder: Path, job: Job, threads: int) -> str:
    """Make the samples that a job's recipe needs; an error in one line, or nothing."""
    os.environ["GLACIER_THREADS"] = str(threads)
    try:
        recipe = recipe_named(job.recipe, job.assignments)
        make_samples(store=str(folder / "store"), run=_run(job, "samples"), recipe=recipe, catalog="")
    except (GlacierError, SystemExit) as error:
        return _reason(error)
    return ""


def do(folder: Path, job: Job, threads: int) -> dict[str, Any]:
    """Train and score, and leave the record.

    Args:
        folder: of the store and the records.
        job: what is trained.
        threads: that this process may use.
    """
    os.environ["GLACIER_THREADS"] = str(threads)
    path = record_path(folder, job)
    begun = time.monotonic()
    record: dict[str, Any] = {**asdict(job), "command": job.command, "error": ""}
    try:
        record |= _scored(folder, job)
    except (GlacierError, SystemExit) as error:
        record["error"] = _reason(error)
    record |= {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit(),
        "threads": threads,
        "wall_s": round(time.monotonic() - begun, 1),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
    draft.replace(path)
    return record


def check(found: Check) -> dict[str, Any]:
    """Do a measurement that trains nothing."""
    module, _, function = found.function.partition(":")
    begun = time.monotonic()
    try:
        lines = getattr(importlib.import_module(module), function)(Settings().data)
    except (GlacierError, OSError) as error:
        return {"label": found.label, "lines": [], "error": str(error), "wall_s": 0.0}
    wall = round(time.monotonic() - begun, 1)
    return {"label": found.label, "lines": [list(line) for line in lines], "error": "", "wall_s": wall}


def _job(table: Table, experiment: Experiment, fold: Fold, seed: int) -> Job:
    overrides = (*experiment.overrides, *fold.overrides)
    return Job(table.name, experiment.label, fold.name, seed, experiment.recipe, overrides)


def _scored(folder: Path, job: Job) -> dict[str, Any]:
    recipe: Any = recipe_named(job.recipe, job.assignments)
    store = Store(str(folder / "store"))
    common = {"store": store.url, "run": _run(job, "train")}
    sampled = make_samples(**common, recipe=recipe, catalog="")
    evaluated = steps.evaluate(**common, trained=steps.train(**common, sampled=sampled))
    chain = _read(store, evaluated).read_json("chain.json")
    scored, trained, samples = (_read(store, chain[stage]) for stage in ("evaluate", "train", "sample"))
    scores, rows = scored.read_json("scores.json"), scored.read_json("rows.json")
    kind, told = kind_of(recipe), trained.read_json("training.json")
    split = samples.read_json("split.json")
    names = ["model", *scores["baselines"]]
    return {
        "kind": recipe.kind,
        "evaluated": chain["evaluate"],
        "headline": kind.headline,
        "lower_is_better": kind.lower_is_better,
        "confidence": recipe.measure.confidence,
        "network": recipe.model.name,
        "parameters": parameters_of(trained),
        "split_hash": str(split.get("hash", "")),
        "samples": _sample_counts(samples.read_json("samples.json")),
        "scores": scores["model"],
        "baselines": scores["baselines"],
        "units": {who: kind.contest(rows, who) for who in names},
        "epochs": told["stopped_epoch"],
        "best_epoch": told["best_epoch"],
        "precision": told["precision"],
        "train_s": told["seconds"],
    }


def _read(store: Store, reference: str) -> Output:
    stage, _, digest = reference.partition("/")
    return store.read(stage, digest)


def parameters_of(trained: Output) -> int:
    """Numbers in all networks of a trained model, of which several may vote."""
    return sum(_parameters(trained.read_bytes(name)) for name in trained.files() if name.endswith(".safetensors"))


def _parameters(weights: bytes) -> int:
    """Numbers in a safetensors file: its header, in JSON, tells every tensor's shape."""
    length = int.from_bytes(weights[:8], "little")
    header: Mapping[str, Any] = json.loads(weights[8 : 8 + length])
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _sample_counts(samples: Mapping[str, Any]) -> dict[str, int]:
    """How many samples each set has, whatever the kind calls them."""
    for found in (samples, *samples.values()):
        if isinstance(found, Mapping) and isinstance(found.get("train"), list | int):
            parts = {part: found.get(part, 0) for part in ("train", "validation")}
            return {part: count if isinstance(count, int) else len(count) for part, count in parts.items()}
    return {}


def _reason(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, SystemExit) else error
    return str(cause) if isinstance(cause, GlacierError) else f"ended with {error!r}"


def _run(job: Job, what: str) -> str:
    return f"results-{what}-{digest_of(asdict(job))}"


def _quoted(text: str) -> str:
    return f"'{text}'" if any(letter in text for letter in ' []{}"') else text
