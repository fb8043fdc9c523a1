"""Augmentation: what a glacier could have looked like on another day and from another side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import IGNORED

GAIN = 0.1
OFFSET = 0.1
MOST_HOLES = 3
HOLE_RADII = (0.02, 0.15)  # of the chip's side


def augment(
    image: NDArray[np.float32], target: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """One of the square's eight symmetries, a gain and an offset for each band, and up to three holes.

    Gains lie within 10 %, offsets within 0.1 spreads. Holes are ellipses where nothing was seen, as masked clouds leave
    them: without them a network that has seen few clouds takes the edge of a gap for something on the ground.

    Args:
        image: (band, y, x) float32, square, NaN where nothing was seen.
        target: (y, x) uint8.
        rng: the source of all chance.

    Returns:
        Image and target, new arrays, NaN and target moved alike.
    """
    turns, mirrored = divmod(int(rng.integers(8)), 2)
    turned, label = np.rot90(image, turns, axes=(1, 2)), np.rot90(target, turns)
    if mirrored:
        turned, label = turned[:, :, ::-1], label[:, ::-1]
    seen = np.isfinite(image)
    count = np.maximum(seen.sum(axis=(1, 2)), 1)
    values = np.where(seen, image, np.float32(0))
    mean = values.sum(axis=(1, 2)) / count
    spread = np.sqrt(np.maximum((values**2).sum(axis=(1, 2)) / count - mean**2, 0))
    gain = rng.uniform(1 - GAIN, 1 + GAIN, len(image)).astype(np.float32)
    offset = (rng.uniform(-OFFSET, OFFSET, len(image)) * spread).astype(np.float32)
    moved = np.ascontiguousarray(turned) * gain[:, None, None] + offset[:, None, None]
    holes = _holes(target.shape, rng)
    moved[:, holes] = np.nan
    return moved, np.where(holes, np.uint8(IGNORED), label)


def _holes(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    holes = np.zeros(shape, dtype=bool)
    for _ in range(int(rng.integers(MOST_HOLES + 1))):
        row, column = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        height, width = rng.uniform(*HOLE_RADII, size=2) * shape
        holes |= ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 < 1
    return holes
