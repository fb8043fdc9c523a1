"""What may be deleted: attempts that nobody published, and outputs that nothing refers to."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from glacier_core.errors import NotPublishedError, StoreError
from glacier_core.store.backends import TEMPORARY, Backend, Entry, damaged
from glacier_core.store.outputs import RECORD, Output

log = logging.getLogger(__name__)
Name = tuple[str, str]


@dataclass(frozen=True)
class Collected:
    """What garbage collection deleted, or would delete."""

    attempts: tuple[str, ...]
    """Paths of abandoned attempts, relative to the store."""
    outputs: tuple[Name, ...]
    """(stage, digest) of published outputs that nothing refers to."""
    leftovers: tuple[str, ...]
    """Paths of old notes of runs, and of what unpublished stages would have gone on from, relative to the store."""
    size: int
    """Bytes freed."""


def collect(
    backend: Backend,
    *,
    find: Callable[[str, str], Output | None],
    keep: Collection[Name],
    older_than_s: float,
    dry_run: bool,
) -> Collected:
    """Delete abandoned attempts, unreferenced outputs and leftovers; see `Store.collect`."""
    before = time.time() - older_than_s
    names = [(stage, digest) for stage in backend.folders("stages") for digest in backend.folders(f"stages/{stage}")]
    published = {name: output for name in names if (output := find(*name)) is not None}
    needed = _reachable([*keep, *_roots(backend)], published)
    taking = _Taking(backend, dry_run=dry_run)
    attempts: list[str] = []
    outputs: list[Name] = []
    for name in names:
        folder = "stages/" + "/".join(name)
        found = backend.files(folder)
        if name in published and name not in needed and _older(found.values(), before):
            outputs.append(name)
            taking.take(folder, found)
        else:
            # asked again where a record came after the first look
            output = published.get(name) or (find(*name) if RECORD in found else None)
            abandoned = _abandoned(found, but=output, before=before)
            attempts += [taking.take(f"{folder}/attempts/{attempt}", below) for attempt, below in abandoned.items()]
    leftovers = [
        taking.take(folder, found)
        for folder, found in [*_grouped(backend, "runs", depth=1), *_grouped(backend, "work", depth=2)]
        if _older(found.values(), before)
    ]
    if not dry_run:
        stale = [path for path, entry in backend.files(TEMPORARY).items() if entry.modified < before]
        backend.remove(TEMPORARY, stale)
        backend.prune("stages", before)
        backend.prune(TEMPORARY, before)
    return Collected(tuple(attempts), tuple(outputs), tuple(leftovers), taking.size)


class _Taking:
    """Deletes folders, unless it is a dry run, and counts their bytes."""

    def __init__(self, backend: Backend, *, dry_run: bool) -> None:
        self.size = 0
        self._backend = backend
        self._dry_run = dry_run

    def take(self, folder: str, found: Mapping[str, Entry]) -> str:
        self.size += sum(entry.size for entry in found.values())
        if not self._dry_run:
            if RECORD in found:
                self._backend.remove(folder, [RECORD])  # first: from here on nobody reads it
            self._backend.remove(folder)
        return folder


def _grouped(backend: Backend, top: str, *, depth: int) -> list[tuple[str, dict[str, Entry]]]:
    """What lies below a folder, by subfolder of this depth."""
    groups: dict[str, dict[str, Entry]] = {}
    for path, entry in backend.files(top).items():
        parts = path.split("/")
        if len(parts) > depth:
            groups.setdefault("/".join([top, *parts[:depth]]), {})[path] = entry
    return sorted(groups.items())


def _older(entries: Iterable[Entry], before: float) -> bool:
    return max((entry.modified for entry in entries), default=0.0) < before


def _abandoned(found: Mapping[str, Entry], *, but: Output | None, before: float) -> dict[str, dict[str, Entry]]:
    """Old attempts except the published one, each with its objects."""
    attempts: dict[str, dict[str, Entry]] = {}
    for path, entry in found.items():
        if path.startswith("attempts/"):
            attempts.setdefault(path.split("/")[1], {})[path] = entry
    own = "" if but is None else str(but.record["attempt"])
    return {name: below for name, below in sorted(attempts.items()) if name != own and _older(below.values(), before)}


def _roots(backend: Backend) -> Iterable[Name]:
    """(stage, digest) of what products and pointers refer to."""
    for product in backend.folders("products"):
        path = f"products/{product}/{RECORD}"
        try:
            record = json.loads(backend.read(path))
            yield record["stage"], record["digest"]
        except NotPublishedError:
            log.debug("%s is not delivered yet", product)
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(backend.full(path), "it is no record, so that what it refers to is unknown") from error
    for name in backend.files("pointers"):
        value = json.loads(backend.read(f"pointers/{name}")).get("value")
        if isinstance(value, dict) and {"stage", "digest"} <= value.keys():
            yield str(value["stage"]), str(value["digest"])


def _reachable(roots: Iterable[Name], published: Mapping[Name, Output]) -> set[Name]:
    """All outputs from which the roots were made. Inputs are digests, or `stage/digest`."""
    by_digest: dict[str, list[Name]] = {}
    for name in published:
        by_digest.setdefault(name[1], []).append(name)
    reached: set[Name] = set()
    open_names = [name for name in roots if name in published]
    while open_names:
        name = open_names.pop()
        if name in reached:
            continue
        reached.add(name)
        for given in published[name].inputs:
            if not isinstance(given, str):
                raise StoreError(f"an input of {name[0]} {name[1]} is no digest: {given!r}")
            open_names += by_digest.get(given.rsplit("/", 1)[-1], [])
    return reached
