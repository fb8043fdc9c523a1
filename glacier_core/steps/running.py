"""What every stage shares: the frame that it runs in, its status, and the loop over a batch's units."""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from glacier_core.errors import (
    EXIT_INTERRUPTED,
    ConfigurationError,
    GlacierError,
    ServiceUnavailableError,
    StoreError,
    WithheldError,
)
from glacier_core.lifetimes import die_with_parent
from glacier_core.settings import Settings
from glacier_core.steps.versions import version_of
from glacier_core.store import Output, Store, stage_digest

log = logging.getLogger("glacier")

PARENT_VARIABLE = "GLACIER_PARENT"
MARK = "glacier| "
UNIT_ATTEMPTS = 3
PROGRESS_SECONDS = 5.0
CHAIN_FACTS = ("version", "alias")


@dataclass
class Step:
    """One running stage: where it keeps things, and what it has to say when it ends."""

    store: Store
    """The store of the run."""
    run: str
    """Identifier of the pipeline run; status and errors are kept under it."""
    stage: str
    """Name of the stage."""
    kind: str = ""
    """Kind of the recipe that it works for, once that is known."""
    found: int = 0
    """Outputs that were there already."""
    made: int = 0
    """Outputs that had to be made, and other things done."""
    units: dict[str, int] = field(default_factory=lambda: {"done": 0, "failed": 0, "withheld": 0})
    """Units by outcome; only the stages that loop over units fill it."""
    notes: list[dict[str, str]] = field(default_factory=list)
    """Units that failed or were withheld, with their reasons."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the command shows of this stage: model, scores, products."""

    @property
    def reused(self) -> bool:
        """Whether there was something to make, and all of it was there."""
        return self.found > 0 and not self.made

    def build(
        self,
        stage: str,
        *,
        part: Mapping[str, Any],
        inputs: Sequence[str],
        make: Callable[[Any], None],
    ) -> Output:
        """The published output of `stage` for this part of the recipe and these inputs, made now if it is not there."""
        found = self.find_built(stage, part=part, inputs=inputs)
        if found is not None:
            self.found += 1
            return found
        self.made += 1
        version = version_of(stage, self.kind)
        with self.store.attempt(stage, stage_digest(stage, version=version, part=part, inputs=inputs)) as attempt:
            make(attempt)
            return attempt.publish(part=part, inputs=list(inputs), version=version)

    def find_built(self, stage: str, *, part: Mapping[str, Any], inputs: Sequence[str] = ()) -> Output | None:
        """What `build` would find published, or None."""
        version = version_of(stage, self.kind)
        return self.store.find(stage, stage_digest(stage, version=version, part=part, inputs=inputs))

    def read(self, reference: str) -> Output:
        """The published output that a reference `<stage>/<digest>` names."""
        stage, _, digest = reference.partition("/")
        return self.store.read(stage, digest)

    def over_units(
        self, entries: Sequence[Mapping[str, Any]], *, do: Callable[[Mapping[str, Any]], str]
    ) -> list[dict[str, Any]]:
        """Do each unit, go on past those that fail, and say how each one ended.

        Args:
            entries: one {unit, state, reason, refs} a unit; those that are not `done` pass through.
            do: makes one unit from its entry and returns its reference, kept in `refs` under this stage's name.

        Returns:
            Entries of the same form, in the same order.
        """
        results = []
        last_word = time.monotonic()
        for number, entry in enumerate(entries, start=1):
            outcome = self._one(entry, do)
            self.units[outcome["state"]] += 1
            if outcome["state"] != "done":
                self.notes.append({key: outcome[key] for key in ("unit", "state", "reason")})
            results.append(outcome)
            if time.monotonic() - last_word > PROGRESS_SECONDS or number == len(entries):
                last_word = time.monotonic()
                log.info("[%s] %d of %d units%s", self.stage, number, len(entries), " reused" if self.reused else "")
        return results

    def _one(self, entry: Mapping[str, Any], do: Callable[[Mapping[str, Any]], str]) -> dict[str, Any]:
        result = {**entry, "refs": dict(entry["refs"])}
        if entry["state"] != "done":
            return result
        for attempt in range(1, UNIT_ATTEMPTS + 1):
            try:
                result["refs"][self.stage] = do(entry)
            except (ConfigurationError, ServiceUnavailableError, StoreError):
                # what is wrong, down or full is so for every unit: the step ends and says so
                raise
            except WithheldError as error:
                return {**result, "state": "withheld", "reason": str(error)}
            except GlacierError as error:
                return {**result, "state": "failed", "reason": str(error)}
            except OSError as error:
                if attempt == UNIT_ATTEMPTS:
                    return {**result, "state": "failed", "reason": f"{type(error).__name__}: {error}"}
                time.sleep(2.0**attempt)
            else:
                break
        return result

    def publish_batch(
        self, *, plan: str, batch: int, results: Sequence[Mapping[str, Any]], files: Mapping[str, bytes] | None = None
    ) -> str:
        """Publish how the units of one batch ended; the reference of that manifest."""
        manifest = {"plan": plan, "batch": batch, "units": list(results)}
        output = self.store.publish_content(
            f"{self.stage}-batch",
            {"units.json": json.dumps(manifest, sort_keys=True).encode(), **(files or {})},
            part={"plan": plan, "batch": batch},
            inputs=[plan, *(entry["refs"][self.stage] for entry in results if entry["state"] == "done")],
        )
        return reference(output)

    def publish_chain(self, links: Mapping[str, Any]) -> str:
        """Publish the references of everything made so far by stages that run once; the reference of that list."""
        made = {stage: value for stage, value in links.items() if stage not in CHAIN_FACTS}
        inputs = [link for value in made.values() for link in ([value] if isinstance(value, str) else value)]
        output = self.store.publish_content(
            "chain", {"chain.json": json.dumps(links, sort_keys=True).encode()}, part={}, inputs=inputs
        )
        return reference(output)

    def read_chain(self, chain: str) -> dict[str, Any]:
        """The references that `publish_chain` kept."""
        value: dict[str, Any] = self.read(chain).read_json("chain.json")
        return value


