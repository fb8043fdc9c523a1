"""The kind `ice_cover`: what the stages do for monthly forecasts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import IceCoverRecipe
from glacier_core.steps.kinds.contract import Entry, Fitted, Row, Survey
from glacier_core.steps.kinds.ice_cover import learning, measuring, predicting, scoring
from glacier_core.steps.kinds.ice_cover.regions import cell_areas
from glacier_core.steps.kinds.series import SeriesKind
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan, Purpose
from glacier_core.steps.running import Step
from glacier_core.store import Output
from glacier_core.units import SeriesUnit


class IceCoverKind(SeriesKind):
    """Monthly forecasts of sea ice or of melt; a unit is one region with all its months."""

    recipe = IceCoverRecipe
    headline = "rmse/lead1"
    lower_is_better = True
    task = "forecast"

    def frames_needed(self, recipe: IceCoverRecipe) -> int:
        """See `SeriesKind.frames_needed`: a window, at least."""
        return recipe.lookback + recipe.leads

    def survey(self, step: Step, recipe: IceCoverRecipe, *, purpose: Purpose, catalog: str) -> Survey:
        """See `Kind.survey`; refuses series with too few frames, or cells of unknown size, before any is read."""
        for each in self.series(step, recipe, catalog=catalog):
            cell_areas(each.grid, recipe, each.name)
        found = super().survey(step, recipe, purpose=purpose, catalog=catalog)
        if purpose == "train" and not found.units:
            reason = found.left_out[0]["reason"] if found.left_out else "no series"
            raise ConfigurationError(f"too few frames to learn from: {reason}", do="add months")
        return found

    def inputs(self, recipe: IceCoverRecipe) -> dict[str, Any]:
        """See `Kind.inputs`."""
        return {"lookback": recipe.lookback, "leads": recipe.leads, "composite": recipe.composite}

    def intended_use(self, recipe: IceCoverRecipe) -> str:
        """See `Kind.intended_use`."""
        return (
            f"Forecasts {recipe.leads} months ahead from {recipe.lookback} months of {recipe.imagery.source} imagery "
            "of the region that it was trained on: sea ice cover or melt, not glacier area."
        )

    def label(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
        """The cube itself: the months that came are the truth of the forecasts of them."""
        return str(entry["refs"]["ingest"])

    def sample_part(self, plan: Plan) -> dict[str, Any]:
        """See `Kind.sample_part`."""
        return learning.sample_part(plan)

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
        return scoring.score_part(plan)

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
        scoring.write_scores(step, plan, entries, attempt, weights=weights, calibration=calibration)

    def contest(self, rows: Sequence[Row], who: str) -> dict[str, float]:
        """Of each block of twelve months the RMSE, mean over leads, negative."""
        return scoring.by_block(rows, who)

    def unseen(self, rows: Sequence[Row], split: Mapping[str, Any]) -> list[Row]:
        """See `Kind.unseen`; rows are of months after every period that was fitted on, of that region or of another."""
        return super().unseen(rows, split) if split["by"] == "time" else list(rows)

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
        from glacier_core.steps.kinds.ice_cover.reporting import write_products

        return write_products(step, plan, entries, aggregated, folder)

    def pictures(self, step: Step, plan: Plan, entries: Sequence[Entry], weights: str, folder: Path) -> list[str]:
        """See `Kind.pictures`."""
        from glacier_core.steps.kinds.ice_cover.reporting import draw_pictures

        return draw_pictures(step, plan, entries, weights, folder)
