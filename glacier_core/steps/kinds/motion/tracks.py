"""Tracking of all chosen pairs of a unit's images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.measure.motion import Displacements, Stability, Tracking
    from glacier_core.recipes import MotionRecipe
    from glacier_core.steps.kinds.motion.images import Grounds, Images

KEPT_IMAGES = 12
"""Images that are kept in memory while their pairs are tracked."""


@dataclass(frozen=True)
class TrackedPair:
    """One pair of images and how the surface moved between them."""

    first: int
    """Number of the earlier image."""
    second: int
    """Number of the later image."""
    days: float
    """Separation."""
    field: Displacements
    """The displacements, corrected for stable ground where the recipe asks for that."""
    stability: Stability | None
    """Of the displacements over stable ground, in pixels, before that; None where none is known."""


def tracked_pairs(recipe: MotionRecipe, images: Images, grounds: Grounds) -> Iterator[TrackedPair]:
    """Track the pairs that the recipe wants, one after the other.

    Args:
        recipe: the recipe.
        images: of the unit.
        grounds: where glacier and stable ground are; elsewhere nothing is tracked.
    """
    from glacier_core.measure.motion import days_between, over_stable_ground, pairs_of, track

    told = recipe.tracking
    where = None if grounds.glacier is None else grounds.glacier
    if where is not None and grounds.stable is not None:
        where = where | grounds.stable

    @lru_cache(maxsize=KEPT_IMAGES)
    def image(number: int) -> NDArray[np.float32]:
        found: NDArray[np.float32] = images.read(number, number + 1)[0]
        return found

    for first, second in pairs_of(
        images.times, shortest_days=told.shortest_days, longest_days=told.longest_days, most=told.most_pairs
    ):
        field = track(image(first), image(second), where=where, settings=settings_of(recipe))
        stability = None
        if grounds.stable is not None:
            over = at_nodes(grounds.stable, field.rows, field.columns) & field.reliable
            stability = over_stable_ground(field.dx_px, field.dy_px, stable=over)
            if recipe.ground.correct and stability.n >= FEWEST_STABLE:
                field = field.without((stability.median_x, stability.median_y))
        yield TrackedPair(first, second, days_between(images.times[first], images.times[second]), field, stability)


FEWEST_STABLE = 10
"""Vectors over stable ground that a correction has to rest on."""


def settings_of(recipe: MotionRecipe) -> Tracking:
    """The recipe's settings of the tracker."""
    from glacier_core.measure.motion import Tracking

    told = recipe.tracking
    return Tracking(
        template_px=told.template_px,
        search_px=told.search_px,
        step_px=told.step_px,
        contrast_px=told.contrast_px,
        least_correlation=told.least_correlation,
        least_peak_ratio=told.least_peak_ratio,
        largest_round_trip_px=told.largest_round_trip_px,
    )


def at_nodes(mask: NDArray[np.bool_], rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.bool_]:
    """A mask at the places of vectors, (n, m)."""
    import numpy as np

    row, column = (np.floor(at + 0.5).astype(int) for at in (rows, columns))
    found: NDArray[np.bool_] = mask[np.ix_(row.clip(0, mask.shape[0] - 1), column.clip(0, mask.shape[1] - 1))]
    return found


def pair_row(name: str, images: Images, pair: TrackedPair, glacier: NDArray[np.bool_] | None) -> dict[str, Any]:
    """What is told of a pair, as plain JSON: numbers in pixels.

    Args:
        name: of the unit.
        images: of the unit.
        pair: what was tracked.
        glacier: where the glacier is, or None.
    """
    import numpy as np

    field = pair.field
    matched = np.isfinite(field.dx_px)
    on_ice = matched if glacier is None else matched & at_nodes(glacier, field.rows, field.columns)
    moved = field.length_px[on_ice & field.reliable] / pair.days
    return {
        "unit": name,
        "first": images.ids[pair.first],
        "second": images.ids[pair.second],
        "first_time": images.times[pair.first].isoformat(),
        "second_time": images.times[pair.second].isoformat(),
        "days": pair.days,
        "vectors": int(on_ice.sum()),
        "reliable": int((on_ice & field.reliable).sum()),
        "median_px_per_day": float(np.median(moved)) if moved.size else None,
        "p95_px_per_day": float(np.quantile(moved, 0.95)) if moved.size else None,
        **{f"stable_{key}": value for key, value in (pair.stability.to_json() if pair.stability else {}).items()},
    }
