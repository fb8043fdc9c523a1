"""The kind `ice_cover`: monthly forecasts of sea ice and of melt."""

from glacier_core.steps.kinds.ice_cover.kind import IceCoverKind

__all__ = ["IceCoverKind"]
