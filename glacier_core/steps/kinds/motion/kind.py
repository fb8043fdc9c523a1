"""The kind `motion`: what the stages do for glacier movement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.recipes import MotionRecipe
from glacier_core.steps.kinds.contract import Entry, Fitted, Row, Survey
from glacier_core.steps.kinds.motion import learning, measuring, predicting, scoring, sequences
from glacier_core.steps.kinds.motion.images import shown_of
from glacier_core.steps.kinds.series import SeriesKind
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan, Purpose
from glacier_core.steps.running import Step
from glacier_core.store import Output
from glacier_core.units import SeriesUnit

if TYPE_CHECKING:
    from glacier_core.sources.series import Series


class MotionKind(SeriesKind):
    """Displacement and velocity by feature tracking, and the next images of sequences; a unit is one place."""

    recipe = MotionRecipe
    headline = "mae/lead1"
    lower_is_better = True
    task = "forecast"

    def frames_needed(self, recipe: MotionRecipe) -> int:
        """See `SeriesKind.frames_needed`: one sequence, at least."""
        return recipe.sequences.inputs + recipe.sequences.outputs

    def survey(self, step: Step, recipe: MotionRecipe, *, purpose: Purpose, catalog: str) -> Survey:
        """See `Kind.survey`; refuses what could only fail after hours: absent bands, metres without a pixel size."""
        for each in self.series(step, recipe, catalog=catalog):
            shown_of(recipe, each.bands)
            measuring.factor_of(recipe, each.grid, each.name)
        return super().survey(step, recipe, purpose=purpose, catalog=catalog)

    def split(self, recipe: MotionRecipe, series: Sequence[Series]) -> dict[str, Any]:
        """See `SeriesKind.split`; by time, the ground may be split too."""
        return sequences.with_ground(super().split(recipe, series), recipe, series)

    def inputs(self, recipe: MotionRecipe) -> dict[str, Any]:
        """See `Kind.inputs`."""
        return {
            "shows": recipe.shows.model_dump(mode="json"),
            "inputs": recipe.sequences.inputs,
            "outputs": recipe.sequences.outputs,
            "composite": recipe.composite,
        }

    def intended_use(self, recipe: MotionRecipe) -> str:
        """See `Kind.intended_use`."""
        shows = f"the normalised difference of {' and '.join(recipe.shows.ndsi)}" if recipe.shows.ndsi else "one band"
        return (
            f"The next {recipe.sequences.outputs} of a sequence of {recipe.sequences.inputs} images on one grid, from "
            f"{shows} of {recipe.imagery.source} imagery. Velocity does not come from the network: it is tracked."
        )

    def label(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
        """The cube itself: what came next is the truth of what was predicted."""
        return str(entry["refs"]["ingest"])

    def sample_part(self, plan: Plan) -> dict[str, Any]:
        """See `Kind.sample_part`."""
        return dict(learning.sample_part(plan))

    def sample(self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
        """See `Kind.sample`."""
        learning.write_samples(step, plan, entries, attempt)

    def fit(
        self,
        step: Step,
        plan: Plan,
        samples: Output,
        *,
        checkpoints: str,
        track: Callable[[int, dict[str, float]], None],
    ) -> Fitted:
        """See `Kind.fit`."""
        return learning.fitted(step, plan, samples, checkpoints=checkpoints, track=track)

    def score_part(self, plan: Plan) -> dict[str, Any]:
        """See `Kind.score_part`."""
        recipe = plan.recipe
        return {
            "measure": recipe.measure.model_dump(mode="json"),
            "shows": recipe.shows.model_dump(mode="json"),
            "sequences": recipe.sequences.model_dump(mode="json"),
            "split": plan.split,
            "tracking": recipe.tracking.model_dump(mode="json") if recipe.knows_truth else None,
        }

    def score(
        self,
        step: Step,
        plan: Plan,
        entries: Sequence[Entry],
        attempt: Any,
        *,
        weights: str,
        calibration: str | None,
    ) -> None:
        """See `Kind.score`."""
        scoring.write_scores(step, plan, entries, attempt, weights=weights)

    def contest(self, rows: Sequence[Row], who: str) -> dict[str, float]:
        """Of each place the mean absolute error of its next images, negative."""
        return scoring.by_place(rows, who)

    def unseen(self, rows: Sequence[Row], split: Mapping[str, Any]) -> list[Row]:
        """See `Kind.unseen`; by time, no image of a row's sequence may have served training or validation."""
        return scoring.unseen(rows, split) if split["by"] == "time" else super().unseen(rows, split)

    def predict(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry, network: Network) -> str:
        """See `Kind.predict`."""
        return predicting.predicted(step, plan, unit, entry, network)

    def measure(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
        """See `Kind.measure`."""
        return measuring.measured(step, plan, unit, entry)

    def aggregate(self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
        """See `Kind.aggregate`."""
        measuring.write_tables(step, entries, attempt)

    def products(self, step: Step, plan: Plan, entries: Sequence[Entry], aggregated: Output, folder: Path) -> str:
        """See `Kind.products`."""
        from glacier_core.steps.kinds.motion.reporting import write_products

        return write_products(step, plan, entries, aggregated, folder)

    def pictures(self, step: Step, plan: Plan, entries: Sequence[Entry], weights: str, folder: Path) -> list[str]:
        """See `Kind.pictures`."""
        from glacier_core.steps.kinds.motion.reporting import draw_pictures

        return draw_pictures(step, plan, entries, weights, folder)
