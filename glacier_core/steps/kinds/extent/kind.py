"""The kind `extent`: what the stages do for glacier area and retreat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import ExtentRecipe
from glacier_core.steps.kinds.contract import Entry, Fitted, Kind, Row, Survey
from glacier_core.steps.kinds.extent import imagery, labelling, learning, predicting, scoring, surveying
from glacier_core.steps.kinds.extent.grounds import Grounds
from glacier_core.steps.kinds.extent.inputs import outlines_of
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan, Purpose
from glacier_core.steps.running import Step
from glacier_core.store import Output
from glacier_core.units import Unit

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

    from glacier_core.steps.kinds.extent.measuring import Meter


class ExtentKind(Kind):
    """Glacier area and retreat from imagery and outlines; a unit is one glacier and one year."""

    recipe = ExtentRecipe
    headline = "iou/glacier"

    def __init__(self) -> None:
        self._grounds: Grounds | None = None
        self._frames: tuple[GeoDataFrame, GeoDataFrame] | None = None
        self._meter: Meter | None = None

    def unit_from_json(self, value: dict[str, Any]) -> Unit:
        """See `Kind.unit_from_json`."""
        return Unit.from_json(value)

    def survey(self, step: Step, recipe: ExtentRecipe, *, purpose: Purpose, catalog: str) -> Survey:
        """See `Kind.survey`."""
        return surveying.surveyed(step, recipe, purpose=purpose, catalog=catalog)

    def estimate(self, step: Step, recipe: ExtentRecipe, *, catalog: str) -> dict[str, Any]:
        """See `Kind.estimate`."""
        return surveying.estimated(step, recipe, catalog=catalog)

    def check_model(self, spec: Mapping[str, Any], recipe: ExtentRecipe) -> None:
        """See `Kind.check_model`."""
        missing = [band for band in spec["bands"] if band not in recipe.imagery.all_bands()]
        if missing:
            raise ConfigurationError(
                f"the model needs band {', '.join(missing)}, which recipe '{recipe.name}' does not read",
                do="add it to imagery.bands or choose another model with --model",
            )

    def intended_use(self, recipe: ExtentRecipe) -> str:
        """See `Kind.intended_use`."""
        stale = "; older ones were trained on too and are called stale" if recipe.labels.train_on_stale else ""
        return (
            f"Glacier extent from {recipe.imagery.source} imagery at {recipe.imagery.resolution_m:g} m, season "
            f"{recipe.season[0]} to {recipe.season[1]}. Not for other sensors, bands or seasons. Outlines within "
            f"{recipe.labels.tolerance_days} days of the image count as truth{stale}."
        )

    def ingest(self, step: Step, plan: Plan, unit: Unit) -> str:
        """See `Kind.ingest`."""
        return imagery.ingested(step, plan, unit)

    def prepare(self, step: Step, plan: Plan, unit: Unit, entry: Entry) -> str:
        """See `Kind.prepare`."""
        return imagery.prepared(step, plan, unit, entry)

    def label(self, step: Step, plan: Plan, unit: Unit, entry: Entry) -> str:
        """See `Kind.label`."""
        if self._frames is None:
            self._frames = outlines_of(plan), outlines_of(plan, "reference")
        return labelling.labelled(step, plan, unit, self._frames, self._ground(plan))

    def sample_part(self, plan: Plan) -> dict[str, Any]:
        """See `Kind.sample_part`."""
        return {
            "bands": list(plan.recipe.imagery.bands),
            "chip": plan.recipe.training.chip,
            "split": plan.split,
            "train_on_stale": plan.recipe.labels.train_on_stale,
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
        return {
            "measure": plan.recipe.measure.model_dump(mode="json"),
            "bands": [plan.recipe.imagery.green, plan.recipe.imagery.swir],
        }

    def score(
        self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any, *, weights: str, calibration: str | None
    ) -> None:
        """See `Kind.score`."""
        scoring.write_scores(step, plan, entries, attempt, weights=weights, calibration=calibration)

    def contest(self, rows: Sequence[Row], who: str) -> dict[str, float]:
        """IoU of each glacier, pooled over its years with fresh outlines and clear images."""
        return scoring.by_glacier([row for row in rows if row["scored"]], who)

    def unseen(self, rows: Sequence[Row], split: Mapping[str, Any]) -> list[Row]:
        """See `Kind.unseen`."""
        seen = {*split["train"], *split["validation"]}
        return [row for row in rows if row["glacier_id"] not in seen]

    def predict(self, step: Step, plan: Plan, unit: Unit, entry: Entry, network: Network) -> str:
        """See `Kind.predict`."""
        return predicting.predicted(step, entry, network)

    def measure(self, step: Step, plan: Plan, unit: Unit, entry: Entry) -> str:
        """See `Kind.measure`."""
        from glacier_core.steps.kinds.extent.measuring import Meter

        if self._meter is None:
            self._meter = Meter(step, plan, self._ground(plan))
        return self._meter.unit(unit, entry)

    def batch_files(self, step: Step, plan: Plan, entries: Sequence[Entry]) -> Mapping[str, bytes]:
        """See `Kind.batch_files`."""
        from glacier_core.steps.kinds.extent.measuring import AREAS, table_of
        from glacier_core.steps.tables import to_parquet

        return {AREAS: to_parquet(table_of(step, entries))}

    def aggregate(self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
        """See `Kind.aggregate`."""
        from glacier_core.steps.kinds.extent.measuring import write_tables

        write_tables(step, plan, entries, attempt)

    def products(self, step: Step, plan: Plan, entries: Sequence[Entry], aggregated: Output, folder: Path) -> str:
        """See `Kind.products`."""
        from glacier_core.steps.kinds.extent.reporting import write_products

        return write_products(step, plan, entries, aggregated, folder, self._ground(plan))

    def pictures(self, step: Step, plan: Plan, entries: Sequence[Entry], weights: str, folder: Path) -> list[str]:
        """See `Kind.pictures`."""
        from glacier_core.steps.kinds.extent.reporting import draw_pictures

        return draw_pictures(step, plan, entries, weights, folder)

    def _ground(self, plan: Plan) -> Grounds:
        if self._grounds is None:
            self._grounds = Grounds(lambda: outlines_of(plan), buffer_m=plan.recipe.glaciers.buffer_m)
        return self._grounds
