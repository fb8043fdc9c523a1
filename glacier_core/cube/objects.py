"""The objects of a cube, below its path: local files, S3 by obstore, and any other protocol by fsspec.

obstore (https://developmentseed.org/obstore) moves pixels to and from S3 without holding Python's interpreter, so
threads overlap. Endpoint, region and credentials are those that s3fs has found, for one store shall not be two.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from glacier_core.errors import GlacierError, NotPublishedError, ServiceUnavailableError, StoreError
from glacier_core.store.backends import Backend, FileBackend, S3Backend, open_backend

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Store

CONNECTIONS = 8
RETRIES = 5
PATIENCE_S = 15.0
FIRST_WAIT_S = 0.1
STALLED_S = 30.0
_WHOLE_REQUEST_S = 600.0
_CREDENTIALS_LAST_S = 300.0
_BUSY = {408, 409, 429}
_BATCH_BYTES = 64 * 2**20


class Objects:
    """What lies below the path of a cube, by fsspec.

    Args:
        path: folder or fsspec URL of the Zarr group.

    Every method raises NotPublishedError where there is no such object, StoreError where the store refuses and
    ServiceUnavailableError where it cannot be reached.
    """

    connections = 1
    """How many requests are worth making at a time, beside what threads the decoding takes."""
    run_bytes = 4 * 2**20
    """How many bytes of neighbouring chunks are worth reading at once."""

    def __init__(self, path: str, backend: Backend) -> None:
        self.path = path
        self.backend = backend

    def read(self, name: str) -> memoryview:
        """All bytes of an object."""
        return memoryview(self.backend.read(name))

    def read_range(self, name: str, start: int, length: int) -> memoryview:
        """Some bytes of an object; a negative start counts from its end. They may be fewer where it ends."""
        data = self.read(name)
        start = max(start, -len(data))
        return data[start:][:length]

    def borrow(self, name: str, start: int = 0, length: int | None = None) -> memoryview:
        """An object, or `length` bytes of it from `start` on, valid until this thread borrows again."""
        return self.read(name) if length is None else self.read_range(name, start, length)

    def write(self, name: str, data: bytes) -> None:
        """Write an object, over what was there."""
        self.backend.write(name, data)

    def write_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        """Write objects, several at a time where each costs a round trip."""
        for name, data in objects:
            self.write(name, data)

    def remove(self, names: Sequence[str] | None = None) -> None:
        """Delete the named objects, or all; what is gone already is no error."""
        self.backend.remove("", names)


class _Files(Objects):
    """Files of this machine."""

    run_bytes = 2**20  # what stays in the processor's cache until it is decoded

    def __init__(self, path: str, backend: FileBackend) -> None:
        super().__init__(path, backend)
        self._folder = str(backend.root)
        self._made: set[Path] = set()

    def read(self, name: str) -> memoryview:
        """All bytes of a file."""
        return memoryview(self.backend.read(name))

    def read_range(self, name: str, start: int, length: int) -> memoryview:
        """Some bytes of a file."""
        return memoryview(bytes(self.borrow(name, start, length)))

    def borrow(self, name: str, start: int = 0, length: int | None = None) -> memoryview:
        """Bytes of a file in a buffer that this thread keeps: fresh memory costs more than reading into it."""
        try:
            descriptor = os.open(f"{self._folder}/{name}", os.O_RDONLY)
            try:
                size = os.fstat(descriptor).st_size
                start = max(start + size, 0) if start < 0 else min(start, size)
                return _filled(descriptor, start, size - start if length is None else min(length, size - start))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self.backend.translated(error, name) or error from error

    def write(self, name: str, data: bytes) -> None:
        """Write a file, over what was there; folders are made once."""
        target = Path(self._folder, name)
        if target.parent not in self._made:
            self.backend.write(name, data)
            self._made.add(target.parent)
            return
        with self.backend.guard(name):
            target.write_bytes(data)


class _Buffer(threading.local):
    """One buffer for each thread."""

    def __init__(self) -> None:
        self.room = memoryview(bytearray())


_buffer = _Buffer()


def _filled(descriptor: int, start: int, length: int) -> memoryview:
    if len(_buffer.room) < length:
        _buffer.room = memoryview(bytearray(length))
    room = _buffer.room[:length]
    done = 0
    while done < length:
        count = os.preadv(descriptor, [room[done:]], start + done)
        if not count:
            break
        done += count
    return room[:done]


class _S3Objects(Objects):
    """Objects on S3."""

    connections = CONNECTIONS

    def __init__(self, path: str, backend: S3Backend) -> None:
        super().__init__(path, backend)
        bucket, _, prefix = path.split("://", 1)[1].strip("/").partition("/")
        self._bucket = f"s3://{bucket}"
        self._prefix = f"{prefix}/" if prefix else ""
        self._opened: tuple[int, S3Store] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The connections stay behind."""
        return {**self.__dict__, "_opened": None}

    @property
    def _store(self) -> S3Store:
        # one for each process: it does not survive a fork
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), s3_store(self._bucket)
        return self._opened[1]

    def read(self, name: str) -> memoryview:
        """All bytes of an object, in one request."""
        import obstore

        with self._guarded(name):
            answer = obstore.get(self._store, self._prefix + name)
            data = memoryview(answer.bytes())
            if len(data) != answer.meta["size"]:
                raise _truncated(self.path, name)
            return data

    def read_range(self, name: str, start: int, length: int) -> memoryview:
        """Some bytes of an object, in one request."""
        import obstore

        with self._guarded(name):
            if start >= 0:
                return memoryview(obstore.get_range(self._store, self._prefix + name, start=start, length=length))
            return memoryview(
                obstore.get(self._store, self._prefix + name, options={"range": {"suffix": -start}}).bytes()
            )[:length]

    def write(self, name: str, data: bytes) -> None:
        """Write an object in one request, so that it appears whole or not at all."""
        import obstore

        with self._guarded(name):
            obstore.put(self._store, self._prefix + name, data, use_multipart=False)

    def write_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        """Write objects, several at a time: those of a small cube are small, and each costs a round trip."""
        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="cube") as pool:
            for batch in _batched(objects):
                for done in [pool.submit(self.write, name, data) for name, data in batch]:
                    done.result()

    def _guarded(self, name: str) -> contextlib.AbstractContextManager[None]:
        return s3_errors(cast("S3Backend", self.backend), name)


