"""What a training says while it runs: an MLflow run that opens with it, takes every epoch, and ends as it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ServiceUnavailableError, StoreError
from glacier_core.registry.recording import PARAMS_AT_ONCE, experiment_id, is_number, metric_key
from glacier_core.registry.registries import Registry
from glacier_core.registry.talking import talking

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("glacier")

TASK_TAG = "glacierflow.task"
REASON_TAG = "glacierflow.reason"
PARENT_TAG = "mlflow.parentRunId"
# MLflow's limit for the value of a tag
_TAG_LENGTH = 5000


class LiveRun:
    """An MLflow run that is open. What cannot be told to the server is left out: no training ends because of it."""

    def __init__(self, client: MlflowClient, run_id: str, *, tracking: str) -> None:
        self.run_id = run_id
        self._client = client
        self._tracking = tracking
        self._silent = False
        self._status = "FINISHED"

    def track(self, epoch: int, found: Mapping[str, Any]) -> None:
        """Log an epoch's figures; the epoch is their step."""
        now = int(time.time() * 1000)

        def tell(mlflow: Any) -> None:
            metrics = [
                mlflow.entities.Metric(metric_key(key), float(value), now, epoch)
                for key, value in found.items()
                if is_number(value) and key != "epoch"
            ]
            self._client.log_batch(self.run_id, metrics=metrics)

        self._tell(tell)

    def tag(self, key: str, value: str) -> None:
        """Keep a word about the run."""
        self._tell(lambda _mlflow: self._client.set_tag(self.run_id, key, value[:_TAG_LENGTH]))

    def fail(self, reason: str) -> None:
        """What the run is of has failed, though its block goes on."""
        self._status = "FAILED"
        self.tag(REASON_TAG, reason)

    def end(self, status: str = "") -> None:
        """Close the run: FINISHED, FAILED or KILLED; FINISHED where nothing else was said."""
        self._tell(lambda _mlflow: self._client.set_terminated(self.run_id, status=status or self._status))

    def _tell(self, what: Any) -> None:
        try:
            with talking(self._tracking) as mlflow:
                what(mlflow)
        except (ServiceUnavailableError, StoreError) as error:
            if not self._silent:
                log.warning("[tracking] not logged: %s", error)
            self._silent = True
        else:
            self._silent = False


@contextmanager
def live_run(
    tracking: str, *, experiment: str, name: str, task: str, params: Mapping[str, object], parent: str = ""
) -> Iterator[LiveRun]:
    """Open a run for a training; a run of the same task that was cut short is gone on with.

    Args:
        tracking: tracking URI.
        experiment: name of the experiment, the recipe's.
        name: what the run is called in lists.
        task: names what is trained: equal for a training and the one that goes on from its checkpoint.
        params: what the training was told.
        parent: id of the run that this one is a part of; may be empty.

    Yields:
        The run; it is FINISHED when the block ends, KILLED where it was interrupted, FAILED where it raised.

    Raises:
        ServiceUnavailableError: the server cannot be reached when the run is opened.
        StoreError: it refused then.
    """
    client = Registry(tracking).client()
    with talking(tracking) as mlflow:
        run_id = _opened(mlflow, client, experiment_id(mlflow, client, experiment, tracking), name, task, parent)
        known = [mlflow.entities.Param(key, str(value)) for key, value in params.items()]
        for start in range(0, len(known), PARAMS_AT_ONCE):
            client.log_batch(run_id, params=known[start : start + PARAMS_AT_ONCE])
    run = LiveRun(client, run_id, tracking=tracking)
    try:
        yield run
    except Exception as error:
        run.fail(f"{type(error).__name__}: {error}")
        run.end()
        raise
    except BaseException:
        run.end("KILLED")
        raise
    run.end()


def _opened(mlflow: Any, client: MlflowClient, experiment: str, name: str, task: str, parent: str) -> str:
    """The id of a new run, or of the unfinished one of this task."""
    wanted = f"tags.`{TASK_TAG}` = '{task}' and attributes.status != 'FINISHED'"
    for found in client.search_runs([experiment], filter_string=wanted, max_results=1):
        client.update_run(found.info.run_id, status="RUNNING")
        return str(found.info.run_id)
    tags = {TASK_TAG: task, mlflow.utils.mlflow_tags.MLFLOW_RUN_NAME: name}
    if parent:
        tags[PARENT_TAG] = parent
    return str(client.create_run(experiment, tags=tags).info.run_id)
