"""Outputs: attempts that are being written, and what they became once published."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from glacier_core.errors import GlacierError, NotPublishedError, StoreError
from glacier_core.store.backends import Backend, Copy, FileBackend, checksum_of, checksum_of_file, damaged
from glacier_core.store.digests import canonical_json, plain

log = logging.getLogger(__name__)

RECORD = "_published.json"
OBJECT_LIST = "_objects.json"
VALUE = "value.json"
LISTED_IN_RECORD = 1000
SCHEMA = 1


@dataclass(frozen=True)
class StoredObject:
    """One object of a published output."""

    path: str
    """Relative to the output, with forward slashes."""
    size: int
    """Bytes."""
    checksum: str
    """`sha256:<64 hexadecimal digits>`."""


class Output:
    """What a stage published: named by its digest, never changed.

    Attributes:
        stage: the stage's name.
        digest: the output's name.
        record: `_published.json`: attempt, objects, part, inputs, version, packages, image, threads, created.
    """

    def __init__(self, backend: Backend, *, stage: str, digest: str, record: Mapping[str, Any]) -> None:
        self._backend = backend
        self.stage = stage
        self.digest = digest
        self.record = dict(record)
        self._prefix = f"{folder_of(stage, digest)}/attempts/{record['attempt']}"

    def __repr__(self) -> str:
        return f"Output({self.path('')!r})"

    @functools.cached_property
    def objects(self) -> Mapping[str, StoredObject]:
        """Every object, by path.

        Raises:
            StoreError: the list of objects is damaged.
        """
        listed = self.record["objects"]
        if isinstance(listed, dict):
            data = self._read(OBJECT_LIST, checksum=str(listed["checksum"]))
            listed = json.loads(data)
        return {entry["path"]: StoredObject(entry["path"], entry["size"], entry["checksum"]) for entry in listed}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Digests of the outputs that this one was made from."""
        return tuple(self.record["inputs"])

    def path(self, relative: str = "") -> str:
        """The whole URL of an object or folder; for a local store a plain path."""
        return self._backend.full(f"{self._prefix}/{checked(relative)}" if relative else self._prefix)

    def files(self) -> list[str]:
        """Paths of all objects, sorted."""
        return sorted(self.objects)

    def exists(self, relative: str) -> bool:
        """Whether the output has this object."""
        return relative in self.objects

    def read_bytes(self, relative: str) -> bytes:
        """An object's bytes, verified.

        Raises:
            NotPublishedError: the output has no such object.
            StoreError: the object is damaged or gone.
        """
        entry = self.objects.get(relative)
        if entry is None:
            raise NotPublishedError(
                f"{self.stage} {self.digest} holds no {relative!r}", expected=f"one of {', '.join(self.files()[:10])}"
            )
        return self._read(relative, checksum=entry.checksum)

    def read_json(self, relative: str = VALUE) -> Any:
        """An object's value, verified. By default that of `Store.publish_json`.

        Raises:
            NotPublishedError: the output has no such object.
            StoreError: the object is damaged, gone, or no JSON.
        """
        data = self.read_bytes(relative)
        try:
            return json.loads(data)
        except ValueError as error:
            raise StoreError(f"{self.path(relative)} is no JSON: {error}") from error

    def verify(self) -> None:
        """Check that every object is there with its size and checksum.

        Raises:
            StoreError: naming the first object that is damaged or gone.
        """
        present = self._backend.files(self._prefix)
        for name, entry in self.objects.items():
            if name not in present:
                raise damaged(self.path(name), "it is gone")
            if present[name].size != entry.size:
                raise damaged(self.path(name), f"it has {present[name].size} bytes instead of {entry.size}")
        found = self._backend.checksums(self._prefix, {name: entry.size for name, entry in self.objects.items()})
        for name, checksum in found.items():
            if checksum != self.objects[name].checksum:
                raise damaged(self.path(name), "its checksum differs from its record's")

    @contextlib.contextmanager
    def local(self) -> Iterator[Path]:
        """The output as a local folder, for libraries that read nothing else; a copy that goes away, if remote.

        Raises:
            StoreError: an object is damaged or gone (only remote stores are checked here).
        """
        if isinstance(self._backend, FileBackend):
            yield Path(self.path())
            return
        with tempfile.TemporaryDirectory(prefix="glacier-") as folder:
            for name, entry in self.objects.items():
                target = Path(folder, name)
                with self._present(name):
                    self._backend.get(f"{self._prefix}/{name}", target)
                if checksum_of_file(target) != entry.checksum:
                    raise damaged(self.path(name), "its checksum differs from its record's")
            yield Path(folder)

    def copy_to(self, folder: str, names: Sequence[str]) -> None:
        """Copy objects to another folder of the store, each whole or not at all.

        Raises:
            StoreError: an object is gone, or (local stores) damaged.
        """
        copies = [Copy(f"{self._prefix}/{name}", f"{folder}/{name}", self.objects[name].checksum) for name in names]
        with self._present(""):
            self._backend.copy(copies)

    def _read(self, relative: str, *, checksum: str) -> bytes:
        with self._present(relative):
            data = self._backend.read(f"{self._prefix}/{relative}")
        if checksum_of(data) != checksum:
            raise damaged(self.path(relative), "its checksum differs from its record's")
        return data

    @contextlib.contextmanager
    def _present(self, relative: str) -> Iterator[None]:
        try:
            yield
        except NotPublishedError as error:
            raise damaged(self.path(relative), "what its record lists is gone") from error