def open_objects(path: str) -> Objects:
    """The objects below a path.

    Raises:
        StoreError: fsspec does not know the protocol.
    """
    backend = open_backend(path)
    if isinstance(backend, FileBackend):
        return _Files(path, backend)
    if isinstance(backend, S3Backend):
        return _S3Objects(path, backend)
    return Objects(path, backend)


def s3_store(url: str) -> S3Store:
    """obstore's store for what lies below an S3 URL, one for each process and endpoint.

    Raises:
        StoreError: there are no credentials.
        ServiceUnavailableError: credentials cannot be had.
    """
    return _s3_store(url, open_backend(url).endpoint(), os.getpid())


def forget_connections() -> None:
    """Open S3 anew, with the settings of now."""
    _s3_store.cache_clear()


@lru_cache(maxsize=64)
def _s3_store(url: str, _endpoint: str, _process: int) -> S3Store:
    from obstore.store import S3Store

    backend = cast("S3Backend", open_backend(url))
    system = backend.fs
    bucket, _, prefix = url.split("://", 1)[1].strip("/").partition("/")
    with backend.guard(""):
        system.connect()
    client = system.s3.meta
    endpoint = str(client.endpoint_url)
    access: dict[str, Any] = {"skip_signature": True}
    if not system.anon:
        credentials = _Credentials(backend)
        credentials()  # that there are none is told in our own words here, and not wrapped in obstore's
        access = {"credential_provider": credentials}
    return S3Store(
        bucket,
        prefix=prefix or None,
        endpoint=endpoint,
        region=client.region_name or "us-east-1",
        retry_config=_retry_config(),
        client_options=_client_options(endpoint),
        **access,
    )


