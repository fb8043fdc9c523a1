"""The least of S3 that reading takes, as fast as Python can: whole and ranged GETs of a folder's files, by sendfile.

moto, and http.server too, spend more on each request than any client: behind them every way of reading looks alike.
"""

from __future__ import annotations

import contextlib
import os
import re
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_REQUEST = re.compile(rb"(GET|HEAD) /([^ ?]*)[^ ]* HTTP/1.1\r\n")
_RANGE = re.compile(rb"\r\nrange: bytes=(\d*)-(\d*)\r\n", re.IGNORECASE)
_ABSENT = b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    disable_nagle_algorithm = True
    request_queue_size = 64


class _Folder(socketserver.BaseRequestHandler):
    root: Path

    def handle(self) -> None:
        """Answer one request after the other, until the client hangs up."""
        with contextlib.suppress(ConnectionError):
            while request := self._request():
                self._answer(request)

    def _request(self) -> bytes:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            more = self.request.recv(65536)
            if not more:
                return b""
            request += more
        return request

    def _answer(self, request: bytes) -> None:
        asked = _REQUEST.match(request)
        path = self.root / asked[2].decode() if asked else self.root
        if asked is None or not path.is_file():
            self._send(b"404 Not Found", b"Content-Type: application/xml\r\n", len(_ABSENT))
            self.request.sendall(_ABSENT if asked and asked[1] == b"GET" else b"")
            return
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start, stop = _range(_RANGE.search(request), size)
            where = f'Content-Range: bytes {start}-{stop - 1}/{size}\r\nETag: "{size}"\r\n'
            where += "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
            self._send(b"200 OK" if stop - start == size else b"206 Partial Content", where.encode(), stop - start)
            while asked[1] == b"GET" and start < stop:
                start += os.sendfile(self.request.fileno(), file.fileno(), start, stop - start)

    def _send(self, status: bytes, headers: bytes, length: int) -> None:
        self.request.sendall(b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n" % (status, headers, length))


def _range(asked: re.Match[bytes] | None, size: int) -> tuple[int, int]:
    if asked is None:
        return 0, size
    if not asked[1]:
        return max(size - int(asked[2]), 0), size
    return int(asked[1]), min(int(asked[2]) + 1, size) if asked[2] else size


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A server of a folder in a process of its own: its subfolders are buckets. Yields its URL."""
    command = [sys.executable, "-m", "benchmarks.object_server", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            # it names its URL once it listens
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.terminate()


def main() -> None:
    _Folder.root = Path(sys.argv[1])
    with _Server(("127.0.0.1", 0), _Folder) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
