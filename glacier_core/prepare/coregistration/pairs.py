"""One frame against a reference: a first guess, votes of independent windows, a refinement, and the verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.prepare.coregistration.alignment import (
    Alignment,
    Model,
    as_matrix,
    centre_shift,
    corner_distance,
    refusal,
)
from glacier_core.prepare.coregistration.consensus import (
    AGREEMENT_PX,
    FALSE_ALARMS,
    Group,
    fit,
    largest_group,
    leverage,
    predicted_shifts,
)
from glacier_core.prepare.coregistration.frames import PreparedFrame, prepare_frame
from glacier_core.prepare.coregistration.phase import correlate, spectrum
from glacier_core.prepare.coregistration.windows import (
    SMALLEST_SIDE,
    Vote,
    refined_votes,
    search_reach,
    shifted_windows,
    vote,
    warped_windows,
)

LARGEST_SHIFT_PX = 64.0
"""Default of the largest shift that is believed."""

LARGEST_ERROR_PX = 0.1
"""Default of the error that an accepted shift may have."""

RIVAL_PART = 0.25
"""Windows that see another shift make the answer doubtful when they are more than this part of those that agree."""

STANDARD_ERRORS = 3.0
"""So many standard errors have to lie within the error that is allowed."""

OUTLIER = 3.0
"""Windows farther from the model than this many robust standard deviations do not count in it."""

ECHO_PART = 0.5
"""Second peaks this high, in half of the windows, and at one distance from the first, are a pattern that repeats."""

GUESSES = 3
"""Peaks of the overview that are tried as first guesses."""


def align_pair(
    reference: NDArray[np.float32],
    moving: NDArray[np.float32],
    *,
    reference_seen: NDArray[np.bool_] | None = None,
    moving_seen: NDArray[np.bool_] | None = None,
    model: Model = "translation",
    largest_shift_px: float = LARGEST_SHIFT_PX,
    largest_error_px: float = LARGEST_ERROR_PX,
) -> Alignment:
    """How a frame lies on a reference, or why that cannot be told.

    The overviews' phase correlation gives first guesses. From each, up to 36 windows at full resolution give their own
    shifts, again by Hann-windowed phase correlation of log high-pass images. The largest group that agrees is kept if
    so many would not agree by chance, and refined by masked ECC. The frame is refused unless all of these hold, none
    of which ECC optimises: the group is no accident; no second group agrees on another shift, and the ground does not
    repeat itself; phase correlation and ECC agree within `largest_error_px`; the windows' disagreement gives a standard
    error below a third of it, and few of them are farther off than it; the shift is at most `largest_shift_px`.

    Where more than about half of what the masks leave moves alike (one wide glacier, a deck of clouds in two almost
    simultaneous frames), that is what is aligned: nothing in the pixels says which part is the ground.

    What is fixed to the frame instead of the ground (a border, a stamped caption, dead columns) would vote for no
    shift: it belongs in the masks.

    Args:
        reference: (y, x), any unit, NaN where nothing was seen.
        moving: (y, x), the same shape.
        reference_seen: (y, x), false where the reference is not to be used: clouds, and what moves by itself, such as
            glaciers, where the ground beside them is what is to be aligned. Clouds that no mask knows are outvoted.
        moving_seen: (y, x), the same for the moving frame; what moves may be left out of either mask or both.
        model: one shift for the frame, or an affine map where scale, rotation or shear differ (up to about a percent).
        largest_shift_px: shifts of the frame's centre beyond this are refused.
        largest_error_px: see above.

    Raises:
        DataError: the shapes differ, or are not (y, x).
        ConfigurationError: the model is unknown, or a limit is not positive.
    """
    check_limits(model, largest_shift_px, largest_error_px)
    if reference.shape != moving.shape:
        raise DataError(
            f"a frame of the shape {moving.shape} is to be aligned to one of {reference.shape}", expected="equal shapes"
        )
    return align_prepared(
        prepare_frame(reference, reference_seen),
        prepare_frame(moving, moving_seen),
        model=model,
        largest_shift_px=largest_shift_px,
        largest_error_px=largest_error_px,
    )


def check_limits(model: str, largest_shift_px: float, largest_error_px: float) -> None:
    """Raise a ConfigurationError unless the model is known and the limits are positive numbers."""
    if model not in ("translation", "affine"):
        raise ConfigurationError(f"the model of co-registration is {model!r}", expected="translation or affine")
    for name, limit in (("largest_shift_px", largest_shift_px), ("largest_error_px", largest_error_px)):
        if not (math.isfinite(limit) and limit > 0):
            raise ConfigurationError(f"{name} is {limit}", expected="a number of pixels above 0")


@dataclass(frozen=True)
class _Ballot:
    """The votes from one first guess and the group that agrees."""

    guess: tuple[int, int]
    votes: list[Vote]
    group: Group

    @property
    def reach(self) -> float:
        return search_reach(len(self.votes[0].window.reference))


def align_prepared(
    reference: PreparedFrame,
    moving: PreparedFrame,
    *,
    model: Model,
    largest_shift_px: float,
    largest_error_px: float,
) -> Alignment:
    """`align_pair` of frames that are prepared already."""
    if min(reference.shape) < SMALLEST_SIDE:
        return refusal(f"a frame of {_size(reference)} pixels is too small to check a shift ({SMALLEST_SIDE} needed)")
    ballot = _best_ballot(reference, moving, model, largest_shift_px)
    if ballot is None:
        return refusal("the frames have too little in common: masked, without contrast, or both")
    if ballot.group.false_alarms > FALSE_ALARMS:
        return refusal(
            f"no match: only {ballot.group.size} of {len(ballot.votes)} windows agree on a shift",
            windows_agreeing=ballot.group.size,
            windows=len(ballot.votes),
        )
    if _has_rival(ballot):
        return refusal(
            "two answers: a second group of windows agrees on another shift",
            windows_agreeing=ballot.group.size,
            windows=len(ballot.votes),
        )
    if _repeats(ballot):
        return refusal(
            "two answers: the ground repeats itself, and fits as well elsewhere",
            windows_agreeing=ballot.group.size,
            windows=len(ballot.votes),
        )
    return _refined(ballot, moving, model, largest_shift_px, largest_error_px)


def _best_ballot(
    reference: PreparedFrame, moving: PreparedFrame, model: Model, largest_shift_px: float
) -> _Ballot | None:
    """The votes from the first guess that leads to a match, else from the one that comes nearest to it."""
    best: _Ballot | None = None
    for guess in _guesses(reference, moving, largest_shift_px):
        votes = vote(shifted_windows(reference, moving, guess))
        if not votes:
            continue
        group = largest_group(
            _shifts(votes), _centres(votes), reach=search_reach(len(votes[0].window.reference)), model=model
        )
        if best is None or group.false_alarms < best.group.false_alarms:
            best = _Ballot(guess=guess, votes=votes, group=group)
        if best.group.false_alarms < FALSE_ALARMS / 100:
            break
    return best


def _guesses(reference: PreparedFrame, moving: PreparedFrame, largest_shift_px: float) -> list[tuple[int, int]]:
    """Whole-pixel shifts (dx, dy) by phase correlation of the overviews: first within what is allowed, then any."""
    first, second = reference.overview, moving.overview
    if not (first.any() and second.any()):
        return []
    spectra, shape = (spectrum(first), spectrum(second)), (first.shape[0], first.shape[1])
    near = correlate(*spectra, shape=shape, reach=largest_shift_px / reference.factor + 2, count=GUESSES - 1)
    anywhere = correlate(*spectra, shape=shape, reach=max(shape) / 2, count=1)
    found = [(round(peak.dx * reference.factor), round(peak.dy * reference.factor)) for peak in near + anywhere]
    return list(dict.fromkeys(found))


def _has_rival(ballot: _Ballot) -> bool:
    """Whether windows outside the group agree among themselves, as the clouds of two almost simultaneous frames do."""
    shifts, members = _shifts(ballot.votes), ballot.group.members
    centre = np.median(shifts[members], axis=0)
    others = ~members & (np.hypot(*(shifts - centre).T) > 2 * AGREEMENT_PX)
    rival = largest_group(shifts[others], _centres(ballot.votes)[others], reach=ballot.reach, model="translation")
    return rival.false_alarms < FALSE_ALARMS and rival.size > RIVAL_PART * ballot.group.size


def _repeats(ballot: _Ballot) -> bool:
    """Whether the windows that agree would agree on another shift nearly as well, as dunes, waves or fields do."""
    agreeing = [one for one, member in zip(ballot.votes, ballot.group.members, strict=True) if member]
    strong = [one for one in agreeing if len(one.peaks) == 2 and one.peaks[1].height > ECHO_PART * one.peaks[0].height]
    if 2 * len(strong) <= len(agreeing):
        return False
    echoes = np.array([(one.peaks[1].dx - one.dx, one.peaks[1].dy - one.dy) for one in strong])
    # a pattern repeats both ways: the sign of the distance is no matter
    echoes *= np.where(echoes[:, :1] + 1e-3 * echoes[:, 1:] < 0, -1, 1)
    return largest_group(echoes, _centres(strong), reach=2 * ballot.reach, model="translation").size > 2


def _refined(
    ballot: _Ballot, moving: PreparedFrame, model: Model, largest_shift_px: float, largest_error_px: float
) -> Alignment:
    agreeing = [one for one, member in zip(ballot.votes, ballot.group.members, strict=True) if member]
    windows = len(ballot.votes)
    guess = np.eye(3)
    guess[:2, 2] = ballot.guess
    voted = _fit(agreeing, guess, model, moving.shape).matrix
    if model == "affine":
        # windows that are still turned or stretched against each other correlate badly: once more, undone
        guess = voted
        agreeing = vote(warped_windows([one.window for one in agreeing], moving, guess))
        if len(agreeing) <= 3:
            return refusal("the windows that agree lose their contrast once warped", windows=windows)
        voted = _fit(agreeing, guess, model, moving.shape).matrix
    residual = voted @ np.linalg.inv(guess)
    start = centre_shift(as_matrix(residual), moving.shape)
    refined, correlations = refined_votes(agreeing, start=start)
    if len(refined) <= (3 if model == "affine" else 2):
        return refusal(
            "ECC finds no optimum near the shift that the windows agree on",
            windows_agreeing=len(agreeing),
            windows=windows,
        )
    result = _fit(refined, guess, model, moving.shape)
    matrix = as_matrix(result.matrix)
    dx, dy = centre_shift(matrix, moving.shape)
    disagreement = corner_distance(matrix, as_matrix(voted), moving.shape)
    measured: dict[str, Any] = {
        "residual_px": result.error_px,
        "spread_px": result.spread_px,
        "correlation": float(np.median(correlations)),
        "windows_agreeing": result.used,
        "windows": windows,
    }
    reason = _objection(result, math.hypot(dx, dy), disagreement, largest_shift_px, largest_error_px)
    if reason:
        return refusal(reason, **measured)
    return Alignment(matrix=matrix, dx_px=dx, dy_px=dy, verdict="aligned", reason="", **measured)


def _objection(
    result: _Fit, shift: float, disagreement: float, largest_shift_px: float, largest_error_px: float
) -> str:
    if shift > largest_shift_px:
        return f"the shift of {shift:.1f} px is larger than {largest_shift_px:g} px"
    if disagreement > largest_error_px:
        return f"phase correlation and ECC are {disagreement:.2f} px apart (at most {largest_error_px:g} px allowed)"
    allowed = largest_error_px / STANDARD_ERRORS
    if not result.error_px <= allowed:  # also where it is no number
        return f"the windows disagree: standard error {result.error_px:.3f} px (at most {allowed:.3f} px allowed)"
    dissenting = int((result.apart_px > max(largest_error_px, OUTLIER * result.spread_px)).sum())
    if dissenting > RIVAL_PART * result.used:
        return f"{dissenting} windows contradict {result.used}: what moves by itself, or changes, belongs in a mask"
    return ""


@dataclass(frozen=True)
class _Fit:
    """A model through the windows' shifts."""

    matrix: NDArray[np.float64]
    error_px: float
    spread_px: float
    used: int
    apart_px: NDArray[np.float64]
    """(votes,): how far each window, used or not, is from the model."""