class Attempt:
    """One attempt at an output: writes under a prefix of its own, which nobody reads until it is published.

    Leaving the block without publishing, or by an exception, deletes what was written.
    """

    def __init__(self, backend: Backend, *, stage: str, digest: str, find: Callable[[], Output | None]) -> None:
        self._backend = backend
        self._find = find
        self.stage = stage
        self.digest = digest
        self.name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}"
        self._prefix = f"{folder_of(stage, digest)}/attempts/{self.name}"
        # local objects are read once, at the end; remote ones are remembered, so that they need not come back
        self._local = isinstance(backend, FileBackend)
        self._known: dict[str, tuple[int, str]] = {}
        self._staging: tempfile.TemporaryDirectory[str] | None = None
        self._output: Output | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._clean()
        if isinstance(error, Exception) and not isinstance(error, GlacierError):
            # writers that were given `path` raise the file system's own errors
            translated = self._backend.write_failed(error, self._prefix)
            if translated is not None:
                raise translated from error

    def path(self, relative: str = "") -> str:
        """The whole URL below the attempt's prefix, for writers of their own; a plain path, its folder made, if local.

        Raises:
            StoreError: the path leaves the attempt, or the folder cannot be made.
        """
        target = f"{self._prefix}/{checked(relative)}" if relative else self._prefix
        if isinstance(self._backend, FileBackend):
            with self._backend.guard(target):
                Path(self._backend.full(target)).parent.mkdir(parents=True, exist_ok=True)
        return self._backend.full(target)

    def write_bytes(self, relative: str, data: bytes) -> None:
        """Write one object.

        Raises:
            StoreError: the store refuses it.
            ServiceUnavailableError: the store cannot be reached.
        """
        self._open()
        self._backend.write(f"{self._prefix}/{checked(relative)}", data)
        if not self._local:
            self._known[checked(relative)] = (len(data), checksum_of(data))

    def write_json(self, relative: str, value: object) -> None:
        """Write one object as canonical JSON.

        Raises:
            ConfigurationError: the value has no JSON form.
            StoreError: the store refuses it.
            ServiceUnavailableError: the store cannot be reached.
        """
        self.write_bytes(relative, canonical_json(value) + b"\n")

    def put(self, relative: str, local_path: Path | str) -> None:
        """Write one object from a local file.

        Raises:
            StoreError: the store refuses it.
            ServiceUnavailableError: the store cannot be reached.
        """
        self._open()
        self._put({checked(relative): Path(local_path)})

    def local_folder(self) -> Path:
        """A local folder whose content belongs to the output: uploaded when it is published, in place if local.

        Raises:
            StoreError: the folder cannot be made.
        """
        self._open()
        if isinstance(self._backend, FileBackend):
            folder = Path(self._backend.full(self._prefix))
            with self._backend.guard(self._prefix):
                folder.mkdir(parents=True, exist_ok=True)
            return folder
        if self._staging is None:
            self._staging = tempfile.TemporaryDirectory(prefix="glacier-")
        return Path(self._staging.name)

    def publish(self, *, part: object = None, inputs: Sequence[str] = (), version: int = 1) -> Output:
        """Make the output readable: one conditional create of its record. Who comes second gets the first's output.

        Args:
            part: the recipe part that it depends on.
            inputs: digests of the outputs that it was made from.
            version: the stage's version.

        Raises:
            StoreError: the store refuses it, or the attempt was published before.
            ServiceUnavailableError: the store cannot be reached.
        """
        self._open()
        if self._staging is not None:
            folder = Path(self._staging.name)
            staged = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
            self._put(staged)
        record = {
            "schema": SCHEMA,
            "stage": self.stage,
            "digest": self.digest,
            "attempt": self.name,
            "objects": self._listed(),
            "part": plain(part),
            "inputs": list(inputs),
            "version": version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **_environment(),
        }
        record_path = f"{folder_of(self.stage, self.digest)}/{RECORD}"
        if self._backend.create(record_path, canonical_json(record) + b"\n"):
            self._output = Output(self._backend, stage=self.stage, digest=self.digest, record=record)
            return self._output
        winner = self._find()
        if winner is None:
            raise StoreError(
                f"{self._backend.full(record_path)} was there and is gone", do="do not run glacier gc beside a run"
            )
        log.info("%s %s was published by another attempt meanwhile", self.stage, self.digest)
        return winner

    def _put(self, files: Mapping[str, Path]) -> None:
        self._backend.put({f"{self._prefix}/{relative}": path for relative, path in files.items()})
        for relative, path in files.items() if not self._local else ():
            self._known[relative] = (path.stat().st_size, checksum_of_file(path))

    def _listed(self) -> list[dict[str, Any]] | dict[str, Any]:
        present = {checked(name): entry for name, entry in self._backend.files(self._prefix).items()}
        if RECORD in present:
            raise StoreError(f"{RECORD!r} is the store's own name", expected="another name for the object")
        # what went to the store by `path` was not seen: its checksum is read back
        unseen = {
            name: entry.size for name, entry in present.items() if self._known.get(name, (-1, ""))[0] != entry.size
        }
        checksums = {name: checksum for name, (_, checksum) in self._known.items()}
        checksums.update(self._backend.checksums(self._prefix, unseen))
        lost = sorted(set(self._known) - set(present))
        if lost:
            raise StoreError(f"{self._backend.full(self._prefix)}/{lost[0]} was written and is gone")
        objects = [
            {"path": name, "size": present[name].size, "checksum": checksums[name]}
            for name in sorted(present)
            if name != OBJECT_LIST
        ]
        if len(objects) <= LISTED_IN_RECORD:
            return objects
        listed = canonical_json(objects)
        self._backend.write(f"{self._prefix}/{OBJECT_LIST}", listed)
        return {
            "count": len(objects),
            "size": sum(entry.size for entry in present.values()),
            "checksum": checksum_of(listed),
        }

    def _open(self) -> None:
        if self._output is not None:
            raise StoreError(f"{self.stage} {self.digest} is published", expected="an attempt that is not")

    def _clean(self) -> None:
        if self._staging is not None:
            self._staging.cleanup()
        if self._output is not None:
            return
        try:
            self._backend.remove(self._prefix)
        except (GlacierError, OSError) as error:
            log.warning("%s stays until glacier gc: %s", self._backend.full(self._prefix), error)


