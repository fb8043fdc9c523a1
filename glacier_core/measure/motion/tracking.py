"""Sub-pixel feature tracking of a pair of images that lie on each other.

Normalised cross-correlation of templates (`matching`), each match checked three ways: the height of its peak over the
next one's, a second match from the second image back to the first, and the normalised median test of Westerweel and
Scarano 2005, doi 10.1007/s00348-005-0016-6, against its neighbours.

A template whose parts move differently, as beside a margin, is smeared in the second image. So the second image is then
bent back by the field that was found, and what remains is matched again (Scarano 2002, doi 10.1088/0957-0233/13/1/201).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.measure.motion.bending import bent_back
from glacier_core.measure.motion.consistency import consistent
from glacier_core.measure.motion.displacements import Displacements
from glacier_core.measure.motion.matching import Matches, match, normalised

REMAINDER_PX = 3
"""Reach of the search once the second image has been bent back."""


@dataclass(frozen=True)
class Tracking:
    """How templates are chosen and when a match is believed."""

    template_px: int = 48
    """Rows and columns of a template, even."""
    search_px: int = 12
    """Largest displacement along rows and columns that is looked for."""
    step_px: int = 16
    """Rows and columns from one template to the next."""
    contrast_px: float = 8.0
    """Radius within which mean and contrast of the images are made equal."""
    least_seen: float = 0.7
    """Part of a template that both images have to show."""
    least_correlation: float = 0.3
    """Matches below are unreliable."""
    least_peak_ratio: float = 1.15
    """Matches whose next peak is closer than this are unreliable."""
    largest_round_trip_px: float = 0.5
    """Matches that do not come back to within this are unreliable."""
    largest_deviation: float = 3.0
    """Matches farther than this many times their neighbours' median residual are unreliable."""

    passes: int = 2
    """1: templates are matched once; more: again, with the second image bent back by what was found."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be tracked with."""
        if self.template_px < 8 or self.template_px % 2:
            raise ConfigurationError(
                f"templates of {self.template_px} pixels", expected="an even number of pixels, at least 8"
            )
        if self.search_px < 2 or self.step_px < 1:
            raise ConfigurationError(
                f"a search of {self.search_px} pixels every {self.step_px}",
                expected="a search of 2 or more, a step of 1 or more",
            )


def track(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    *,
    first_seen: NDArray[np.bool_] | None = None,
    second_seen: NDArray[np.bool_] | None = None,
    where: NDArray[np.bool_] | None = None,
    settings: Tracking | None = None,
) -> Displacements:
    """How the surface moved from the first image to the second.

    Args:
        first: (y, x), any unit, NaN where nothing was seen.
        second: (y, x), the same shape, lying on the first.
        first_seen: (y, x), false where the first image does not count (clouds).
        second_seen: (y, x), the same for the second image.
        where: (y, x), templates are centred on these pixels; None: all.
        settings: sizes and limits; None: the defaults.

    Raises:
        DataError: the shapes differ or are no images; or the image is smaller than a template.
    """
    settings = settings or Tracking()
    _check(first, second, settings.template_px)
    seen_first = _seen(first, first_seen)
    seen_second = _seen(second, second_seen)
    rows, columns = (_centres(length, settings) for length in first.shape)
    nodes = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    usable = _shown(seen_first & seen_second, nodes, settings.template_px) >= settings.least_seen
    if where is not None:
        usable &= where[nodes[:, 0], nodes[:, 1]]
    chosen = nodes[usable]
    images = [
        normalised(image, seen, radius_px=settings.contrast_px)
        for image, seen in ((first, seen_first), (second, seen_second))
    ]
    forth, missed = _both_ways(*images, nodes=chosen, settings=settings)
    grid = _Grid(rows, columns, usable)
    field = _judged(grid, forth, missed, settings)
    for _ in range(settings.passes - 1):
        if not field.reliable.any():
            break
        bent, dx, dy = bent_back(images[1], field)
        rest = match(
            images[0],
            bent,
            centres=chosen,
            guesses=np.zeros_like(chosen),
            template_px=settings.template_px,
            search_px=min(REMAINDER_PX, settings.search_px),
        )
        whole = replace(
            rest, dx=rest.dx + dx.ravel()[usable], dy=rest.dy + dy.ravel()[usable], peak_ratio=forth.peak_ratio
        )
        field = _judged(grid, whole, missed, settings)
    return field


