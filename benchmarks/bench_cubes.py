"""Cubes: reading all of one from local disk and from S3 on loopback, and chips, beside zarr-python and plain files."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import xarray as xr
import zarr
from imagecodecs import blosc_decode
from numpy.typing import NDArray
from obstore.store import S3Store
from zarr.storage import FsspecStore, ObjectStore

from benchmarks.object_server import serving
from benchmarks.recording import record
from glacier_core.cube import REFLECTANCE, CubePixels, create_cube, open_arrays, open_pixels
from glacier_core.cube.objects import CONNECTIONS
from glacier_core.grids import Grid
from glacier_core.settings import Settings

REPEATS = 5
CHIPS = 32
CHIP = 256
# (time, band, y, x): a few scenes in chunks of all times, a long series in shards
SHAPES = {"few": (3, 3, 4096, 4096), "long": (32, 3, 1280, 1280), "chips": (6, 3, 4096, 4096)}
ACCESS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
REMARKS = (
    f"Medians of {REPEATS} runs that take turns; GB/s of raw uint16 pixels (S3: of stored bytes). All readers decode "
    f"with {Settings().thread_count()} threads; ours has {CONNECTIONS} connections to S3. `plain file`: one file of "
    "the same compressed chunks, read and decoded by as many threads into memory of the same size. `single object`: "
    "one GET of one object of as many bytes, by the same client (obstore). Files are in the page cache."
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, shape in SHAPES.items():
            build(root / "bucket" / name, shape)
        parts = [local(root / "bucket", "few"), local(root / "bucket", "long"), chips(root / "bucket" / "chips")]
        with serving(root) as url:
            os.environ |= {**ACCESS, "AWS_ENDPOINT_URL": url}
            parts += [remote(root / "bucket", url, "few"), remote(root / "bucket", url, "long")]
    record(
        "cubes",
        rows=[row for rows, _ in parts for row in rows],
        figures={name: figure for _, figures in parts for name, figure in figures.items()},
        remarks=REMARKS,
    )


def build(path: Path, shape: tuple[int, int, int, int]) -> None:
    times, bands, height, width = shape
    generator = np.random.default_rng(0)
    coarse = generator.uniform(0.05, 0.9, (height // 64 + 2, width // 64 + 2)).astype(np.float32)
    rows, columns = (np.arange(length) / 64 for length in (height, width))
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None].astype(np.float32), (columns - left)[None].astype(np.float32)
    upper = coarse[top][:, left] * (1 - right) + coarse[top][:, left + 1] * right
    lower = coarse[top + 1][:, left] * (1 - right) + coarse[top + 1][:, left + 1] * right
    ground = upper * (1 - down) + lower * down
    grid = Grid("EPSG:32645", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), width, height)
    instants = np.arange(times).astype("datetime64[D]")
    names = [f"B{number:02}" for number in range(bands)]
    with create_cube(str(path), grid=grid, times=instants, bands=names, packing=REFLECTANCE) as writer:
        for start in range(0, height, writer.block[1]):
            window = slice(start, min(start + writer.block[1], height))
            strip = np.broadcast_to(ground[window], (times, bands, window.stop - start, width))
            # 20 digital numbers of noise, as over snow and rock
            noisy = strip + generator.normal(0, 0.002, strip.shape).astype(np.float32)
            for time_ in range(0, times, writer.block[0]):
                part = slice(time_, min(time_ + writer.block[0], times))
                writer.write(part, window, slice(None), noisy[part])


def medians(ways: dict[str, Callable[[int], Any]]) -> dict[str, float]:
    """Seconds of each way, which is given the number of the turn.

    They take turns, so that a busy moment of the machine meets all of them; the first turn warms up.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(REPEATS + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way(turn)
            taken[name].append(time.perf_counter() - started)
    return {name: float(np.median(times[1:])) for name, times in taken.items()}


def local(root: Path, name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    path = str(root / name)
    cube, default = open_pixels(path), plain_zarr(path)
    raw = raw_bytes(cube)
    file, chunks = plain_file(root.parent / f"{name}.plain", cube)
    room = np.empty(raw, dtype=np.uint8)
    ours = np.empty(cube.layout("imagery").shape, dtype=np.uint16)
    seconds = medians(
        {
            "plain file": lambda _: read_plain(file, chunks, room),
            "ours": lambda _: cube.read("imagery", out=ours),
            "ours, new memory": lambda _: cube.read("imagery"),
            "zarr-python, zarrs": lambda _: open_arrays(path)["imagery"][...],
            "zarr-python": lambda _: default[...],
            "xarray": lambda _: xr.open_zarr(path, chunks=None, mask_and_scale=False)["imagery"].load(),
        }
    )
    rates = {way: raw / taken / 1e9 for way, taken in seconds.items()}
    rows = table(f"local disk, {name} {shape_of(cube)}", rates, beside="plain file")
    return rows, {
        f"local_{name}_gb_s": round(rates["ours"], 2),
        f"local_{name}_of_plain_file": round(rates["ours"] / rates["plain file"], 2),
    }


def plain_file(path: Path, cube: CubePixels) -> tuple[Path, list[tuple[int, int]]]:
    """One file of the cube's compressed chunks, one after the other, and where each of them lies."""
    layout = cube.layout("imagery")
    parts = []
    for shard in sorted(Path(cube.path, "imagery").glob("c.*")):
        data = shard.read_bytes()
        if layout.shards == layout.chunks:
            parts.append(data)
            continue
        count = int(np.prod([whole // part for whole, part in zip(layout.shards, layout.chunks, strict=True)]))
        index = np.frombuffer(data[-16 * count - 4 : -4], dtype="<u8").reshape(-1, 2)
        parts += [data[int(offset) : int(offset + size)] for offset, size in index]
    path.write_bytes(b"".join(parts))
    ends = np.cumsum([len(part) for part in parts]).tolist()
    return path, [(end - len(part), len(part)) for end, part in zip(ends, parts, strict=True)]


def read_plain(path: Path, chunks: Sequence[tuple[int, int]], room: NDArray[np.uint8]) -> None:
    threads = Settings().thread_count()
    largest = max(size for _, size in chunks)
    per_chunk = room.nbytes // len(chunks)

    def some(first: int) -> None:
        buffer = memoryview(bytearray(largest))
        for number in range(first, len(chunks), threads):
            start, size = chunks[number]
            os.preadv(descriptor, [buffer[:size]], start)
            decode: Any = blosc_decode
            decode(buffer[:size], numthreads=1, out=room[number * per_chunk :][:per_chunk])

    descriptor = os.open(path, os.O_RDONLY)
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(some, range(threads)))
    finally:
        os.close(descriptor)


def chips(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    cube = open_pixels(str(path))
    layout = cube.layout("imagery")
    memory = cube.read("imagery")
    generator = np.random.default_rng(1)
    arrays, default = open_arrays(str(path))["imagery"], plain_zarr(str(path))
    out = np.empty((CHIPS, *layout.shape[:2], CHIP, CHIP), dtype=layout.dtype)

    def one_by_one(array: Any, windows: Sequence[tuple[slice, ...]]) -> None:
        for number, window in enumerate(windows):
            out[number] = array[window]

    def measured(corners: NDArray[np.int64]) -> dict[str, float]:
        # other chips at every turn, so that none is warm from the last one
        both = slice(None), slice(None)
        turns = [[(*both, slice(r, r + CHIP), slice(c, c + CHIP)) for r, c in turn] for turn in corners.tolist()]
        seconds = medians(
            {
                "from memory": lambda turn: one_by_one(memory, turns[turn]),
                "ours": lambda turn: cube.read_many("imagery", turns[turn], out=out),
                "zarr-python, zarrs": lambda turn: one_by_one(arrays, turns[turn]),
                "zarr-python": lambda turn: one_by_one(default, turns[turn]),
            }
        )
        return {way: out.nbytes / taken / 1e9 for way, taken in seconds.items()}

    steps, drawn = layout.shape[2] // CHIP, (REPEATS + 1, CHIPS, 2)
    aligned = measured(generator.integers(0, steps, drawn) * CHIP)
    anywhere = measured(generator.integers(0, layout.shape[2] - CHIP, drawn))
    what = f"{CHIPS} chips of {layout.shape[0]}x{layout.shape[1]}x{CHIP}²"
    rows = [
        *table(f"{what}, on chunks", aligned, beside="from memory"),
        *table(f"{what}, anywhere (4 chunks each)", anywhere, beside="from memory"),
    ]
    return rows, {
        "chips_of_memory": round(aligned["ours"] / aligned["from memory"], 2),
        "chips_anywhere_of_memory": round(anywhere["ours"] / anywhere["from memory"], 2),
    }


def remote(bucket: Path, url: str, name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    parts = sorted((bucket / name / "imagery").glob("c.*"))
    stored = (bucket / f"{name}.object").write_bytes(b"".join(part.read_bytes() for part in parts))
    place = f"s3://bucket/{name}"
    cube = open_pixels(place)
    out = np.empty(cube.layout("imagery").shape, dtype=np.uint16)
    client = S3Store("bucket", endpoint=url, client_options={"allow_http": True})
    below = S3Store("bucket", prefix=name, endpoint=url, client_options={"allow_http": True})
    by_obstore = plain_zarr(ObjectStore(below, read_only=True))
    by_s3fs = plain_zarr(FsspecStore.from_url(place, read_only=True, storage_options={"endpoint_url": url}))
    seconds = medians(
        {
            "single object": lambda _: obstore.get(client, f"{name}.object").bytes(),
            "ours": lambda _: cube.read("imagery", out=out),
            "zarr-python, obstore": lambda _: by_obstore[...],
            "zarr-python, s3fs": lambda _: by_s3fs[...],
        }
    )
    rates = {way: stored / taken / 1e9 for way, taken in seconds.items()}
    rows = table(f"S3 on loopback, {name} {shape_of(cube)}", rates, beside="single object")
    return rows, {f"s3_{name}_of_single_object": round(rates["ours"] / rates["single object"], 2)}


def plain_zarr(store: Any) -> Any:
    return zarr.open_group(store, mode="r")["imagery"]


def raw_bytes(cube: CubePixels) -> int:
    layout = cube.layout("imagery")
    return int(np.prod(layout.shape)) * layout.dtype.itemsize


def shape_of(cube: CubePixels) -> str:
    return "x".join(map(str, cube.layout("imagery").shape))


def table(what: str, rates: dict[str, float], beside: str) -> list[dict[str, Any]]:
    return [
        {"what": what, "way": way, "GB/s": round(rate, 2), "ratio": round(rate / rates[beside], 2), "beside": beside}
        for way, rate in rates.items()
    ]


if __name__ == "__main__":
    main()
