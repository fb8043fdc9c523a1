"""What the stages ask of a kind of work. Each kind is one module (or folder) beside this one, and one registry line.

A stage knows the store, the loop over units, the chain and the notes; a kind knows what a unit is, what its pixels
mean, and what is measured. Everything that a kind makes goes through `Step.build`, so that it is made once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from glacier_core.recipes import Recipe
from glacier_core.steps.plans import Plan, Purpose
from glacier_core.steps.running import Step
from glacier_core.store import Output
from glacier_core.units import AnyUnit

if TYPE_CHECKING:
    from glacier_core.training import ModelSpec, Trained

Entry = Mapping[str, Any]
"""How a unit stands: {unit, state, reason, refs}; `refs` maps each stage that it has passed to a reference."""
Row = Mapping[str, Any]
"""What was found on one test item, as plain JSON; its key `unit` names the independent unit that it belongs to."""


@dataclass(frozen=True)
class Survey:
    """What a plan found out about a recipe."""

    units: Sequence[AnyUnit]
    """Units to do."""
    left_out: list[dict[str, str]]
    """What is not done, {unit, state, reason}: state `withheld` counts, `outside` is for information."""
    split: dict[str, Any]
    """Units (or periods) of train, validation and test, and their `hash`."""
    shared: dict[str, Any] = field(default_factory=dict)
    """What all units share, as plain JSON; kept in the plan."""
    tables: Mapping[str, bytes] = field(default_factory=dict)
    """Files that are kept beside the plan."""
    made_from: tuple[str, ...] = ()
    """References of outputs that the plan was made from."""


@dataclass(frozen=True)
class Fitted:
    """A network that was trained, and what it is."""

    trained: Trained
    spec: ModelSpec
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What else belongs to it, kept beside its weights."""


