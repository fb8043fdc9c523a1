"""Seconds and peak memory of each stage of the recipe `demo`, on an empty store and once more on the same one."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.recording import record
from glacier_core import Store


def run_demo(store: str) -> tuple[float, dict[str, Any]]:
    started = time.monotonic()
    command = [sys.executable, "-m", "glacier_pipelines.command", "run", "demo", "--store", store, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return time.monotonic() - started, json.loads(done.stdout)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"{folder}/store")
        first_s, result = run_demo(store.url)
        runs = sorted(path.name for path in (Path(folder) / "store" / "runs").iterdir())
        notes = [note for run in runs for note in store.notes(run).values()]
        second_s, again = run_demo(store.url)
    stages = list(dict.fromkeys(note["stage"] for note in notes))
    rows = []
    for stage in stages:
        found = [note for note in notes if note["stage"] == stage]
        rows.append(
            {
                "stage": stage,
                "tasks": len(found),
                "seconds (sum of tasks)": round(sum(note["seconds"] for note in found), 1),
                "peak memory MB": max(note["peak_mb"] for note in found),
            }
        )
    record(
        "demo",
        rows=rows,
        figures={
            "seconds": round(first_s, 1),
            "seconds_again": round(second_s, 1),
            "peak_mb": max(note["peak_mb"] for note in notes),
            "reused": again["reused"],
            "scores": {name: score["value"] for name, score in result["scores"].items()},
        },
        remarks="Two tasks of a loop run at a time; stages of one task use both cores.",
    )


if __name__ == "__main__":
    main()
