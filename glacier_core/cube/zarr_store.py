"""A Zarr store on S3 for what is read through zarr-python and xarray. Loaded on use: zarr is heavy."""

from __future__ import annotations

from typing import Any

import obstore
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.storage import ObjectStore

from glacier_core.cube.objects import s3_errors, s3_store
from glacier_core.errors import NotPublishedError
from glacier_core.store.backends import S3Backend


class CubeStore(ObjectStore[Any]):
    """What lies below an S3 URL, read-only, by obstore, with errors of ours.

    zarr-python's own store takes a bucket that is gone for chunks that nobody wrote.
    """

    def __init__(self, backend: S3Backend) -> None:
        super().__init__(s3_store(backend.url), read_only=True)
        self._backend = backend

    def __getstate__(self) -> dict[str, Any]:
        """Connections stay behind."""
        return {"backend": self._backend}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["backend"])  # type: ignore[misc]

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """An object or a part of it; None when there is none."""
        try:
            with s3_errors(self._backend, key):
                return prototype.buffer.from_bytes(await self._bytes(key, byte_range))
        except NotPublishedError:
            return None

    async def _bytes(self, key: str, byte_range: Any) -> Any:
        if isinstance(byte_range, RangeByteRequest):
            return await obstore.get_range_async(self.store, key, start=byte_range.start, end=byte_range.end)
        options: Any = {}
        if isinstance(byte_range, OffsetByteRequest):
            options = {"range": {"offset": byte_range.offset}}
        elif isinstance(byte_range, SuffixByteRequest):
            options = {"range": {"suffix": byte_range.suffix}}
        answer = await obstore.get_async(self.store, key, options=options)
        return await answer.bytes_async()
