"""A time series on one reference: every frame directly where that works, else through a neighbour, and cross-checked.

Each frame's shift is measured against the reference, so that errors do not add up along the series. Frames that
follow one another are measured against each other as well: where the three results do not close, one of them is
wrong, and which one is decided by the frames' other neighbours. Frames are read one at a time and at most three
are held.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError, DataError, SceneError
from glacier_core.prepare.coregistration.alignment import (
    Alignment,
    Matrix,
    Model,
    as_matrix,
    centre_shift,
    corner_distance,
    reference_alignment,
    refusal,
    square,
)
from glacier_core.prepare.coregistration.frames import PreparedFrame, prepare_frame
from glacier_core.prepare.coregistration.pairs import (
    LARGEST_ERROR_PX,
    LARGEST_SHIFT_PX,
    STANDARD_ERRORS,
    align_prepared,
    check_limits,
)
from glacier_core.prepare.coregistration.phase import correlate, spectrum

logger = logging.getLogger(__name__)

Read = Callable[[int], tuple[NDArray[np.float32], NDArray[np.bool_] | None]]

THUMBNAIL_SIDE = 128
"""Frames are compared at this size to choose the reference."""

CANDIDATES = 8
"""So many frames, those that show most, are compared with the others to choose the reference."""

COMPANIONS = 24
"""And with so many others, evenly along the series."""

CLOSURE = 2.0
"""Three results close when they miss each other by at most this many times the error that each is allowed."""


def align_series(
    read: Read,
    count: int,
    *,
    reference: int | None = None,
    model: Model = "translation",
    largest_shift_px: float = LARGEST_SHIFT_PX,
    largest_error_px: float = LARGEST_ERROR_PX,
) -> list[Alignment]:
    """How each frame of a series lies on one of them.

    Args:
        read: gives frame number i as (y, x), NaN where nothing was seen, and a mask that is false where it is not to be
            used (clouds, and glaciers that move), or None. Called at most a few times for a frame. A SceneError that it
            raises makes the frame a refused one.
        count: number of frames, in order of time.
        reference: number of the frame that the others are moved to; without it, the clearest: of those that show most,
            the one that correlates best with the others. To choose it, each frame is read once more.
        model: see `align_pair`.
        largest_shift_px: see `align_pair`.
        largest_error_px: see `align_pair`; a frame that is aligned through neighbours may be off by twice as much.

    Returns:
        One alignment a frame; those that could not be aligned are `refused`, with the reason, and belong left out.

    Raises:
        DataError: there is no frame, or the reference cannot be read or shows nothing.
        ConfigurationError: a limit or the reference's number makes no sense.
    """
    check_limits(model, largest_shift_px, largest_error_px)
    if count < 1:
        raise DataError("a series without frames is to be co-registered", expected="at least one frame")
    if reference is not None and not 0 <= reference < count:
        raise ConfigurationError(f"the reference is frame {reference}", expected=f"0 to {count - 1}")
    chosen = clearest_frame(read, count) if reference is None else reference
    series = _Series(read, count, chosen, model, largest_shift_px, largest_error_px)
    series.align_directly()
    series.refuse_what_does_not_close()
    series.align_through_neighbours()
    series.refuse_what_does_not_close()
    refused = [number for number, alignment in enumerate(series.found) if not alignment.usable]
    logger.info("co-registration: %d of %d frames lie on frame %d", count - len(refused), count, chosen)
    for number in refused:
        logger.warning("frame %d is left out: %s", number, series.found[number].reason)
    return series.found


def clearest_frame(read: Read, count: int) -> int:
    """The number of the frame that serves best as reference.

    Of the frames that show most (their masks say so), the one whose thumbnail has the highest median phase-correlation
    peak with the others': a mask that misses clouds makes a frame look complete, but not like the others.

    Raises:
        DataError: no frame shows anything.
    """
    shares = np.zeros(count)
    thumbnails: list[NDArray[np.float32] | None] = []
    for number in range(count):
        frame = _prepared(read, number)
        thumbnails.append(None if isinstance(frame, str) else _thumbnail(frame))
        shares[number] = 0.0 if isinstance(frame, str) else frame.seen_part
    usable = [number for number, small in enumerate(thumbnails) if small is not None and small.any()]
    if not usable:
        raise DataError("no frame of the series shows anything", expected="at least one frame that does")
    candidates = sorted(usable, key=lambda number: (-shares[number], number))[:CANDIDATES]
    companions = usable[:: -(-len(usable) // COMPANIONS)]
    best, best_score = candidates[0], -math.inf
    for candidate in candidates:
        heights = [_likeness(thumbnails[candidate], thumbnails[other]) for other in companions if other != candidate]
        score = float(np.median(heights)) * shares[candidate] if heights else shares[candidate]
        if score > best_score:
            best, best_score = candidate, score
    return best


@dataclass
class _Series:
    """The state of one series: what is known of each frame, and of each pair of frames that follow one another."""

    read: Read
    count: int
    reference: int
    model: Model
    largest_shift_px: float
    largest_error_px: float
    found: list[Alignment] = field(default_factory=list)
    steps: dict[tuple[int, int], Alignment] = field(default_factory=dict)
    """(earlier, later): the later frame on the earlier one."""
    through: dict[int, int] = field(default_factory=dict)
    """Frames that were aligned through another one."""
    shape: tuple[int, int] = (0, 0)
    """(rows, columns) of the reference."""

    def align_directly(self) -> None:
        """Each frame on the reference, and on the last one before it that could be aligned."""
        target = _prepared(self.read, self.reference)
        if isinstance(target, str) or not target.overview.any():
            reason = target if isinstance(target, str) else "it shows nothing"
            raise DataError(f"frame {self.reference}, the reference, cannot be used: {reason}")
        shape = target.shape
        earlier: tuple[int, PreparedFrame] | None = None
        for number in range(self.count):
            frame = target if number == self.reference else _prepared(self.read, number, shape)
            if isinstance(frame, str):
                self.found.append(refusal(frame))
                continue
            alignment = reference_alignment() if number == self.reference else self._pair(target, frame)
            self.found.append(alignment)
            logger.info("frame %d of %d: %s %s", number + 1, self.count, alignment.verdict, alignment.reason)
            if not alignment.usable:
                continue
            # a step from or to the reference is that frame's own result: it closes by itself
            if earlier is not None and self.reference not in (earlier[0], number):
                self.steps[earlier[0], number] = self._pair(earlier[1], frame)
            earlier = (number, frame)
        self.shape = shape

    def align_through_neighbours(self) -> None:
        """Frames that did not match the reference, on the nearest frames before and after that did."""
        progress = True
        while progress:
            progress = False
            for number in [index for index, alignment in enumerate(self.found) if not alignment.usable]:
                neighbours = self._neighbours(number)
                # one that has been tried is not tried again
                if all(_pair_of(number, other) in self.steps for other in neighbours):
                    continue
                through = self._through(number, neighbours)
                if through is not None:
                    self.found[number] = through
                    progress = True

    def refuse_what_does_not_close(self) -> None:
        """Take out frames, the worst first, until the results of all that follow one another close.

        Of two that contradict each other the one goes that its other neighbours contradict more; both go where that
        decides nothing. What was aligned through a frame goes with it.
        """
        while True:
            gaps = self._gaps()
            limit = CLOSURE * self.largest_error_px
            blame: dict[int, int] = {}
            for pair, gap in gaps.items():
                for number in pair:
                    blame[number] = blame.get(number, 0) + (1 if gap > limit else -1)
            open_pairs = [pair for pair, gap in gaps.items() if gap > limit]
            doubted = {number for pair in open_pairs for number in pair} - {self.reference}
            if not doubted:
                return
            most = max(blame[number] for number in doubted)
            for number in sorted(number for number in doubted if blame[number] == most):
                gap = max(gap for pair, gap in gaps.items() if number in pair)
                self._withdraw(number, f"its shift and its neighbour's contradict each other by {gap:.2f} px")

    def _withdraw(self, number: int, reason: str) -> None:
        once = self.found[number]
        self.found[number] = refusal(
            reason,
            residual_px=once.residual_px,
            spread_px=once.spread_px,
            correlation=once.correlation,
            windows_agreeing=once.windows_agreeing,
            windows=once.windows,
        )
        for later in [frame for frame, through in self.through.items() if through == number]:
            del self.through[later]
            self._withdraw(later, f"it was aligned through frame {number}, which was taken out")

    def _gaps(self) -> dict[tuple[int, int], float]:
        """By how many pixels the results of each pair of aligned frames and their own step miss each other."""
        gaps = {}
        for (earlier, later), step in self.steps.items():
            if not (step.usable and self.found[earlier].usable and self.found[later].usable):
                continue
            chained = _chained(self.found[earlier], step)
            gaps[earlier, later] = corner_distance(chained, self.found[later].matrix, self.shape)
        return gaps

    def _neighbours(self, number: int) -> list[int]:
        """The nearest usable frames before and after, without the reference, which has been tried."""
        usable = [index for index, alignment in enumerate(self.found) if alignment.verdict == "aligned"]
        before = [index for index in usable if index < number][-1:]
        return before + [index for index in usable if index > number][:1]

    def _through(self, number: int, neighbours: list[int]) -> Alignment | None:
        frame = _prepared(self.read, number, self.shape)
        results: list[tuple[int, Alignment, Matrix]] = []
        for other in neighbours:
            pair = _pair_of(number, other)
            if pair in self.steps:
                continue
            neighbour = _prepared(self.read, other, self.shape)
            if isinstance(frame, str) or isinstance(neighbour, str):
                self.steps[pair] = refusal("a frame cannot be read")
                continue
            step = self._pair(neighbour, frame)
            self.steps[pair] = step if pair == (other, number) else _inverse(step, self.shape)
            if step.usable:
                results.append((other, step, _chained(self.found[other], step)))
        if not results:
            return None
        other, step, matrix = min(results, key=lambda result: result[1].residual_px)
        apart = max(corner_distance(matrix, result[2], self.shape) for result in results)
        if apart > CLOSURE * self.largest_error_px:
            logger.info("frame %d: its neighbours contradict each other by %.2f px", number, apart)
            return None
        dx, dy = centre_shift(matrix, self.shape)
        residual = math.hypot(step.residual_px, self.found[other].residual_px)
        # along a chain of neighbours errors add up
        too_vague = STANDARD_ERRORS * residual > CLOSURE * self.largest_error_px
        if too_vague or math.hypot(dx, dy) > self.largest_shift_px:
            return None
        self.through[number] = other
        return replace(step, matrix=matrix, dx_px=dx, dy_px=dy, residual_px=residual, reason=f"through frame {other}")

    def _pair(self, target: PreparedFrame, frame: PreparedFrame) -> Alignment:
        return align_prepared(
            target,
            frame,
            model=self.model,
            largest_shift_px=self.largest_shift_px,
            largest_error_px=self.largest_error_px,
        )


def _pair_of(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)


def _chained(earlier: Alignment, step: Alignment) -> Matrix:
    return as_matrix(square(earlier.matrix) @ square(step.matrix))


def _inverse(step: Alignment, shape: tuple[int, int]) -> Alignment:
    if not step.usable:
        return step
    matrix = as_matrix(np.linalg.inv(square(step.matrix)))
    dx, dy = centre_shift(matrix, shape)
    return replace(step, matrix=matrix, dx_px=dx, dy_px=dy)


def _prepared(read: Read, number: int, shape: tuple[int, int] | None = None) -> PreparedFrame | str:
    """The frame, or why it cannot be used."""
    try:
        image, seen = read(number)
        frame = prepare_frame(image, seen)
    except SceneError as error:
        return str(error)
    if shape is not None and frame.shape != shape:
        return f"its size is {frame.shape[1]} x {frame.shape[0]}, the reference's {shape[1]} x {shape[0]}"
    return frame


def _thumbnail(frame: PreparedFrame) -> NDArray[np.float32]:
    return np.asarray(
        cv2.resize(frame.overview, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA), dtype=np.float32
    )


def _likeness(one: NDArray[np.float32] | None, other: NDArray[np.float32] | None) -> float:
    if one is None or other is None:
        return 0.0
    shape = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    peaks = correlate(spectrum(one), spectrum(other), shape=shape, reach=THUMBNAIL_SIDE / 4)
    return peaks[0].height if peaks else 0.0
