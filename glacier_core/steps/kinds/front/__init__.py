"""The kind `front`: calving fronts from SAR and optical images."""

from glacier_core.steps.kinds.front.kind import FrontKind

__all__ = ["FrontKind"]
