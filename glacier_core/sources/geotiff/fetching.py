"""Byte ranges of a file, wherever it is: a local path, an HTTP link, or an object of any fsspec store."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from glacier_core.errors import NotPublishedError, SceneError
from glacier_core.sources.assets import NotNowError, patiently, refusal, without_token
from glacier_core.sources.remote import TIMEOUT_S, host_of, is_http, rate_limit, retry_after_s
from glacier_core.sources.signing import signed
from glacier_core.store.backends import open_backend

if TYPE_CHECKING:
    import requests

HEAD_BYTES = 2**14
"""Read at once from a file's beginning, where cloud-optimised files have their directories."""
REMEMBERED_BYTES = 2**25
"""Bytes of remote files that are kept for the next window."""
REMEMBERED_S = 300.0
"""How long they are taken for what the server has."""
WHOLE_BYTES = 2**30
"""The largest file that is fetched whole, where its server knows no ranges."""


class PastEndError(Exception):
    """Bytes that should be there, and are not: the file has been cut short."""


class RangeSource(Protocol):
    """A file whose bytes can be read in any order, from any thread."""

    remote: bool
    """Whether reading waits for a network."""
    remembered: bool
    """Whether some bytes came from memory, and may be older than the file."""

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on, or fewer where the file ends before.

        Raises:
            SceneError: it is missing or refused.
            NotNowError: its service stays busy or silent.
            StoreError, ServiceUnavailableError: object storage refuses or does not answer.
        """

    def close(self) -> None:
        """Let go of the file."""


def open_ranges(href: str, *, name: str, retries: int) -> RangeSource:
    """The bytes of an asset.

    Args:
        href: local path, HTTP link (signed here if it needs that) or fsspec URL.
        name: the asset's name, for messages.
        retries: how often a read that may succeed later is tried again.

    Raises:
        OSError: a local file cannot be opened.
    """
    if is_http(href):
        return LinkRanges(href, name=name, retries=retries)
    if "://" in href:
        return ObjectRanges(href, name=name, retries=retries)
    return FileRanges(href, name=name)


class FileRanges:
    """A local file."""

    remote = False
    remembered = False

    def __init__(self, path: str, *, name: str) -> None:
        self._name = name
        self._descriptor = os.open(path, os.O_RDONLY)

    def read(self, offset: int, length: int) -> bytes:
        """See `RangeSource`."""
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise SceneError(f"{self._name} cannot be read ({error.strerror})") from error

    def close(self) -> None:
        """See `RangeSource`."""
        os.close(self._descriptor)


class ObjectRanges:
    """An object of an fsspec store."""

    remote = True
    remembered = False

    def __init__(self, href: str, *, name: str, retries: int) -> None:
        self._retries = retries
        self._folder, _, self._file = href.rpartition("/")
        self._href = href
        self._name = name
        self._backend = open_backend(self._folder)
        self._size: int | None = None

    def read(self, offset: int, length: int) -> bytes:
        """See `RangeSource`."""
        return patiently(lambda _: self._ask(offset, length), retries=self._retries)

    def _ask(self, offset: int, length: int) -> bytes:
        try:
            with self._backend.guard(self._file):
                if self._size is None:
                    self._size = int(self._backend.fs.info(self._href)["size"])
                end = min(offset + length, self._size)
                content = bytes(self._backend.fs.cat_file(self._href, start=offset, end=end)) if offset < end else b""
        except NotPublishedError as error:
            raise SceneError(f"{self._name} does not exist") from error
        if len(content) < end - offset:
            raise NotNowError(f"{self._name} cannot be read ({len(content)} of {end - offset} bytes came)")
        return content

    def close(self) -> None:
        """See `RangeSource`."""


class LinkRanges:
    """A file behind HTTP. A server that ignores ranges is asked once, and what it sends is kept."""

    remote = True
    remembered = False

    def __init__(self, href: str, *, name: str, retries: int) -> None:
        self._href = href
        self._name = name
        self._retries = retries
        self._lock = threading.Lock()
        self._asked = False
        self._version = ""
        self._whole: bytes | None = None

    def read(self, offset: int, length: int) -> bytes:
        """See `RangeSource`."""
        if self._whole is not None:
            return self._whole[offset : offset + length]
        known = _memory.find(signed_or(self._href), offset, length)
        if known is not None:
            self.remembered = True
            return known
        return patiently(lambda _: self._ask(offset, length), retries=self._retries)

    def close(self) -> None:
        """See `RangeSource`."""

    def _ask(self, offset: int, length: int) -> bytes:
        import requests

        with self._lock:
            if not self._asked:
                rate_limit().wait()
            self._asked = True
        try:
            link = signed(self._href)
        except requests.RequestException as error:
            raise without_token(self._name, error) from error
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        try:
            with _session().get(link, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
                return self._taken(answer, link, offset, length)
        except (requests.RequestException, OSError) as error:
            host = host_of(self._href)
            kind = type(error).__name__
            silent = isinstance(error, requests.ConnectionError | requests.Timeout)
            raise NotNowError(f"{host} does not answer ({kind})", host=host if silent else "") from error

    def _taken(self, answer: requests.Response, link: str, offset: int, length: int) -> bytes:
        if answer.status_code == 416:  # the file ends before
            return b""
        pause = retry_after_s(answer.headers.get("Retry-After"))
        refused = refusal(self._href, name=self._name, status=answer.status_code, pause_s=pause)
        if refused is not None:
            raise refused
        self._check_version(answer)
        if answer.status_code == 206:
            first, size = _content_range(answer.headers.get("Content-Range", ""))
            if first != offset:
                raise SceneError(f"{self._name} cannot be read (its server answers another range)")
            content = self._body(answer, length if size is None else min(length, size - offset))
            _memory.keep(link, offset, length, content)
            return content
        self._whole = self._body(answer, int(answer.headers.get("Content-Length") or -1))
        return self._whole[offset : offset + length]

    def _body(self, answer: requests.Response, length: int) -> bytes:
        from urllib3.exceptions import HTTPError

        if length > WHOLE_BYTES:
            raise SceneError(f"{self._name} cannot be read (its server knows no ranges, and it has {length} bytes)")
        try:
            content: bytes = answer.raw.read(length if length >= 0 else WHOLE_BYTES + 1)
        except HTTPError as error:
            raise NotNowError(f"{self._name} cannot be read (its server hung up)") from error
        if len(content) > WHOLE_BYTES:
            raise SceneError(f"{self._name} cannot be read (its server knows no ranges, and tells no size)")
        if 0 <= length != len(content):
            raise NotNowError(f"{self._name} cannot be read ({len(content)} of {length} bytes came)")
        return content

    def _check_version(self, answer: requests.Response) -> None:
        """Never mix the bytes of a file with those of the one that replaced it."""
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if self._version and version and version != self._version:
            self.remembered = True
            raise SceneError(f"{self._name} was replaced while it was read")
        self._version = version


def forget(href: str) -> None:
    """Do not rely on what is remembered of a link."""
    if is_http(href):
        _memory.drop(signed_or(href))


def signed_or(href: str) -> str:
    """The link as it would be asked for, or the plain one where there is no signature now."""
    import requests

    try:
        return signed(href)
    except requests.RequestException:
        return href


def _content_range(header: str) -> tuple[int, int | None]:
    """First byte and size of the whole, as `Content-Range` tells them (RFC 9110, 14.4)."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", header.strip())
    if match is None:
        return -1, None
    return int(match[1]), None if match[2] == "*" else int(match[2])


