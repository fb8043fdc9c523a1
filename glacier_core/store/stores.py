"""The store: any fsspec URL, where outputs are published once and only what is published is read.

Layout below the URL::

    stages/<stage>/<digest>/_published.json             the record: one conditional create makes the output readable
    stages/<stage>/<digest>/attempts/<attempt>/...      each attempt's objects, under a prefix of its own
    products/<recipe>-<digest>/...                      a delivered copy for people, its _published.json last
    pointers/<name>.json                                moving pointers, replaced by compare-and-swap
    runs/<run>/...                                      what the steps of a run say of themselves
    work/...                                            what an unpublished stage goes on from (checkpoints)
    tmp/                                                what is not yet in place (local stores)
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from glacier_core.errors import NotPublishedError, StoreError
from glacier_core.store.backends import Backend, FileBackend, damaged, open_backend
from glacier_core.store.collecting import Collected, collect
from glacier_core.store.digests import DIGEST_LENGTH, canonical_json, plain
from glacier_core.store.outputs import RECORD, VALUE, Attempt, Output, checked, folder_of

DAY_S = 86400.0


class Store:
    """Where things are kept.

    Args:
        url: an fsspec URL (`s3://bucket/folder`, `memory://name`, `file:///folder`) or a folder. S3's endpoint and
            credentials come from the environment (`AWS_ENDPOINT_URL`, `AWS_*`).

    Raises:
        StoreError: no such protocol.
    """

    def __init__(self, url: str | Path) -> None:
        self._backend: Backend = open_backend(str(url))

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @property
    def url(self) -> str:
        """The store's URL: absolute, so that other processes find the same."""
        return self._backend.url

    @property
    def local_root(self) -> Path | None:
        """The store's folder, when it is on a file system of this machine."""
        return self._backend.root if isinstance(self._backend, FileBackend) else None

    def find(self, stage: str, digest: str) -> Output | None:
        """What was published under this name; None when nothing was.

        Raises:
            StoreError: its record is damaged, or the store refuses.
            ServiceUnavailableError: the store cannot be reached.
        """
        path = f"{folder_of(stage, digest)}/{RECORD}"
        try:
            data = self._backend.read(path)
        except NotPublishedError:
            return None
        record = _parsed(data, self._backend.full(path))
        if not {"attempt", "objects", "inputs"} <= record.keys():
            raise damaged(self._backend.full(path), "it lacks what a record states")
        return Output(self._backend, stage=stage, digest=digest, record=record)

    def read(self, stage: str, digest: str) -> Output:
        """What was published under this name.

        Raises:
            NotPublishedError: nothing was.
            StoreError: its record is damaged, or the store refuses.
            ServiceUnavailableError: the store cannot be reached.
        """
        output = self.find(stage, digest)
        if output is None:
            raise NotPublishedError(
                f"{stage} {digest} is not published in {self.url}", do="run the stage that makes it first"
            )
        return output

    def attempt(self, stage: str, digest: str) -> Attempt:
        """A context in which an output is written, and published by `Attempt.publish` or deleted."""
        folder_of(stage, digest)
        return Attempt(self._backend, stage=stage, digest=digest, find=lambda: self.find(stage, digest))

    def publish_content(
        self,
        stage: str,
        files: Mapping[str, bytes],
        *,
        part: object = None,
        inputs: Sequence[str] = (),
        version: int = 1,
    ) -> Output:
        """Publish small files under the digest of their content: the same content again is the same output.

        Raises:
            StoreError: the store refuses it.
            ServiceUnavailableError: the store cannot be reached.
        """
        hashed = hashlib.sha256()
        for name in sorted(files):
            hashed.update(canonical_json([name, hashlib.sha256(files[name]).hexdigest()]))
        digest = hashed.hexdigest()[:DIGEST_LENGTH]
        found = self.find(stage, digest)
        if found is not None:
            return found
        with self.attempt(stage, digest) as attempt:
            for name, data in files.items():
                attempt.write_bytes(name, data)
            return attempt.publish(part=part, inputs=inputs, version=version)

    def publish_json(
        self, stage: str, value: object, *, part: object = None, inputs: Sequence[str] = (), version: int = 1
    ) -> Output:
        """Publish one value under the digest of its content; `Output.read_json()` gives it back.

        Raises:
            ConfigurationError: the value has no JSON form.
            StoreError: the store refuses it.
            ServiceUnavailableError: the store cannot be reached.
        """
        content = {VALUE: canonical_json(value) + b"\n"}
        return self.publish_content(stage, content, part=part, inputs=inputs, version=version)

    def deliver(self, output: Output, folder: str) -> str:
        """Copy a published output to `products/<name>/` for people to open; again, it only puts right what is missing.

        Args:
            output: what is delivered.
            folder: `products/<name>` (the leading `products/` may be left out).

        Returns:
            The folder's URL, or its path if local.

        Raises:
            StoreError: an object is damaged, the folder holds another product, or the store refuses.
            ServiceUnavailableError: the store cannot be reached.
        """
        folder = f"products/{checked(folder.removeprefix('products/'))}"
        if folder.count("/") != 1:
            raise StoreError(f"{folder!r} is no product folder", expected="products/<name>")
        record_path = f"{folder}/{RECORD}"
        record = self._read_json(record_path)
        if record is not None and (record["stage"], record["digest"]) != (output.stage, output.digest):
            raise StoreError(
                f"{self._backend.full(folder)} holds {record['stage']} {record['digest']}",
                expected=f"{output.stage} {output.digest}",
                do="deliver to a folder that is named by the product's digest",
            )
        present = self._backend.files(folder) if record is not None else {}
        sizes = {name: entry.size for name, entry in present.items()}
        output.copy_to(folder, [name for name, entry in output.objects.items() if sizes.get(name) != entry.size])
        if record is None:
            self._backend.create(record_path, canonical_json(output.record) + b"\n")
        return self._backend.full(folder)

    def pointer(self, name: str) -> Pointer:
        """A moving pointer, such as the latest product of a recipe."""
        return Pointer(self._backend, checked(name))

    def leave_note(self, run: str, name: str, value: object) -> None:
        """Keep what a step of a run says of itself under `runs/<run>/<name>.json`.

        Raises:
            StoreError: the store refuses it.
            ServiceUnavailableError: the store cannot be reached.
        """
        self._backend.write(f"runs/{checked(run)}/{checked(name)}.json", canonical_json(value) + b"\n")

    def notes(self, run: str) -> dict[str, Any]:
        """The notes of a run by name, sorted by name.

        Raises:
            StoreError: a note is damaged, or the store refuses.
            ServiceUnavailableError: the store cannot be reached.
        """
        folder = f"runs/{checked(run)}"
        names = sorted(name for name in self._backend.files(folder) if name.endswith(".json"))
        return {name.removesuffix(".json"): self._read_json(f"{folder}/{name}") for name in names}

    def work_folder(self, name: str) -> str:
        """The URL (or path if local) of a folder for what an unpublished stage goes on from, such as checkpoints."""
        return self._backend.full(f"work/{checked(name)}")

    def drop_work(self, name: str) -> None:
        """Delete what `work_folder(name)` holds; nothing that is published.

        Raises:
            StoreError: the store refuses.
            ServiceUnavailableError: the store cannot be reached.
        """
        self._backend.remove(f"work/{checked(name)}")

    def collect(
        self, keep: Collection[tuple[str, str]] = (), *, older_than_s: float = DAY_S, dry_run: bool = False
    ) -> Collected:
        """Delete abandoned attempts, published outputs that nothing refers to, old notes and old unpublished work.

        An output stays while a product, a pointer or `keep` refers to it, directly or through the inputs of what they
        refer to, and while it is young: a run that goes on may be about to use it.

        Args:
            keep: (stage, digest) of outputs that stay, with what they were made from.
            older_than_s: what was written within the last so many seconds stays.
            dry_run: only say what would go.

        Raises:
            StoreError: a record cannot be read (nothing is deleted then), or the store refuses.
            ServiceUnavailableError: the store cannot be reached.
        """
        return collect(self._backend, find=self.find, keep=keep, older_than_s=older_than_s, dry_run=dry_run)

    def check_writable(self) -> None:
        """Write, create once and delete a small object.

        Raises:
            StoreError: the store cannot be written, or lets a second create pass.
            ServiceUnavailableError: the store cannot be reached.
        """
        folder = f"tmp/{uuid.uuid4().hex}"
        try:
            created = self._backend.create(f"{folder}/a", b"first")
            again = self._backend.create(f"{folder}/a", b"second")
            self._backend.remove(folder)
        except NotPublishedError as error:
            raise StoreError(f"the store {self.url} cannot be written: {error}") from error
        if not created or again:
            raise StoreError(
                f"the store {self.url} ignores conditional writes", expected="a service that honours If-None-Match"
            )

    def _read_json(self, path: str) -> dict[str, Any] | None:
        try:
            data = self._backend.read(path)
        except NotPublishedError:
            return None
        return _parsed(data, self._backend.full(path))


