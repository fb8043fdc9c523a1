"""A training step beside the plain eager fp32 loop, and what reading the data adds to it, for both families.

The plain loop is what a first script would hold: weights and images as they come, float32, the C library's allocator as
it is. Each loop runs in a process of its own, because an allocator is set for good, and both take turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.recording import record
from benchmarks.training_works import flops_of, forecast, loading, median, networks, player_of, seconds_of, segmentation
from glacier_core.training import Precision, choose_precision, tune_allocator
from glacier_core.training.tasks import Task

ROUNDS, STEPS = 3, 3
CPU = torch.device("cpu")
WORKS: dict[str, dict[str, Any]] = {
    "unet w16 d3, 16 x 128 x 128": {"name": "unet", "width": 16, "depth": 3, "chip": 128, "batch": 16},
    "unet w32 d4, 16 x 128 x 128": {"name": "unet", "width": 32, "depth": 4, "chip": 128, "batch": 16},
    "unet_aspp w16 d4, 8 x 256 x 256": {"name": "unet_aspp", "width": 16, "depth": 4, "chip": 256, "batch": 8},
    "convlstm w24 d1, 4 x 12+6 months": {"name": "convlstm", "width": 24, "depth": 1, "batch": 4},
    "transformer w32 d3, 4 x 12+6 months": {"name": "transformer", "width": 32, "depth": 3, "batch": 4},
}


def task_of(work: str, folder: Path) -> Task:
    plan = WORKS[work]
    return segmentation(folder, **plan) if "chip" in plan else forecast(**plan)


def plain(task: Task) -> dict[str, Any]:
    """Seconds of steps of the loop that anybody would write first."""
    network = networks(task, CPU)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    [batch] = task.batches().training(0)
    aim = task.aims(network)[0]

    def step() -> None:
        optimizer.zero_grad()
        loss = aim.loss(aim.sums(batch))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        loss.item()

    return {"seconds": seconds_of(step, steps=STEPS)}


def ours(task: Task) -> dict[str, Any]:
    """The same of Glacierflow's step, in memory; what it reads adds; operations of a step."""
    tune_allocator()
    precision = choose_precision("auto", device=CPU)
    network = precision.placed(networks(task, CPU))
    player = player_of(task, network, precision)
    batches = task.batches()
    kept = batches.training(0)
    found = {"seconds": seconds_of(lambda: player.improve(kept, step=0), steps=STEPS)}
    memory, read = loading(player, batches, rounds=2, steps=3)
    return found | {"memory": memory, "read": read, "gflop": flops_of(task, network, kept, precision) / 1e9}


def measured(work: str, loop: str, folder: str) -> dict[str, Any]:
    """What a loop gives in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bench_training", work, loop, folder]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def feature() -> str:
    """The processor's own arithmetic for bf16."""
    flags = {flag for line in Path("/proc/cpuinfo").read_text().splitlines() for flag in line.split()}
    return next((name for name in ("amx_bf16", "avx512_bf16", "bf16") if name in flags), "none")


def row_of(work: str, folder: str) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    ratios, extra = [], []
    for _ in range(ROUNDS):
        one, other = measured(work, "plain", folder), measured(work, "ours", folder)
        for name, found in (("plain", one), ("ours", other)):
            seconds[name].append(min(found["seconds"]))
        ratios.append(min(one["seconds"]) / min(other["seconds"]))
        extra.append(other)
    best = min(seconds["ours"])
    overhead = min(found["read"] for found in extra) / min(found["memory"] for found in extra) - 1
    return {
        "work": work,
        "plain fp32 s": round(min(seconds["plain"]), 3),
        "ours s": round(best, 3),
        "ratio": round(median(ratios), 2),
        "ratios of the rounds": ", ".join(f"{ratio:.2f}" for ratio in ratios),
        "GFLOP/s": round(extra[0]["gflop"] / best),
        "reading adds %": round(100 * overhead, 1),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [row_of(work, folder) for work in WORKS]
    precision: Precision = choose_precision("auto", device=CPU)
    threads = os.environ.get("OMP_NUM_THREADS") or str(torch.get_num_threads())
    record(
        "training",
        rows=rows,
        figures={
            "threads": int(threads),
            "precision": precision.name,
            "feature": feature(),
            "ratio": {row["work"]: row["ratio"] for row in rows},
            "reading_percent": {row["work"]: row["reading adds %"] for row in rows},
        },
        remarks="Seconds are the quickest step of all rounds; a ratio is that of one round's quickest steps, the "
        f"median of {ROUNDS} rounds. The processor's arithmetic for bf16: {feature()}; threads: {threads}. Reading is "
        "measured against the same loop on one batch in memory.",
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work, loop, folder = sys.argv[1:]
        print(json.dumps({"plain": plain, "ours": ours}[loop](task_of(work, Path(folder)))))
    else:
        main()
