"""A server of directory listings on loopback, with ETags and faults on request."""

from __future__ import annotations

import hashlib
import html
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import quote, unquote


@dataclass
class Fault:
    """What the next answers to a path are instead."""

    part: str  # only paths that hold it
    kind: Literal["status", "short", "reset", "garbled"]
    times: int = 1
    status: int = 503


@dataclass
class ListingServer:
    """Serves the files below a folder; use as a context manager."""

    root: Path
    faults: Sequence[Fault] = ()
    answers: list[tuple[str, int]] = field(default_factory=list)
    """Path and status of each answer."""

    def __enter__(self) -> ListingServer:
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = unquote(self.path)
                with lock:
                    fault = next((fault for fault in outer.faults if fault.times and fault.part in path), None)
                    if fault:
                        fault.times -= 1
                outer.answer(self, path, fault)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where the listing begins."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def asked(self, part: str) -> list[int]:
        """Statuses of the answers to paths that hold `part`."""
        return [status for path, status in self.answers if part in path]

    def answer(self, handler: BaseHTTPRequestHandler, path: str, fault: Fault | None) -> None:
        """Answer a request, or fail as the fault says."""
        target = self.root / path.lstrip("/")
        if fault and fault.kind == "status":
            self._send(handler, path, fault.status, b"busy", {"Retry-After": "0"})
        elif fault and fault.kind == "reset":
            self.answers.append((path, 0))
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.connection.close()
        elif target.is_dir():
            names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in target.iterdir())
            links = "".join(f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names)
            page = f'<html><body><a href="../">Parent</a> <a href="?C=N;O=D">Name</a>\n{links}</body></html>'
            self._send(handler, path, 200, page.encode(), {})
        elif target.is_file():
            self._send_file(handler, path, target.read_bytes(), fault)
        else:
            self._send(handler, path, 404, b"none", {})

    def _send_file(self, handler: BaseHTTPRequestHandler, path: str, body: bytes, fault: Fault | None) -> None:
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if handler.headers.get("If-None-Match") == tag:
            self._send(handler, path, 304, b"", {"ETag": tag})
        elif fault and fault.kind == "short":
            self._send(handler, path, 200, body[: len(body) // 2], {"ETag": tag}, length=len(body))
            handler.close_connection = True
        elif fault and fault.kind == "garbled":
            self._send(handler, path, 200, body[: len(body) // 2], {"ETag": tag})
        else:
            self._send(handler, path, 200, body, {"ETag": tag})

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        path: str,
        status: int,
        body: bytes,
        headers: dict[str, str],
        *,
        length: int | None = None,
    ) -> None:
        self.answers.append((path, status))
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)
