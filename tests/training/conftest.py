"""S3 on loopback, for checkpoints."""

from __future__ import annotations

from tests.object_storage import s3

__all__ = ["s3"]
