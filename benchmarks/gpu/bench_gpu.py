"""Training on a GPU: samples a second, how much of the device's arithmetic is used, and what reading adds.

Model FLOPs utilisation (Chowdhery et al. 2022, arXiv:2204.02311): operations of a step as torch counts them, by its
seconds, by the device's dense bf16 peak (NVIDIA's data sheets). Without a GPU it says so and writes nothing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.recording import record
from benchmarks.training_works import flops_of, forecast, loading, networks, player_of, segmentation
from glacier_core.training import best_device, choose_precision
from glacier_core.training.hardware import compile_in_place
from glacier_core.training.tasks import Task

ROUNDS, STEPS = 3, 30
READERS = 8
PEAKS_TFLOPS = {
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "A10": 125.0,
}
"""Dense bf16 peaks, the more special names first."""
WORKS: dict[str, dict[str, Any]] = {
    "unet w32 d4, 64 x 256 x 256": {"name": "unet", "width": 32, "depth": 4, "chip": 256, "batch": 64},
    "unet w64 d4, 64 x 256 x 256": {"name": "unet", "width": 64, "depth": 4, "chip": 256, "batch": 64},
    "unet_aspp w32 d4, 64 x 256 x 256": {"name": "unet_aspp", "width": 32, "depth": 4, "chip": 256, "batch": 64},
    "convlstm w64 d1, 32 x 12+6 months": {"name": "convlstm", "width": 64, "depth": 1, "batch": 32},
    "transformer w128 d3, 32 x 12+6 months": {"name": "transformer", "width": 128, "depth": 3, "batch": 32},
}


def task_of(plan: dict[str, Any], folder: Path) -> Task:
    return segmentation(folder, **plan) if "chip" in plan else forecast(**plan)


def peak_tflops(device: torch.device) -> float | None:
    name = torch.cuda.get_device_name(device)
    return next((peak for known, peak in PEAKS_TFLOPS.items() if known in name), None)


def row_of(work: str, folder: Path, *, device: torch.device, compiled: bool) -> dict[str, Any]:
    task = task_of(WORKS[work], folder)
    precision = choose_precision("auto", device=device)
    network = precision.placed(networks(task, device))
    batches = task.batches(readers=READERS, pinned=True)
    operations = flops_of(task, network, batches.training(0), precision)
    if compiled:
        compile_in_place(network)
    player = player_of(task, network, precision)
    for step, parts in batches.training_ahead(range(3)):
        player.improve(parts, step=step)
    # a step ends with its loss on the CPU, so that the clock sees all of it
    memory, read = loading(player, batches, rounds=ROUNDS, steps=STEPS)
    peak = peak_tflops(device)
    return {
        "work": work,
        "compiled": "yes" if compiled else "no",
        "ms a step": round(1e3 * memory, 2),
        "samples/s": round(task.training.batch / memory),
        "TFLOP/s": round(operations / memory / 1e12, 1),
        "MFU %": round(100 * operations / memory / 1e12 / peak, 1) if peak else "peak unknown",
        "reading adds %": round(100 * (read / memory - 1), 1),
        "peak memory GB": round(torch.cuda.max_memory_allocated(device) / 2**30, 1),
    }


def main() -> int:
    device = best_device()
    if device.type != "cuda":
        print("bench-gpu: this machine has no GPU that PyTorch can use; nothing was measured.", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            row_of(work, Path(folder), device=device, compiled=compiled) for work in WORKS for compiled in (False, True)
        ]
    record(
        "gpu",
        rows=rows,
        figures={
            "device": torch.cuda.get_device_name(device),
            "peak_tflops": peak_tflops(device),
            "mfu_percent": {f"{row['work']} (compiled: {row['compiled']})": row["MFU %"] for row in rows},
            "reading_percent": {f"{row['work']} (compiled: {row['compiled']})": row["reading adds %"] for row in rows},
        },
        remarks=f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, bf16. MFU: operations of forward "
        "and backward by seconds by the dense bf16 peak. Reading is measured against the same loop on one batch in "
        "memory.",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
