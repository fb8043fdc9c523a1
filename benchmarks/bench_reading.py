"""Cloud-optimised GeoTIFFs to a cube in memory: Glacierflow beside odc-stac, stackstac, and what no reader can beat.

Three dates of three bands, 4096 x 4096 pixels each, cut from scenes of 5120 x 5120 that look like Sentinel-2: uint16,
blocks of 1024, deflate with predictor 2. Each contender runs in a process of its own, which also tells its peak memory;
the rounds of all contenders alternate, so that a busy moment of the machine hits all of them.

The floor decodes the blocks that are needed, already in memory, and interpolates them by maps that are ready.
stackstac lives in an environment of its own: `make .venv-peers/installed`, or name its interpreter in PEERS_PYTHON.
"""

from __future__ import annotations

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
DATES, BANDS, SIDE, SCENE = 3, 3, 4096, 5120
THREADS = 2
ROUNDS = 5
CORNER = (400_000.0, 3_200_000.0)
CRS = "EPSG:32645"
GRIDS = {
    # the neighbouring zone: turned by three degrees
    "warped": ("EPSG:32644", (10.0, 0.0, 991_600.0, 0.0, -10.0, 3_205_900.0)),
    "same grid": (CRS, (10.0, 0.0, CORNER[0] + 4000, 0.0, -10.0, CORNER[1] - 4000)),
}
Work = Callable[[], Any]


# --- scenes -----------------------------------------------------------------------------------------------------