def _retry_config() -> RetryConfig:
    return {
        "max_retries": RETRIES,
        "retry_timeout": timedelta(seconds=PATIENCE_S),
        "backoff": {
            "init_backoff": timedelta(seconds=FIRST_WAIT_S),
            "max_backoff": timedelta(seconds=min(5.0, 50 * FIRST_WAIT_S)),
            "base": 2,
        },
    }


def _client_options(endpoint: str) -> ClientConfig:
    return {
        # a shard over a slow line may take minutes; a line that says nothing is given up sooner
        "timeout": timedelta(seconds=_WHOLE_REQUEST_S),
        "read_timeout": timedelta(seconds=STALLED_S),
        "connect_timeout": timedelta(seconds=5),
        "allow_http": urlsplit(endpoint).scheme == "http",
    }


class _Credentials:
    """Gives obstore the credentials that s3fs signs with, anew before they run out."""

    def __init__(self, backend: S3Backend) -> None:
        self._backend = backend

    def __call__(self) -> Any:
        from fsspec.asyn import sync

        system = self._backend.fs
        key, secret, token = system.key, system.secret, system.token
        if not (key and secret):
            with self._backend.guard(""):
                key, secret, token = sync(system.loop, _signing, system.session)
        return {
            "access_key_id": key,
            "secret_access_key": secret,
            "token": token,
            "expires_at": datetime.now(UTC) + timedelta(seconds=_CREDENTIALS_LAST_S),
        }


async def _signing(session: Any) -> tuple[str, str, str | None]:
    from botocore.exceptions import NoCredentialsError

    credentials = await session.get_credentials()
    if credentials is None:
        raise NoCredentialsError
    frozen = await credentials.get_frozen_credentials()
    return frozen.access_key, frozen.secret_key, frozen.token


@contextlib.contextmanager
def s3_errors(backend: S3Backend, name: str) -> Iterator[None]:
    """Turn what obstore raises into errors that say which store, what happened and what to do."""
    try:
        yield
    except GlacierError:
        raise
    except Exception as error:
        raise _translated(error, backend, name) from error


def _translated(error: Exception, backend: S3Backend, name: str) -> GlacierError:
    from obstore import exceptions

    # what follows is the XML that the service sent, and the structures of obstore
    line = " ".join(str(error).partition("\n\nDebug source:")[0].partition(": <")[0].split())
    place = backend.full(name)
    status = re.search(r"status code: (\d+)", line)
    if "NoSuchBucket" in str(error):
        return StoreError(
            f"the bucket of the store {backend.url} does not exist", do="create it, or correct the store's URL"
        )
    if isinstance(error, FileNotFoundError):
        return NotPublishedError(f"{place} does not exist", expected="something that was published")
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return StoreError(f"the store refuses access to {place}: {line}", do="check its permissions and credentials")
    if status is not None and int(status[1]) < 500 and int(status[1]) not in _BUSY:
        return StoreError(f"the store refuses {place}: {line}", do="check the store's URL")
    if isinstance(error, exceptions.GenericError):
        how = "cannot be reached" if "error sending request" in line else "keeps failing"
        return ServiceUnavailableError(
            f"the object store at {backend.endpoint()} {how}: {line}",
            do="check that it runs and that the endpoint is right, then run the same command again",
        )
    return backend.translated(error, name) or StoreError(f"the store refuses {place}: {line}")


def _truncated(path: str, name: str) -> StoreError:
    return StoreError(f"{path}/{name} came back cut short", do="run the same command again")


def _batched(objects: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    for name, data in objects:
        batch.append((name, data))
        if sum(len(data) for _, data in batch) >= _BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch
