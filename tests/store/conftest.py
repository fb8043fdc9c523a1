"""Stores of every protocol; S3 on loopback, with an endpoint in front of it that can be made to fail."""

from __future__ import annotations

import http.client
import logging
import os
import re
import signal
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from glacier_core.store import Store, backends

BUCKET = "glacier"


class Endpoint(ThreadingHTTPServer):
    """An S3 endpoint that passes requests on to moto, one at a time, unless told to answer otherwise."""

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.behind = behind
        self.url = f"http://127.0.0.1:{self.server_port}"
        # moto looks and writes in two steps: only one request at a time makes its conditions atomic
        self.turn = threading.Lock()
        self.faults: list[tuple[str, str, int, str]] = []
        self.lost_answers = 0
        self.careless = False
        self._writes: dict[int, int] = {}

    def fail(self, method: str, containing: str, *, status: int, code: str, times: int) -> None:
        """Answer so many of the next requests that match with an error."""
        self.faults += [(method, containing, status, code)] * times

    def fault(self, method: str, path: str) -> tuple[int, str] | None:
        """The error to answer with, if one was asked for."""
        for fault in self.faults:
            if fault[0] == method and fault[1] in path:
                self.faults.remove(fault)
                return fault[2:]
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
        if fault is not None:
            self._refuse(*fault)
            return
        with self.server.turn:
            connection = http.client.HTTPConnection(self.server.behind)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            text = answer.read()
            connection.close()
        if self.command == "PUT" and self.server.lost_answers:
            self.server.lost_answers -= 1
            self._refuse(500, "InternalError")
            return
        self._answer(answer.status, dict(answer.headers), text)

    def _refuse(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>{code} on purpose</Message></Error>"
        self._answer(status, {"Content-Type": "application/xml"}, text.encode())

    def _answer(self, status: int, headers: dict[str, str], text: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "content-length", "date", "server", "transfer-encoding"):
                self.send_header(name, value)
        length = headers.get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815


@pytest.fixture(scope="session")
def _moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def _endpoint(_moto: str) -> Iterator[Endpoint]:
    endpoint = Endpoint(_moto)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    connection = http.client.HTTPConnection(_moto)
    connection.request("PUT", f"/{BUCKET}")
    assert connection.getresponse().status == 200
    connection.close()
    yield endpoint
    endpoint.shutdown()
    endpoint.server_close()


@pytest.fixture
def s3(_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """The endpoint, with an environment that leads s3fs to it."""
    for name, value in {
        "AWS_ENDPOINT_URL": _endpoint.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(backends, "_FIRST_WAIT_S", 0.01)
    _endpoint.clear()
    yield _endpoint
    _endpoint.clear()


@pytest.fixture(params=["file", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a new store, on each protocol in turn."""
    if request.param == "file":
        return str(tmp_path / "store")
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    request.getfixturevalue("s3")
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def store(url: str) -> Store:
    """A new store, on each protocol in turn."""
    return Store(url)
