"""How each protocol does the few things that a store needs: read, write, create once, list, delete, swap.

Local folders go through the operating system, for fsspec's `mode="create"` is neither atomic there nor safe against a
crash half-way. Every other protocol goes through fsspec; S3 and memory add what makes them atomic.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import shutil
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from glacier_core.errors import GlacierError, NotPublishedError, ServiceUnavailableError, StoreError

Result = TypeVar("Result")
log = logging.getLogger(__name__)

BLOCK = 8 * 2**20
TEMPORARY = "tmp"
_TRANSIENT = {errno.EBUSY, getattr(errno, "EREMOTEIO", errno.EIO), errno.EIO}
_NO_SPACE = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_BATCH_FILES = 64
_ATTEMPTS = 5
_PATIENCE_S = 15.0
_FIRST_WAIT_S = 0.1


@dataclass(frozen=True)
class Entry:
    """One object below a prefix."""

    size: int
    """Bytes."""
    modified: float
    """When it was last written, in seconds since 1970."""


@dataclass(frozen=True)
class Copy:
    """One object to be copied inside a store."""

    source: str
    """Its path."""
    target: str
    """The path of the copy."""
    checksum: str
    """What the source should be; compared where the bytes pass through us."""


def checksum_of(data: bytes) -> str:
    """The checksum of bytes as records state it: `sha256:<64 hexadecimal digits>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def checksum_of_file(path: Path) -> str:
    """The checksum of a local file, read once in blocks."""
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


class Backend:
    """A root on any fsspec protocol. Paths are relative to the root, with forward slashes."""

    def __init__(self, url: str) -> None:
        self.url = url if url.endswith("://") else url.rstrip("/")

    @property
    def fs(self) -> Any:
        """The file system: fsspec keeps one for each process, so nothing here breaks after a fork or a pickle."""
        return self._opened()[0]

    def _opened(self) -> tuple[Any, str]:
        import fsspec

        with self.guard(""):
            system, root = fsspec.core.url_to_fs(self.url, **self._options())
        return system, str(root).rstrip("/")

    def _options(self) -> dict[str, Any]:
        return {}

    def full(self, path: str) -> str:
        """The whole URL or local path of what lies at `path`."""
        return f"{self.url.removesuffix('/')}/{path}" if path else self.url

    def _at(self, path: str) -> str:
        root = self._opened()[1]
        return f"{root}/{path}" if path else root

    def read(self, path: str) -> bytes:
        """All bytes of an object. NotPublishedError when there is none."""
        return self._call(path, lambda: bytes(self.fs.cat_file(self._at(path))))

    def write(self, path: str, data: bytes) -> None:
        """Write an object, over what was there."""
        self._call(path, lambda: self.fs.pipe_file(self._at(path), data))

    def put(self, files: Mapping[str, Path]) -> None:
        """Write local files; protocols that can do so write several at a time."""
        for batch in _batched(list(files.items()), _BATCH_FILES):
            sources = [str(source) for _, source in batch]
            targets = [self._at(target) for target, _ in batch]
            self._call(batch[0][0], partial(self.fs.put, sources, targets))

    def get(self, path: str, target: Path) -> None:
        """Copy an object to a local file, whose folder is made."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._call(path, lambda: self.fs.get_file(self._at(path), str(target)))

    def copy(self, copies: Sequence[Copy]) -> None:
        """Copy objects inside the store, several at a time; each target appears whole or not at all."""
        for batch in _batched(copies, _BATCH_FILES):
            sources = [self._at(copy.source) for copy in batch]
            targets = [self._at(copy.target) for copy in batch]
            self._call(batch[0].source, partial(self.fs.copy, sources, targets))

    def create(self, path: str, data: bytes) -> bool:
        """Write an object that must not be there yet, whole or not at all; False when it is there already."""
        try:
            self._call(path, lambda: self.fs.pipe_file(self._at(path), data, mode="create"))
        except _AlreadyThereError:
            # a repeated request finds its own first try: then we are the one who made it
            return self.read(path) == data
        return True

    def swap(self, path: str, expected: bytes | None, new: bytes) -> bool:  # noqa: ARG002 (others can)
        """Replace an object's bytes if they are still `expected` (None: absent); False when they are not."""
        raise StoreError(
            f"the store {self.url} has no compare-and-swap, which moving pointers need ({path})",
            expected="file://, memory:// or s3://",
        )

    def files(self, prefix: str) -> dict[str, Entry]:
        """Everything below a prefix, by path relative to the prefix; empty when nothing is there."""
        return self._call(prefix, lambda: self._files(prefix))

    def _files(self, prefix: str) -> dict[str, Entry]:
        base = self._at(prefix).strip("/") + "/"
        found: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError):
            found = self.fs.find(self._at(prefix), detail=True)
        listed = {}
        for name, info in found.items():
            relative = name.strip("/").removeprefix(base)
            if relative != name.strip("/") and info.get("type") != "directory":
                listed[relative] = Entry(int(info["size"] or 0), _modified(info))
        return listed

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders right below a prefix, sorted; empty when there are none."""
        return self._call(prefix, lambda: self._folders(prefix))

    def _folders(self, prefix: str) -> list[str]:
        try:
            listed = self.fs.ls(self._at(prefix), detail=True)
        except FileNotFoundError:
            return []
        return sorted(str(info["name"]).rstrip("/").rsplit("/", 1)[1] for info in listed if info["type"] == "directory")

    def remove(self, prefix: str, names: Iterable[str] | None = None) -> None:
        """Delete everything below a prefix, or only the named objects; what is gone already is no error."""
        paths = [self._at(f"{prefix}/{name}") for name in (self.files(prefix) if names is None else names)]
        for batch in _batched(paths, 1000):
            self._call(prefix, partial(self._remove, batch))

    def _remove(self, paths: Sequence[str]) -> None:
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(path)

    def prune(self, prefix: str, before: float) -> None:
        """Delete empty folders, where there is such a thing."""

    def checksums(self, prefix: str, sizes: Mapping[str, int]) -> dict[str, str]:
        """Checksums of objects, by path relative to the prefix, read back from the store."""
        found = {}
        for batch in _batched_by_size(sizes):
            if sizes[batch[0]] > BLOCK * 8:
                found[batch[0]] = self._call(f"{prefix}/{batch[0]}", partial(self._streamed, prefix, batch[0]))
                continue
            paths = {self._at(f"{prefix}/{name}"): name for name in batch}
            contents = self._call(prefix, partial(self._contents, list(paths)))
            # a list of one path may come back as bytes alone
            contents = contents if isinstance(contents, dict) else {next(iter(paths)): contents}
            found.update({paths[path]: checksum_of(data) for path, data in contents.items()})
        return found

    def _contents(self, paths: Sequence[str]) -> Any:
        return self.fs.cat(list(paths))

    def _streamed(self, prefix: str, name: str) -> str:
        hashed = hashlib.sha256()
        with self.fs.open(self._at(f"{prefix}/{name}"), "rb", cache_type="none") as stream:
            while block := stream.read(BLOCK):
                hashed.update(block)
        return "sha256:" + hashed.hexdigest()

    def _call(self, path: str, function: Callable[[], Result]) -> Result:
        """Do one thing on the file system, again while the service is only busy, and translate its errors."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_exponential_jitter

        again = Retrying(
            retry=retry_if_exception(_is_transient),
            stop=stop_after_attempt(_ATTEMPTS) | stop_after_delay(_PATIENCE_S),
            wait=wait_exponential_jitter(initial=_FIRST_WAIT_S, max=5, jitter=_FIRST_WAIT_S),
            reraise=True,
        )
        with self.guard(path):
            return again(function)

    @contextlib.contextmanager
    def guard(self, path: str) -> Iterator[None]:
        """Turn what the file system raises into errors that say which store, what happened and what to do."""
        try:
            yield
        except GlacierError:
            raise
        except Exception as error:
            translated = self.translated(error, path)
            if translated is None:
                raise
            raise translated from error

    def translated(self, error: BaseException, path: str) -> GlacierError | None:
        """The error of ours that says what went wrong with the store; None when it was not the store."""
        if isinstance(error, FileExistsError) or _code(error) in ("PreconditionFailed", "412"):
            return _AlreadyThereError(f"{self.full(path)} is there already")
        if type(error).__name__ == "FlexibleChecksumError":  # the service's own checksum, compared by botocore
            return damaged(self.full(path), "its checksum differs from the service's")
        return self._missing(error, path) or self._denied(error, path) or self._unreachable(error)

    def write_failed(self, error: BaseException, path: str) -> GlacierError | None:
        """Like `translated`, for an error from code that writes here but may as well do other things."""
        number = getattr(error, "errno", None)
        if number in _NO_SPACE or number == errno.EROFS:
            return self._denied(error, path)
        fails_remotely = type(error).__module__.startswith(("botocore", "aiobotocore"))
        return self.translated(error, path) if fails_remotely else None

    def _missing(self, error: BaseException, path: str) -> GlacierError | None:
        if isinstance(error, ImportError) or (isinstance(error, ValueError) and "Protocol not known" in str(error)):
            return StoreError(f"the store {self.url} cannot be opened: {error}", expected="a URL that fsspec knows")
        if _code(error) == "NoSuchBucket":
            return StoreError(
                f"the bucket of the store {self.url} does not exist", do="create it, or correct the store's URL"
            )
        if isinstance(error, FileNotFoundError):
            return NotPublishedError(f"{self.full(path)} does not exist", expected="something that was published")
        return None

    def _denied(self, error: BaseException, path: str) -> GlacierError | None:
        number = getattr(error, "errno", None)
        if isinstance(error, PermissionError) or number in (errno.EROFS, errno.EACCES, errno.EPERM):
            return StoreError(
                f"the store refuses access to {self.full(path)}: {_first_line(error)}",
                do="check its permissions and credentials",
            )
        if isinstance(error, OSError) and number in _NO_SPACE:
            return StoreError(
                f"the disk of {self.full(path)} is full{self._free(error)}", do="free some space, or run glacier gc"
            )
        if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"):
            return StoreError(
                f"no credentials for the store {self.url}: {error}",
                do="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
            )
        return None

    def _free(self, error: BaseException) -> str:  # noqa: ARG002 (remote stores do not say)
        return ""

    def _unreachable(self, error: BaseException) -> GlacierError | None:
        if not _is_transient(error):
            return None
        how = "cannot be reached" if _is_network(error) else "keeps failing"
        return ServiceUnavailableError(
            f"the object store at {self.endpoint()} {how}: {_first_line(error)}",
            do="check that it runs and that the endpoint is right, then run the same command again",
        )

    def endpoint(self) -> str:
        """The service behind this store, as a person would name it."""
        return self.url


class MemoryBackend(Backend):
    """fsspec's memory file system: one for each process, where a lock makes what is atomic elsewhere."""

    _lock = threading.RLock()

    def create(self, path: str, data: bytes) -> bool:
        """Write an object that must not be there yet; False when it is there already."""
        with self._lock:
            return super().create(path, data)

    def swap(self, path: str, expected: bytes | None, new: bytes) -> bool:
        """Replace an object's bytes if they are still `expected` (None: absent); False when they are not."""
        with self._lock:
            try:
                found: bytes | None = self.read(path)
            except NotPublishedError:
                found = None
            if found == expected:
                self.write(path, new)
            return found == expected


class S3Backend(Backend):
    """S3 and what speaks its protocol, by s3fs, which reads AWS_* from the environment."""

    def _options(self) -> dict[str, Any]:
        # listings are asked for anew each time: other processes publish too
        options: dict[str, Any] = {"use_listings_cache": False}
        if not {"AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"} & os.environ.keys():
            # s3fs and this module repeat: with botocore's own repeats inside, a minute would become many
            options["config_kwargs"] = {"retries": {"mode": "standard", "total_max_attempts": 1}}
        return options

    def _contents(self, paths: Sequence[str]) -> Any:
        return self.fs.cat(list(paths), max_concurrency=1)  # as in `read`

    def read(self, path: str) -> bytes:
        """All bytes of an object. NotPublishedError when there is none."""
        # one GET: with more than one connection s3fs asks for the size first, and its answer does not tell a
        # missing bucket from a missing object
        return self._call(path, lambda: bytes(self.fs.cat_file(self._at(path), max_concurrency=1)))

    def swap(self, path: str, expected: bytes | None, new: bytes) -> bool:
        """Replace an object's bytes if they are still `expected` (None: absent); False when they are not."""
        if expected is None:
            return self.create(path, new)
        try:
            # the tag is taken before the bytes: if another writes in between, the tag is old and the write refused
            tag = self._call(path, lambda: self.fs.info(self._at(path)))["ETag"]
            if self.read(path) != expected:
                return False
            self._call(path, lambda: self.fs.pipe_file(self._at(path), new, IfMatch=tag))
        except NotPublishedError:
            return False
        except _AlreadyThereError:
            return self.read(path) == new
        return True

    def _remove(self, paths: Sequence[str]) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(list(paths))

    def endpoint(self) -> str:
        """The service behind this store, as a person would name it."""
        configured = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        with contextlib.suppress(Exception):
            configured = self.fs.endpoint_url or configured
        return f"{configured or 'https://s3.amazonaws.com'} ({self.url})"


class FileBackend(Backend):
    """A folder of this machine or of a network file system."""

    def __init__(self, url: str) -> None:
        root = url.removeprefix("file://").removeprefix("local://")
        self.root = Path(os.path.abspath(Path(root).expanduser()))  # noqa: PTH100 (a link stays as it was named)
        super().__init__(f"file://{self.root.as_posix()}")

    def full(self, path: str) -> str:
        """The plain local path."""
        return str(self.root / path)

    def _at(self, path: str) -> str:
        return str(self.root / path)

    def _call(self, path: str, function: Callable[[], Result]) -> Result:
        with self.guard(path):
            return function()

    def read(self, path: str) -> bytes:
        """All bytes of an object. NotPublishedError when there is none."""
        with self.guard(path):
            return (self.root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Write an object, over what was there."""
        with self.guard(path):
            _made(self.root / path).write_bytes(data)

    def put(self, files: Mapping[str, Path]) -> None:
        """Copy local files into the store."""
        for target, source in files.items():
            with self.guard(target):
                shutil.copyfile(source, _made(self.root / target))

    def get(self, path: str, target: Path) -> None:
        """Copy an object to a local file, whose folder is made."""
        with self.guard(path):
            shutil.copyfile(self.root / path, _made(target))

    def copy(self, copies: Sequence[Copy]) -> None:
        """Copy objects inside the store, verified on the way; each target appears whole or not at all."""
        for copy in copies:
            with self.guard(copy.source), self._temporary() as temporary:
                hashed = hashlib.sha256()
                with (self.root / copy.source).open("rb") as reading, temporary.open("wb") as writing:
                    while block := reading.read(BLOCK):
                        hashed.update(block)
                        writing.write(block)
                if "sha256:" + hashed.hexdigest() != copy.checksum:
                    raise damaged(self.full(copy.source), "its checksum differs from its record's")
                temporary.replace(_made(self.root / copy.target))

    def create(self, path: str, data: bytes) -> bool:
        """Write an object that must not be there yet, whole or not at all; False when it is there already."""
        with self.guard(path), self._temporary() as temporary:
            _write_through(temporary, data)
            target = _made(self.root / path)
            try:
                target.hardlink_to(temporary)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return self._create_locked(temporary, target)
            _sync_folder(target.parent)
            return True

    def _create_locked(self, temporary: Path, target: Path) -> bool:
        """The way for file systems without hard links."""
        with self._locked(target):
            if target.exists():
                return False
            temporary.replace(target)
            _sync_folder(target.parent)
            return True

    def swap(self, path: str, expected: bytes | None, new: bytes) -> bool:
        """Replace an object's bytes if they are still `expected` (None: absent); False when they are not."""
        target = self.root / path
        with self.guard(path), self._temporary() as temporary, self._locked(_made(target)):
            found = target.read_bytes() if target.exists() else None
            if found != expected:
                return False
            _write_through(temporary, new)
            temporary.replace(target)
            _sync_folder(target.parent)
            return True

    @contextlib.contextmanager
    def _locked(self, target: Path) -> Iterator[None]:
        import fcntl

        name = hashlib.sha256(str(target).encode()).hexdigest()[:16]
        with _made(self.root / TEMPORARY / f"{name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        path = _made(self.root / TEMPORARY / f"{uuid.uuid4().hex}.part")
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _files(self, prefix: str) -> dict[str, Entry]:
        base = self.root / prefix
        listed = {}
        for folder, _, names in os.walk(base):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):  # others delete while we list
                    status = path.stat()
                    listed[path.relative_to(base).as_posix()] = Entry(status.st_size, status.st_mtime)
        return listed

    def _folders(self, prefix: str) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self.root / prefix) if entry.is_dir())
        except FileNotFoundError:
            return []

    def remove(self, prefix: str, names: Iterable[str] | None = None) -> None:
        """Delete everything below a prefix, or only the named objects; what is gone already is no error."""
        with self.guard(prefix):
            for name in names or ():
                (self.root / prefix / name).unlink(missing_ok=True)
            if names is None and (self.root / prefix).exists():
                shutil.rmtree(self.root / prefix)

    def checksums(self, prefix: str, sizes: Mapping[str, int]) -> dict[str, str]:
        """Checksums of objects, by path relative to the prefix."""
        with self.guard(prefix):
            return {name: checksum_of_file(self.root / prefix / name) for name in sizes}

    def _free(self, error: BaseException) -> str:
        named = getattr(error, "filename", None)
        place = Path(named) if isinstance(named, str) else self.root
        existing = next((folder for folder in (place, *place.parents) if folder.is_dir()), Path("/"))
        return f": {shutil.disk_usage(existing).free / 2**20:.0f} MiB are free in {existing}"

    def translated(self, error: BaseException, path: str) -> GlacierError | None:
        """The error of ours that says what went wrong with the store; None when it was not the store."""
        if isinstance(error, NotADirectoryError | IsADirectoryError | FileExistsError):
            return StoreError(f"{self.full(path)} cannot be used: {error.strerror}", expected="a folder for the store")
        return super().translated(error, path)

    def write_failed(self, error: BaseException, path: str) -> GlacierError | None:
        """Like `translated`, for an error from code that writes here but may as well do other things."""
        named = getattr(error, "filename", None)
        if (
            isinstance(named, str)
            and Path(named).is_relative_to(self.root)
            and not isinstance(error, FileNotFoundError)
        ):
            return self.translated(error, path)
        return super().write_failed(error, path)

    def prune(self, prefix: str, before: float) -> None:
        """Delete empty folders that nothing was put into since."""
        for folder, _, _ in os.walk(self.root / prefix, topdown=False):
            with contextlib.suppress(OSError):  # not empty, or gone
                if Path(folder).stat().st_mtime < before:
                    Path(folder).rmdir()

    def _unreachable(self, error: BaseException) -> GlacierError | None:
        if isinstance(error, OSError):  # a stale network mount, a failing disk
            return StoreError(f"the store {self.url} failed: {_first_line(error)}", do="check the disk")
        return None


class _AlreadyThereError(StoreError):
    """A conditional write found something else in place."""


def damaged(path: str, how: str) -> StoreError:
    """The error for an object that is not what its record says."""
    return StoreError(
        f"{path} is damaged: {how}",
        do="delete the folder of its _published.json and run the same command again",
    )


def open_backend(url: str) -> Backend:
    """The backend for a URL or a plain path.

    Raises:
        StoreError: fsspec does not know the protocol.
    """
    if not url:
        raise StoreError("the store's URL is empty", expected="a folder or a URL such as s3://bucket/folder")
    protocol = url.split("://", 1)[0] if "://" in url else "file"
    special = {"file": FileBackend, "local": FileBackend, "memory": MemoryBackend, "s3": S3Backend, "s3a": S3Backend}
    backend = special.get(protocol, Backend)(url)
    if protocol not in special:
        _ = backend.fs  # an unknown protocol is told at once
    return backend


def _made(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # /proc and the like
        raise StoreError(f"the folder {path.parent} cannot be made", do="choose a place for the store") from error
    return path


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems cannot
        log.debug("no fsync of %s: %s", folder, error)
    finally:
        os.close(descriptor)


def _batched(items: Sequence[Result], size: int) -> Iterator[Sequence[Result]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _batched_by_size(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    batch: list[str] = []
    weight = 0
    for name, size in sizes.items():
        if batch and (weight + size > BLOCK * 8 or len(batch) == _BATCH_FILES):
            yield batch
            batch, weight = [], 0
        batch.append(name)
        weight += size
    if batch:
        yield batch


def _modified(info: Mapping[str, Any]) -> float:
    for key in ("LastModified", "last_modified", "mtime", "updated", "modified", "created"):
        found = info.get(key)
        if isinstance(found, datetime):
            return found.timestamp()
        if isinstance(found, int | float):
            return float(found)
    return 0.0


def _response(error: BaseException | None) -> Mapping[str, Any]:
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return response
        error = error.__cause__
    return {}


def _code(error: BaseException) -> str:
    return str(_response(error).get("Error", {}).get("Code", ""))


def _is_transient(error: BaseException) -> bool:
    if _is_network(error):
        return True
    status = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status is not None:
        return status in (409, 429) or status >= 500
    return isinstance(error, OSError) and error.errno in _TRANSIENT


def _is_network(error: BaseException) -> bool:
    """Whether the service did not answer. The libraries are not imported for it: only what is loaded can be raised."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    names = {
        "botocore.exceptions": ("ConnectionError", "HTTPClientError"),
        "aiohttp": ("ClientError",),
        "fsspec.exceptions": ("FSTimeoutError",),
    }
    loaded = [
        getattr(sys.modules[module], name) for module, of in names.items() if module in sys.modules for name in of
    ]
    return isinstance(error, tuple(loaded))


def _first_line(error: BaseException) -> str:
    return re.sub(r"^\[Errno -?\d+\] ", "", (str(error) or type(error).__name__).strip()).splitlines()[0]
