"""S3 on loopback: moto behind an endpoint that passes requests on, or fails on purpose."""

from __future__ import annotations

import contextlib
import functools
import http.client
import logging
import os
import re
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import pytest
from s3fs import S3FileSystem

from glacier_core.cube import objects
from glacier_core.store import backends

BUCKET = "glacier"


@dataclass(frozen=True)
class Fault:
    """How one request is answered wrongly."""

    method: str
    containing: str
    """The path of the request contains this."""
    kind: Literal["refuse", "reset", "cut", "slow"]
    """An error; a reset connection; half the body and then the end of the connection; the body in drops."""
    status: int = 503
    code: str = "SlowDown"
    pause_s: float = 0.0
    """How long a slow answer waits at each of four pauses."""


class Endpoint(ThreadingHTTPServer):
    """An S3 endpoint that passes requests on to moto, one at a time, unless told to answer otherwise."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.behind = behind
        self.url = f"http://127.0.0.1:{self.server_port}"
        # moto looks and writes in two steps: only one request at a time makes its conditions atomic
        self.turn = threading.Lock()
        self.faults: list[Fault] = []
        self.lost_answers = 0
        self.careless = False
        self._writes: dict[int, int] = {}

    def fail(self, method: str, containing: str, *, status: int, code: str, times: int) -> None:
        """Answer so many of the next requests that match with an error."""
        self.faults += [Fault(method, containing, "refuse", status, code)] * times

    def disturb(
        self, method: str, containing: str, kind: Literal["reset", "cut", "slow"], *, times: int, pause_s: float = 0.0
    ) -> None:
        """Disturb the connection of so many of the next requests that match."""
        self.faults += [Fault(method, containing, kind, pause_s=pause_s)] * times

    def fault(self, method: str, path: str) -> Fault | None:
        """How to fail, if that was asked for."""
        for fault in self.faults:
            if fault.method == method and fault.containing in path:
                with contextlib.suppress(ValueError):  # another request was quicker
                    self.faults.remove(fault)
                    return fault
        return None

    def kill(self, method: str, agent: str) -> bool:
        """Kill the client at its n-th write, if it asks for that by its application id; whether it was killed."""
        client = re.search(r"app/kill-(\d+)-at-(\d+)", agent)
        if client is None or method not in ("PUT", "POST", "DELETE"):
            return False
        process, step = int(client[1]), int(client[2])
        self._writes[process] = self._writes.get(process, 0) + 1
        if self._writes[process] != step:
            return False
        os.kill(process, signal.SIGKILL)
        return True

    def clear(self) -> None:
        """Answer as moto does."""
        self.faults.clear()
        self.lost_answers = 0
        self.careless = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients are meant to hang up."""


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Endpoint

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.kill(self.command, self.headers.get("User-Agent", "")):
            self.close_connection = True
            return
        if self.server.careless:
            del self.headers["If-None-Match"]
        fault = self.server.fault(self.command, self.path)
        if fault is not None and fault.kind == "reset":
            self._reset()
            return
        if fault is not None and fault.kind == "refuse":
            self._refuse(fault.status, fault.code)
            return
        status, headers, text = self._forwarded(body)
        if self.command == "PUT" and self.server.lost_answers:
            self.server.lost_answers -= 1
            self._refuse(500, "InternalError")
            return
        self._answer(status, headers, text, fault)

    def _forwarded(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        with self.server.turn:
            connection = http.client.HTTPConnection(self.server.behind)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            text = answer.read()
            connection.close()
        return answer.status, dict(answer.headers), text

    def _reset(self) -> None:
        # a linger of no time makes the kernel send a reset
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _refuse(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>{code} on purpose</Message></Error>"
        self._answer(status, {"Content-Type": "application/xml"}, text.encode())

    def _answer(self, status: int, headers: dict[str, str], text: bytes, fault: Fault | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "content-length", "date", "server", "transfer-encoding"):
                self.send_header(name, value)
        length = headers.get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(text)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.kind == "cut":
            self.wfile.write(text[: len(text) // 2])
            self.close_connection = True
            return
        quarter = -(-len(text) // 4) if fault is not None else len(text)
        for start in range(0, len(text), quarter or 1):
            self.wfile.write(text[start : start + quarter])
            time.sleep(fault.pause_s if fault is not None else 0)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815


@functools.cache
def endpoint() -> Endpoint:
    """The endpoint of this process, with an empty bucket `BUCKET`; it lives as long as the process."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    connection = http.client.HTTPConnection(f"{host}:{port}")
    connection.request("PUT", f"/{BUCKET}")
    assert connection.getresponse().status == 200
    connection.close()
    started = Endpoint(f"{host}:{port}")
    threading.Thread(target=started.serve_forever, daemon=True).start()
    return started


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """The endpoint, with an environment that leads s3fs and obstore to it, and clients that lose no time."""
    found = endpoint()
    for name, value in {
        "AWS_ENDPOINT_URL": found.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(backends, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(objects, "FIRST_WAIT_S", 0.01)
    _forget_clients()
    found.clear()
    yield found
    found.clear()
    _forget_clients()


def _forget_clients() -> None:
    """Both kinds of client keep the endpoint that they found in the environment."""
    objects.forget_connections()
    S3FileSystem.clear_instance_cache()