def _fit(votes: list[Vote], guess: NDArray[np.float64], model: Model, shape: tuple[int, int]) -> _Fit:
    """Least squares over the windows, without those far from where the others are."""
    shifts, centres = _shifts(votes), _centres(votes)
    freedom = 1 if model == "translation" else 3
    kept = np.ones(len(votes), dtype=bool)
    matrix = (
        fit(np.median(shifts, axis=0)[None], centres[:1], "translation")
        if freedom == 1
        else fit(shifts, centres, model)
    )
    spread = 0.0
    for _ in range(4):
        apart = np.hypot(*(shifts - predicted_shifts(matrix, centres)).T)
        # the median of a Rayleigh distribution is 1.1774 standard deviations of either coordinate
        spread = float(np.median(apart[kept])) / 1.1774
        kept = apart <= max(OUTLIER * spread, 0.01)
        if kept.sum() <= freedom:
            break
        matrix = fit(shifts[kept], centres[kept], model)
    apart = np.hypot(*(shifts - predicted_shifts(matrix, centres)).T)
    used = int(kept.sum())
    spread = float(np.sqrt((apart[kept] ** 2).sum() / (2 * max(1, used - freedom))))
    return _Fit(
        matrix=matrix @ guess,
        error_px=spread * math.sqrt(2 * leverage(centres[kept], shape, model)),
        spread_px=spread,
        used=used,
        apart_px=apart,
    )


def _shifts(votes: list[Vote]) -> NDArray[np.float64]:
    return np.array([(one.dx, one.dy) for one in votes], dtype=np.float64).reshape(-1, 2)


def _centres(votes: list[Vote]) -> NDArray[np.float64]:
    return np.array([one.window.centre for one in votes], dtype=np.float64).reshape(-1, 2)


def _size(frame: PreparedFrame) -> str:
    return f"{frame.shape[1]} x {frame.shape[0]}"
