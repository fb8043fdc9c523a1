"""Outlines become masks: ice, the ground on which a glacier is measured, and how old they are."""

from __future__ import annotations

from glacier_core.labels.dates import DatedOutlines, OutlineDate, label_at
from glacier_core.labels.masks import glacier_domain, rasterize

__all__ = ["DatedOutlines", "OutlineDate", "glacier_domain", "label_at", "rasterize"]
