"""Which of the windows' shifts agree, and whether so many would by chance.

A window that shows nothing both frames have in common (clouds, another place) gives a shift anywhere within its reach.
So the number of windows that agree by chance is binomial, and the expected number of groups as large as the one found
(the number of false alarms, Desolneux, Moisan and Morel 2000, doi:10.1023/A:1026593302236) tells a match from luck.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glacier_core.prepare.coregistration.alignment import Model

AGREEMENT_PX = 1.0
"""Shifts this near to one another, in pixels, agree: terrain and viewing angle move windows against each other."""

FALSE_ALARMS = 1e-6
"""A group is a match when fewer than this many as large were to be expected by chance."""

MOST_TRIPLES = 600
"""An affine model is tried on at most this many triples of windows."""


@dataclass(frozen=True)
class Group:
    """Windows whose shifts follow one model."""

    members: NDArray[np.bool_]
    """(windows,)."""
    false_alarms: float
    """Expected number of groups as large by chance."""

    @property
    def size(self) -> int:
        """How many windows agree."""
        return int(self.members.sum())


def largest_group(shifts: NDArray[np.float64], centres: NDArray[np.float64], *, reach: float, model: Model) -> Group:
    """The largest group of windows that follow one model.

    Args:
        shifts: (windows, 2), dx and dy of each.
        centres: (windows, 2), x and y of each.
        reach: shifts lie within this many pixels of zero, along x and along y.
        model: one shift for all, or an affine one.
    """
    count = len(shifts)
    freedom = 1 if model == "translation" else 3
    if count <= freedom:
        return Group(members=np.zeros(count, dtype=bool), false_alarms=math.inf)
    best = np.zeros(count, dtype=bool)
    trials = 0
    for predicted in _hypotheses(shifts, centres, model):
        trials += 1
        members = _distance(shifts, predicted) <= AGREEMENT_PX
        if members.sum() > best.sum():
            best = members
    chance = min(1.0, math.pi * AGREEMENT_PX**2 / (2 * reach) ** 2)
    beyond = int(best.sum()) - freedom
    return Group(members=best, false_alarms=trials * _tail(count - freedom, beyond, chance))


def fit(shifts: NDArray[np.float64], centres: NDArray[np.float64], model: Model) -> NDArray[np.float64]:
    """The (3, 3) matrix that moves each centre less its shift to the centre, by least squares."""
    matrix = np.eye(3)
    if model == "translation":
        matrix[:2, 2] = shifts.mean(axis=0)
        return matrix
    before = centres - shifts
    middle = before.mean(axis=0)
    design = np.column_stack([before - middle, np.ones(len(before))])
    # what is solved for is how it differs from the identity: where the windows say nothing, it does not
    solved, *_ = np.linalg.lstsq(design, shifts, rcond=None)
    matrix[:2, :2] += solved[:2].T
    matrix[:2, 2] = solved[2] - solved[:2].T @ middle
    return matrix


def leverage(centres: NDArray[np.float64], shape: tuple[int, int], model: Model) -> float:
    """What a window's variance is to be multiplied by to give the model's, at the worst corner of the frame."""
    if model == "translation":
        return 1 / max(1, len(centres))
    middle, scale = centres.mean(axis=0), float(max(shape))
    design = np.column_stack([(centres - middle) / scale, np.ones(len(centres))])
    bottom, right = shape[0] - 1, shape[1] - 1
    corners = np.array([(0, 0), (right, 0), (0, bottom), (right, bottom)], dtype=np.float64)
    at = np.column_stack([(corners - middle) / scale, np.ones(4)])
    if np.linalg.matrix_rank(design) < 3:
        return math.inf
    inverse = np.linalg.inv(design.T @ design)
    return float(np.einsum("ij,jk,ik->i", at, inverse, at).max())


def predicted_shifts(matrix: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """(windows, 2): the shift that the matrix gives to what it takes to each centre."""
    before = (centres - matrix[:2, 2]) @ np.linalg.inv(matrix[:2, :2]).T
    return np.asarray(centres - before)


def _hypotheses(
    shifts: NDArray[np.float64], centres: NDArray[np.float64], model: Model
) -> itertools.chain[NDArray[np.float64]]:
    if model == "translation":
        return itertools.chain(np.broadcast_to(shift, shifts.shape) for shift in shifts)
    return itertools.chain(_affine_hypotheses(shifts, centres))


def _affine_hypotheses(shifts: NDArray[np.float64], centres: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    triples = list(itertools.combinations(range(len(shifts)), 3))
    if len(triples) > MOST_TRIPLES:
        order = np.random.default_rng(0).permutation(len(triples))[:MOST_TRIPLES]
        triples = [triples[index] for index in order]
    extent = float(np.ptp(centres, axis=0).prod()) or 1.0
    found = []
    for triple in triples:
        x, y = (centres[list(triple)] - centres[triple[0]])[1:].T
        # three windows in a row say nothing about the direction across it
        if abs(x[0] * y[1] - x[1] * y[0]) < 0.1 * extent:
            continue
        found.append(predicted_shifts(fit(shifts[list(triple)], centres[list(triple)], "affine"), centres))
    return found


def _distance(shifts: NDArray[np.float64], predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.hypot(*(shifts - predicted).T))


def _tail(count: int, least: int, chance: float) -> float:
    """The probability of at least `least` successes in `count` trials."""
    return math.fsum(
        math.comb(count, hits) * chance**hits * (1 - chance) ** (count - hits)
        for hits in range(max(0, least), count + 1)
    )
