"""Many bands at once, over networks that fail: only what is needed is asked for, and what fails says why."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from glacier_core.errors import SceneError, ServiceUnavailableError, StoreError
from glacier_core.grids import Grid
from glacier_core.sources.assets import NotNowError
from glacier_core.sources.bands import BandSource
from glacier_core.sources.pixels import PixelRequest, read_pixels
from tests.object_storage import BUCKET, Endpoint, s3
from tests.sources.scene_files import CORNER, CRS
from tests.sources.test_geotiff import grid_at, write_smooth

__all__ = ["s3"]

SIZE = 512


@dataclass
class Files:
    """A server of files, and how it behaves."""

    folder: Path
    url: str = ""
    ranges: bool = True
    faults: list[int] = field(default_factory=list)  # statuses of the next answers
    headers: dict[str, str] = field(default_factory=dict)  # of those answers
    cut: int = 0  # how many answers break off half-way
    version: str = ""
    asked: list[tuple[str, int]] = field(default_factory=list)  # range and bytes sent


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    monkeypatch.setenv("GLACIER_REQUESTS_PER_S", "0")
    served = Files(tmp_path)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            with lock:
                fault = served.faults.pop(0) if served.faults else 0
                cut = served.cut > 0 and not fault
                served.cut -= cut
            path = served.folder / self.path.lstrip("/")
            if fault or not path.is_file():
                self._send(fault or 404, b"no", served.headers)
                return
            content = path.read_bytes()
            headers = {"ETag": served.version} if served.version else {}
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if match is None or not served.ranges:
                self._send(200, content, headers, cut=cut)
                return
            first, last = int(match[1]), min(int(match[2]), len(content) - 1)
            if first > last:
                self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            self._send(206, content[first : last + 1], headers, cut=cut)

        def _send(self, status: int, content: bytes, headers: dict[str, str], *, cut: bool = False) -> None:
            served.asked.append((self.headers.get("Range", ""), len(content)))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write({"HEAD": b""}.get(self.command, content[: len(content) // (1 + cut)]))
            self.close_connection = self.close_connection or cut

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 named by http.server
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    yield served
    server.shutdown()
    server.server_close()


def wanted(href: str, grid: Grid, *, index: int = 1) -> PixelRequest:
    return PixelRequest(BandSource("B02", href, index, 1.0, 0.0, None), grid)


def read(href: str, grid: Grid, *, retries: int = 4) -> object:
    (found,) = read_pixels([wanted(href, grid)], retries=retries)
    return found


SMALL, TURNED = grid_at(200, 210, 40, 30), grid_at(100.4, 90.3, 250, 260)


@pytest.fixture
def whole(files: Files) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    write_smooth(files.folder / "B02.tif", SIZE)
    with rasterio.open(files.folder / "B02.tif") as file:
        pixels: np.ndarray[tuple[int, int], np.dtype[np.uint16]] = file.read(1)
    return pixels


def same_as_local(files: Files, found: object, grid: Grid) -> None:
    assert isinstance(found, np.ndarray), found
    np.testing.assert_array_equal(found, read(str(files.folder / "B02.tif"), grid))


@pytest.mark.usefixtures("whole")
def test_http_reads_the_same_and_only_what_is_needed(files: Files) -> None:
    found = read(f"{files.url}/B02.tif", SMALL)
    same_as_local(files, found, SMALL)
    sent = sum(count for _, count in files.asked)
    assert len(files.asked) <= 3, "the head, and neighbouring blocks by one request"
    assert sent < 2**14 + 0.35 * (files.folder / "B02.tif").stat().st_size
    read(f"{files.url}/B02.tif", SMALL)
    assert sum(count for _, count in files.asked) == sent, "what was read last is remembered"
    same_as_local(files, read(f"{files.url}/B02.tif", TURNED), TURNED)


@pytest.mark.usefixtures("whole")
def test_neighbouring_blocks_come_by_one_request(files: Files) -> None:
    same_as_local(files, read(f"{files.url}/B02.tif", TURNED), TURNED)
    assert len(files.asked) <= 1 + 5, "rows of blocks, not blocks"


@pytest.mark.usefixtures("whole")
def test_other_layouts_are_read_over_http_too(files: Files) -> None:
    write_smooth(files.folder / "B02.tif", SIZE, compress="lzma")
    same_as_local(files, read(f"{files.url}/B02.tif", TURNED), TURNED)


@pytest.mark.usefixtures("whole")
def test_server_that_ignores_ranges_is_asked_once(files: Files) -> None:
    files.ranges = False
    same_as_local(files, read(f"{files.url}/B02.tif", TURNED), TURNED)
    assert len(files.asked) == 1


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_server_is_waited_for(files: Files, status: int) -> None:
    files.faults, files.headers = [status, status], {"Retry-After": "0"}
    same_as_local(files, read(f"{files.url}/B02.tif", TURNED), TURNED)
    files.faults = [503] * 40
    found = read(f"{files.url}/B02.tif#again", TURNED, retries=1)
    assert isinstance(found, NotNowError)
    assert "503" in str(found)


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("status", [403, 404, 410])
def test_refusal_is_told_with_its_status(files: Files, status: int) -> None:
    files.faults = [status] * 9
    found = read(f"{files.url}/B02.tif", TURNED)
    assert isinstance(found, SceneError)
    assert str(found) == f"B02 cannot be read (HTTP {status})"


@pytest.mark.usefixtures("whole")
def test_answers_that_break_off_are_asked_for_again(files: Files) -> None:
    files.cut = 2
    same_as_local(files, read(f"{files.url}/B02.tif", TURNED), TURNED)
    assert len(files.asked) >= 3


@pytest.mark.usefixtures("whole")
def test_cut_and_empty_files_are_damaged(files: Files) -> None:
    content = (files.folder / "B02.tif").read_bytes()
    (files.folder / "cut.tif").write_bytes(content[: len(content) // 2])
    (files.folder / "empty.tif").write_bytes(b"")
    (files.folder / "page.tif").write_bytes(b"<html>sign in</html>" * 99)
    requests = [wanted(f"{files.url}/{name}.tif", TURNED) for name in ("cut", "empty", "page", "B02")]
    *bad, good = read_pixels(requests, retries=0)
    assert isinstance(good, np.ndarray)
    for found in bad:
        assert isinstance(found, SceneError | NotNowError)
        assert "B02 " in str(found)
        assert "\n" not in str(found)


@pytest.mark.usefixtures("whole")
def test_file_that_was_replaced_is_read_anew(files: Files) -> None:
    files.version = '"one"'
    read(f"{files.url}/B02.tif", SMALL)
    write_smooth(files.folder / "B02.tif", SIZE, compress="zstd", blocksize=256, hole=True)
    files.version = '"two"'
    same_as_local(files, read(f"{files.url}/B02.tif", TURNED), TURNED)


def test_silent_host_is_asked_for_one_file_only() -> None:
    import time

    began = time.monotonic()
    requests = [wanted(f"http://127.0.0.1:9/{number}.tif", SMALL) for number in range(20)]
    found = read_pixels(requests, retries=0)
    assert all(isinstance(error, NotNowError) and error.host == "127.0.0.1:9" for error in found)
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("whole")
def test_errors_are_told_apart_by_band(files: Files) -> None:
    path = str(files.folder / "B02.tif")
    found = read_pixels([wanted(path, SMALL), wanted(path, SMALL, index=4), wanted("/none.tif", SMALL)])
    assert isinstance(found[0], np.ndarray)
    assert isinstance(found[1], SceneError)
    assert "has 1 bands" in str(found[1])
    assert isinstance(found[2], SceneError)
    assert read_pixels([]) == []


@pytest.mark.usefixtures("whole")
def test_grid_beside_the_file_has_no_data(files: Files) -> None:
    far = Grid("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 6_000_000.0), 30, 20)
    for grid in (grid_at(9000, 9000, 20, 30), far):
        found = read(str(files.folder / "B02.tif"), grid)
        assert isinstance(found, np.ndarray)
        assert found.shape == grid.shape
        assert np.isnan(found).all()


@pytest.mark.usefixtures("whole")
def test_objects_of_a_store(files: Files) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/pixels/B02.tif", (files.folder / "B02.tif").read_bytes())
    memory.pipe_file("/pixels/cut.tif", (files.folder / "B02.tif").read_bytes()[:60_000])
    try:
        for grid in (SMALL, TURNED):
            same_as_local(files, read("memory://pixels/B02.tif", grid), grid)
        assert isinstance(read("memory://pixels/cut.tif", TURNED), SceneError)
        missing = read("memory://pixels/none.tif", SMALL)
        assert isinstance(missing, SceneError)
        assert str(missing) == "B02 does not exist"
    finally:
        memory.rm("/pixels", recursive=True)


@pytest.mark.usefixtures("whole")
def test_objects_on_s3(files: Files, s3: Endpoint) -> None:
    import fsspec

    system = fsspec.filesystem("s3", skip_instance_cache=True)
    content = (files.folder / "B02.tif").read_bytes()
    system.pipe_file(f"{BUCKET}/pixels/B02.tif", content)
    system.pipe_file(f"{BUCKET}/pixels/cut.tif", content[: len(content) // 2])
    s3.fail("GET", "B02.tif", status=503, code="SlowDown", times=2)
    for grid in (SMALL, TURNED):
        same_as_local(files, read(f"s3://{BUCKET}/pixels/B02.tif", grid), grid)
    cut = read(f"s3://{BUCKET}/pixels/cut.tif", TURNED)
    assert isinstance(cut, SceneError)
    assert "damaged" in str(cut)
    missing = read(f"s3://{BUCKET}/pixels/none.tif", SMALL)
    assert str(missing) == "B02 does not exist"
    with pytest.raises(StoreError, match="absent-bucket"):
        read("s3://absent-bucket/pixels/B02.tif", SMALL)


def test_storage_that_does_not_answer_is_no_scenes_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(s3fs.core.S3FileSystem, "retries", 1)
    with pytest.raises((ServiceUnavailableError, StoreError), match=r"127\.0\.0\.1:9"):
        read("s3://bucket/B02.tif", SMALL)


@pytest.mark.usefixtures("whole")
def test_opencv_keeps_its_threads(files: Files) -> None:
    import cv2

    before = cv2.getNumThreads()
    read(str(files.folder / "B02.tif"), TURNED)
    assert cv2.getNumThreads() == before


@pytest.mark.usefixtures("whole")
def test_threads_do_not_change_the_pixels(files: Files) -> None:
    requests = [wanted(str(files.folder / "B02.tif"), grid) for grid in (TURNED, SMALL, TURNED)]
    one, many = (read_pixels(requests, threads=threads) for threads in (1, 5))
    for first, second in zip(one, many, strict=True):
        np.testing.assert_array_equal(first, second)


def test_folder_in_the_place_of_a_file_is_the_scenes_fault(tmp_path: Path) -> None:
    found = read(str(tmp_path), SMALL)
    assert isinstance(found, SceneError)
    assert "B02 cannot be read" in str(found)


def test_nodata_that_the_type_cannot_hold_changes_no_pixel(tmp_path: Path) -> None:
    path = tmp_path / "bytes.tif"
    where = {"crs": CRS, "transform": from_origin(*CORNER, 10, 10), "height": 600, "width": 600}
    with rasterio.open(path, "w", driver="GTiff", dtype="uint8", count=1, **where) as file:
        file.write(np.zeros((600, 600), np.uint8), 1)
    request = PixelRequest(BandSource("B02", str(path), 1, 1.0, 0.0, -9999.0), grid_at(100.4, 90.3, 50, 60))
    (found,) = read_pixels([request], dtype="native")
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.uint8
    assert not found.any()
