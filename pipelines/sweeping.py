"""What `glacier sweep` does: samples once, trials in worker processes, then the best values trained in full."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import EXIT_INTERRUPTED, ConfigurationError, DataError
from glacier_core.settings import Settings
from glacier_core.steps.running import PARENT_VARIABLE, log
from glacier_core.steps.searching import assignments, own_values, search_space, with_values
from glacier_core.store import Store
from glacier_pipelines.local import StepFailedError, quiet_output, stopping_at_once
from glacier_pipelines.result import Result, score_text
from glacier_pipelines.running import located, new_run, train_recipe

if TYPE_CHECKING:
    from glacier_core.registry import Study, TrialRecord

SCHEMA = "glacierflow/sweep/1"
THREADS_VARIABLE = "GLACIER_THREADS"


@dataclass(frozen=True)
class SweepResult:
    """The outcome of a sweep; `to_json` is described by `schema/sweep.json`."""

    study: str
    """Name of the study."""
    metric: str
    """The figure that judged the trials, of the validation set."""
    trials: Sequence[TrialRecord]
    """Every trial."""
    best: TrialRecord
    """The best one."""
    result: Result
    """What the full training with its values gave."""
    own: Result
    """What the recipe as it stands gave."""

    @property
    def exit_code(self) -> int:
        """That of the full training."""
        return self.result.exit_code

    def to_json(self) -> dict[str, Any]:
        """The object of `--json`."""
        return {
            "schema": SCHEMA,
            "recipe": self.result.recipe,
            "kind": self.result.kind,
            "store": self.result.store,
            "study": self.study,
            "metric": self.metric,
            "trials": [_trial_object(record) for record in self.trials],
            "best": {**_trial_object(self.best), "set": assignments(self.best.values)},
            "result": self.result.to_json(),
            "own": self.own.to_json(),
        }

    def lines(self) -> list[str]:
        """The result for people: the trials in one line, the best values, and both models' scores side by side."""
        states = Counter(record.state for record in self.trials)
        counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        best = self.best
        lines = [
            f"study     {self.study}",
            f"trials    {counts}",
            f"best      trial {best.number}, {self.metric} {best.value:.4g}",
            *(f"  --set {assignment}" for assignment in assignments(best.values)),
            f"model     {_version(self.result)}, of the recipe itself {_version(self.own)}",
        ]
        metrics = dict.fromkeys((*self.result.scores, *self.own.scores))
        found = {metric: [_score(each, metric) for each in (self.result, self.own)] for metric in metrics}
        width = max((len(metric) for metric in metrics), default=0)
        first = max((len(texts[0]) for texts in found.values()), default=0)
        if metrics:
            lines.append(f"score     {'':<{width}}  {'best trial':<{max(first, 10)}}  recipe itself")
        lines.extend(
            f"score     {metric:<{width}}  {texts[0]:<{max(first, 10)}}  {texts[1]}" for metric, texts in found.items()
        )
        lines.extend(f"report    {each.report}" for each in (self.result,) if each.report)
        return lines


def sweep_recipe(recipe: Any, store: Store, *, catalog: str, trials: int, workers: int) -> SweepResult:
    """Search, then train the recipe as it stands and with the best values.

    Args:
        recipe: the recipe.
        store: the store.
        catalog: a catalog that replaces the recipe's, or empty.
        trials: how many trials the study shall have in all, those of earlier commands included.
        workers: processes that work on it at once.

    Raises:
        ConfigurationError: the space cannot be searched, or every trial failed (with the commonest reason).
        StepFailedError: a stage failed.
    """
    space = search_space(recipe)
    run, where = new_run("sweep"), located(catalog)
    study = _searched(recipe, store, run, catalog=where, trials=trials, workers=workers)
    records, best = study.records(), study.best()
    if best is None:
        raise nothing_found(records)
    own = train_recipe(recipe, store, catalog=catalog)
    same = own_values(recipe, space) == best.values
    result = own if same else train_recipe(with_values(recipe, best.values), store, catalog=catalog)
    return SweepResult(study=study.name, metric=study.metric, trials=records, best=best, result=result, own=own)


