"""Augmentation: what a glacier could have looked like on another day and from another side."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import IGNORED
from glacier_core.samples.sequences import SequenceSample

GAIN = 0.1
OFFSET = 0.1
NOISE = 0.05
LARGEST_SHIFT = 0.125  # of the chip's side
BEND_TURN = 15.0  # degrees
BEND_STRETCH = 0.08
BEND = 0.02  # of the chip's side
BEND_KNOTS = 4
MOST_HOLES = 3
HOLE_RADII = (0.02, 0.15)  # of the chip's side
CHANGES = ("flip", "rotate", "brightness", "holes")


def augment(
    image: NDArray[np.float32],
    target: NDArray[np.uint8],
    rng: np.random.Generator,
    *,
    changes: Collection[str] = CHANGES,
    steady: Sequence[int] = (),
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Change an image and its target at random, both alike.

    Args:
        image: (band, y, x) float32, square where it is rotated, NaN where nothing was seen.
        target: (y, x) uint8.
        rng: the source of all chance.
        changes: flip (left to right) and rotate (quarter turns): together the square's eight symmetries. brightness: a
            gain within 10 % and an offset within 0.1 spreads for each band. holes: up to three ellipses where nothing
            was seen, as masked clouds leave them: without them a network that has seen few clouds takes the edge of a
            gap for something on the ground. noise: 0.05 spreads, normal, for each pixel. shift: up to an eighth of the
            side, nothing seen where nothing comes in. bend: turned by some 15 degrees, stretched by some 8 percent and
            bent by some 2 percent of the side, as few samples stand for many forms (Simard, Steinkraus and Platt 2003,
            doi:10.1109/ICDAR.2003.1227801).
        steady: numbers of the bands that are no light, such as heights: neither brightness nor noise changes them.

    Returns:
        Image and target, new arrays, NaN and target moved alike.
    """
    turns, mirrored = divmod(int(rng.integers(8)), 2)
    turns, mirror = turns * ("rotate" in changes), bool(mirrored) and "flip" in changes
    moved = np.array(_turned(image, turns, mirror=mirror), order="C")
    label = np.array(_turned(target, turns, mirror=mirror), order="C")
    if "brightness" in changes or "noise" in changes:
        spread = _spread(image)
        spread[list(steady)] = 0
        if "brightness" in changes:
            gain = rng.uniform(1 - GAIN, 1 + GAIN, len(image)).astype(np.float32)
            gain[list(steady)] = 1
            offset = (rng.uniform(-OFFSET, OFFSET, len(image)) * spread).astype(np.float32)
            moved *= gain[:, None, None]
            moved += offset[:, None, None]
        if "noise" in changes:
            noise = rng.standard_normal(image.shape, dtype=np.float32)
            moved += noise * (NOISE * spread).astype(np.float32)[:, None, None]
    if "bend" in changes:
        moved, label = _bent(moved, label, rng)
    if "shift" in changes:
        moved, label = _shifted(moved, label, rng)
    if "holes" in changes:
        _punch(moved, label, rng)
    return moved, label


def augment_sequence(sample: SequenceSample, rng: np.random.Generator, *, changes: Collection[str]) -> SequenceSample:
    """Flip and turn a sequence, all its frames alike.

    Args:
        sample: the sequence.
        rng: the source of all chance.
        changes: flip (left to right) and rotate (quarter turns, half turns where the fields are not square).
    """
    turns, mirrored = divmod(int(rng.integers(8)), 2)
    height, width = sample.future.shape[-2:]
    turns = 0 if "rotate" not in changes else turns if height == width else turns // 2 * 2
    mirror = bool(mirrored) and "flip" in changes
    if not turns and not mirror:
        return sample
    arrays = {
        name: np.ascontiguousarray(_turned(getattr(sample, name), turns, mirror=mirror))
        for name in ("past", "known", "base", "future", "weight")
    }
    return replace(sample, **arrays)


def _turned(array: NDArray[Any], turns: int, *, mirror: bool) -> NDArray[Any]:
    turned = np.rot90(array, turns, axes=(-2, -1))
    return turned[..., ::-1] if mirror else turned


def _spread(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Standard deviation of each band over what was seen."""
    seen = np.isfinite(image)
    count = np.maximum(seen.sum(axis=(1, 2)), 1)
    values = np.where(seen, image, np.float32(0)).reshape(len(image), -1)
    mean = values.sum(axis=1) / count
    square = np.einsum("bn,bn->b", values, values) / count
    spread: NDArray[np.float64] = np.sqrt(np.maximum(square - mean**2, 0), dtype=np.float64)
    return spread


def _bent(
    image: NDArray[np.float32], target: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Turn, stretch and bend; pixels from beyond the edge are the mirror's, and count as unlabelled."""
    import cv2

    height, width = target.shape
    angle, (tall, wide) = np.deg2rad(rng.normal(0, BEND_TURN)), np.exp(rng.normal(0, BEND_STRETCH, 2))
    down, right = np.mgrid[:height, :width].astype(np.float32)
    down -= (height - 1) / 2
    right -= (width - 1) / 2
    rows = tall * (np.cos(angle) * down - np.sin(angle) * right) + (height - 1) / 2
    columns = wide * (np.sin(angle) * down + np.cos(angle) * right) + (width - 1) / 2

    def bend(side: int) -> NDArray[np.float32]:
        knots = rng.normal(0, BEND * side, (BEND_KNOTS, BEND_KNOTS)).astype(np.float32)
        return np.asarray(cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)

    rows, columns = (rows + bend(height)).astype(np.float32), (columns + bend(width)).astype(np.float32)
    moved = np.stack(
        [cv2.remap(band, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101) for band in image]
    )
    label = cv2.remap(target, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=IGNORED)
    return np.asarray(moved, dtype=np.float32), np.asarray(label, dtype=np.uint8)


def _shifted(
    image: NDArray[np.float32], target: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    most = [round(LARGEST_SHIFT * side) for side in target.shape]
    down, right = (int(rng.integers(-side, side + 1)) for side in most)
    moved, label = np.full_like(image, np.nan), np.full_like(target, IGNORED)
    (rows, rows_from), (columns, columns_from) = _overlap(down), _overlap(right)
    moved[:, rows, columns] = image[:, rows_from, columns_from]
    label[rows, columns] = target[rows_from, columns_from]
    return moved, label


def _overlap(shift: int) -> tuple[slice, slice]:
    """Where pixels go and where they come from."""
    if shift >= 0:
        return slice(shift, None), slice(None, -shift or None)
    return slice(None, shift), slice(-shift, None)


def _punch(image: NDArray[np.float32], target: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Make holes in image and target, in place."""
    for _ in range(int(rng.integers(MOST_HOLES + 1))):
        row, column = rng.uniform(0, target.shape[0]), rng.uniform(0, target.shape[1])
        height, width = rng.uniform(*HOLE_RADII, size=2) * target.shape
        top, left = max(0, int(row - height)), max(0, int(column - width))
        window = (slice(top, int(row + height) + 2), slice(left, int(column + width) + 2))
        rows, columns = np.ogrid[: target.shape[0], : target.shape[1]]
        hole = ((rows[window[0]] - row) / height) ** 2 + ((columns[:, window[1]] - column) / width) ** 2 < 1
        image[:, *window][:, hole] = np.nan
        target[window][hole] = IGNORED
