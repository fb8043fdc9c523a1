"""What is known about how one frame lies on the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]
Verdict = Literal["reference", "aligned", "refused"]
Model = Literal["translation", "affine"]

IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class Alignment:
    """Where a frame's pixels belong in the reference, how well that is known, and whether it may be used."""

    matrix: Matrix
    """Takes the frame's pixel coordinates to the reference's: (x, y) of the reference = matrix · (x, y, 1) of the
    frame. x is the column and y the row; whole numbers are the centres of pixels. The identity where it is refused."""
    dx_px: float
    """Pixels by which the centre of the frame has to move to the right; NaN where the frame is refused."""
    dy_px: float
    """Pixels by which the centre of the frame has to move down; NaN where the frame is refused."""
    residual_px: float
    """Standard error of the shift, pixels (of an affine map: at the frame's worst corner): from how far the independent
    windows of the frame disagree. What moves by itself, parallax and clouds count in it. NaN where too few windows were
    found to agree."""
    spread_px: float
    """Robust standard deviation of one window's shift around the model, pixels; NaN as above."""
    correlation: float
    """Median over the agreeing windows of the correlation of both high-pass images once aligned, -1…1; NaN as above."""
    verdict: Verdict
    """`reference` for the reference itself, `aligned`, or `refused`: leave the frame out."""
    reason: str
    """Why the frame is refused; for an aligned one, how (through which neighbour), if not directly."""
    windows_agreeing: int = 0
    """Windows whose own shift agrees with the result."""
    windows: int = 0
    """Windows in which both frames show enough to measure a shift."""

    @property
    def usable(self) -> bool:
        """Whether the frame can be warped to the reference."""
        return self.verdict != "refused"

    def to_json(self) -> dict[str, Any]:
        """A plain object; unknown numbers are null."""
        numbers = {
            name: None if np.isnan(value) else round(value, 5)
            for name, value in (
                ("dx_px", self.dx_px),
                ("dy_px", self.dy_px),
                ("residual_px", self.residual_px),
                ("spread_px", self.spread_px),
                ("correlation", self.correlation),
            )
        }
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "matrix": [list(row) for row in self.matrix],
            **numbers,
            "windows_agreeing": self.windows_agreeing,
            "windows": self.windows,
        }


def reference_alignment() -> Alignment:
    """The reference on itself."""
    return Alignment(
        matrix=IDENTITY,
        dx_px=0.0,
        dy_px=0.0,
        residual_px=0.0,
        spread_px=0.0,
        correlation=1.0,
        verdict="reference",
        reason="",
    )


def refusal(
    reason: str,
    *,
    residual_px: float = np.nan,
    spread_px: float = np.nan,
    correlation: float = np.nan,
    windows_agreeing: int = 0,
    windows: int = 0,
) -> Alignment:
    """A frame that is left out, with what was measured before it was."""
    return Alignment(
        matrix=IDENTITY,
        dx_px=np.nan,
        dy_px=np.nan,
        residual_px=residual_px,
        spread_px=spread_px,
        correlation=correlation,
        verdict="refused",
        reason=reason,
        windows_agreeing=windows_agreeing,
        windows=windows,
    )


def as_matrix(array: NDArray[np.floating[Any]]) -> Matrix:
    """A (2, 3) or (3, 3) array as the plain tuple of an `Alignment`."""
    rows = [[float(value) for value in row] for row in array[:2]]
    return (rows[0][0], rows[0][1], rows[0][2]), (rows[1][0], rows[1][1], rows[1][2])


def square(matrix: Matrix) -> NDArray[np.float64]:
    """The matrix with its third row, (3, 3)."""
    return np.vstack([np.asarray(matrix, dtype=np.float64), [0.0, 0.0, 1.0]])


def centre_shift(matrix: Matrix, shape: tuple[int, int]) -> tuple[float, float]:
    """(dx, dy) of the centre of a frame of this (rows, columns)."""
    centre = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2, 1.0])
    moved = np.asarray(matrix) @ centre - centre[:2]
    return float(moved[0]), float(moved[1])


def corner_distance(first: Matrix, second: Matrix, shape: tuple[int, int]) -> float:
    """The largest distance, in pixels, between where two matrices take the corners of a frame."""
    bottom, right = shape[0] - 1, shape[1] - 1
    corners = np.array([[0, right, 0, right], [0, 0, bottom, bottom], [1, 1, 1, 1]], dtype=np.float64)
    apart = (np.asarray(first) - np.asarray(second)) @ corners
    return float(np.hypot(apart[0], apart[1]).max())
