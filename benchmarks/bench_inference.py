"""Segmentation of scenes: pixels a second, memory at two sizes and agreement with fp32, beside a naive loop.

The naive loop takes the same tiles with the same halo through the same network, eagerly, in fp32. Every run has a
process of its own. `--threads N` (all cores if not given) holds for all; `--quick` takes smaller scenes.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.recording import record

NAMES = ("unet", "unet_scse", "unet_aspp", "cnn3d")
TILE = 512
TEXTURE = 1024
STEPS = 80
COMPARED = 1100
SIZES = {"naive": (2560,), "torch": (1536, 4608), "openvino": (6144, 8192)}
QUICK_SIZES = {"naive": (1024,), "torch": (1024, 1536), "openvino": (6144,)}

Image = NDArray[np.float32]
Read = Callable[[slice, slice], Image]


@functools.cache
def texture() -> tuple[Image, NDArray[np.int64]]:
    """Three bands of a ground that repeats at its edges, and which of it is the bright class."""
    rng = np.random.default_rng(7)
    frequency = np.hypot(np.fft.fftfreq(TEXTURE)[:, None], np.fft.rfftfreq(TEXTURE))
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((TEXTURE, TEXTURE))) * np.exp(-((60 * frequency) ** 2)))
    bright = field > np.quantile(field, 0.6)
    bands = [weight * bright + 0.3 * rng.standard_normal(bright.shape) for weight in (0.5, 0.3, -0.2)]
    return np.stack(bands).astype(np.float32), bright.astype(np.int64)


def read(rows: slice, columns: slice) -> Image:
    image, _ = texture()
    y, x = (np.arange(part.start, part.stop) % TEXTURE for part in (rows, columns))
    return image[:, y[:, None], x]


def train(name: str, folder: str) -> None:
    """A network that tells the two classes apart, on disk."""
    import torch

    from glacier_core.prepare import Normalisation
    from glacier_core.training import ModelSpec, save_model

    image, bright = texture()
    bands = ("red", "green", "blue")
    normalisation = Normalisation(
        bands=bands, mean=tuple(image.mean((1, 2)).tolist()), std=tuple(image.std((1, 2)).tolist())
    )
    spec = ModelSpec(name=name, bands=bands, classes=("dark", "bright"), width=16, depth=3, normalisation=normalisation)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = spec.build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    images, targets = torch.from_numpy(normalisation.apply(image)), torch.from_numpy(bright)
    for _ in range(STEPS):
        corners = rng.integers(TEXTURE - 64, size=(8, 2))
        chips = torch.stack([images[:, y : y + 64, x : x + 64] for y, x in corners])
        truth = torch.stack([targets[y : y + 64, x : x + 64] for y, x in corners])
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(chips), truth)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    save_model(folder, state=model.state_dict(), spec=spec)


def naive(model: Any, spec: Any, shape: tuple[int, int], write: Callable[[slice, slice, Image], None]) -> None:
    """What one writes first: each tile with its halo, in fp32."""
    import torch

    halo = model.halo()
    for top in range(0, shape[0], TILE):
        for left in range(0, shape[1], TILE):
            rows, columns = (
                slice(max(0, top - halo), min(shape[0], top + TILE + halo)),
                slice(max(0, left - halo), min(shape[1], left + TILE + halo)),
            )
            with torch.no_grad():
                image = torch.from_numpy(spec.normalisation.apply(read(rows, columns)))[None]
                found = model(image).softmax(1)[0].numpy()
            inner = slice(top, min(shape[0], top + TILE)), slice(left, min(shape[1], left + TILE))
            y, x = top - rows.start, left - columns.start
            write(*inner, found[:, y : y + inner[0].stop - top, x : x + inner[1].stop - left])


def run(mode: str, folder: str, size: int, threads: int) -> dict[str, Any]:
    """Predict one scene in this process; prints and returns seconds, peak memory and the bright share."""
    import torch

    from glacier_core.inference import engines, predict_tiled
    from glacier_core.training import load_model

    torch.set_num_threads(threads)
    model, spec = load_model(folder)
    bright = 0

    def write(_rows: slice, _columns: slice, found: Image) -> None:
        nonlocal bright
        bright += int((found[1] > 0.5).sum())

    texture()
    # which engine a scene of this size gets is the library's choice: the benchmark checks that it is the one named
    chosen = "openvino" if size**2 >= engines.WORTH_CONVERTING else "torch"
    if mode not in ("naive", chosen):
        raise SystemExit(f"a scene of {size} x {size} is computed by {chosen}, not {mode}")
    started, cpu = time.perf_counter(), time.process_time()
    if mode == "naive":
        naive(model, spec, (size, size), write)
    else:
        predict_tiled(model, spec, shape=(size, size), read=read, write=write, tile=TILE)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_mb": peak / 1024,
        "bright": bright / size**2,
    }


def compare(folder: str, mode: str, threads: int) -> dict[str, Any]:
    """Largest difference from the fp32 probabilities, and the share of pixels with the same class."""
    import torch

    from glacier_core.inference import engines, predict_tiled
    from glacier_core.training import load_model

    torch.set_num_threads(threads)
    engines.WORTH_CONVERTING = 0 if mode == "openvino" else 2**62
    model, spec = load_model(folder)
    found = {}
    for key in ("exact", "fast", "again"):
        result = np.empty((2, COMPARED, COMPARED), np.float32)

        def write(rows: slice, columns: slice, values: Image, result: Image = result) -> None:
            result[:, rows, columns] = values

        if key == "exact":
            naive(*load_model(folder), (COMPARED, COMPARED), write)
        else:
            predict_tiled(model, spec, shape=(COMPARED, COMPARED), read=read, write=write, tile=TILE)
        found[key] = result
    _, truth = texture()
    wrapped = np.arange(COMPARED) % TEXTURE
    classes = {key: values.argmax(axis=0) for key, values in found.items()}
    return {
        "accuracy": float((classes["exact"] == truth[wrapped[:, None], wrapped]).mean()),
        "largest_difference": float(np.abs(found["fast"] - found["exact"]).max()),
        "same_class": float((classes["fast"] == classes["exact"]).mean()),
        "repeats": bool(np.array_equal(found["fast"], found["again"])),
    }


def in_a_process(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench_inference", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--run", nargs=3, metavar=("MODE", "FOLDER", "SIZE"), help=argparse.SUPPRESS)
    parser.add_argument("--compare", nargs=2, metavar=("MODE", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print(json.dumps(run(asked.run[0], asked.run[1], int(asked.run[2]), asked.threads)))
    elif asked.compare:
        print(json.dumps(compare(asked.compare[1], asked.compare[0], asked.threads)))
    else:
        measure(threads=asked.threads, sizes=QUICK_SIZES if asked.quick else SIZES)


def measure(*, threads: int, sizes: dict[str, tuple[int, ...]]) -> None:
    rows, figures = [], {"threads": threads}
    with tempfile.TemporaryDirectory() as scratch:
        for name in NAMES:
            train(name, f"{scratch}/{name}")
        rate = cost = 0.0
        for mode, sides in sizes.items():
            for side in sides:
                found = in_a_process("--threads", str(threads), "--run", mode, f"{scratch}/unet", str(side))
                speed = side**2 / 1e6 / found["seconds"]
                work = found["cpu_seconds"] / (side**2 / 1e6)
                rate, cost = (speed, work) if mode == "naive" else (rate, cost)
                rows.append(
                    {
                        "what": f"unet, {mode}",
                        "scene": f"{side} x {side}",
                        "Mpx/s": f"{speed:.2f}",
                        "CPU s/Mpx": f"{work:.3f}",
                        "times naive": f"{speed / rate:.2f}",
                        "times naive, CPU": f"{cost / work:.2f}",
                        "peak MB": f"{found['peak_mb']:.0f}",
                        "largest difference": "",
                        "same class": "",
                    }
                )
                figures |= {f"{mode}_{side}_mpx_s": round(speed, 3), f"{mode}_{side}_peak_mb": round(found["peak_mb"])}
                if mode != "naive":
                    figures[f"{mode}_{side}_times_naive"] = round(speed / rate, 2)
                    figures[f"{mode}_{side}_times_naive_cpu"] = round(cost / work, 2)
        for name in NAMES:
            for mode in ("torch", "openvino"):
                found = in_a_process("--threads", str(threads), "--compare", mode, f"{scratch}/{name}")
                rows.append(
                    dict.fromkeys(rows[0], "")
                    | {
                        "what": f"{name}, {mode} against fp32 (accuracy {found['accuracy']:.4f})",
                        "scene": f"{COMPARED} x {COMPARED}",
                        "largest difference": f"{found['largest_difference']:.5f}",
                        "same class": f"{found['same_class']:.5%}",
                    }
                )
                figures |= {
                    f"{name}_{mode}_{key}": found[key] for key in ("largest_difference", "same_class", "repeats")
                }
    record(
        "inference",
        rows=rows,
        figures=figures,
        remarks=f"Networks of width 16 and depth 3, three bands, trained for {STEPS} steps; {threads} threads. Times "
        "with reading (from memory), normalisation, the conversion of the network where there is one, and softmax.",
    )


if __name__ == "__main__":
    main()
