"""Tracked displacement against what is known to have happened."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glacier_core.recipes import MotionRecipe
    from glacier_core.steps.kinds.motion.tracks import TrackedPair


def displacement_errors(recipe: MotionRecipe, name: str, pair: TrackedPair) -> tuple[float, float]:
    """Median length in pixels of the difference to the truth of simulated glaciers: as tracked, and for no motion.

    Args:
        recipe: with imagery `simulated_motion`.
        name: of the unit.
        pair: what was tracked; its reliable vectors count.
    """
    import numpy as np

    from glacier_core.recipes import SimulatedMotion
    from glacier_core.sources.simulated.motion import displacement_of, place_number

    field = pair.field
    if not isinstance(recipe.imagery, SimulatedMotion) or not field.reliable.any():
        return math.nan, math.nan
    rows, columns = np.meshgrid(field.rows, field.columns, indexing="ij")
    dx, dy = displacement_of(recipe.imagery, place_number(name), rows=rows, columns=columns, days=pair.days)
    missed = np.hypot(field.dx_px - dx, field.dy_px - dy)[field.reliable]
    return float(np.median(missed)), float(np.median(np.hypot(dx, dy)[field.reliable]))
