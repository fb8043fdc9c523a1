"""The gate: may a challenger become champion?

It may where it beats the best baseline and the champion, each by a paired difference whose bootstrap interval lies
above zero, resampled by independent unit (glacier or place). Below 8 units there is no interval and no promotion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glacier_core.measure import Score, paired_difference
from glacier_core.measure.scores import FEWEST_UNITS


@dataclass(frozen=True)
class Verdict:
    """What the gate decided, and why."""

    passed: bool
    """Whether the challenger may become champion by itself."""
    decided: bool
    """Whether the evidence sufficed for a verdict; where it did not, a person may still promote."""
    reason: str
    """One sentence for people."""
    differences: Mapping[str, Score]
    """Mean advantage of the challenger over "baseline" and, where there is one, "champion"."""
    n: int
    """Independent units that the weakest comparison rests on."""

    def to_json(self) -> dict[str, Any]:
        """A plain object: {passed, decided, reason, differences: {against: score}, n}."""
        return {
            "passed": self.passed,
            "decided": self.decided,
            "reason": self.reason,
            "differences": {against: score.to_json() for against, score in self.differences.items()},
            "n": self.n,
        }


def gate(
    *,
    challenger: Mapping[str, float],
    best_baseline: Mapping[str, float],
    champion: Mapping[str, float] | None,
    resamples: int,
    confidence: float,
    seed: int = 0,
) -> Verdict:
    """Compare a challenger with the best baseline and the champion on the units that both were scored on.

    Args:
        challenger: its score on each independent unit of the test set; more is better. The test set must hold no unit
            that the challenger or the champion was trained on.
        best_baseline: the best baseline's scores.
        champion: the champion's scores; None where there is no champion.
        resamples: number of bootstrap resamples.
        confidence: coverage of the intervals.
        seed: everything random follows from it.
    """
    rivals = {"baseline": best_baseline} | ({} if champion is None else {"champion": champion})
    alone = [name for name, scores in rivals.items() if not challenger.keys() & scores.keys()]
    if alone:
        reason = f"no test unit has a score of both the challenger and the {' and the '.join(alone)}"
        return Verdict(passed=False, decided=False, reason=reason, differences={}, n=0)
    differences = {
        name: paired_difference(challenger, scores, resamples=resamples, confidence=confidence, seed=seed)
        for name, scores in rivals.items()
    }
    return Verdict(
        passed=all(score.low is not None and score.low > 0 for score in differences.values()),
        decided=all(score.low is not None for score in differences.values()),
        reason="; ".join(_clause(name, score, confidence) for name, score in differences.items()),
        differences=differences,
        n=min(score.n for score in differences.values()),
    )


def _clause(against: str, score: Score, confidence: float) -> str:
    if score.low is None or score.high is None:
        return (
            f"{score.n} independent units shared with the {against}, fewer than {FEWEST_UNITS}: no interval, "
            f"no automatic promotion (mean difference {score.value:+.4f})"
        )
    verb = "beats" if score.low > 0 else "does not beat"
    return (
        f"{verb} the {against} by {score.value:+.4f} ({confidence:.0%} interval {score.low:+.4f} to {score.high:+.4f}, "
        f"{score.n} units)"
    )
