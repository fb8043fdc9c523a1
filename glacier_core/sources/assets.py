"""Files of a scene, opened wherever they are, and read with as much patience as their service deserves.

HTTP links are signed right before they are read and signed again when the service refuses them; 429, 5xx and broken
connections are waited for, as long as `Retry-After` asks.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from glacier_core.errors import NotPublishedError, SceneError
from glacier_core.sources.remote import (
    BUSY_STATUS,
    LONGEST_WAIT_S,
    TIMEOUT_S,
    first_line,
    host_of,
    is_http,
    rate_limit,
    retry_after_s,
)
from glacier_core.sources.signing import forget_token, needs_signature, signed, token_service
from glacier_core.store.backends import open_backend

log = logging.getLogger(__name__)

Result = TypeVar("Result")

SILENT_RETRIES = 2
"""How often a host that does not answer at all is tried again."""
DOUBTS = 2
"""How often a remote file that answers, yet cannot be decoded, is read before it is called damaged."""
BLOCK_BYTES = 2**18
"""Smallest read from object storage."""
GDAL_HTTP = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "120",
    # short glitches; everything else is this module's
    "GDAL_HTTP_MAX_RETRY": "1",
    "GDAL_HTTP_RETRY_DELAY": "0.2",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
}
_fresh = itertools.count(1)


class NotNowError(Exception):
    """A read that may succeed later."""

    def __init__(self, reason: str, *, wait_s: float = 0.0, host: str = "") -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.host = host  # the host that does not answer at all


@contextmanager
def open_asset(href: str, *, again: bool = False) -> Iterator[Any]:
    """An asset as an open `rasterio.DatasetReader`.

    Args:
        href: path, HTTP link (signed here if it needs that) or any fsspec URL.
        again: forget what GDAL remembers of this link.

    Raises:
        rasterio.errors.RasterioError: it cannot be opened.
        requests.RequestException: the token service gives no token.
        StoreError, ServiceUnavailableError: object storage refuses or does not answer.
    """
    import rasterio

    if is_http(href):
        rate_limit().wait()
        link = f"/vsicurl/{signed(href)}"
        # GDAL keeps what a link answered, errors too; a fragment is never sent, but makes another link of it
        with rasterio.Env(**GDAL_HTTP), rasterio.open(f"{link}#{next(_fresh)}" if again else link) as dataset:
            yield dataset
    elif "://" in href:
        backend = open_backend(href.rpartition("/")[0])
        with (
            backend.guard(href.rpartition("/")[2]),
            backend.fs.open(href, "rb", block_size=BLOCK_BYTES) as file,
            rasterio.open(file) as dataset,
        ):
            yield dataset
    else:
        with rasterio.open(href) as dataset:
            yield dataset


def read_asset(href: str, *, name: str, read: Callable[[Any], Result], retries: int) -> Result:
    """What `read` makes of the open file, tried again as long as there is hope.

    Args:
        href: as for `open_asset`.
        name: the asset's name, for messages.
        read: takes the open dataset; raises SceneError if it does not fit.
        retries: how often a read that may succeed later is tried again.

    Raises:
        SceneError: the file is missing, refused or damaged, or does not fit.
        NotNowError: its service stayed busy or silent.
    """
    return patiently(lambda attempt: _read_once(href, name=name, read=read, attempt=attempt), retries=retries)


def patiently(attempt: Callable[[int], Result], *, retries: int) -> Result:
    """What `attempt` returns, which is given the number of the try (from 1), tried again after NotNowError.

    Between two tries it waits as long as the service asked for, or ever longer. A host that does not answer at all is
    given up sooner.

    Raises:
        NotNowError: the last one.
    """
    import tenacity

    backoff = tenacity.wait_exponential(multiplier=0.2, max=20)
    attempts = itertools.count(1)

    def pause_s(state: tenacity.RetryCallState) -> float:
        return max(getattr(_error_of(state), "wait_s", 0.0), backoff(state))

    def enough(state: tenacity.RetryCallState) -> bool:
        silent = getattr(_error_of(state), "host", "")
        return state.attempt_number > (min(retries, SILENT_RETRIES) if silent else retries)

    trying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(NotNowError),
        stop=enough,
        wait=pause_s,
        before_sleep=tenacity.before_sleep_log(log, logging.DEBUG),
        reraise=True,
    )
    return trying(lambda: attempt(next(attempts)))


def _error_of(state: Any) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _read_once(href: str, *, name: str, read: Callable[[Any], Result], attempt: int) -> Result:
    import rasterio.errors
    import requests

    try:
        with open_asset(href, again=attempt > 1) as dataset:
            return read(dataset)
    except NotPublishedError as error:
        raise SceneError(f"{name} does not exist") from error
    except requests.RequestException as error:
        raise without_token(name, error) from error
    except (rasterio.errors.RasterioError, rasterio.errors.CRSError, OSError) as error:
        if is_http(href):
            raise _diagnosed(href, error, name=name, attempt=attempt) from error
        if "://" in href:
            _ask_storage(href, name=name)
        raise SceneError(f"{name} cannot be read ({first_line(error)})") from error


def _ask_storage(href: str, *, name: str) -> None:
    """Raise the storage's own error where that, and not the file, was the reason: GDAL hides it."""
    folder, _, file = href.rpartition("/")
    backend = open_backend(folder)
    try:
        with backend.guard(file):
            backend.fs.info(href)
    except NotPublishedError as error:
        raise SceneError(f"{name} does not exist") from error


def without_token(name: str, error: Exception) -> NotNowError | SceneError:
    """What it means that the token service did not give a token; its client has tried several times by then."""
    import requests

    service = host_of(token_service())
    answer = getattr(error, "response", None)
    if answer is not None and answer.status_code not in BUSY_STATUS:
        return SceneError(f"{name} cannot be signed (HTTP {answer.status_code} of {service})")
    silent = isinstance(error, requests.ConnectionError | requests.Timeout)
    return NotNowError(f"{name} cannot be signed ({service} does not answer)", host=service if silent else "")


def _diagnosed(href: str, error: Exception, *, name: str, attempt: int) -> NotNowError | SceneError:
    """What a failed read over HTTP means: GDAL's messages do not tell reliably, so the link is asked once more."""
    import requests

    host = host_of(href)
    try:
        link = signed(href)
        with requests.get(link, headers={"Range": "bytes=0-0"}, stream=True, timeout=TIMEOUT_S) as answer:
            status, pause = answer.status_code, retry_after_s(answer.headers.get("Retry-After"))
    except requests.RequestException as problem:
        return NotNowError(f"{host} does not answer ({type(problem).__name__})", host=host)
    refused = refusal(href, name=name, status=status, pause_s=pause)
    if refused is not None:
        return refused
    if attempt <= DOUBTS or "HTTP response code" in first_line(error):
        # the file answers now: what failed may have passed
        return NotNowError(f"{name} cannot be read ({first_line(error)})")
    return SceneError(f"{name} is damaged ({first_line(error)})")


def refusal(href: str, *, name: str, status: int, pause_s: float) -> NotNowError | SceneError | None:
    """What an HTTP status means for an asset; None where it is no refusal. An expired signature is forgotten."""
    if status in {401, 403} and needs_signature(href):
        forget_token(href)
        return NotNowError(f"{name} is refused (HTTP {status})")
    if status in BUSY_STATUS and pause_s <= LONGEST_WAIT_S:
        return NotNowError(f"{name} cannot be read now (HTTP {status})", wait_s=pause_s)
    if status >= 400:
        return SceneError(f"{name} cannot be read (HTTP {status})")
    return None
