"""MLflow imported quietly, and its failures as errors of ours."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from glacier_core.errors import GlacierError, ServiceUnavailableError, StoreError

SECONDS_TO_CONNECT = 5.0
# Set before MLflow is imported, and only where the environment says nothing else: no telemetry, nothing on stdout, and
# an unreachable server is noticed within seconds.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}
UNREACHABLE = ("max retries exceeded", "connection refused", "timed out", "name or service not known")
SQLITE = "sqlite:///"


def database_path(tracking: str) -> Path:
    """The file of a SQLite tracking URI."""
    return Path(tracking.removeprefix(SQLITE).partition("?")[0])


def import_mlflow() -> Any:
    """The package `mlflow`, with telemetry off and only warnings in its log."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow

    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        for name in ("mlflow", "mlflow.store.db.utils", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow


@contextmanager
def talking(tracking: str) -> Iterator[Any]:
    """Run a block that talks to a tracking server; the block gets the package `mlflow`.

    Raises:
        ServiceUnavailableError: the server cannot be reached.
        StoreError: it refused, or a local database cannot be written.
    """
    _check_reachable(tracking)
    mlflow = import_mlflow()
    try:
        yield mlflow
    except GlacierError:
        raise
    except (mlflow.exceptions.MlflowException, OSError, *_database_errors(tracking)) as error:
        message = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        if any(sign in str(error).lower() for sign in UNREACHABLE):
            raise _unreachable(tracking, message) from error
        raise StoreError(f"MLflow at {tracking} failed ({message})", do="check the tracking server") from error


def make_database(mlflow: Any, tracking: str) -> None:
    """Make the SQLite database of a registry, whole or not at all.

    MLflow lays its tables out in dozens of steps; killed between two of them it leaves a database that it cannot mend.
    """
    path = database_path(tracking)
    if not tracking.startswith(SQLITE) or path.exists():
        return
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        mlflow.MlflowClient(tracking_uri=f"{SQLITE}{draft}", registry_uri=f"{SQLITE}{draft}")
        # another process may have been quicker: its database stays
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _database_errors(tracking: str) -> tuple[type[Exception], ...]:
    """What a database behind MLflow raises where MLflow lets it through."""
    if tracking.startswith(("http://", "https://")):
        return ()
    from sqlalchemy.exc import SQLAlchemyError

    return (SQLAlchemyError,)


def _check_reachable(tracking: str) -> None:
    parts = urlsplit(tracking)
    if parts.scheme in ("http", "https"):
        address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        try:
            socket.create_connection(address, timeout=SECONDS_TO_CONNECT).close()
        except OSError as error:
            raise _unreachable(tracking, str(error)) from None
    elif tracking.startswith(SQLITE):
        folder = database_path(tracking).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the folder {folder} of the MLflow database cannot be made ({error.strerror})") from None


def _unreachable(tracking: str, message: str) -> ServiceUnavailableError:
    return ServiceUnavailableError(
        f"the MLflow tracking server {tracking} cannot be reached ({message})",
        do="start it, or point GLACIER_TRACKING at another",
    )
