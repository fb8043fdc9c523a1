"""Run a pipeline on this machine: every task a process of its own, by kfp's SubprocessRunner."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

from glacier_core.errors import EXIT_INTERRUPTED, GlacierError
from glacier_core.steps.running import MARK, PARENT_VARIABLE
from glacier_core.store import Store


class StepFailedError(GlacierError):
    """A step of the pipeline ended with an error; carries that step's exit code."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run_pipeline(pipeline: Callable[..., Any], *, store: Store, run: str, **arguments: str) -> str:
    """Run a pipeline to its end and return its output.

    Progress goes to standard error; everything that the runner and the tasks print goes to a log file, which is kept
    where the run fails.

    Raises:
        StepFailedError: a step failed; the message is the step's own.
    """
    from kfp import local

    os.environ[PARENT_VARIABLE] = str(os.getpid())
    descriptor, log_path = tempfile.mkstemp(prefix=f"glacier-{run}-", suffix=".log")
    with tempfile.TemporaryDirectory(prefix="glacier-pipeline-") as root, os.fdopen(descriptor, "wb") as log:
        local.init(runner=local.SubprocessRunner(use_venv=False), raise_on_error=True, pipeline_root=root)
        try:
            with quiet_output(log), stopping_at_once():
                task = pipeline(store=store.url, run=run, **arguments)
        except RuntimeError as error:
            raise _failure(store, run, log_path, error) from None
        # a runner that reports success is not trusted alone: without an output the last step has published nothing
        if not task.output:
            raise StepFailedError(f"the pipeline ended without an output; its log is {log_path}", exit_code=1)
    Path(log_path).unlink()
    return str(task.output)


def _failure(store: Store, run: str, log: str, error: RuntimeError) -> StepFailedError:
    errors = [note for note in store.notes(run).values() if note["error"]]
    if not errors:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return StepFailedError(f"a step ended without saying why ({first}); its log is {log}", exit_code=1)
    worst = errors[0]["error"]
    if worst["exit_code"] == 1:
        return StepFailedError(f"{worst['message']}; this is a defect, please report it with {log}", exit_code=1)
    Path(log).unlink(missing_ok=True)
    return StepFailedError(worst["message"], exit_code=worst["exit_code"])


@contextmanager
def quiet_output(log: BinaryIO) -> Iterator[None]:
    """Send descriptors 1 and 2 to a log file, and the marked lines among them to the real standard error.

    kfp prints task logs to standard output, and child processes write to the descriptors, not to `sys.stdout`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.dup2(writer, 2)
    os.close(writer)
    relay = threading.Thread(target=_relay, args=(reader, kept[1], log), daemon=True)
    relay.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        relay.join(timeout=5)
        for descriptor in kept:
            os.close(descriptor)


def _relay(reader: int, terminal: int, log: BinaryIO) -> None:
    with os.fdopen(reader, "rb") as lines:
        for line in lines:
            log.write(line)
            log.flush()
            _, mark, message = line.partition(MARK.encode())
            if mark:
                os.write(terminal, message)


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """End the process at SIGINT and SIGTERM: the tasks end with it, and nothing unpublished counts."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        os.write(2, f"{MARK}interrupted; the same command goes on from what is published\n".encode())
        # the relay's thread writes the line; kfp's own handlers would wait for its children first
        threading.Event().wait(0.2)
        os._exit(EXIT_INTERRUPTED)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
