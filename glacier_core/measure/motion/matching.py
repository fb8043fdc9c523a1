"""Where templates of one image lie in another: normalised cross-correlation, and its peak to a part of a pixel.

Scambos, Dutkiewicz, Wilson and Bindschadler 1992, doi 10.1016/0034-4257(92)90101-O; Heid and Kääb 2012,
doi 10.1016/j.rse.2011.11.024. The peak is found on the correlation surface, interpolated by cubic splines: three-point
parabolas pull displacements towards whole pixels where the texture is fine.

Shapes: N templates, S rows and columns of a template, R reach in pixels, P = 2 R + 1 positions along each axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

AT_ONCE = 128
"""Templates that are transformed together; their transforms stay within a few tens of MB."""

PATCH = 4
"""Positions on each side of the peak from which the surface is interpolated."""

NEIGHBOURHOOD = 3
"""Positions around a peak that belong to it, when the next one is sought."""

STEPS = (0.25, 0.05, 0.01)
"""The peak is sought on ever finer lattices of these steps in pixels, five positions along each axis."""

LEAST_CONTRAST = 0.05
"""Templates whose standard deviation is below this part of a normalised image's are not matched."""


@dataclass(frozen=True)
class Matches:
    """What was found for each of N templates; NaN where nothing could be matched."""

    dx: NDArray[np.float32]
    """(N,), pixels to the right."""
    dy: NDArray[np.float32]
    """(N,), pixels down."""
    correlation: NDArray[np.float32]
    """(N,), height of the peak."""
    peak_ratio: NDArray[np.float32]
    """(N,), its height over the next one's; large where there is no other."""


def normalised(image: NDArray[np.float32], seen: NDArray[np.bool_], *, radius_px: float) -> NDArray[np.float32]:
    """The image with its local mean taken off and its local contrast made equal; 0 where nothing was seen.

    Light, haze and thin shadow change mean and contrast over more than a few pixels, crevasses and debris do not.

    Args:
        image: (y, x), any unit.
        seen: (y, x), pixels that count.
        radius_px: standard deviation of the Gaussian that says what is local.
    """
    weight = seen.astype(np.float32)
    count = np.maximum(_blurred(weight, radius_px), 1e-3)
    filled = np.where(seen, image, np.float32(0))
    mean = _blurred(filled, radius_px) / count
    detail = np.where(seen, filled - mean, np.float32(0))
    variance = _blurred(detail * detail, radius_px) / count
    # flat ground keeps its noise small instead of having it blown up to contrast
    floor = 0.1 * float(np.sqrt(np.mean(variance[seen]))) if seen.any() else 1.0
    return np.asarray(detail / np.sqrt(variance + np.float32(max(floor, 1e-6) ** 2)), dtype=np.float32)


def match(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    *,
    centres: NDArray[np.int64],
    guesses: NDArray[np.int64],
    template_px: int,
    search_px: int,
) -> Matches:
    """Find templates of the first image in the second.

    Args:
        first: (y, x), normalised.
        second: (y, x), normalised.
        centres: (N, 2), row and column of each template's centre in the first image.
        guesses: (N, 2), rows and columns by which each is expected to move, in whole pixels.
        template_px: rows and columns of a template, even.
        search_px: reach of the search around the guess.
    """
    half, reach = template_px // 2, search_px
    border = half + reach + int(np.abs(guesses).max(initial=0)) + 1
    padded = [np.pad(image, border) for image in (first, second)]
    found = []
    for start in range(0, len(centres), AT_ONCE):
        chosen = slice(start, start + AT_ONCE)
        corners = centres[chosen] + border - half
        templates = _cut(padded[0], corners, template_px)
        windows = _cut(padded[1], corners + guesses[chosen] - reach, template_px + 2 * reach)
        found.append(_peaks(_correlation(templates, windows), guesses[chosen]))
    joined = np.concatenate(found, axis=1) if found else np.zeros((4, 0), dtype=np.float32)
    return Matches(*joined)


def _blurred(image: NDArray[np.float32], radius_px: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), radius_px, borderType=cv2.BORDER_CONSTANT), dtype=np.float32)


def _cut(image: NDArray[np.float32], corners: NDArray[np.int64], side: int) -> NDArray[np.float32]:
    views = np.lib.stride_tricks.sliding_window_view(image, (side, side))
    return np.ascontiguousarray(views[corners[:, 0], corners[:, 1]])


