"""Sweeps as Optuna studies (Akiba et al. 2019, doi:10.1145/3292500.3330701), which many processes work on at once.

A trial belongs to the process that claimed it, which holds a lock as long as it lives: what a killed process left half
done is found by its lock being free, and done again.
"""

from __future__ import annotations

import fcntl
import json
import socket
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from glacier_core.errors import ServiceUnavailableError, StoreError
from glacier_core.recipes import Range
from glacier_core.store import digest_of

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna import Trial as OptunaTrial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

FALLING = ("loss", "error", "mae", "mse", "rmse", "distance", "crps")
"""A figure with one of these in its name is better where it is smaller."""
STARTING = 8
"""Trials with random values, before the sampler learns from those that are done; also those that nothing cuts."""
HOPELESS = 10
"""A sweep ends where so many trials have failed and none has not."""

_OWNER, _REASON, _GIVEN_BACK, _FOUND = "owner", "reason", "given_back", "found"


class TrialPrunedError(Exception):
    """The trial has fallen behind the others at the same epoch and is cut short."""


@dataclass(frozen=True)
class TrialRecord:
    """A trial as it stands."""

    number: int
    """From 0."""
    state: str
    """waiting, running, complete, pruned, failed, or killed: begun by a process that died, and done again since."""
    value: float | None
    """The figure that judges, at the epoch that is kept; of a pruned trial, at its last epoch."""
    values: Mapping[str, Any]
    """Recipe keys with the values that were tried."""
    epochs: int
    """Epochs that were trained."""
    seconds: float
    """Wall time."""
    reason: str
    """Why it failed; empty: it did not."""


