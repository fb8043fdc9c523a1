"""Signed links of the Planetary Computer (https://planetarycomputer.microsoft.com/docs/concepts/sas/).

Links are signed right before they are read, never when they are found: a token lives for less than an hour, a run may
not. `PC_SDK_SAS_URL` and `PC_SDK_SUBSCRIPTION_KEY` configure the signer.
"""

from __future__ import annotations

import threading
from urllib.parse import urlparse

from glacier_core.sources.remote import is_http, rate_limit

BLOB_DOMAIN = ".blob.core.windows.net"
_lock = threading.Lock()


def needs_signature(href: str) -> bool:
    """Whether the signer has something to do with this link."""
    return is_http(href) and urlparse(href).netloc.endswith(BLOB_DOMAIN)


def signed(href: str, *, retries: int = 2) -> str:
    """`href` with a token that is valid now; links that need none come back as they are.

    Args:
        href: link of an asset, unsigned.
        retries: how often the token service is asked again after 429, 5xx or a broken connection.

    Raises:
        requests.RequestException: the token service does not give a token.
    """
    if not needs_signature(href):
        return href
    from planetary_computer import sas

    parts = urlparse(href)
    account, container = sas.parse_blob_url(parts)
    # one request for a token, however many threads want it; sign_url then finds it in the signer's cache
    with _lock:
        if _token_url(account, container) not in sas.TOKEN_CACHE:
            rate_limit().wait()
        sas.get_token(account, container, retry_total=retries, retry_backoff_factor=0.3)
    return str(sas.sign_url(href))


def forget_token(href: str) -> None:
    """Let the next `signed` fetch a new token: the service refused the one that the signer holds."""
    if not needs_signature(href):
        return
    from planetary_computer import sas

    account, container = sas.parse_blob_url(urlparse(href))
    with _lock:
        sas.TOKEN_CACHE.pop(_token_url(account, container), None)


def token_service() -> str:
    """URL of the token service, for messages."""
    from planetary_computer.settings import Settings

    return str(Settings.get().sas_url)


def _token_url(account: str, container: str) -> str:
    return f"{token_service()}/{account}/{container}"
