"""The command behind `make results`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.accuracy import doing, writing
from benchmarks.accuracy.doing import Job
from benchmarks.accuracy.experiments import ELSEWHERE, TABLES
from benchmarks.accuracy.pooling import with_pooled
from benchmarks.recording import commit, processor
from glacier_core.settings import Settings
from glacier_core.store import Store

PAGE = Path(__file__).parents[2] / "docs" / "results.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, then write the page; 1 where a training failed."""
    options = _options(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    data = Settings().data
    chosen = [table for table in TABLES if options.kind in ("", table.kind, table.name)]
    present = [table for table in chosen if not table.needs or (data / table.needs).exists()]
    for table in chosen:
        if table not in present:
            _say(f"{table.name}: $GLACIER_DATA/{table.needs} is absent")
    wanted = [job for table in present for job in doing.jobs_of(table) if job.seed < options.seeds]
    # the first seed of every table first: an early end leaves whole tables
    wanted.sort(key=lambda job: job.seed)
    threads = max(1, len(os.sched_getaffinity(0)) // options.jobs)
    missing = [job for job in wanted if doing.known_record(options.work, job) is None]
    _say(f"{len(wanted)} trainings, {len(wanted) - len(missing)} of them known")
    failures = _do_all(missing, options.work, jobs=options.jobs, threads=threads)
    records = [record for job in wanted if (record := _record(options.work, job)) is not None]
    hardware = f"{processor()}, {len(os.sched_getaffinity(0))} cores, trainings {options.jobs} at a time"
    where = f"Made {datetime.now(UTC):%Y-%m-%d} on {hardware}; commit {commit()}."
    sections, store = {}, Store(str(options.work / "store"))
    for table in chosen:
        own = with_pooled([record for record in records if record["table"] == table.name], store)
        checks = [doing.check(found) for found in table.checks if table in present and _there(data, found.needs)]
        sections[table.name] = writing.section(table, own, checks, where=where, absent=table not in present)
    writing.replace_sections(options.out, sections, [table.name for table in TABLES], elsewhere=ELSEWHERE)
    _say(f"{options.out} written")
    return 1 if failures else 0


def _do_all(missing: Sequence[Job], work: Path, *, jobs: int, threads: int) -> int:
    """Do the trainings in processes of their own; how many failed.

    Samples are made first, one training of each recipe and fold, so that no two processes make the same.
    """
    firsts = list({(job.table, job.recipe, job.fold): job for job in missing}.values())
    for job, problem in _each(firsts, partial(doing.prepare, work, threads=threads), jobs):
        if problem:
            _say(f"{job.table} {job.label} {job.fold}: {problem}")
    begun, failures = time.monotonic(), 0
    for done, (job, record) in enumerate(_each(missing, partial(doing.do, work, threads=threads), jobs), start=1):
        failures += bool(record["error"])
        spent = time.monotonic() - begun
        left = spent / done * (len(missing) - done)
        told = record["error"] or f"{record['train_s']:.0f} s, {record['epochs']} epochs"
        _say(f"{done} of {len(missing)}: {job.table} {job.label} {job.fold} seed {job.seed}: {told}; {left:.0f} s left")
    return failures


def _each(jobs: Iterable[Job], do: Callable[[Job], Any], processes: int) -> Iterable[tuple[Job, Any]]:
    """Each job with what it gave, as they end; a process for each, so that memory and threads are its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, max_tasks_per_child=1) as pool:
        waiting: dict[Future[Any], Job] = {pool.submit(do, job): job for job in jobs}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _record(work: Path, job: Job) -> dict[str, Any] | None:
    import json

    path = doing.record_path(work, job)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _there(data: Path, needs: str) -> bool:
    return not needs or (data / needs).exists()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    known = sorted({table.kind for table in TABLES} | {table.name for table in TABLES})
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--kind", default="", choices=["", *known], help="only this kind, or this table")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each model that differ in the seed alone")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    parser.add_argument("--work", type=Path, default=Path("work/results"), help="store and records")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    sys.stderr.write(f"[results] {text}\n")


if __name__ == "__main__":
    sys.exit(main())