def write_scenes(folder: Path) -> None:
    """One file a date and band, with structure from 10 m to 1 km."""
    import cv2
    import numpy as np
    import rasterio
    from rasterio.shutil import copy
    from rasterio.transform import from_origin

    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "height": SCENE, "width": SCENE, "nodata": 0}
    for number in range(DATES * BANDS):
        rng = np.random.default_rng(number)
        pixels = np.full((SCENE, SCENE), 3000, np.float32)
        for scale, height in ((128, 1500), (16, 500), (4, 200), (1, 40)):
            coarse = rng.normal(size=(SCENE // scale + 2,) * 2).astype(np.float32)
            pixels += height * cv2.resize(coarse, (SCENE, SCENE), interpolation=cv2.INTER_CUBIC)
        plain = folder / "plain.tif"
        with rasterio.open(plain, "w", crs=CRS, transform=from_origin(*CORNER, 10, 10), tiled=True, **profile) as file:
            file.write(pixels.clip(1, 12000).astype(np.uint16), 1)
        options = {"compress": "deflate", "predictor": "2", "blocksize": 1024, "overviews": "none"}
        copy(plain, folder / file_name(number // BANDS, number % BANDS), driver="COG", **options)
        plain.unlink()


def file_name(date: int, band: int) -> str:
    return f"{date}_{band}.tif"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The files over HTTP, by a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bench_reading", "serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        try:
            yield f"http://127.0.0.1:{(process.stdout or sys.stdin).readline().strip()}"
        finally:
            process.terminate()


def serve(folder: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = folder / self.path.lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            size = path.stat().st_size
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first = int(match[1]) if match else 0
            last = min(int(match[2]) if match and match[2] else size - 1, size - 1)
            self.send_response(206 if match else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(last - first + 1))
            if match:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            self.end_headers()
            self.wfile.flush()
            with path.open("rb") as file:
                while body and first <= last:
                    first += os.sendfile(self.connection.fileno(), file.fileno(), first, last - first + 1)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 named by http.server
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Readers may hang up."""

    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


# --- contenders: each makes a function that reads the cube once ---------------------------------------------------


def glacierflow(root: str, grid: str, dtype: str) -> Work:
    from glacier_core.grids import Grid
    from glacier_core.sources.bands import BandSource
    from glacier_core.sources.pixels import PixelRequest, read_pixels

    crs, transform = GRIDS[grid]
    target = Grid(crs, transform, SIDE, SIDE)
    requests = [
        PixelRequest(BandSource(f"B{band}", f"{root}/{file_name(date, band)}", 1, 1.0, 0.0, None), target)
        for date in range(DATES)
        for band in range(BANDS)
    ]

    def work() -> Any:
        found = read_pixels(requests, threads=THREADS, dtype="float32" if dtype == "float32" else "native")
        if any(isinstance(pixels, Exception) for pixels in found):
            raise SystemExit(f"Glacierflow cannot read: {found}")
        return found

    return work


def odc_stac(root: str, grid: str, dtype: str) -> Work:
    import odc.stac
    from affine import Affine
    from odc.geo.geobox import GeoBox

    crs, transform = GRIDS[grid]
    items, geobox = stac_items(root), GeoBox((SIDE, SIDE), Affine(*transform), crs)
    bands = [f"B{band}" for band in range(BANDS)]

    def work() -> Any:
        return odc.stac.load(items, bands=bands, geobox=geobox, resampling="bilinear", dtype=dtype, pool=THREADS)

    return work


def stackstac(root: str, grid: str, dtype: str) -> Work:
    import dask
    import numpy as np
    import stackstac as peer  # type: ignore[import-not-found]
    from rasterio.enums import Resampling

    crs, (resolution, _, left, _, _, top) = GRIDS[grid]
    extent = (left, top - SIDE * resolution, left + SIDE * resolution, top)
    items = [item.to_dict() for item in stac_items(root)]

    def work() -> Any:
        stack = peer.stack(
            items,
            assets=[f"B{band}" for band in range(BANDS)],
            epsg=int(crs.removeprefix("EPSG:")),
            resolution=resolution,
            bounds=extent,
            snap_bounds=False,
            chunksize=1024,
            dtype=np.dtype(dtype),
            fill_value=np.dtype(dtype).type(np.nan if dtype == "float32" else 0),
            rescale=False,
            resampling=Resampling.bilinear,
        )
        with dask.config.set(scheduler="threads", num_workers=THREADS):
            return stack.compute()

    return work


def floor(root: str, grid: str, dtype: str) -> Work:
    import cv2
    import numpy as np

    from glacier_core.grids import Grid
    from glacier_core.sources.geotiff.blocks import blocks_of
    from glacier_core.sources.geotiff.decoding import decode_block
    from glacier_core.sources.geotiff.geometry import geometry_of
    from glacier_core.sources.geotiff.layout import parse_layout

    cv2.setNumThreads(1)
    contents = [Path(root, file_name(date, band)).read_bytes() for date in range(DATES) for band in range(BANDS)]
    layout = parse_layout(lambda offset, length: contents[0][offset : offset + length])
    layouts = [parse_layout(lambda first, length, c=content: c[first : first + length]) for content in contents]  # type: ignore[misc]
    crs, transform = GRIDS[grid]
    geometry = geometry_of(layout, Grid(crs, transform, SIDE, SIDE), "bilinear")
    level = layout.levels[0]
    windows = [tile.window for tile in geometry.tiles]
    whole = tuple(slice(min(w[a].start for w in windows), max(w[a].stop for w in windows)) for a in (0, 1))
    blocks = list(blocks_of(level, (whole[0], whole[1]), 0))
    first = blocks[0].rows.start, blocks[0].columns.start
    shape = blocks[-1].rows.stop - first[0], blocks[-1].columns.stop - first[1]
    corner = (slice(first[0], first[0]), slice(first[1], first[1]))
    maps = [geometry.lattice.maps(tile.part, corner) for tile in geometry.tiles] if geometry.lattice else []

    def one(number: int) -> Any:
        own = layouts[number].levels[0]
        pixels = np.empty(shape, np.float32 if dtype == "float32" else np.uint16)
        for block in blocks:
            offset, size = int(own.offsets[block.number]), int(own.sizes[block.number])
            numbers = decode_block(own, block.row, contents[number][offset : offset + size])
            rows, columns = block.rows, block.columns
            place = pixels[rows.start - first[0] : rows.stop - first[0], columns.start - first[1] :]
            place[:, : columns.stop - columns.start] = numbers[
                : rows.stop - rows.start, : columns.stop - columns.start, 0
            ]
        if not maps:
            return pixels
        out = np.empty((SIDE, SIDE), pixels.dtype)
        for tile, (x, y) in zip(geometry.tiles, maps, strict=True):
            cv2.remap(pixels, x, y, cv2.INTER_LINEAR, dst=out[tile.part], borderMode=cv2.BORDER_REPLICATE)
        return out

    def work() -> Any:
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(one, range(len(contents))))

    return work


CONTENDERS = {"Glacierflow": glacierflow, "odc-stac": odc_stac, "stackstac": stackstac, "floor": floor}


def stac_items(root: str) -> list[Any]:
    from datetime import UTC, datetime

    import pystac
    import shapely
    from rasterio.warp import transform_bounds

    left, top = CORNER
    box = transform_bounds(CRS, "EPSG:4326", left, top - 10 * SCENE, left + 10 * SCENE, top)
    items = []
    for date in range(DATES):
        shape = shapely.geometry.mapping(shapely.box(*box))
        when = datetime(2020, 8, 1 + date, tzinfo=UTC)
        item = pystac.Item(f"scene-{date}", shape, list(box), when, {"proj:epsg": int(CRS.removeprefix("EPSG:"))})
        for band in range(BANDS):
            fields = {
                "proj:transform": [10.0, 0.0, left, 0.0, -10.0, top],
                "proj:shape": [SCENE, SCENE],
                "raster:bands": [{"data_type": "uint16", "nodata": 0}],
            }
            link = f"{root}/{file_name(date, band)}"
            item.add_asset(f"B{band}", pystac.Asset(link, media_type=str(pystac.MediaType.COG), extra_fields=fields))
        items.append(item)
    return items


# --- the race ---------------------------------------------------------------------------------------------------


def contend(name: str, root: str, grid: str, dtype: str) -> None:
    """Read once for each line that comes; the first time only warms up."""
    work = CONTENDERS[name](root, grid, dtype)
    for _ in sys.stdin:
        started, cpu_before = time.perf_counter(), time.process_time()
        found = work()
        seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_before
        del found
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "peak_mb": peak_mb}), flush=True)


@dataclass(frozen=True)
class Case:
    """What is read, and by whom."""

    name: str
    grid: str
    dtype: str
    remote: bool
    contenders: tuple[str, ...]


CASES = (
    Case("warped", "warped", "float32", remote=False, contenders=("Glacierflow", "odc-stac", "stackstac", "floor")),
    Case("warped, uint16", "warped", "uint16", remote=False, contenders=("Glacierflow", "odc-stac", "floor")),
    Case("warped, HTTP", "warped", "float32", remote=True, contenders=("Glacierflow", "odc-stac")),
    Case(
        "same grid", "same grid", "float32", remote=False, contenders=("Glacierflow", "odc-stac", "stackstac", "floor")
    ),
    Case("same grid, HTTP", "same grid", "float32", remote=True, contenders=("Glacierflow", "odc-stac")),
)


def race(case: Case, root: str, peers: str) -> dict[str, dict[str, float]]:
    """Median seconds and peak memory of each contender."""
    with ExitStack() as stack:
        running = {}
        for name in case.contenders:
            python = peers if name == "stackstac" else sys.executable
            if not python:
                continue
            command = [python, "-m", "benchmarks.bench_reading", "contend", name, root, case.grid, case.dtype]
            # the limit on requests is for catalogs of others, not for this machine
            environment = {**os.environ, "GLACIER_REQUESTS_PER_S": "0"}
            running[name] = stack.enter_context(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=REPOSITORY,
                    env=environment,
                )
            )
        answers: dict[str, list[dict[str, float]]] = {name: [] for name in running}
        for _ in range(1 + ROUNDS):
            for name, process in running.items():
                answers[name].append(asked(process))
        for process in running.values():
            if process.stdin:
                process.stdin.close()
    return {
        name: {
            "seconds": statistics.median(answer["seconds"] for answer in found[1:]),
            "cpu_s": statistics.median(answer["cpu_s"] for answer in found[1:]),
            "peak_mb": found[-1]["peak_mb"],
        }
        for name, found in answers.items()
    }


def asked(process: subprocess.Popen[str]) -> dict[str, float]:
    if process.stdin is None or process.stdout is None:
        raise SystemExit("no pipes")
    process.stdin.write("go\n")
    process.stdin.flush()
    answer: dict[str, float] = json.loads(process.stdout.readline())
    return answer


def peers_python() -> str:
    """The interpreter that has stackstac; empty without one."""
    places = (os.environ.get("PEERS_PYTHON", ""), str(REPOSITORY / ".venv-peers/bin/python"))
    return next((place for place in places if place and Path(place).exists()), "")


def main() -> None:
    from benchmarks.recording import record

    peers = peers_python()
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_scenes(Path(folder))
        with served(Path(folder)) as url:
            for case in CASES:
                found = race(case, url if case.remote else folder, peers)
                ours = found["Glacierflow"]
                for name, result in found.items():
                    rows.append(
                        {
                            "case": case.name,
                            "reader": name,
                            "seconds": f"{result['seconds']:.2f}",
                            "CPU seconds": f"{result['cpu_s']:.2f}",
                            "times Glacierflow's": f"{result['seconds'] / ours['seconds']:.2f}",
                            "peak memory MB": f"{result['peak_mb']:.0f}",
                        }
                    )
                    if name != "Glacierflow":
                        figures[f"{case.name}: {name} / Glacierflow"] = round(result["seconds"] / ours["seconds"], 2)
                figures[f"{case.name}: peak / odc-stac's"] = round(ours["peak_mb"] / found["odc-stac"]["peak_mb"], 2)
    absent = "" if peers else " stackstac is absent: `make .venv-peers/installed` brings it, or PEERS_PYTHON names it."
    remarks = (
        f"{DATES} dates x {BANDS} bands x {SIDE} x {SIDE} pixels, {THREADS} threads, medians of {ROUNDS} rounds after "
        "one to warm up, in turns. Peak memory is that of the process that only this reader ran in; the floor holds "
        f"all files and maps.{absent}"
    )
    record("reading", rows=rows, figures=figures, remarks=remarks)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", folder]:
            serve(Path(folder))
        case ["contend", name, root, grid, dtype]:
            contend(name, root, grid, dtype)
        case _:
            main()
