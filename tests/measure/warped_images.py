"""Pairs of images of which the second is the first, moved by a displacement that is known everywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.float32]
Motion = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""(rows, columns) of the first image -> (dx, dy) in pixels."""


def texture(shape: tuple[int, int], *, seed: int = 0) -> Image:
    """Noise of two sizes, of standard deviation 1."""
    draw = np.random.default_rng(seed).normal(size=(2, *shape))
    fine, coarse = (ndimage.gaussian_filter(layer, sigma) for layer, sigma in zip(draw, (1.3, 4.0), strict=True))
    return np.asarray(fine / fine.std() + 0.7 * coarse / coarse.std(), dtype=np.float32)


def smooth_motion(shape: tuple[int, int], *, reach: float = 3.0) -> Motion:
    """Fastest in the middle, turning once across the image, with a shift of the whole."""
    height, width = shape

    def motion(
        rows: NDArray[np.float64], columns: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        across = np.sin(np.pi * rows / height)
        return (
            reach * np.sin(np.pi * columns / width) * across + 0.37,
            -0.6 * reach * np.cos(2 * np.pi * columns / width) * across - 0.21,
        )

    return motion


def moved(image: Image, motion: Motion) -> Image:
    """The image after every pixel p of it went to p + motion(p)."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float64)
    from_row, from_column = rows.copy(), columns.copy()
    for _ in range(10):
        dx, dy = motion(from_row, from_column)
        from_row, from_column = rows - dy, columns - dx
    return np.asarray(ndimage.map_coordinates(image, [from_row, from_column], order=5, mode="nearest"), np.float32)
