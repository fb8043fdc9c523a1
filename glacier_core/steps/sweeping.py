"""`sweep`: trainings of one recipe with other values, each a trial of a study that many processes share.

A trial is judged by the validation set alone. Training knows nothing of studies: it is handed a callable that is told
each epoch's figures, and that ends it by raising where it has fallen behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from glacier_core.errors import ConfigurationError, GlacierError, ServiceUnavailableError, StoreError
from glacier_core.recipes import Range
from glacier_core.settings import Settings
from glacier_core.steps.fitting import check_recipe
from glacier_core.steps.kinds import kind_of
from glacier_core.steps.models import tracking_uri
from glacier_core.steps.plans import Plan, read_plan
from glacier_core.steps.running import Step, log, running
from glacier_core.steps.searching import LOSS, search_space, shown, with_values
from glacier_core.store import Output, Store, digest_of

if TYPE_CHECKING:
    from glacier_core.registry import ClaimedTrial, Study, TrialRecord

# what a trial is judged by where the losses of trials cannot be compared
_WITHOUT_LOSS: Mapping[str, str] = {"segmentation": "validation_iou", "forecast": "validation_rmse"}
# parts of a recipe that no sample depends on, except as the kind's `sample_part` says
_LATER = {"model", "training", "sweep", "measure", "batches", "title"}


def sweep_storage(store: Store) -> str:
    """Where studies are kept: the setting, or the folder `sweeps` beside a store on this machine.

    Raises:
        ConfigurationError: the store is elsewhere and nothing is set.
    """
    configured = Settings().sweeps
    if configured:
        return configured
    parts = urlsplit(store.url)
    if parts.scheme not in ("", "file"):
        raise ConfigurationError(
            f"no place is set for the sweeps of the store {store.url}",
            expected="GLACIER_SWEEPS=<database URL or folder>",
            do="set it; only a store on this machine has sweeps beside it",
        )
    return str(Path(parts.path).resolve().parent / "sweeps")


def open_study(store: Store, recipe: Any, samples: str) -> Study:
    """The study of a recipe's sweep: the same one for every process, and for the command that goes on.

    Args:
        store: the store.
        recipe: the recipe; how many trials it wants makes no other study.
        samples: reference of its samples.
    """
    from glacier_core.registry import Study

    space = search_space(recipe)
    sweep = recipe.sweep
    metric = sweep.metric
    if not metric:
        metric = _WITHOUT_LOSS[kind_of(recipe).task] if LOSS in space else "validation_loss"
    plain_space = {key: found.model_dump() if isinstance(found, Range) else found for key, found in space.items()}
    made_from = [samples, recipe.model, recipe.training, plain_space, metric, sweep.pruning, sweep.seed]
    return Study(
        sweep_storage(store),
        name=f"{recipe.name}-{digest_of(made_from)[:12]}",
        metric=metric,
        space=space,
        pruning=sweep.pruning,
        epochs=recipe.training.epochs,
        seed=sweep.seed,
    )


def sweep(*, store: str, run: str, sampled: str, catalog: str, trials: int, parent: str) -> None:
    """Do trials until the study has enough; any number of processes may do so at once.

    Args:
        store: URL of the store.
        run: identifier of the run.
        sampled: what `sample` returned for the recipe itself.
        catalog: a STAC catalog that replaces the recipe's, or empty.
        trials: how many trials the study shall have.
        parent: id of the MLflow run that the trials' runs are parts of; may be empty.
    """
    with running(store=store, run=run, stage="sweep") as step:
        from glacier_core.registry import live_run

        chain = step.read_chain(sampled)
        plan = read_plan(step, chain["plan"])
        study = open_study(step.store, plan.recipe, chain["sample"])
        bench = _Bench(step, plan, step.read(chain["sample"]), catalog)
        with study.working():
            while (trial := study.claim(trials)) is not None:
                # the same values have the same run and checkpoint, so that a trial that was killed goes on
                task = digest_of([study.name, trial.values])
                with live_run(
                    tracking_uri(step.store),
                    experiment=plan.recipe.name,
                    name=f"trial {trial.number}",
                    task=task,
                    params=trial.values,
                    parent=parent,
                ) as live:
                    reason = _tried(step, bench, study, trial, f"sweep/{task}", live.track)
                    if reason:
                        live.fail(reason)
                step.store.drop_work(f"sweep/{task}")
                log.info("[sweep] %s", _progress(study, trial.number, trials))


@dataclass
class _Bench:
    """The samples that trials are trained on: the recipe's own wherever their values change nothing about them."""

    step: Step
    plan: Plan
    samples: Output
    catalog: str
    others: dict[str, tuple[str, str]] = field(default_factory=dict)

    def of(self, recipe: Any) -> tuple[Plan, Output]:
        """Plan and samples for a trial's recipe."""
        check_recipe(kind_of(recipe), recipe)
        own = replace(self.plan, recipe=recipe, kind=kind_of(recipe))
        before = self.plan.recipe
        same = recipe.model_dump(exclude=_LATER) == before.model_dump(exclude=_LATER)
        if same and own.kind.sample_part(own) == self.plan.kind.sample_part(self.plan):
            return own, self.samples
        part = own.kind.sample_part(own)
        key = digest_of([recipe.model_dump(mode="json", exclude=_LATER), part])
        if key not in self.others:
            self.others[key] = self._sampled(recipe)
        planned, samples = self.others[key]
        return replace(read_plan(self.step, planned), recipe=recipe, kind=kind_of(recipe)), self.step.read(samples)

    def _sampled(self, recipe: Any) -> tuple[str, str]:
        """Plan and samples of a recipe, by the stages of a training; what is published is not made again."""
        try:
            sampled = make_samples(
                store=self.step.store.url, run=f"{self.step.run}-samples", recipe=recipe, catalog=self.catalog
            )
        except SystemExit as end:
            # a stage ends its process; here the trial ends, with what the stage said
            if isinstance(end.__cause__, GlacierError):
                raise end.__cause__ from None
            raise
        chain = self.step.read_chain(sampled)
        return chain["plan"], chain["sample"]


