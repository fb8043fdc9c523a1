"""The model registry: versions with their files, scores and aliases in MLflow.

Aliases are champion (predicts by default), challenger (registered later, not promoted) and previous (the champion
before).
"""

from __future__ import annotations

import difflib
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError, StoreError
from glacier_core.registry.recording import Registration, record
from glacier_core.registry.talking import SQLITE, make_database, talking
from glacier_core.registry.versions import (
    CHALLENGER,
    CHAMPION,
    DIGEST_TAG,
    GATE_TAG,
    HEADLINE_TAG,
    NAME,
    PREVIOUS,
    SCORES_TAG,
    ModelVersionRef,
    read_versions,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

PASSED, FAILED = "passed", "failed"
# MLflow's limit for a version's description.
DESCRIPTION_LENGTH = 5000


class Registry:
    """A model registry on an MLflow tracking server, or in a SQLite database.

    Args:
        tracking_uri: `sqlite:///<path>`, `http(s)://<host>` or another URI that MLflow takes. A SQLite database is made
            when something is registered, its artifacts beside it.
    """

    def __init__(self, tracking_uri: str) -> None:
        self.tracking = tracking_uri
        self._client: MlflowClient | None = None

    def versions(self, name: str | None = None) -> list[ModelVersionRef]:
        """All versions of a model, or of all models: by name, newest first.

        Raises:
            ServiceUnavailableError: the server cannot be reached.
        """
        if self.tracking.startswith(SQLITE):
            return read_versions(self.tracking, name, self.client)
        with talking(self.tracking):
            return read_versions(self.tracking, name, self.client)

    def find(self, name: str, *, digest: str) -> ModelVersionRef | None:
        """The oldest version of that digest, or None."""
        return next((ref for ref in reversed(self.versions(name)) if ref.digest == digest), None)

    def champion(self, name: str) -> ModelVersionRef | None:
        """The champion, or None."""
        return next((ref for ref in self.versions(name) if CHAMPION in ref.aliases), None)

    def resolve(self, model: str) -> ModelVersionRef:
        """The version that `name@alias`, `name/version` or `name` means; a bare name is the champion, else the newest.

        Raises:
            ConfigurationError: there is none; the message lists what there is.
            ServiceUnavailableError: the server cannot be reached.
        """
        match = re.fullmatch(rf"(?P<name>{NAME})(?:@(?P<alias>{NAME})|/(?P<version>\d+))?", model)
        if match is None:
            raise ConfigurationError(f"model is '{model}'", expected="name@alias, name/version or name")
        known = self.versions(match["name"])
        if not known:
            raise self._unknown_name(match["name"])
        if match["alias"]:
            found = [ref for ref in known if match["alias"] in ref.aliases]
        elif match["version"]:
            found = [ref for ref in known if int(ref.version) == int(match["version"])]
        else:
            found = [ref for ref in known if CHAMPION in ref.aliases] or known
        if not found:
            there = [f"{ref.name}/{ref.version}" + (f" (@{ref.alias})" if ref.alias else "") for ref in known]
            raise ConfigurationError(f"model '{model}' is not registered", expected=f"one of {', '.join(there)}")
        return found[0]

    def register(self, what: Registration) -> ModelVersionRef:
        """Log a training run and register its network; a digest that is registered already gives the first version.

        Raises:
            ConfigurationError: the name is not one that can be registered.
            ServiceUnavailableError: the server cannot be reached.
            StoreError: the server refused, or the database cannot be written.
        """
        if not re.fullmatch(NAME, what.name):
            raise ConfigurationError(f"model name '{what.name}'", expected="letters, digits, '-', '_' and '.'")
        known = self.find(what.name, digest=what.digest)
        if known is not None:
            return known
        with talking(self.tracking) as mlflow:
            client = self.client()
            run_id, source = record(mlflow, client, what, tracking=self.tracking)
            _make_registered_model(mlflow, client, what.name)
            # the version appears with its tags in one transaction: a run that was killed before leaves no version
            client.create_model_version(
                name=what.name,
                source=source,
                run_id=run_id,
                tags={
                    DIGEST_TAG: what.digest,
                    SCORES_TAG: json.dumps(what.scores.get("model", {}), sort_keys=True),
                    HEADLINE_TAG: what.headline,
                },
                description=_shortened(what.card),
                await_creation_for=0,
            )
        found = self.find(what.name, digest=what.digest)
        if found is None:
            raise StoreError(f"model {what.name} was registered at {self.tracking} but cannot be found there")
        return found

    def judge(self, ref: ModelVersionRef, *, passed: bool, reason: str) -> None:
        """Keep the gate's verdict with a version: one that has only ever failed can never be given the alias champion.

        A version that has passed once stays so: when a later champion turns out worse, it may be given the alias back.
        """
        if self.resolve(f"{ref.name}/{ref.version}").gate in (PASSED, PASSED if passed else FAILED):
            return
        with talking(self.tracking):
            client = self.client()
            client.set_model_version_tag(ref.name, ref.version, f"{GATE_TAG}.reason", reason)
            client.set_model_version_tag(ref.name, ref.version, GATE_TAG, PASSED if passed else FAILED)

    def promote(self, ref: ModelVersionRef, *, by: str, why: str) -> None:
        """Make a version champion; the former champion becomes previous.

        Args:
            ref: the version.
            by: who decided.
            why: the reason, kept with the version.

        Raises:
            ConfigurationError: the gate has failed this version.
        """
        current = self.resolve(f"{ref.name}/{ref.version}")
        if current.gate == FAILED:
            raise ConfigurationError(
                f"model {ref.name}/{ref.version} has failed the gate", do="promote a version that has passed it"
            )
        former = self.champion(ref.name)
        if former is not None and former.version == ref.version:
            return
        with talking(self.tracking):
            client = self.client()
            for key, value in (("by", by), ("why", why), ("at", datetime.now(UTC).isoformat(timespec="seconds"))):
                client.set_model_version_tag(ref.name, ref.version, f"glacierflow.promoted.{key}", value)
            if former is not None:
                client.set_registered_model_alias(ref.name, PREVIOUS, former.version)
            client.set_registered_model_alias(ref.name, CHAMPION, ref.version)
            if CHALLENGER in current.aliases:
                client.delete_registered_model_alias(ref.name, CHALLENGER)

    def challenge(self, ref: ModelVersionRef) -> None:
        """Make a version the challenger."""
        if CHALLENGER in self.resolve(f"{ref.name}/{ref.version}").aliases:
            return
        with talking(self.tracking):
            self.client().set_registered_model_alias(ref.name, CHALLENGER, ref.version)

    def client(self) -> MlflowClient:
        """MLflow's own client of this registry, for what this class has no method for."""
        if self._client is None:
            with talking(self.tracking) as mlflow:
                make_database(mlflow, self.tracking)
                self._client = mlflow.MlflowClient(tracking_uri=self.tracking, registry_uri=self.tracking)
        return self._client

    def _unknown_name(self, name: str) -> ConfigurationError:
        names = sorted({ref.name for ref in self.versions()})
        near = difflib.get_close_matches(name, names, n=1)
        return ConfigurationError(
            f"no model '{name}' is registered at {self.tracking}" + (f", did you mean '{near[0]}'?" if near else ""),
            expected=f"one of {', '.join(names)}" if names else "",
            do="" if names else f"train one: glacier train {name}",
        )


def _shortened(card: str) -> str:
    return card if len(card) <= DESCRIPTION_LENGTH else card[: DESCRIPTION_LENGTH - 1] + "…"


def _make_registered_model(mlflow: Any, client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