@dataclass(frozen=True)
class _Grid:
    """Where templates stand."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    usable: NDArray[np.bool_]  # (n * m,), those that both images show

    def spread(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of the usable templates on the whole grid (n, m)."""
        field = np.full(len(self.usable), np.nan, dtype=np.float32)
        field[self.usable] = values
        return field.reshape(len(self.rows), len(self.columns))


def _both_ways(
    first: NDArray[np.float32], second: NDArray[np.float32], *, nodes: NDArray[np.int64], settings: Tracking
) -> tuple[Matches, NDArray[np.float32]]:
    """The matches forward, and by how many pixels those back from where they ended miss where they began."""
    sizes = {"template_px": settings.template_px, "search_px": settings.search_px}
    forth = match(first, second, centres=nodes, guesses=np.zeros_like(nodes), **sizes)
    moved = np.stack([np.nan_to_num(forth.dy), np.nan_to_num(forth.dx)], axis=1)
    arrived = np.clip(nodes + np.round(moved).astype(np.int64), 0, np.array(first.shape) - 1)
    back = match(second, first, centres=arrived, guesses=nodes - arrived, **sizes)
    # the way back starts at the whole pixel next to where the way forward ended
    return forth, np.hypot(forth.dx + back.dx, forth.dy + back.dy)


def _judged(grid: _Grid, found: Matches, missed: NDArray[np.float32], settings: Tracking) -> Displacements:
    dx, dy, correlation, ratio, round_trip = map(
        grid.spread, (found.dx, found.dy, found.correlation, found.peak_ratio, missed)
    )
    with np.errstate(invalid="ignore"):
        alone = (
            (correlation >= settings.least_correlation)
            & (ratio >= settings.least_peak_ratio)
            & (round_trip <= settings.largest_round_trip_px)
        )
    reliable = alone & consistent(
        np.where(alone, dx, np.nan), np.where(alone, dy, np.nan), largest_deviation=settings.largest_deviation
    )
    return Displacements(
        # an even template's centre lies between two pixels
        rows=grid.rows.astype(np.float64) - 0.5,
        columns=grid.columns.astype(np.float64) - 0.5,
        dx_px=dx,
        dy_px=dy,
        correlation=correlation,
        peak_ratio=ratio,
        round_trip_px=round_trip,
        reliable=reliable,
    )


def _check(first: NDArray[np.float32], second: NDArray[np.float32], template_px: int) -> None:
    if first.shape != second.shape or first.ndim != 2:
        raise DataError(
            f"a pair of images of the shapes {first.shape} and {second.shape}", expected="two of one shape (y, x)"
        )
    if min(first.shape) < template_px:
        raise DataError(
            f"an image of {first.shape[1]} x {first.shape[0]} pixels",
            expected=f"at least a template's {template_px} x {template_px}",
            do="choose a smaller template (tracking.template_px)",
        )


def _seen(image: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    finite: NDArray[np.bool_] = np.isfinite(image)
    return finite if mask is None else finite & mask


def _centres(length: int, settings: Tracking) -> NDArray[np.int64]:
    half = settings.template_px // 2
    room = (length - 2 * half) % settings.step_px
    return np.arange(half + room // 2, length - half + 1, settings.step_px).clip(max=length - 1)


def _shown(seen: NDArray[np.bool_], nodes: NDArray[np.int64], side: int) -> NDArray[np.float64]:
    """Part of each node's template that is seen."""
    sums = np.pad(seen.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), ((1, 0), (1, 0)))
    top, left = (nodes - side // 2).T
    bottom, right = np.minimum(top + side, seen.shape[0]), np.minimum(left + side, seen.shape[1])
    found = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return np.asarray(found / side**2, dtype=np.float64)
