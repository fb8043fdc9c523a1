"""What every benchmark does with its figures: one JSON line last, and a dated page under `benchmarks/results`."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "rasterio", "zarr", "xarray", "odc-stac", "kfp", "mlflow")


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def record(name: str, *, rows: Sequence[Mapping[str, Any]], figures: Mapping[str, Any], remarks: str = "") -> None:
    """Write `results/<date>-<name>.md` and print the figures as one JSON line.

    Args:
        name: name of the benchmark.
        rows: the table; all rows have the keys of the first.
        figures: the figures that sum it up.
        remarks: what a reader should know.
    """
    now = datetime.now(UTC)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    columns = list(rows[0])
    lines = [
        f"# {name}, {now:%Y-%m-%d %H:%M} UTC",
        "",
        f"- hardware: {processor()}, {len(os.sched_getaffinity(0))} cores, {memory_gb:.0f} GiB",
        f"- commit: {commit()}",
        f"- command: `python -m benchmarks.{Path(sys.argv[0]).stem}`",
        f"- packages: {', '.join(f'{package} {metadata.version(package)}' for package in PACKAGES)}",
        "",
        *([remarks, ""] if remarks else []),
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(str(row[column]) for column in columns)} |" for row in rows),
        "",
        f"Figures: `{json.dumps(figures, sort_keys=True)}`",
        "",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{now:%Y-%m-%d}-{name}.md").write_text("\n".join(lines), encoding="utf-8")
    print(json.dumps({"benchmark": name, **figures}, sort_keys=True))