def _correlation(templates: NDArray[np.float32], windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalised cross-correlation (N, P, P) of each template at each position in its window."""
    side, width = templates.shape[1], windows.shape[1]
    places = width - side + 1
    centred = templates - templates.mean(axis=(1, 2), keepdims=True)
    energy = np.sqrt((centred**2).sum(axis=(1, 2)))
    length = fft.next_fast_len(width, real=True)
    product = fft.rfft2(windows, s=(length, length)) * np.conj(fft.rfft2(centred, s=(length, length)))
    summed = fft.irfft2(product, s=(length, length))[:, :places, :places]
    total, squares = _box_sums(windows, side), _box_sums(windows**2, side)
    spread = np.sqrt(np.maximum(squares - total**2 / side**2, 0))
    least = LEAST_CONTRAST * side
    usable = (energy[:, None, None] > least) & (spread > least)
    norm = np.where(usable, energy[:, None, None] * spread, 1.0)
    return np.where(usable, summed / norm, np.nan).astype(np.float32)


def _box_sums(windows: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    sums = np.pad(windows.astype(np.float64).cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    above, below = sums[:, :-side], sums[:, side:]
    return np.asarray(below[..., side:] - above[..., side:] - below[..., :-side] + above[..., :-side])


def _peaks(surface: NDArray[np.float32], guesses: NDArray[np.int64]) -> NDArray[np.float32]:
    """dx, dy, correlation and peak ratio (4, N)."""
    count, places, _ = surface.shape
    filled = np.where(np.isfinite(surface), surface, np.float32(-1))
    order = filled.reshape(count, -1).argmax(axis=1)
    row, column = np.divmod(order, places)
    height = filled[np.arange(count), row, column]
    # a peak at the rim of the search is the slope of one beyond it
    inside = (row >= 1) & (row < places - 1) & (column >= 1) & (column < places - 1) & (height > -1)
    found = np.full((4, count), np.nan, dtype=np.float32)
    distance = np.maximum(
        np.abs(np.arange(places)[None, :, None] - row[:, None, None]),
        np.abs(np.arange(places)[None, None, :] - column[:, None, None]),
    )
    rest = np.where(distance > NEIGHBOURHOOD, filled, np.float32(-1)).reshape(count, -1).max(axis=1)
    found[2], found[3] = height, height / np.maximum(rest, 1e-3)
    if inside.any():
        part = _refined(filled[inside], row[inside], column[inside])
        reach = (places - 1) / 2
        found[1, inside] = row[inside] + part[0] - reach + guesses[inside, 0]
        found[0, inside] = column[inside] + part[1] - reach + guesses[inside, 1]
    return found


def _refined(
    surface: NDArray[np.float32], row: NDArray[np.int64], column: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns from each whole-pixel peak to that of the interpolated surface."""
    side = 2 * PATCH + 1
    padded = np.pad(surface, ((0, 0), (PATCH, PATCH), (PATCH, PATCH)), mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    patches = views[np.arange(len(row)), row, column].astype(np.float64)
    coefficients = ndimage.spline_filter1d(
        ndimage.spline_filter1d(patches, axis=1, mode="mirror"), axis=2, mode="mirror"
    )
    up, right = np.zeros(len(row)), np.zeros(len(row))
    lattice = np.arange(-2, 3)
    for step in STEPS:
        offsets_rows = up[:, None] + step * lattice
        offsets_columns = right[:, None] + step * lattice
        values = np.einsum(
            "nac,ncd,nbd->nab", _basis(offsets_rows), coefficients, _basis(offsets_columns), optimize=True
        )
        best_row, best_column = np.divmod(values.reshape(len(row), -1).argmax(axis=1), len(lattice))
        up += step * lattice[best_row]
        right += step * lattice[best_column]
    return up, right


def _basis(offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic B-splines of a patch at offsets from its middle: (N, K) -> (N, K, 2 PATCH + 1)."""
    apart = np.abs(offsets[..., None] - np.arange(-PATCH, PATCH + 1))
    near = 2 / 3 - apart**2 + apart**3 / 2
    far = np.maximum(2 - apart, 0) ** 3 / 6
    return np.where(apart < 1, near, far)