def reference(output: Output) -> str:
    """The string that travels between stages for a published output."""
    return f"{output.stage}/{output.digest}"


@contextmanager
def running(*, store: str, run: str, stage: str) -> Iterator[Step]:
    """The frame around a stage: ends with its parent, reports errors in one line, leaves its status in the store.

    Raises:
        SystemExit: with the exit code of a GlacierError, after its `error.json` has been written.
    """
    # OpenMP's threads otherwise spin at barriers, which brings tasks that share cores nearly to a halt
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    end_with_parent()
    configure_logging()
    step = Step(store=Store(store), run=run, stage=stage)
    started = time.monotonic()
    error: dict[str, Any] | None = None
    try:
        yield step
    except GlacierError as problem:
        error = {"message": str(problem), "exit_code": problem.exit_code, "kind": type(problem).__name__}
        log.error("[%s] %s", stage, problem)
        raise SystemExit(problem.exit_code) from problem
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
    except Exception as problem:
        error = {"message": f"{type(problem).__name__}: {problem}", "exit_code": 1, "kind": type(problem).__name__}
        raise
    finally:
        _leave_status(step, seconds=time.monotonic() - started, error=error)


def _leave_status(step: Step, *, seconds: float, error: Mapping[str, Any] | None) -> None:
    status = {
        "stage": step.stage,
        "seconds": round(seconds, 3),
        "peak_mb": peak_mb(),
        "reused": step.reused and error is None,
        "units": step.units,
        "notes": step.notes,
        "facts": step.facts,
        "error": error,
    }
    try:
        step.store.leave_note(step.run, f"{time.time_ns()}-{step.stage}-{uuid.uuid4().hex[:6]}", status)
    except GlacierError as problem:
        log.error("[%s] %s", step.stage, problem)


def end_with_parent() -> None:
    """Let this process end when the command that started the run ends, however that one ended.

    The kernel's parent-death signal covers a direct child; the watch on the command's process descriptor covers what
    lies in between (shells, the pipeline runner).
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if not parent or not sys.platform.startswith("linux"):
        return
    try:
        descriptor = os.pidfd_open(int(parent))
    except OSError:
        os._exit(EXIT_INTERRUPTED)
    die_with_parent()

    def watch() -> None:
        import select

        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.poll()
        os._exit(EXIT_INTERRUPTED)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def configure_logging() -> None:
    """Log to standard error, one line a message, marked so that the command can tell them from the runner's own."""
    if log.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{MARK}%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def peak_mb() -> float:
    """Largest resident memory so far of this process or of one of its children, in MB."""
    usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(max(usage) / 1024, 1)


def threads() -> int:
    """Threads that this process may use."""
    return Settings().thread_count()
