"""Files in a local folder, under an HTTP server's directory listings, or in any other place that fsspec knows."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlparse

from glacier_core.errors import ConfigurationError, GlacierError, SceneError, ServiceUnavailableError, StoreError
from glacier_core.sources.reading import SceneTrouble
from glacier_core.sources.remote import (
    BUSY_STATUS,
    TIMEOUT_S,
    deepest_reason,
    host_of,
    is_http,
    rate_limit,
    retry_policy,
)

log = logging.getLogger(__name__)

RETRIES = 4
DOWNLOADS_AT_ONCE = 4
LEVELS_BELOW = 5
"""How deep the folders of a server are searched."""

Check = Callable[[bytes], None]
"""Raises SceneError where bytes are not what they should be."""


@dataclass(frozen=True)
class FoundFile:
    """A file that lies somewhere."""

    name: str
    """Its name without folders."""
    href: str
    """Its path or URL."""

    @property
    def local(self) -> bool:
        """Whether it is a file of this machine."""
        return "://" not in self.href


def find_files(location: str, *, name: re.Pattern[str], folders: re.Pattern[str]) -> list[FoundFile]:
    """Files in and below a location whose whole names match, one a name, in order of their names.

    Args:
        location: a local folder; the URL of a server's directory listing; or any URL that fsspec knows.
        name: what a file's name looks like.
        folders: names of the folders of an HTTP server that are looked into.

    Raises:
        ConfigurationError: there is no such location, or it holds no such file.
        ServiceUnavailableError: its host does not answer.
    """
    if is_http(location):
        hrefs = _listed(location, name=name, folders=folders)
    elif "://" in location and not location.startswith("file://"):
        hrefs = _found_by_fsspec(location)
    else:
        root = Path(location.removeprefix("file://"))
        if not root.is_dir():
            raise ConfigurationError(f"folder {root} does not exist", expected="a folder or a URL", do="check the path")
        hrefs = [str(path) for path in sorted(root.rglob("*")) if path.is_file()]
    files: dict[str, FoundFile] = {}
    for href in hrefs:
        base = name_of(href)
        if name.fullmatch(base):
            files.setdefault(base, FoundFile(base, href))
    if not files:
        raise ConfigurationError(f"{location} holds no file named like {name.pattern}", do="check the location")
    return [files[base] for base in sorted(files)]


def name_of(href: str) -> str:
    """The last part of a path or URL."""
    return unquote(urlparse(href).path if is_http(href) else href).rstrip("/").rpartition("/")[2]


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.hrefs += [value for key, value in attrs if key == "href" and value]


def _listed(location: str, *, name: re.Pattern[str], folders: re.Pattern[str]) -> list[str]:
    """URLs of files in a server's listings, each folder's listing asked for once."""
    root = location if location.endswith("/") else f"{location}/"
    files: list[str] = []
    level, seen = [root], {root}
    with Downloads() as downloads:
        for _ in range(LEVELS_BELOW):
            below: list[str] = []
            for folder in level:
                for url in _links(downloads.read(folder), base=folder):
                    if url in seen or not url.startswith(folder):
                        continue
                    seen.add(url)
                    if url.endswith("/") and folders.fullmatch(name_of(url)):
                        below.append(url)
                    elif name.fullmatch(name_of(url)):
                        files.append(url)
            level = below
    return files


def _links(page: bytes, *, base: str) -> list[str]:
    parser = _Links()
    parser.feed(page.decode("utf-8", errors="replace"))
    return [urljoin(base, href).partition("#")[0].partition("?")[0] for href in parser.hrefs]


def _found_by_fsspec(location: str) -> list[str]:
    import fsspec

    try:
        fs, root = fsspec.url_to_fs(location)
        if not fs.isdir(root):
            raise ConfigurationError(f"{location} does not exist", expected="a folder or a URL", do="check the address")
        return [fs.unstrip_protocol(path) for path in sorted(fs.find(root))]
    except ValueError as error:
        raise ConfigurationError(f"{location} cannot be opened ({error})") from None
    except (OSError, ImportError) as error:
        raise ServiceUnavailableError(
            f"{location} cannot be listed ({deepest_reason(error)})", do="check the address and the credentials"
        ) from None


class Downloads:
    """HTTP with the patience of `remote.retry_policy`, and a cache folder; use as a context manager.

    A body that breaks off, and a connection that is reset within it, are asked for again too.
    """

    def __init__(self) -> None:
        self._retries = RETRIES
        self._own = threading.local()
        self._sessions: list[Any] = []

    def __enter__(self) -> Downloads:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._sessions:
            session.close()

    def read(self, url: str) -> bytes:
        """What a URL answers.

        Raises:
            ConfigurationError: it refuses (4xx).
            ServiceUnavailableError: its host does not answer, or stays busy.
        """
        body: bytes = self._get(url, {}).content
        return body

    def store(self, url: str, path: Path, *, check: Check, known: bool = False) -> bool:
        """Keep what a URL answers in a file, written as a whole or not at all; where it came from beside it.

        A file that is there already is asked for with its ETag and date, and kept if nothing changed; if it is
        `known` to be final it is not asked for again.

        Returns:
            Whether the file was written.

        Raises:
            SceneError: what came cannot be used (`check`), asked twice.
            ConfigurationError: the server refuses (4xx).
            StoreError: the folder cannot be written.
            ServiceUnavailableError: its host does not answer, or stays busy.
        """
        beside = path.with_name(f"{path.name}.source.json")
        source = _read_source(beside, path=path, url=url)
        if known and source:
            return False
        answer = self._get(url, {key: source[key] for key in ("If-None-Match", "If-Modified-Since") if key in source})
        if answer.status_code == 304:
            return False
        try:
            check(answer.content)
        except SceneError:
            answer = self._get(url, {})
            check(answer.content)
        told = {"url": url, "size": len(answer.content)}
        for ask, tell in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified")):
            if tell in answer.headers:
                told[ask] = answer.headers[tell]
        _write_whole(path, answer.content)
        _write_whole(beside, json.dumps(told).encode())
        return True

    def _get(self, url: str, headers: dict[str, str]) -> Any:
        import requests

        for attempt in range(self._retries + 1):
            rate_limit().wait()
            try:
                answer = self._session().get(url, headers=headers, timeout=TIMEOUT_S)
                break
            # a body that breaks off is no matter for the adapter's own retries
            except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
                if attempt == self._retries:
                    raise _silent(url, deepest_reason(error)) from None
                time.sleep(0.1 * 2**attempt)
            except requests.RequestException as error:
                raise _silent(url, deepest_reason(error)) from None
        if answer.status_code in BUSY_STATUS:
            raise _silent(url, f"HTTP {answer.status_code}")
        if answer.status_code >= 400:
            raise ConfigurationError(f"{url} answers HTTP {answer.status_code}", do="check the address")
        return answer

    def _session(self) -> Any:
        """This thread's session: they are not made for sharing."""
        if not hasattr(self._own, "session"):
            import requests
            from requests.adapters import HTTPAdapter

            session = requests.Session()
            adapter = HTTPAdapter(max_retries=retry_policy(self._retries))
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            # sizes must be those of the files
            session.headers["Accept-Encoding"] = "identity"
            self._own.session = session
            self._sessions.append(session)
        return self._own.session


