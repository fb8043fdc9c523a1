"""Times of STAC items."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from glacier_core.errors import ConfigurationError


def time_of(item: Mapping[str, Any]) -> datetime:
    """When an item was acquired (UTC): its `datetime`, or the start of its interval.

    Raises:
        ConfigurationError: it tells neither as an RFC 3339 time.
    """
    properties = item.get("properties", {})
    text = str(properties.get("datetime") or properties.get("start_datetime") or "")
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"item {item.get('id')} of the catalog is dated {text!r}", expected="an RFC 3339 time"
        ) from None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
