"""Motion: displacement by feature tracking, velocity, its error over stable ground, and predicted frames."""

from __future__ import annotations

from glacier_core.measure.motion.displacements import Displacements
from glacier_core.measure.motion.given import GivenField, given_version, read_given
from glacier_core.measure.motion.next_frames import frame_errors
from glacier_core.measure.motion.pairing import days_between, pairs_of
from glacier_core.measure.motion.tracking import Tracking, track
from glacier_core.measure.motion.velocities import (
    Comparison,
    Stability,
    Velocities,
    average,
    compare,
    over_stable_ground,
)

__all__ = [
    "Comparison",
    "Displacements",
    "GivenField",
    "Stability",
    "Tracking",
    "Velocities",
    "average",
    "compare",
    "days_between",
    "frame_errors",
    "given_version",
    "over_stable_ground",
    "pairs_of",
    "read_given",
    "track",
]