class Kind(ABC):
    """One kind of work: glacier extent, classes, calving fronts, motion, ice cover."""

    recipe: type[Recipe]
    """Class of its recipes."""
    headline: str
    """The metric that stands for a model in lists, such as `iou/glacier`."""
    lower_is_better: bool = False
    """Whether less of the headline metric is better."""
    task: str = "segmentation"
    """What its networks do: segmentation or forecast (see `glacier_core.recipes.NETWORKS`)."""

    @abstractmethod
    def unit_from_json(self, value: dict[str, Any]) -> AnyUnit:
        """A unit as its `to_json` wrote it."""

    @abstractmethod
    def survey(self, step: Step, recipe: Any, *, purpose: Purpose, catalog: str) -> Survey:
        """Units, split and inputs of a recipe.

        Args:
            step: the running stage.
            recipe: the recipe, of this kind's class.
            purpose: train (units with labels), monitor (all units) or evaluate (every unit is tested).
            catalog: a STAC catalog that replaces the recipe's, or empty.
        """

    @abstractmethod
    def estimate(self, step: Step, recipe: Any, *, catalog: str) -> dict[str, Any]:
        """What `glacier check` says: counts of units, frames, batches, pixels, bytes; nothing is run."""

    @abstractmethod
    def check_model(self, spec: Mapping[str, Any], recipe: Any) -> None:
        """Refuse (ConfigurationError) a model whose bands, classes or normalisation do not fit the recipe.

        Args:
            spec: the model's `model.json`.
            recipe: the recipe that it shall serve.
        """

    def inputs(self, recipe: Any) -> dict[str, Any]:
        """What a network of this recipe is fed with, as plain JSON: a model that was fed otherwise does not fit it."""
        return {}

    def intended_use(self, recipe: Any) -> str:
        """What its models are for, as a sentence or two of the model card."""
        return (
            f"Recipes of the kind {recipe.kind} with {recipe.imagery.source} imagery. Not for other sensors or bands."
        )

    @abstractmethod
    def ingest(self, step: Step, plan: Plan, unit: Any) -> str:
        """Read a unit's images into a cube; its reference."""

    @abstractmethod
    def prepare(self, step: Step, plan: Plan, unit: Any, entry: Entry) -> str:
        """Make what the model sees of a unit's cube; its reference (the cube's own where nothing is to be done)."""

    @abstractmethod
    def label(self, step: Step, plan: Plan, unit: Any, entry: Entry) -> str:
        """Make a unit's truth; its reference. Raises WithheldError where there is none."""

    @abstractmethod
    def sample_part(self, plan: Plan) -> dict[str, Any]:
        """What of the recipe decides the samples, as plain JSON."""

    @abstractmethod
    def sample(self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
        """Write `samples.json`: the samples of training and validation, and the normalisation fitted on training."""

    @abstractmethod
    def fit(
        self,
        step: Step,
        plan: Plan,
        samples: Output,
        *,
        checkpoints: str,
        track: Callable[[int, dict[str, float]], None],
    ) -> Fitted:
        """Train the recipe's network on the samples.

        Args:
            step: the running stage.
            plan: the plan.
            samples: what `sample` wrote, published.
            checkpoints: URL of the folder of checkpoints.
            track: is told each epoch's figures.
        """

    @abstractmethod
    def score_part(self, plan: Plan) -> dict[str, Any]:
        """What of the recipe decides the scores, as plain JSON."""

    @abstractmethod
    def score(
        self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any, *, weights: str, calibration: str | None
    ) -> None:
        """Write `rows.json` (a list of `Row`), `calibration.json` and `scores.json` of the test units.

        `scores.json` is {"model": {metric: score}, "baselines": {name: {metric: score}}}, a score as of
        `glacier_core.measure.Score.to_json`: {value, low, high, n, unit}.

        Args:
            step: the running stage.
            plan: the plan.
            entries: labelled units that are done, of all parts.
            attempt: where to write.
            weights: reference of the network.
            calibration: reference of a model whose calibration and baselines are kept; None: fit them here, on the
                training and validation units.
        """

    @abstractmethod
    def contest(self, rows: Sequence[Row], who: str) -> dict[str, float]:
        """One score for each independent unit, more is better, that the gate compares.

        Args:
            rows: rows of test units.
            who: `model`, or the name of a baseline.
        """

    @abstractmethod
    def unseen(self, rows: Sequence[Row], split: Mapping[str, Any]) -> list[Row]:
        """The rows of units that a model with this split was neither trained nor validated on."""

    @abstractmethod
    def predict(self, step: Step, plan: Plan, unit: Any, entry: Entry, network: Any) -> str:
        """Apply the plan's model to a unit; the prediction's reference.

        Args:
            step: the running stage.
            plan: the plan; `plan.model` says which model.
            unit: the unit.
            entry: how it stands.
            network: a `glacier_core.steps.networks.Network`, which loads the weights when they are first needed.
        """

    @abstractmethod
    def measure(self, step: Step, plan: Plan, unit: Any, entry: Entry) -> str:
        """Turn a unit's prediction into numbers: rows of tables, lines, vectors; their reference."""

    def batch_files(self, step: Step, plan: Plan, entries: Sequence[Entry]) -> Mapping[str, bytes]:
        """What is kept of a whole batch once it is measured, so that `aggregate` need not open each unit's output.

        Returns:
            Content by name; it lies in the manifest that an entry names in `batch`.
        """
        return {}

    @abstractmethod
    def aggregate(self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
        """Join the units' measures into tables (Parquet) of all units, and what follows from all of them."""

    @abstractmethod
    def products(self, step: Step, plan: Plan, entries: Sequence[Entry], aggregated: Output, folder: Any) -> str:
        """Write everything that a person looks at into a folder; the name of the page to open first.

        Args:
            step: the running stage.
            plan: the plan.
            entries: all units, also those that failed or were withheld.
            aggregated: what `aggregate` wrote, published.
            folder: `pathlib.Path` of the folder.
        """

    @abstractmethod
    def pictures(self, step: Step, plan: Plan, entries: Sequence[Entry], weights: str, folder: Any) -> list[str]:
        """Draw a few test samples: seen, true, predicted. Names of the PNG files in the folder."""
