"""Registered model versions, read from MLflow: through its client, or straight from a local SQLite database.

A pipeline looks a version up several times, each time in a fresh process, and MLflow takes seconds to import. Reading
its tables takes milliseconds. Where they are not as expected, the client answers.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from glacier_core.registry.talking import SQLITE, database_path, talking

if TYPE_CHECKING:
    from mlflow import MlflowClient

DIGEST_TAG = "glacierflow.digest"
SCORES_TAG = "glacierflow.scores"
HEADLINE_TAG = "glacierflow.headline"
GATE_TAG = "glacierflow.gate"
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
DELETED = "Deleted_Internal"
NAME = r"[A-Za-z0-9][\w.-]*"


@dataclass(frozen=True)
class ModelVersionRef:
    """One version of a registered model."""

    name: str
    """Name of the registered model: the recipe's."""
    version: str
    """Its number, as MLflow counts."""
    digest: str
    """Digest of the model's output in the store."""
    aliases: tuple[str, ...]
    """champion, challenger, previous and other aliases, in this order."""
    gate: str
    """"passed", "failed", or empty before the gate has spoken."""
    scores: Mapping[str, Any] = field(repr=False)
    """The model's scores on its test set: {metric: {value, low, high, n, unit}}."""
    headline: str
    """The score that stands for it in lists; empty where it is not known."""
    source: str = field(repr=False)
    """Artifact URI of the pyfunc."""
    tracking: str = field(repr=False)
    """Tracking URI."""

    @property
    def alias(self) -> str | None:
        """The first of its aliases, or None."""
        return self.aliases[0] if self.aliases else None

    def folder(self) -> Path:
        """A local folder with the files that were registered, downloaded where they are remote.

        Raises:
            ServiceUnavailableError: the server cannot be reached.
            StoreError: the files are gone.
        """
        with talking(self.tracking) as mlflow:
            local = mlflow.artifacts.download_artifacts(artifact_uri=self.source, tracking_uri=self.tracking)
            model = mlflow.models.Model.load(local)
        return Path(local) / str(model.flavors["python_function"]["artifacts"]["network"]["path"])


def read_versions(tracking: str, name: str | None, client: Callable[[], MlflowClient]) -> list[ModelVersionRef]:
    """All versions of a model, or of all models: by name, newest first.

    Args:
        tracking: tracking URI.
        name: the registered model; None: all.
        client: makes the client that answers where the database cannot be read directly.
    """
    if name is not None and not re.fullmatch(NAME, name):
        return []
    rows = _from_sqlite(tracking) if tracking.startswith(SQLITE) else None
    if rows is None:
        rows = _from_client(client(), name)
    found = [_reference(tracking, row) for row in rows if DIGEST_TAG in row.tags and name in (None, row.name)]
    return sorted(found, key=lambda ref: (ref.name, -int(ref.version)))


@dataclass(frozen=True)
class _Row:
    name: str
    version: str
    source: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]


def _reference(tracking: str, row: _Row) -> ModelVersionRef:
    rank = {CHAMPION: 0, CHALLENGER: 1, PREVIOUS: 2}
    return ModelVersionRef(
        name=row.name,
        version=row.version,
        digest=row.tags[DIGEST_TAG],
        aliases=tuple(sorted(row.aliases, key=lambda alias: (rank.get(alias, len(rank)), alias))),
        gate=row.tags.get(GATE_TAG, ""),
        scores=json.loads(row.tags.get(SCORES_TAG, "{}")),
        headline=row.tags.get(HEADLINE_TAG, ""),
        source=row.source,
        tracking=tracking,
    )


def _from_sqlite(tracking: str) -> list[_Row] | None:
    """Every version, or None where MLflow itself must answer."""
    path = database_path(tracking)
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=30)) as database:
            versions = database.execute(
                "SELECT name, version, COALESCE(storage_location, source) FROM model_versions WHERE current_stage != ?",
                (DELETED,),
            ).fetchall()
            tags: dict[tuple[str, int], dict[str, str]] = {}
            tagged = database.execute("SELECT name, version, key, value FROM model_version_tags")
            for name, version, key, value in tagged:
                tags.setdefault((name, version), {})[key] = value
            aliases: dict[tuple[str, int], list[str]] = {}
            named = database.execute("SELECT name, version, alias FROM registered_model_aliases")
            for name, version, alias in named:
                aliases.setdefault((name, version), []).append(alias)
    except sqlite3.Error:
        return None
    return [
        _Row(
            name=name,
            version=str(version),
            source=source,
            tags=tags.get((name, version), {}),
            aliases=tuple(aliases.get((name, version), [])),
        )
        for name, version, source in versions
    ]


def _from_client(client: MlflowClient, name: str | None) -> list[_Row]:
    wanted = f"name = '{name}'" if name else None
    aliases: dict[tuple[str, str], list[str]] = {}
    for model in _pages(client.search_registered_models, wanted):
        for alias, version in model.aliases.items():
            aliases.setdefault((model.name, str(version)), []).append(alias)
    return [
        _Row(
            name=found.name,
            version=str(found.version),
            source=found.source,
            tags=found.tags,
            aliases=tuple(aliases.get((found.name, str(found.version)), [])),
        )
        for found in _pages(client.search_model_versions, wanted)
    ]


def _pages(search: Callable[..., Any], wanted: str | None) -> Iterator[Any]:
    token = None
    while True:
        page = search(filter_string=wanted, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
