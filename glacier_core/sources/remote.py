"""HTTP as the sources need it: bounded retries, a rate limit, and errors that say which host does not answer."""

from __future__ import annotations

import re
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from glacier_core.errors import ConfigurationError, ServiceUnavailableError
from glacier_core.settings import Settings

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse
    from urllib3.util.retry import Retry

TIMEOUT_S = (10.0, 60.0)
"""Seconds to connect, and between two bytes."""
BUSY_STATUS = (429, 500, 502, 503, 504)
"""Answers that may be better a little later."""
LONGEST_WAIT_S = 120.0
"""A server that asks for a longer pause is taken to be out of reach."""


def is_http(href: str) -> bool:
    """Whether `href` is read over HTTP."""
    return href.startswith(("http://", "https://"))


def host_of(url: str) -> str:
    """The host that a URL names."""
    return urlparse(url).netloc.rpartition("@")[2] or url


def unreachable(url: str, *, detail: str) -> ServiceUnavailableError:
    """The error for a host that does not answer."""
    return ServiceUnavailableError(
        f"{host_of(url)} cannot be reached ({detail})",
        expected="a STAC catalog that answers",
        do="check the network, or name another catalog with --catalog PATH_OR_URL",
    )


def first_line(error: BaseException) -> str:
    """What an error, or what caused it, says first."""
    cause = error.__cause__ or error
    return _told(str(cause)) or type(cause).__name__


def retry_policy(retries: int) -> Retry:
    """Retries of any method on connection errors, 429 and 5xx; a `Retry-After` header sets the pause, within reason."""
    from urllib3.util.retry import Retry

    class Bounded(Retry):
        def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
            asked = super().get_retry_after(response)
            return asked if asked is None else min(asked, LONGEST_WAIT_S)

    return Bounded(
        total=retries,
        connect=min(retries, 2),
        backoff_factor=0.3,
        backoff_max=LONGEST_WAIT_S,
        status_forcelist=BUSY_STATUS,
        allowed_methods=None,
        respect_retry_after_header=True,
        raise_on_status=False,
    )


def fetch(url: str, *, retries: int = 4) -> bytes:
    """What a URL answers, asked again as `retry_policy` says.

    Raises:
        ConfigurationError: it refuses (4xx).
        ServiceUnavailableError: its host does not answer, or stays busy.
    """
    import requests
    from requests.adapters import HTTPAdapter

    rate_limit().wait()
    try:
        with requests.Session() as session:
            adapter = HTTPAdapter(max_retries=retry_policy(retries))
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            answer = session.get(url, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        raise unreachable(url, detail=deepest_reason(error)) from None
    if answer.status_code in BUSY_STATUS:
        raise unreachable(url, detail=f"HTTP {answer.status_code}")
    if not answer.ok:
        raise ConfigurationError(f"{url} answers HTTP {answer.status_code}", do="check the address")
    return answer.content


def deepest_reason(error: BaseException) -> str:
    """What the first error of a chain says, in a few words."""
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__ or cause
    return _told(str(cause)) or type(cause).__name__


def _told(message: str) -> str:
    """The first line of a message, without what is secret (the query of a signed link) or differs each time."""
    line = next(iter(message.splitlines()), "")
    line = re.sub(r"(\?[^\s'\"]*=[^\s'\"]*?|#\d+)(?=:?(\s|['\"]|$))", "", line)
    return re.sub(r"<?[\w.]* object at 0x[0-9a-f]+>?:? ?|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "", line)[:200]


def retry_after_s(header: str | None) -> float:
    """Seconds that a `Retry-After` header asks for (RFC 9110, 10.2.3: seconds or a date); 0 without one."""
    if not header:
        return 0.0
    if header.strip().isdigit():
        return float(header)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0


class RateLimit:
    """Spaces requests evenly over all threads of this process."""

    def __init__(self, per_s: float) -> None:
        self._interval_s = 1.0 / per_s if per_s > 0 else 0.0
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when the next request may be sent."""
        if not self._interval_s:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval_s
        time.sleep(max(0.0, turn - now))


@lru_cache(maxsize=8)
def _limit_of(per_s: float) -> RateLimit:
    return RateLimit(per_s)


def rate_limit() -> RateLimit:
    """This process's limit on requests to catalogs, token services and assets (setting `GLACIER_REQUESTS_PER_S`)."""
    return _limit_of(Settings().requests_per_s)
