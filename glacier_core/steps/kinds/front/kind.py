"""The kind `front`: what the stages do for calving fronts. A unit is one place with all its dates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import Caffe, FrontRecipe
from glacier_core.steps import splitting
from glacier_core.steps.kinds.contract import Entry, Fitted, Row, Survey
from glacier_core.steps.kinds.front import labelling, learning, parts, predicting, scoring
from glacier_core.steps.kinds.front.units import pixel_metres
from glacier_core.steps.kinds.series import SeriesKind

if TYPE_CHECKING:
    from pathlib import Path

    from glacier_core.sources.series import Series
    from glacier_core.steps.networks import Network
    from glacier_core.steps.plans import Plan, Purpose
    from glacier_core.steps.running import Step
    from glacier_core.store import Output
    from glacier_core.units import SeriesUnit


class FrontKind(SeriesKind):
    """Calving fronts from SAR and optical images; a unit is one place, and each of its images has a front."""

    recipe = FrontRecipe
    headline = "front_distance/mean"
    lower_is_better = True

    def survey(self, step: Step, recipe: FrontRecipe, *, purpose: Purpose, catalog: str) -> Survey:
        """See `Kind.survey`.

        Raises:
            ConfigurationError: there is nothing to learn from, or metres are asked for and no pixel size is known.
        """
        if purpose != "monitor" and not recipe.has_labels:
            raise ConfigurationError(
                f"recipe '{recipe.name}' has no true fronts", expected="labels.lines", do="state where lines are drawn"
            )
        found = super().survey(step, recipe, purpose=purpose, catalog=catalog)
        for unit in found.units:
            pixel_metres(recipe, unit.grid)
        return found

    def places(self, recipe: FrontRecipe, series: Sequence[Series]) -> dict[str, int]:
        """Series of one glacier show one place, and so do those that the recipe calls overlapping."""
        if isinstance(recipe.imagery, Caffe) and series:
            return parts.places_by_glacier(series)
        return splitting.joined(super().places(recipe, series), recipe.overlapping)

    def split(self, recipe: FrontRecipe, series: Sequence[Series]) -> dict[str, Any]:
        """See `parts.split_fronts`."""
        places = self.places(recipe, series)
        parts.require_known(places, recipe.overlapping)
        return parts.split_fronts(recipe, series, places)

    def inputs(self, recipe: FrontRecipe) -> dict[str, Any]:
        """See `Kind.inputs`."""
        return {**super().inputs(recipe), "view": learning.view_of(recipe)}

    def intended_use(self, recipe: FrontRecipe) -> str:
        """See `Kind.intended_use`."""
        return (
            f"Calving fronts in {recipe.imagery.source} images whose glacier comes from the edge "
            f"'{recipe.flow.upstream}'. It draws a front into every image, also into one that shows none."
        )

    def check_model(self, spec: Mapping[str, Any], recipe: FrontRecipe) -> None:
        """See `Kind.check_model`."""
        extra = spec.get("extra", {})
        if extra.get("view") != learning.view_of(recipe):
            raise ConfigurationError(
                f"the model was fed with {extra.get('view')}, and recipe '{recipe.name}' feeds "
                f"{learning.view_of(recipe)}",
                do="choose another model with --model, or set view and target as they were in its training",
            )
        super().check_model({**spec, "bands": extra["imagery_bands"]}, recipe)

    def label(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
        """See `Kind.label`."""
        return labelling.labelled(step, plan, unit)

    def sample_part(self, plan: Plan) -> dict[str, Any]:
        """See `Kind.sample_part`."""
        recipe = plan.recipe
        return {
            "target": recipe.target.model_dump(mode="json"),
            "view": recipe.view.model_dump(mode="json"),
            "chip": recipe.training.chip,
            "split": plan.split,
        }

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
            "line": recipe.line.model_dump(mode="json"),
            "view": recipe.view.model_dump(mode="json"),
            "target": recipe.target.model_dump(mode="json"),
            "strata": list(recipe.strata),
            "units": recipe.units,
            "upstream": recipe.flow.upstream,
        }

    def score(
        self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any, *, weights: str, calibration: str | None
    ) -> None:
        """See `Kind.score`."""
        scoring.write_scores(step, plan, entries, attempt, weights=weights, calibration=calibration)

    def contest(self, rows: Sequence[Row], who: str) -> dict[str, float]:
        """Minus the mean distance of each place."""
        return scoring.by_place(rows, who)

    def predict(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry, network: Network) -> str:
        """See `Kind.predict`."""
        return predicting.predicted(step, plan, entry, network)

    def measure(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
        """See `Kind.measure`."""
        from glacier_core.steps.kinds.front.measuring import measured

        return measured(step, plan, unit, entry)

    def aggregate(self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
        """See `Kind.aggregate`."""
        from glacier_core.steps.kinds.front.measuring import write_tables

        write_tables(step, plan, entries, attempt)

    def products(self, step: Step, plan: Plan, entries: Sequence[Entry], aggregated: Output, folder: Path) -> str:
        """See `Kind.products`."""
        from glacier_core.steps.kinds.front.reporting import write_products

        return write_products(step, plan, entries, aggregated, folder)

    def pictures(self, step: Step, plan: Plan, entries: Sequence[Entry], weights: str, folder: Path) -> list[str]:
        """See `Kind.pictures`."""
        from glacier_core.steps.kinds.front.reporting import draw_pictures

        return draw_pictures(step, plan, entries, weights, folder)