class Pointer:
    """A small JSON value that moves, by compare-and-swap. Made by `Store.pointer`."""

    def __init__(self, backend: Backend, name: str) -> None:
        self._backend = backend
        self._path = f"pointers/{name}.json"

    def read(self) -> Any:
        """The value; None while nothing was ever set.

        Raises:
            StoreError: the store refuses.
            ServiceUnavailableError: the store cannot be reached.
        """
        return self._read()[1]

    def swap(self, expected: object, new: object) -> bool:
        """Move the pointer if its value still is `expected` (None: never set); False when it is not.

        Raises:
            ConfigurationError: a value has no JSON form.
            StoreError: the store refuses, or has no compare-and-swap.
            ServiceUnavailableError: the store cannot be reached.
        """
        found, value = self._read()
        if value != plain(expected):
            return False
        # the mark tells two writers of one value apart, also when a request is repeated
        moved = canonical_json({"value": new, "mark": uuid.uuid4().hex})
        return self._backend.swap(self._path, found, moved)

    def _read(self) -> tuple[bytes | None, Any]:
        try:
            data = self._backend.read(self._path)
        except NotPublishedError:
            return None, None
        return data, _parsed(data, self._backend.full(self._path)).get("value")


def _parsed(data: bytes, path: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise damaged(path, "it is no JSON") from error
    if not isinstance(value, dict):
        raise damaged(path, "it is no JSON object")
    return value