def make_samples(*, store: str, run: str, recipe: Any, catalog: str) -> str:
    """The stages of a training up to the samples, one after another in this process; what `sample` returned."""
    from glacier_core import steps

    common = {"store": store, "run": run}
    batches = steps.plan(**common, recipe=recipe.model_dump_json(), purpose="train", catalog=catalog, model="")
    labelled = []
    for batch in batches:
        prepared = steps.prepare(**common, ingested=steps.ingest(**common, batch=batch))
        labelled.append(steps.label(**common, prepared=prepared))
    return steps.sample(**common, labelled=labelled)


def _tried(
    step: Step,
    bench: _Bench,
    study: Study,
    trial: ClaimedTrial,
    work: str,
    track: Callable[[int, Mapping[str, Any]], None],
) -> str:
    """Train a trial and tell the study how it ended; the reason where it failed, else nothing."""
    from glacier_core.registry import TrialPrunedError

    begun = time.monotonic()
    judge = _Judge(study.metric)

    def report(epoch: int, found: dict[str, float]) -> None:
        track(epoch, found)
        trial.report(epoch, judge.after(found))

    try:
        plan, samples = bench.of(with_values(bench.plan.recipe, trial.values))
        fitted = plan.kind.fit(step, plan, samples, checkpoints=step.store.work_folder(work), track=report)
        history = fitted.trained.history
        value = _Judge(study.metric).all(history)
    except TrialPrunedError:
        trial.prune()
        return ""
    except (ServiceUnavailableError, StoreError):
        # what is down or full is so for every trial: the sweep ends, and this trial is done again
        raise
    except Exception as error:  # noqa: BLE001 - whatever one trial dies of, others may live
        reason = str(error) if isinstance(error, GlacierError) else f"{type(error).__name__}: {error}"
        trial.fail(reason)
        return reason
    trial.complete(value, epochs=len(history), seconds=round(time.monotonic() - begun, 1))
    return ""


@dataclass
class _Judge:
    """The figure of the epoch that is kept: the one with the least validation loss."""

    metric: str
    least: float = float("inf")
    value: float = float("nan")

    def after(self, found: Mapping[str, float]) -> float:
        """The figure so far, after one more epoch."""
        if self.metric not in found:
            known = [name for name in found if name.startswith("validation")]
            raise ConfigurationError(
                f"sweep.metric is '{self.metric}'", expected=f"one of {', '.join(known)}", do="correct the recipe"
            )
        if found["validation_loss"] < self.least:
            self.least, self.value = found["validation_loss"], found[self.metric]
        return self.value

    def all(self, history: list[dict[str, float]]) -> float:
        """The figure after all epochs."""
        for found in history:
            self.after(found)
        return self.value


def _progress(study: Study, number: int, trials: int) -> str:
    """One line about a trial that has ended, and the best so far."""
    records = study.records()
    ended = sum(record.state in ("complete", "pruned", "failed") for record in records)
    line = f"{ended} of {trials}: {trial_line(records[number], study.metric)}"
    best = study.best()
    return line if best is None else f"{line}; best {best.value:.4g} (trial {best.number})"


def trial_line(record: TrialRecord, metric: str) -> str:
    """One line about a trial, for people."""
    values = ", ".join(f"{key} {shown(value)}" for key, value in record.values.items())
    told = {
        "complete": f"{metric} {record.value:.4g}" if record.value is not None else metric,
        "failed": f"failed: {record.reason}",
    }.get(record.state, record.state)
    return f"trial {record.number} {told}; {values}; {record.epochs} epochs, {record.seconds:.0f} s"
