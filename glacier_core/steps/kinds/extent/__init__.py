"""Glacier extent: area and retreat from optical imagery and outlines."""

from glacier_core.steps.kinds.extent.kind import ExtentKind

__all__ = ["ExtentKind"]
