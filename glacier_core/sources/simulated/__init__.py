"""The simulated glacier: an identical twin of Sentinel-2 Level-2A scenes whose true outlines are known."""

from __future__ import annotations

from glacier_core.sources.simulated.archive import simulate, simulate_truth
from glacier_core.sources.simulated.scenes import CLASSES

__all__ = ["CLASSES", "simulate", "simulate_truth"]
