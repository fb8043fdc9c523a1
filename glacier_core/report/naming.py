"""File names made of glacier ids, which may hold anything."""

from __future__ import annotations

import hashlib
import re


def file_name(text: str) -> str:
    """A name that is one path segment on any file system, and different for different texts."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".")[:80]
    if safe == text and safe:
        return safe
    return f"{safe or 'glacier'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
