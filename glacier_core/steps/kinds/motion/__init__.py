"""Glacier movement: displacement between images, velocity, and the next image of a sequence."""

from glacier_core.steps.kinds.motion.kind import MotionKind

__all__ = ["MotionKind"]
