"""A STAC API with signed files on loopback: paging, a token service, range requests, and faults on request.

It is an HTTP proxy too, so that links to `<account>.blob.core.windows.net`, the only ones that the Planetary Computer's
signer signs, lead here: set `http_proxy` to its URL.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

import pytest

ACCOUNT = "simulated"
CONTAINER = "scenes"
BLOBS = f"http://{ACCOUNT}.blob.core.windows.net/{CONTAINER}"
CONFORMANCE = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#query",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
]


@dataclass(frozen=True)
class Request:
    """One request that was answered."""

    kind: str  # search, token, blob, file or root
    path: str
    status: int
    sent: int  # bytes of the answer's body
    at: float  # time.monotonic()


@dataclass
class Fault:
    """An answer that stands in for the right one."""

    kind: str  # of the requests that get it
    status: int
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    part: str = ""  # only paths that hold it
    after: int = 0  # requests of this kind that are answered rightly first


class StacServer:
    """Serves STAC items and the files below a folder; use as a context manager."""

    def __init__(self, folder: Path, items: Iterable[Mapping[str, Any]], *, page: int = 3) -> None:
        self.folder = folder
        self.items = list(items)
        self.page = page
        self.life_s = 3600.0
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.tokens: dict[str, float] = {}
        self.lock = threading.Lock()
        server = self

        class Handler(_Handler):
            owner = server

        self._http = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> StacServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def api(self) -> str:
        """Root of the STAC API."""
        return f"{self.url}/stac"

    @property
    def sas(self) -> str:
        """The token service, as `PC_SDK_SAS_URL` wants it."""
        return f"{self.url}/sas"

    def revoke(self) -> None:
        """Let every token that was given out be refused from now on, whatever its expiry says."""
        with self.lock:
            self.tokens.clear()

    def of(self, kind: str) -> list[Request]:
        """The requests of one kind so far."""
        return [request for request in self.requests if request.kind == kind]

    def fault_for(self, kind: str, path: str) -> Fault | None:
        """The fault that this request gets, used up by one."""
        with self.lock:
            for fault in self.faults:
                if fault.kind == kind and fault.part in path and fault.times > 0:
                    if fault.after > 0:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def token(self) -> dict[str, str]:
        """A new token and its expiry."""
        expiry = time.time() + self.life_s
        signature = secrets.token_hex(8)
        with self.lock:
            self.tokens[signature] = expiry
        until = datetime.fromtimestamp(expiry, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"msft:expiry": until, "token": urlencode({"se": until, "sp": "rl", "sig": signature})}

    def accepts(self, query: Mapping[str, list[str]]) -> bool:
        """Whether the token in a query is known and has not expired."""
        with self.lock:
            return self.tokens.get(query.get("sig", [""])[0], 0.0) > time.time()

    def search(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """One page of a search."""
        found = [item for item in self.items if _matches(item, body)]
        start = int(body.get("token") or 0)
        links = []
        if start + self.page < len(found):
            following = {**body, "token": str(start + self.page)}
            href = f"{self.api}/search"
            links = [{"rel": "next", "href": href, "method": "POST", "body": following, "type": "application/geo+json"}]
        return {"type": "FeatureCollection", "features": found[start : start + self.page], "links": links}


@contextmanager
def signing_by(server: StacServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have links signed by this server, and its other hosts reached through it; nothing signed stays."""
    from planetary_computer import sas
    from planetary_computer.settings import Settings as SignerSettings

    def forget() -> None:
        SignerSettings.get.cache_clear()
        sas.TOKEN_CACHE.clear()

    monkeypatch.setenv("PC_SDK_SAS_URL", server.sas)
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("GLACIER_REQUESTS_PER_S", "0")
    forget()
    yield
    forget()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Readers may hang up when they have seen enough."""


class _Handler(BaseHTTPRequestHandler):
    owner: StacServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._answer({})

    def do_HEAD(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Mapping[str, Any]) -> None:
        link = urlparse(self.path)
        kind = _kind(link.netloc, link.path)
        fault = self.owner.fault_for(kind, link.path)
        if fault is not None:
            self._send(kind, fault.status, b"not now", headers=fault.headers)
        elif kind == "search":
            self._send_json(kind, self.owner.search(body))
        elif kind == "token":
            self._send_json(kind, self.owner.token())
        elif kind == "root":
            self._send_json(kind, _root(self.owner))
        elif kind == "blob" and not self.owner.accepts(parse_qs(link.query)):
            self._send(kind, 403, b"AuthenticationFailed")
        else:
            name = link.path.removeprefix(f"/{CONTAINER}/" if kind == "blob" else "/files/")
            self._send_file(kind, self.owner.folder / name)

    def _send_file(self, kind: str, path: Path) -> None:
        if not path.is_file():
            self._send(kind, 404, b"BlobNotFound")
            return
        content = path.read_bytes()
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match is None:
            self._send(kind, 200, content, headers={"Accept-Ranges": "bytes"})
            return
        first = int(match[1])
        last = min(int(match[2]) if match[2] else len(content) - 1, len(content) - 1)
        if first > last:
            self._send(kind, 416, b"")
            return
        headers = {"Accept-Ranges": "bytes", "Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self._send(kind, 206, content[first : last + 1], headers=headers)

    def _send_json(self, kind: str, value: Mapping[str, Any]) -> None:
        self._send(kind, 200, json.dumps(value).encode(), headers={"Content-Type": "application/json"})

    def _send(self, kind: str, status: int, content: bytes, *, headers: Mapping[str, str] | None = None) -> None:
        sent = 0 if self.command == "HEAD" else len(content)
        self.owner.requests.append(Request(kind, urlparse(self.path).path, status, sent, time.monotonic()))
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 named by http.server
        """Keep quiet."""


def _kind(host: str, path: str) -> str:
    if host.endswith(".blob.core.windows.net"):
        return "blob"
    for prefix, kind in (("/stac/search", "search"), ("/sas/", "token"), ("/files/", "file")):
        if path.startswith(prefix):
            return kind
    return "root"


def _root(server: StacServer) -> dict[str, Any]:
    return {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "loopback",
        "description": "STAC API of the tests",
        "conformsTo": CONFORMANCE,
        "links": [
            {"rel": "self", "href": server.api, "type": "application/json"},
            {"rel": "root", "href": server.api, "type": "application/json"},
            {"rel": "search", "href": f"{server.api}/search", "type": "application/geo+json", "method": "POST"},
        ],
    }


def _matches(item: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    west, south, east, north = body["bbox"]
    box = item["bbox"]
    if box[0] > east or box[2] < west or box[1] > north or box[3] < south:
        return False
    if body.get("datetime"):
        first, last = (datetime.fromisoformat(text) for text in body["datetime"].split("/"))
        if not first <= datetime.fromisoformat(item["properties"]["datetime"]) <= last:
            return False
    if body.get("collections") and item["collection"] not in body["collections"]:
        return False
    # a query for a property finds no item that has none
    asked = body.get("query", {}).get("eo:cloud_cover")
    cloud = item["properties"].get("eo:cloud_cover")
    return asked is None or (cloud is not None and bool(cloud <= asked["lte"]))
