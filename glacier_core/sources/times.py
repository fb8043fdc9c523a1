"""Times of STAC items."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from glacier_core.errors import ConfigurationError

UNDATED = ("cop-dem", "nasadem", "alos-dem", "3dep")
"""Collections whose dates tell when they were published, not when the ground was seen."""


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


def is_dated(collection: str) -> bool:
    """Whether the dates of a collection's items mean anything for what they show."""
    return not collection.startswith(UNDATED)


def solar_day(instant: datetime, longitude: float) -> date:
    """The day by the sun at a longitude (degrees east): a pass over one place never falls on two of them."""
    return (instant.astimezone(UTC) + timedelta(hours=longitude / 15)).date()