def _silent(url: str, detail: str) -> ServiceUnavailableError:
    return ServiceUnavailableError(
        f"{host_of(url)} cannot be reached ({detail})",
        expected="a server that answers",
        do="check the network, or name another location",
    )


def _read_source(beside: Path, *, path: Path, url: str) -> dict[str, Any]:
    """What is known of a kept file; empty if it is not this URL's, or damaged."""
    try:
        source: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        same = source["url"] == url and source["size"] == path.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return source if same else {}


def _write_whole(path: Path, body: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(body)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise StoreError(
            f"cache {path.parent} cannot be written ({error.strerror})", do="choose another cache folder"
        ) from None


def bring(
    files: Sequence[FoundFile], *, cache: Path | None, check: Check, known: Callable[[FoundFile, Path], bool]
) -> tuple[list[tuple[FoundFile, Path]], list[SceneTrouble]]:
    """Local paths of files; those that lie elsewhere are brought into the cache, several at once.

    Args:
        files: what to bring.
        cache: folder for what is not local.
        check: raises SceneError where a downloaded body cannot be used.
        known: whether a file in the cache is final, so that the server need not be asked about it.

    Returns:
        The files that are there with their paths, in the order given, and the troubles of the others. A file in the
        cache that cannot be checked for news at present serves as it is.

    Raises:
        ConfigurationError: something lies elsewhere and no cache is named.
        StoreError: the cache cannot be written.
    """
    if any(not file.local for file in files) and cache is None:
        raise ConfigurationError("files of a server need a folder to keep them in", do="name a cache folder")

    def one(file: FoundFile) -> Path | SceneTrouble:
        if file.local:
            return Path(file.href)
        path = Path(cache or ".") / file.name
        try:
            if is_http(file.href):
                downloads.store(file.href, path, check=check, known=path.is_file() and known(file, path))
            elif not path.is_file():
                body = read_bytes(file.href)
                check(body)
                _write_whole(path, body)
        except ServiceUnavailableError as error:
            if _read_source(path.with_name(f"{path.name}.source.json"), path=path, url=file.href):
                log.warning("%s is used as it was kept: %s", file.name, error)
                return path
            return SceneTrouble(file.name, str(error), temporary=True)
        except (SceneError, ConfigurationError) as error:
            return SceneTrouble(file.name, str(error))
        return path

    with Downloads() as downloads, ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as threads:
        outcomes = list(threads.map(one, files))
    here = [(file, path) for file, path in zip(files, outcomes, strict=True) if isinstance(path, Path)]
    return here, [trouble for trouble in outcomes if isinstance(trouble, SceneTrouble)]


def read_bytes(href: str) -> bytes:
    """A whole file.

    Raises:
        SceneError: it cannot be read.
        GlacierError: as `Downloads.read` says, for HTTP.
    """
    if is_http(href):
        with Downloads() as downloads:
            return downloads.read(href)
    try:
        if "://" not in href:
            return Path(href).read_bytes()
        import fsspec

        with fsspec.open(href, "rb") as stream:
            body: bytes = stream.read()
            return body
    except GlacierError:
        raise
    except OSError as error:
        raise SceneError(f"{name_of(href)} cannot be read ({error.strerror or deepest_reason(error)})") from None
