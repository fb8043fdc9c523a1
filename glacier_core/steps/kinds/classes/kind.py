"""The kind `classes`: what the stages do for glacier classification."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import ClassesRecipe
from glacier_core.steps import splitting
from glacier_core.steps.kinds.contract import Entry, Fitted, Row
from glacier_core.steps.kinds.series import SeriesKind
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step
from glacier_core.store import Output
from glacier_core.units import SeriesUnit

if TYPE_CHECKING:
    from glacier_core.sources.series import Series
    from glacier_core.steps.kinds.classes.labelling import Labeller


class ClassesKind(SeriesKind):
    """Each pixel one of several surfaces; a unit is one series of images with its features and classes."""

    recipe = ClassesRecipe
    headline = "iou/mean"

    def __init__(self) -> None:
        super().__init__()
        self._labeller: Labeller | None = None

    def places(self, recipe: ClassesRecipe, series: Sequence[Series]) -> dict[str, int]:
        """See `SeriesKind.places`; series that the recipe says to overlap share a place."""
        return splitting.joined(super().places(recipe, series), recipe.overlapping)

    def inputs(self, recipe: ClassesRecipe) -> dict[str, Any]:
        """See `Kind.inputs`."""
        terrain = recipe.terrain.model_dump(mode="json", exclude={"files", "collection"}) if recipe.terrain else None
        return {
            **super().inputs(recipe),
            "features": recipe.features.model_dump(mode="json"),
            "terrain": terrain,
            "dates": recipe.dates,
        }

    def check_model(self, spec: Mapping[str, Any], recipe: ClassesRecipe) -> None:
        """See `Kind.check_model`: the same classes in the same order, the same number of images, its channels."""
        from glacier_core.steps.kinds.classes.featuring import channels_of

        if tuple(spec["classes"]) != recipe.classes:
            raise ConfigurationError(
                f"the model knows the classes {', '.join(spec['classes'])}, recipe '{recipe.name}' has "
                f"{', '.join(recipe.classes)}",
                expected="the same classes in the same order",
                do="choose another model with --model",
            )
        if spec["extra"]["dates"] != recipe.dates:
            raise ConfigurationError(
                f"the model sees {spec['extra']['dates']} images together, recipe '{recipe.name}' has dates "
                f"{recipe.dates}",
                do="choose another model with --model",
            )
        if not recipe.spectral_bands():
            return
        channels = channels_of(recipe, ())
        missing = [channel for channel in spec["extra"]["channels"] if channel not in channels]
        if missing:
            raise ConfigurationError(
                f"the model needs {', '.join(missing)}, which recipe '{recipe.name}' does not make",
                expected=f"channels {', '.join(channels)}",
                do="add it to features, terrain or imagery.bands, or choose another model with --model",
            )

    def prepare(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
        """See `Kind.prepare`."""
        from glacier_core.steps.kinds.classes.featuring import prepared

        return prepared(step, plan, unit, entry)

    def label(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
        """See `Kind.label`."""
        from glacier_core.steps.kinds.classes.labelling import Labeller

        if self._labeller is None:
            self._labeller = Labeller(step, plan)
        return self._labeller.unit(unit, entry)

    def sample_part(self, plan: Plan) -> dict[str, Any]:
        """See `Kind.sample_part`."""
        recipe = plan.recipe
        return {
            "chip": recipe.training.chip,
            "dates": recipe.dates,
            "split": plan.split,
            "train_on_stale": recipe.labels.train_on_stale,
            "classes": list(recipe.classes),
            "optional": list(recipe.labels.optional),
            "members": recipe.members,
        }

    def sample(self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
        """See `Kind.sample`."""
        from glacier_core.steps.kinds.classes.sampling import write_samples

        splitting.check_split(plan.split)
        write_samples(step, plan, entries, attempt)

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
        from glacier_core.steps.kinds.classes.sampling import fitted

        return fitted(step, plan, samples, checkpoints=checkpoints, track=track)

    def score_part(self, plan: Plan) -> dict[str, Any]:
        """See `Kind.score_part`."""
        recipe = plan.recipe
        return {
            "measure": recipe.measure.model_dump(mode="json"),
            "features": recipe.features.model_dump(mode="json"),
            "train_on_stale": recipe.labels.train_on_stale,
            "views": recipe.views,
        }

    def score(
        self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any, *, weights: str, calibration: str | None
    ) -> None:
        """See `Kind.score`."""
        from glacier_core.steps.kinds.classes.scoring import write_scores

        write_scores(step, plan, entries, attempt, weights=weights, calibration=calibration)

    def contest(self, rows: Sequence[Row], who: str) -> dict[str, float]:
        """IoU of each place: of the second of two classes, else the mean; images with fresh truth alone."""
        from glacier_core.steps.kinds.classes.scoring import by_unit

        return by_unit([row for row in rows if not row["stale"]], who)

    def unseen(self, rows: Sequence[Row], split: Mapping[str, Any]) -> list[Row]:
        """See `Kind.unseen`; a place of which any series was seen counts as seen."""
        if split["by"] == "time":
            return super().unseen(rows, split)
        seen = {*split["train"], *split["validation"]}
        known = {row["unit"] for row in rows if row["series"] in seen}
        return [row for row in rows if row["unit"] not in known]

    def predict(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry, network: Network) -> str:
        """See `Kind.predict`."""
        from glacier_core.steps.kinds.classes.predicting import predicted

        return predicted(step, entry, network, views=plan.recipe.views)

    def measure(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
        """See `Kind.measure`."""
        from glacier_core.steps.kinds.classes.measuring import measured

        return measured(step, plan, unit, entry)

    def aggregate(self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
        """See `Kind.aggregate`."""
        from glacier_core.steps.kinds.classes.measuring import write_tables

        write_tables(step, plan, entries, attempt)

    def products(self, step: Step, plan: Plan, entries: Sequence[Entry], aggregated: Output, folder: Path) -> str:
        """See `Kind.products`."""
        from glacier_core.steps.kinds.classes.reporting import write_products

        return write_products(step, plan, entries, aggregated, folder)

    def pictures(self, step: Step, plan: Plan, entries: Sequence[Entry], weights: str, folder: Path) -> list[str]:
        """See `Kind.pictures`."""
        from glacier_core.steps.kinds.classes.reporting import draw_pictures

        return draw_pictures(step, plan, entries, weights, folder)
