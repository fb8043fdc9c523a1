"""The shift between two windows by phase correlation.

Kuglin and Hines 1975, "The phase correlation image alignment method"; on the peak between pixels see Foroosh, Zerubia
and Berthod 2002, doi:10.1109/83.988953. Here the surface is band-limited, so that its peak is close to a Gaussian: the
parabola through the logarithms of three neighbours is exact for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

BLUR_PX = 2.0
"""Standard deviation of the peak: frequencies near the sampling limit are noise and aliasing, and draw a sharper peak
towards whole pixels."""

LOWEST_CYCLES = 4.0
"""Frequencies of fewer cycles a window than this are what the high-pass has left of light and clouds."""


@dataclass(frozen=True)
class Peak:
    """One maximum of the correlation surface."""

    dx: float
    """Columns that the second window has to move to the right to lie on the first."""
    dy: float
    """Rows that it has to move down."""
    height: float
    """Standard deviations of the surface by which the peak stands above its mean."""


def spectrum(window: NDArray[np.float32]) -> NDArray[np.complex64]:
    """The spectrum of a high-pass window under a Hann window, to be used for several correlations."""
    rows, columns = window.shape
    return np.asarray(scipy.fft.rfft2(window * _hann(rows, columns)))


def correlate(
    first: NDArray[np.complex64], second: NDArray[np.complex64], *, shape: tuple[int, int], reach: float, count: int = 1
) -> list[Peak]:
    """The highest peaks of the phase correlation of two windows, best first.

    Args:
        first: `spectrum` of the window that stays.
        second: `spectrum` of the window that moves, the same shape.
        shape: (rows, columns) of the windows.
        reach: peaks farther from no shift than this many rows or columns are not looked for.
        count: how many; they are at least 4 pixels apart.
    """
    cross = first * np.conj(second)
    size = np.abs(cross)
    # frequencies at which either window shows nothing have a random phase: they count less
    cross *= _band(*shape) / (size + np.float32(1e-3) * size.mean() + np.float32(1e-20))
    surface = scipy.fft.irfft2(cross, s=shape)
    rows, columns = (int(min(reach, (side - 3) // 2)) for side in shape)
    # the neighbourhood of no shift, in the middle, with one more on each side for the parabola
    near = np.roll(surface, (rows + 1, columns + 1), axis=(0, 1))[: 2 * rows + 3, : 2 * columns + 3]
    deviation = float(surface.std()) or 1.0
    mean = float(surface.mean())
    inner = near[1:-1, 1:-1].copy()
    peaks = []
    for _ in range(count):
        _, _, _, (column, row) = cv2.minMaxLoc(inner)
        height = float((inner[row, column] - mean) / deviation)
        if not np.isfinite(height) or inner[row, column] <= 0:
            break
        around = near[row : row + 3, column : column + 3]
        dx, dy = column - columns + _between(around[1]), row - rows + _between(around[:, 1])
        peaks.append(Peak(dx=float(dx), dy=float(dy), height=height))
        inner[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5] = -np.inf
    return peaks


def _between(three: NDArray[np.float32]) -> float:
    """Where between -0.5 and 0.5 the maximum lies, whose logarithm is a parabola through three values."""
    left, middle, right = np.log(np.maximum(three.astype(np.float64), 1e-3 * float(three[1])))
    bend = left - 2 * middle + right
    return float(np.clip((left - right) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


@lru_cache(maxsize=8)
def _hann(rows: int, columns: int) -> NDArray[np.float32]:
    return np.outer(np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1]).astype(np.float32)


@lru_cache(maxsize=8)
def _band(rows: int, columns: int) -> NDArray[np.float32]:
    down, across = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :]
    high = np.exp(-2 * (np.pi * BLUR_PX) ** 2 * (down**2 + across**2))
    low = 1 - np.exp(-((down * rows) ** 2 + (across * columns) ** 2) / LOWEST_CYCLES**2)
    return np.asarray(high * low, dtype=np.float32)
