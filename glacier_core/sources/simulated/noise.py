"""Fractal noise: the irregularity of terrain, surfaces and clouds."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]


def fractal(rng: np.random.Generator, size: int, *, slope: float, low: float = 1.0) -> Field:
    """Periodic Gaussian noise with a power-law spectrum, zero mean and unit variance, (size, size).

    Args:
        rng: source of randomness.
        size: rows and columns.
        slope: exponent of the power spectrum, 0 white, about 4 smooth hills (Saupe 1988,
            doi:10.1007/978-1-4612-3784-6_2).
        low: wave number (cycles across the field) below which the spectrum is flat.
    """
    from scipy import fft

    amplitude = _amplitude(size, slope, low)
    white = fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    field: Field = fft.irfft2(white * amplitude, s=(size, size)).astype(np.float32)
    field -= field.mean()
    field /= field.std()
    return field


@lru_cache(maxsize=64)
def _amplitude(size: int, slope: float, low: float) -> Field:
    rows = np.fft.fftfreq(size, 1 / size).astype(np.float32)[:, None]
    columns = np.fft.rfftfreq(size, 1 / size).astype(np.float32)[None, :]
    wave = np.maximum(np.sqrt(rows**2 + columns**2), np.float32(low))
    amplitude: Field = wave ** np.float32(-slope / 2)
    amplitude[0, 0] = 0
    return amplitude


def curve(rng: np.random.Generator, knots: int) -> Field:
    """White noise at `knots` points, to be interpolated along a line."""
    return rng.standard_normal(knots, dtype=np.float32)


def ramp(field: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, smooth (cubic) in between; `low` may be the greater one."""
    x = np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1)
    smooth: Field = x * x * (3 - 2 * x)
    return smooth


class Bank:
    """A few periodic fields that serve many draws: each draw is shifted, mirrored and turned at random.

    Args:
        rng: source of randomness.
        size: rows and columns.
        slope: see `fractal`.
        low: see `fractal`.
        count: number of different fields.
    """

    def __init__(self, rng: np.random.Generator, size: int, *, slope: float, low: float = 1.0, count: int = 3) -> None:
        self._fields = [fractal(rng, size, slope=slope, low=low) for _ in range(count)]

    def draw(self, rng: np.random.Generator) -> Field:
        """One field of zero mean and unit variance."""
        field = self._fields[int(rng.integers(len(self._fields)))]
        size = field.shape[0]
        turned = np.rot90(field, int(rng.integers(4)))
        if rng.integers(2):
            turned = turned[:, ::-1]
        shifts = (int(rng.integers(size)), int(rng.integers(size)))
        return np.roll(turned, shifts, axis=(0, 1))