def _searched(recipe: Any, store: Store, run: str, *, catalog: str, trials: int, workers: int) -> Study:
    """Do the trials that are missing."""
    from glacier_core.registry import live_run
    from glacier_core.steps.models import tracking_uri
    from glacier_core.steps.sweeping import make_samples, open_study

    os.environ[PARENT_VARIABLE] = str(os.getpid())
    descriptor, log_path = tempfile.mkstemp(prefix=f"glacier-{run}-", suffix=".log")
    with ExitStack() as frame:
        kept = frame.enter_context(os.fdopen(descriptor, "wb"))
        frame.enter_context(quiet_output(kept))
        frame.enter_context(stopping_at_once())
        sampled = make_samples(store=store.url, run=run, recipe=recipe, catalog=catalog)
        samples = _chain(store, sampled)["sample"]
        study = open_study(store, recipe, samples)
        again = study.give_back()
        study.suggest_first(own_values(recipe, study.space))
        done = sum(record.state in ("complete", "pruned", "failed") for record in study.records())
        told = f"; {again} that were killed are done again" if again else ""
        log.info("[sweep] study %s: %d of %d trials done%s", study.name, done, trials, told)
        if done < trials:
            parent = frame.enter_context(
                live_run(
                    tracking_uri(store),
                    experiment=recipe.name,
                    name=f"sweep {study.name}",
                    task=study.name,
                    params={"metric": study.metric, "pruning": recipe.sweep.pruning},
                )
            )
            arguments = {"store": store.url, "run": run, "sampled": sampled, "catalog": catalog, "trials": trials}
            _work(study, store, {**arguments, "parent": parent.run_id}, workers)
    Path(log_path).unlink()
    return study


def _work(study: Study, store: Store, arguments: dict[str, Any], workers: int) -> None:
    """Run the worker processes until none has anything left to do.

    A worker that a signal ended fails its trial and is replaced: each such end uses a trial up, so that they end.
    """
    given, threads = os.environ.get(THREADS_VARIABLE), max(1, Settings().thread_count() // workers)
    os.environ[THREADS_VARIABLE] = str(threads)
    running: list[SpawnProcess] = []
    try:
        running += [_started(arguments) for _ in range(workers)]
        while running:
            multiprocessing.connection.wait([worker.sentinel for worker in running])
            for worker in [found for found in running if found.exitcode is not None]:
                running.remove(worker)
                code = worker.exitcode or 0
                if code < 0 and study.fail_dead(f"its process was ended by signal {-code}"):
                    running.append(_started(arguments))
                elif code:
                    raise _failure(store, str(arguments["run"]), code)
    finally:
        for worker in running:
            worker.terminate()
        for worker in running:
            worker.join()
        # the full training has all of them again
        os.environ.pop(THREADS_VARIABLE)
        if given is not None:
            os.environ[THREADS_VARIABLE] = given


def _started(arguments: dict[str, Any]) -> SpawnProcess:
    from glacier_core.steps.sweeping import sweep

    worker = multiprocessing.get_context("spawn").Process(target=sweep, kwargs=arguments)
    worker.start()
    return worker


def _failure(store: Store, run: str, code: int) -> StepFailedError:
    """The error of a worker that ended by itself."""
    errors = [note["error"] for note in store.notes(run).values() if note["error"]]
    message = errors[-1]["message"] if errors else f"a worker of the sweep ended without saying why (code {code})"
    return StepFailedError("interrupted" if code == EXIT_INTERRUPTED else message, exit_code=code)


def nothing_found(records: Sequence[TrialRecord]) -> ConfigurationError | DataError:
    """The error of a sweep without a complete trial: the commonest reason, and how common it is."""
    reasons = [record.reason for record in records if record.state == "failed"]
    if not reasons:
        return DataError("no trial of the sweep was completed", do="run it again with more trials")
    # reasons that differ in numbers alone are one reason
    kinds = Counter(re.sub(r"[\d.e+-]*\d", "#", reason) for reason in reasons)
    kind, count = kinds.most_common(1)[0]
    example = next(reason for reason in reasons if re.sub(r"[\d.e+-]*\d", "#", reason) == kind)
    return ConfigurationError(
        f"all {len(reasons)} trials of the sweep failed, {count} of them so: {example}", do="correct the recipe"
    )


def _chain(store: Store, sampled: str) -> dict[str, Any]:
    stage, _, digest = sampled.partition("/")
    found: dict[str, Any] = store.read(stage, digest).read_json("chain.json")
    return found


def _trial_object(record: TrialRecord) -> dict[str, Any]:
    return {
        "number": record.number,
        "state": record.state,
        "value": record.value,
        "values": dict(record.values),
        "epochs": record.epochs,
        "seconds": record.seconds,
        "reason": record.reason,
    }


def _version(result: Result) -> str:
    return f"{result.model['name']}/{result.model['version']} ({result.model['alias'] or 'unpromoted'})"


def _score(result: Result, metric: str) -> str:
    return score_text(result.scores[metric]) if metric in result.scores else "-"