class Study:
    """One sweep.

    Args:
        storage: URL of a database (`sqlite:///…`, `postgresql://…`) or the path of a folder of journals.
        name: of the study; the same for every process that works on it.
        metric: the figure that judges.
        space: recipe key to a range or to the values to choose from.
        pruning: median, hyperband or none.
        epochs: the most epochs that a trial may take.
        seed: everything random follows from it and the trial's number.

    Raises:
        ServiceUnavailableError: the database cannot be reached.
        StoreError: the storage cannot be written.
    """

    def __init__(
        self,
        storage: str,
        *,
        name: str,
        metric: str,
        space: Mapping[str, Range | tuple[Any, ...]],
        pruning: str,
        epochs: int,
        seed: int,
    ) -> None:
        self.name = name
        self.metric = metric
        self.space = space
        self.rising = not any(word in metric for word in FALLING)
        self._seed = seed
        self._folder = Path(tempfile.gettempdir() if _is_database(storage) else storage) / f"{name}.processes"
        self._owner = ""
        self._study, self._storage = _opened(storage, name=name, rising=self.rising, pruner=_pruner(pruning, epochs))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold this process's lock, by which others see that it lives."""
        path = self._locks() / f"{uuid.uuid4().hex}.alive"
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._owner = f"{socket.gethostname()}:{path.name}"
            try:
                yield
            finally:
                self._owner = ""
                path.unlink(missing_ok=True)

    def claim(self, most: int) -> ClaimedTrial | None:
        """The next trial; None where there are enough, or where all have failed."""
        with self._claiming():
            known = [record.state for record in self.records()]
            counted = sum(state not in ("waiting", "killed") for state in known)
            hopeless = known.count("failed") >= HOPELESS and not {"complete", "pruned"} & set(known)
            if counted >= most or hopeless:
                return None
            trial = self._study.ask()
            trial.set_user_attr(_OWNER, self._owner)
        # a sampler of the trial's own: what it suggests is the same, whichever process asks, and after a pause
        self._study.sampler = _sampler(int(digest_of([self._seed, trial.number]), 16) % 2**31)
        return ClaimedTrial(self, trial, self._study)

    def suggest_first(self, values: Mapping[str, Any]) -> None:
        """Have these values tried first, where nothing has been tried yet: the recipe's own."""
        if not self._study.get_trials(deepcopy=False) and values:
            self._study.enqueue_trial(_encoded(values, self.space), skip_if_exists=True)

    def give_back(self) -> int:
        """Have those trials done again whose processes have died; their number."""
        dead = self._end_dead(_GIVEN_BACK, "its process died")
        for trial in dead:
            self._study.enqueue_trial(trial.params)
        return len(dead)

    def fail_dead(self, reason: str) -> int:
        """Record those trials as failed whose processes have died; their number."""
        return len(self._end_dead(_REASON, reason))

    def records(self) -> list[TrialRecord]:
        """Every trial, in order of their numbers."""
        return [self._record(trial) for trial in self._study.get_trials(deepcopy=False)]

    def best(self) -> TrialRecord | None:
        """The best complete trial; None where there is none."""
        done = [record for record in self.records() if record.state == "complete" and record.value is not None]
        sign = -1.0 if self.rising else 1.0
        return min(done, key=lambda record: (sign * float(record.value or 0.0), record.number), default=None)

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        names = {"complete": "complete", "pruned": "pruned", "fail": "failed", "running": "running"}
        state = names.get(trial.state.name.lower(), "waiting")
        attributes = trial.user_attrs
        if attributes.get(_GIVEN_BACK):
            state = "killed"
        found = attributes.get(_FOUND, {})
        seconds = trial.duration.total_seconds() if trial.duration else 0.0
        return TrialRecord(
            number=trial.number,
            state=state,
            value=trial.value if state in ("complete", "pruned") else None,
            values=_decoded(trial.params, self.space),
            epochs=int(found.get("epochs", len(trial.intermediate_values))),
            seconds=round(seconds, 1),
            reason=str(attributes.get(_REASON, "")),
        )

    def _end_dead(self, key: str, value: str) -> list[FrozenTrial]:
        from optuna.trial import TrialState

        with self._claiming():
            running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            dead = [trial for trial in running if self._died(trial)]
            study = self._storage.get_study_id_from_name(self.name)
            for trial in dead:
                # before it ends: nothing can be said of a trial that has
                known = self._storage.get_trial_id_from_study_id_trial_number(study, trial.number)
                self._storage.set_trial_user_attr(known, key, value)
                self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        return dead

    def _died(self, trial: FrozenTrial) -> bool:
        host, _, name = str(trial.user_attrs.get(_OWNER, "")).partition(":")
        # a trial without an owner was cut off between two lines of `claim`
        return not name or (host == socket.gethostname() and not _held(self._locks() / name))

    def _locks(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    @contextmanager
    def _claiming(self) -> Iterator[None]:
        """One process of this machine at a time, so that there are never more trials than were asked for."""
        with (self._locks() / "claim").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@dataclass
class ClaimedTrial:
    """A trial that this process does."""

    study: Study
    """Its study."""
    trial: OptunaTrial
    """Optuna's."""
    own: OptunaStudy
    """Optuna's study."""
    values: dict[str, Any] = field(init=False)
    """Recipe keys with the values to try."""

    def __post_init__(self) -> None:
        self.values = {key: _suggested(self.trial, key, values) for key, values in self.study.space.items()}

    @property
    def number(self) -> int:
        """From 0."""
        return int(self.trial.number)

    def report(self, epoch: int, value: float) -> None:
        """Say how good the trial is after an epoch.

        Raises:
            TrialPrunedError: it has fallen behind.
        """
        self.trial.report(value, epoch)
        if self.trial.should_prune():
            raise TrialPrunedError

    def complete(self, value: float, **found: Any) -> None:
        """The trial is done.

        Args:
            value: the figure that judges.
            found: what else is kept of it, such as `epochs`.
        """
        self.trial.set_user_attr(_FOUND, found)
        self.own.tell(self.trial, value)

    def prune(self) -> None:
        """The trial was cut short."""
        from optuna.trial import TrialState

        self.own.tell(self.trial, state=TrialState.PRUNED)

    def fail(self, reason: str) -> None:
        """The trial failed, and why."""
        from optuna.trial import TrialState

        self.trial.set_user_attr(_REASON, reason)
        self.own.tell(self.trial, state=TrialState.FAIL)


def _opened(storage: str, *, name: str, rising: bool, pruner: Any) -> tuple[OptunaStudy, BaseStorage]:
    import optuna
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import StudyDirection
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        kept: BaseStorage
        if _is_database(storage):
            kept = RDBStorage(storage)
        else:
            Path(storage).mkdir(parents=True, exist_ok=True)
            kept = JournalStorage(JournalFileBackend(str(Path(storage) / f"{name}.journal")))
        direction = StudyDirection.MAXIMIZE if rising else StudyDirection.MINIMIZE
        study = optuna.create_study(
            storage=kept, study_name=name, direction=direction, load_if_exists=True, pruner=pruner
        )
    except SQLAlchemyError as error:
        shown = str(error).splitlines()[0][:300]
        raise ServiceUnavailableError(
            f"the database of sweeps at {_without_password(storage)} cannot be used ({shown})",
            do="check GLACIER_SWEEPS",
        ) from error
    except OSError as error:
        raise StoreError(f"the journal of sweeps in {storage} cannot be written ({error.strerror})") from error
    return study, kept


def _pruner(pruning: str, epochs: int) -> Any:
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    if pruning == "median":
        return MedianPruner(n_startup_trials=STARTING, n_warmup_steps=max(1, epochs // 10), n_min_trials=3)
    return HyperbandPruner(max_resource=max(epochs, 3)) if pruning == "hyperband" else NopPruner()


def _sampler(seed: int) -> Any:
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, n_startup_trials=STARTING)


def _suggested(trial: OptunaTrial, key: str, values: Range | tuple[Any, ...]) -> Any:
    if not isinstance(values, Range):
        return json.loads(trial.suggest_categorical(key, [json.dumps(value) for value in values]))
    if values.whole:
        return trial.suggest_int(key, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(key, float(values.low), float(values.high), log=values.log)


def _encoded(values: Mapping[str, Any], space: Mapping[str, Range | tuple[Any, ...]]) -> dict[str, Any]:
    return {key: value if isinstance(space[key], Range) else json.dumps(value) for key, value in values.items()}


def _decoded(values: Mapping[str, Any], space: Mapping[str, Range | tuple[Any, ...]]) -> dict[str, Any]:
    return {key: value if isinstance(space.get(key), Range) else json.loads(value) for key, value in values.items()}


def _held(path: Path) -> bool:
    """Whether a living process holds the lock of this file."""
    try:
        with path.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _is_database(storage: str) -> bool:
    return "://" in storage


def _without_password(storage: str) -> str:
    parts = urlsplit(storage)
    return storage.replace(f":{parts.password}@", ":***@") if parts.password else storage
