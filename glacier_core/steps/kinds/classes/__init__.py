"""Glacier classification: each pixel one of several surfaces, from optical imagery and terrain."""

from glacier_core.steps.kinds.classes.kind import ClassesKind

__all__ = ["ClassesKind"]
