"""Where a pair of frames is compared: small windows, each of which gives a shift of its own.

One number from the whole frame cannot say whether it is right. Windows that do not overlap can: light, clouds and noise
differ between them, and only the ground shifts all of them alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glacier_core.prepare.coregistration.frames import PreparedFrame, cropped, high_pass, window_of
from glacier_core.prepare.coregistration.phase import Peak, correlate, spectrum
from glacier_core.prepare.coregistration.refinement import refine

SIDES = (256, 192, 128, 96, 64, 48, 32)
"""Windows are the largest squares of these of which at least `ALONG` fit along both sides."""

ALONG = 4
MOST_ALONG = 6
"""At most this many windows along each side."""

SMALLEST_SIDE = 3 * SIDES[-1]
"""A frame with a shorter side than this cannot be checked by independent windows."""

FEWEST = 9
"""Where the mask leaves fewer windows than this, smaller ones are tried."""

SEEN_PART = 0.45
"""Share of a window that both frames have to show."""


@dataclass(frozen=True)
class Window:
    """A square of the reference and the same ground in the moving frame."""

    top: int
    """First row in the reference."""
    left: int
    """First column in the reference."""
    reference: NDArray[np.float32]
    """(side, side), high-pass image."""
    reference_seen: NDArray[np.uint8]
    """(side, side)."""
    moving: NDArray[np.float32]
    """(side, side), high-pass image of the moving frame, moved by the first guess."""
    moving_seen: NDArray[np.uint8]
    """(side, side)."""

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) of its centre in the reference."""
        middle = (len(self.reference) - 1) / 2
        return self.left + middle, self.top + middle


@dataclass(frozen=True)
class Vote:
    """What one window says."""

    window: Window
    dx: float
    """Columns by which the window has to move right, beyond the first guess."""
    dy: float
    """Rows by which it has to move down, beyond the first guess."""
    peaks: tuple[Peak, ...]
    """The highest peak of the window's phase correlation and, where there is one, the second."""


def vote(windows: Iterator[Window] | list[Window]) -> list[Vote]:
    """The shift of each window by phase correlation; windows without any contrast do not vote."""
    votes = []
    for window in windows:
        shape = window.reference.shape
        peaks = correlate(
            spectrum(window.reference),
            spectrum(window.moving),
            shape=(shape[0], shape[1]),
            reach=search_reach(shape[0]),
            count=2,
        )
        if peaks:
            votes.append(Vote(window=window, dx=peaks[0].dx, dy=peaks[0].dy, peaks=tuple(peaks)))
    return votes


def refined_votes(votes: list[Vote], *, start: tuple[float, float]) -> tuple[list[Vote], list[float]]:
    """The same windows' shifts by ECC from one common start, and their correlations, without those that ECC loses."""
    found, correlations = [], []
    for one in votes:
        window = one.window
        refined = refine(window.reference, window.reference_seen, window.moving, window.moving_seen, start=start)
        if refined is not None:
            found.append(Vote(window=window, dx=refined.dx, dy=refined.dy, peaks=one.peaks))
            correlations.append(refined.correlation)
    return found, correlations


def search_reach(side: int) -> float:
    """Rows and columns around the first guess in which a window of this side looks for its peak."""
    return side / 4


def shifted_windows(reference: PreparedFrame, moving: PreparedFrame, shift: tuple[int, int]) -> list[Window]:
    """Windows in which both frames show enough, when the moving frame is moved by (dx, dy) whole pixels."""
    chosen: list[tuple[int, int]] = []
    side = SIDES[-1]
    for side in _sides(reference.shape):
        chosen = [
            (top, left)
            for top, left in _places(reference.shape, side)
            if _both_seen(reference, moving, (top, left), shift, side) >= SEEN_PART
        ]
        if len(chosen) >= FEWEST:
            break
    windows = []
    for top, left in chosen:
        still, still_seen = window_of(reference, top, left, side)
        moved, moved_seen = window_of(moving, top - shift[1], left - shift[0], side)
        windows.append(Window(top, left, still, still_seen, moved, moved_seen))
    return windows


def warped_windows(windows: list[Window], moving: PreparedFrame, matrix: NDArray[np.float64]) -> list[Window]:
    """The same windows of the reference with the moving frame warped by a (3, 3) matrix, moving → reference."""
    found = []
    for window in windows:
        side = len(window.reference)
        to_window = np.array([[1, 0, -window.left], [0, 1, -window.top], [0, 0, 1]]) @ matrix
        pixels = np.asarray(cv2.warpAffine(moving.pixels, to_window[:2], (side, side)), dtype=np.float32)
        seen = cv2.warpAffine(moving.seen * np.uint8(255), to_window[:2], (side, side))
        mask = (seen == 255).astype(np.uint8)
        detail = high_pass(pixels, mask, offset=moving.offset)
        found.append(Window(window.top, window.left, window.reference, window.reference_seen, detail, mask))
    return found


def _sides(shape: tuple[int, int]) -> Iterator[int]:
    for side in SIDES:
        if min(shape) >= ALONG * side or (side == SIDES[-1] and min(shape) >= SMALLEST_SIDE):
            yield side


def _places(shape: tuple[int, int], side: int) -> Iterator[tuple[int, int]]:
    """Corners of a regular grid of windows that do not overlap."""
    for top in _starts(shape[0], side):
        for left in _starts(shape[1], side):
            yield top, left


def _starts(length: int, side: int) -> list[int]:
    count = min(MOST_ALONG, length // side)
    room = (length - count * side) / count
    return [int(room / 2 + index * (side + room)) for index in range(count)]


def _both_seen(
    reference: PreparedFrame, moving: PreparedFrame, corner: tuple[int, int], shift: tuple[int, int], side: int
) -> float:
    one = cropped(reference.seen, *corner, side)
    two = cropped(moving.seen, corner[0] - shift[1], corner[1] - shift[0], side)
    return float(np.count_nonzero(one[::4, ::4] & two[::4, ::4])) / one[::4, ::4].size