@dataclass(frozen=True)
class _Kept:
    asked: int  # bytes; the content is shorter where the file ends
    content: bytes
    until: float


class _Memory:
    """The remote ranges that were read last, by link and offset."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], _Kept] = OrderedDict()
        self._bytes = 0

    def find(self, link: str, offset: int, length: int) -> bytes | None:
        with self._lock:
            kept = self._kept.get((link, offset))
            if kept is None or kept.asked < length or kept.until < time.monotonic():
                return None
            self._kept.move_to_end((link, offset))
            return kept.content[:length]

    def keep(self, link: str, offset: int, asked: int, content: bytes) -> None:
        if len(content) > REMEMBERED_BYTES // 4:
            return
        with self._lock:
            self._pop((link, offset))
            self._kept[link, offset] = _Kept(asked, content, time.monotonic() + REMEMBERED_S)
            self._bytes += len(content)
            while self._bytes > REMEMBERED_BYTES:
                self._pop(next(iter(self._kept)))

    def drop(self, link: str) -> None:
        with self._lock:
            for key in [key for key in self._kept if key[0] == link]:
                self._pop(key)

    def _pop(self, key: tuple[str, int]) -> None:
        kept = self._kept.pop(key, None)
        self._bytes -= len(kept.content) if kept else 0


_memory = _Memory()
_local = threading.local()


def _session() -> Any:
    """This thread's connections, kept open between requests."""
    import requests

    session = getattr(_local, "session", None)
    if session is None:
        session = _local.session = requests.Session()
    return session


class Head:
    """A file's directories, read with few requests: small reads come from a longer one."""

    def __init__(self, source: RangeSource) -> None:
        self._source = source
        self._parts: list[tuple[int, bytes]] = []

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset` on.

        Raises:
            PastEndError: the file ends before; and what `RangeSource.read` raises.
        """
        for start, content in self._parts:
            if start <= offset and offset + length <= start + len(content):
                return content[offset - start : offset - start + length]
        content = self._source.read(offset, max(length, HEAD_BYTES))
        if len(content) < length:
            raise PastEndError
        self._parts.append((offset, content))
        return content[:length]
