"""Stores of every protocol; S3 on loopback, with an endpoint in front of it that can be made to fail."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from glacier_core.store import Store
from tests.object_storage import BUCKET, Endpoint, s3

__all__ = ["BUCKET", "Endpoint", "s3"]


@pytest.fixture(params=["file", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a new store, on each protocol in turn."""
    if request.param == "file":
        return str(tmp_path / "store")
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    request.getfixturevalue("s3")
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def store(url: str) -> Store:
    """A new store, on each protocol in turn."""
    return Store(url)