def folder_of(stage: str, digest: str) -> str:
    """Where an output lies in its store.

    Raises:
        StoreError: a name that would not be one folder.
    """
    for name in (stage, digest):
        if "/" in checked(name):
            raise StoreError(f"{name!r} is no name for a folder", expected="a name without slashes")
    return f"stages/{stage}/{digest}"


def checked(relative: str) -> str:
    """The same path, if it is relative and stays below where it starts.

    Raises:
        StoreError: it is empty, absolute, or leaves.
    """
    parts = PurePosixPath(relative).parts
    # fsspec takes some characters for patterns or for another protocol
    if not parts or relative.startswith("/") or ".." in parts or set("*?[]\\") & set(relative) or "::" in relative:
        raise StoreError(
            f"{relative!r} is no path inside the store", expected="a relative path without '..' and patterns"
        )
    if str(PurePosixPath(relative)) != relative.rstrip("/"):
        raise StoreError(f"{relative!r} is no path inside the store", expected=f"{PurePosixPath(relative)}")
    return relative.rstrip("/")


def _environment() -> dict[str, Any]:
    from glacier_core.settings import Settings

    settings = Settings()
    return {"packages": _packages(), "image": settings.image, "threads": settings.thread_count()}


@functools.cache
def _packages() -> dict[str, str]:
    """Versions of what Glacierflow itself asks for, and of Python."""
    import importlib.metadata
    import platform
    import re

    versions = {"python": platform.python_version()}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        asked = importlib.metadata.requires("glacierflow") or []
        names = [re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in asked if 'extra == "dev"' not in line]
        for name in ("glacierflow", *names):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[name] = importlib.metadata.version(name)
    return versions
