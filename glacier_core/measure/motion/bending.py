"""An image bent back by a displacement field: what remains to be matched is small, and alike within a template."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from glacier_core.measure.motion.displacements import Displacements

SMOOTHING = 0.7
"""Standard deviation, in vectors, of the Gaussian that takes the noise of single vectors off the field."""

FARTHEST = 4.0
"""Standard deviation, in vectors, of the Gaussian that fills where no vector is reliable."""


def bent_back(
    second: NDArray[np.float32], field: Displacements
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The second image as it would be without a displacement field, and that field at its vectors.

    Args:
        second: (y, x), finite.
        field: the displacement from the first image to it; only its reliable vectors count.

    Returns:
        (y, x) the image, and dx and dy (n, m) of the field by which it was bent: smooth, and filled where no vector
        is reliable.
    """
    dx, dy = (_smooth(values, field.reliable) for values in (field.dx_px, field.dy_px))
    # places of all pixels, in vectors
    rows, columns = (
        (np.arange(length) - at[0]) / (at[1] - at[0]) if len(at) > 1 else np.zeros(length)
        for length, at in zip(second.shape, (field.rows, field.columns), strict=True)
    )
    lattice = np.meshgrid(rows, columns, indexing="ij")
    dense_x, dense_y = (
        ndimage.map_coordinates(values, lattice, order=1, mode="nearest", output=np.float32) for values in (dx, dy)
    )
    y, x = np.mgrid[: second.shape[0], : second.shape[1]].astype(np.float32)
    bent = ndimage.map_coordinates(second, [y + dense_y, x + dense_x], order=3, mode="nearest", output=np.float32)
    return bent, dx, dy


def _smooth(values: NDArray[np.float32], reliable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The field without gaps: near reliable vectors their smooth mean, elsewhere that of a wider neighbourhood."""
    known = np.where(reliable, values, np.float32(0)).astype(np.float64)
    smooth = np.full(values.shape, float(np.median(values[reliable])))
    for radius in (FARTHEST, SMOOTHING):
        weight = ndimage.gaussian_filter(reliable.astype(np.float64), radius, mode="constant")
        mean = ndimage.gaussian_filter(known, radius, mode="constant") / np.maximum(weight, 1e-9)
        # the share of a mean that rests on next to nothing fades out
        trust = np.clip(weight / 0.2, 0, 1)
        smooth = trust * mean + (1 - trust) * smooth
    return smooth.astype(np.float32)
