"""Sequences of the training and validation periods, their scale, and the network that learns from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError
from glacier_core.steps.cubing import CUBE
from glacier_core.steps.kinds.contract import Entry, Fitted
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, log, threads
from glacier_core.store import Output

if TYPE_CHECKING:
    from glacier_core.steps.kinds.ice_cover.regions import Region

SAMPLES = "samples.json"


def region_of(step: Step, plan: Plan, entry: Entry) -> Region:
    """The months of a unit's cube."""
    from glacier_core.steps.kinds.ice_cover.regions import read_region

    unit = plan.units[entry["unit"]]
    path = step.read(entry["refs"]["prepare"]).path(CUBE)
    return read_region(path, name=unit.name, grid=unit.grid, recipe=plan.recipe, split=plan.split)


def sample_part(plan: Plan) -> dict[str, Any]:
    """What of the recipe decides the samples."""
    names = ("lookback", "leads", "threshold", "base", "held_out_years")
    part = {name: getattr(plan.recipe, name) for name in names}
    return {
        **part,
        "target_months": list(plan.recipe.target_months),
        "chip": plan.recipe.training.chip,
        "split": plan.split,
    }


def write_samples(step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
    """`samples.json`: the cube, the baselines that are corrected, and the scale, fitted on the training months alone.

    Raises:
        ConfigurationError: there is more than one region, or too few frames.
    """
    from glacier_core.steps.kinds.ice_cover.folds import choose_bases, scale_of

    if len(entries) != 1:
        raise ConfigurationError(
            f"recipe '{plan.recipe.name}' has {len(entries)} regions", expected="one region a model"
        )
    region = region_of(step, plan, entries[0])
    bases, scale = choose_bases(region, plan.recipe), scale_of(region)
    months = {part: sum(own == part for own in region.parts) for part in ("train", "validation", "test")}
    attempt.write_json(
        SAMPLES,
        {"entry": dict(entries[0]), "bases": list(bases), "scale": scale, "band": region.band, "months": months},
    )
    log.info("[sample] corrects %s; typical anomaly %.3f", ", ".join(dict.fromkeys(bases)), scale)


def fitted(
    step: Step,
    plan: Plan,
    samples: Output,
    *,
    checkpoints: str,
    track: Callable[[int, dict[str, float]], None],
) -> Fitted:
    """The network, trained on the sequences; see `Kind.fit`."""
    from glacier_core.steps.kinds.ice_cover.fields import KNOWN, PAST
    from glacier_core.steps.kinds.ice_cover.folds import training_sequences, validation_sequences
    from glacier_core.training import ModelSpec, train_sequences

    recipe = plan.recipe
    value = samples.read_json(SAMPLES)
    region = region_of(step, plan, value["entry"])
    bases, scale = tuple(value["bases"]), float(value["scale"])
    sizes = {"channels": len(PAST), "known": len(KNOWN), "outputs": 1}
    train = training_sequences(region, recipe, bases=bases, scale=scale)
    validation = validation_sequences(region, recipe, bases=bases, scale=scale)
    log.info("[train] %d sequences, %d to judge by", len(train), len(validation))
    trained = train_sequences(
        model=recipe.model,
        training=recipe.training,
        channels=len(PAST),
        known=len(KNOWN),
        outputs=1,
        train=train,
        validation=validation,
        checkpoints=checkpoints,
        threads=threads(),
        track=track,
        data_range=1 / scale,
        limits=(0.0, 1 / scale),
    )
    spec = ModelSpec(
        name=recipe.model.name,
        bands=(value["band"],),
        classes=(),
        width=recipe.model.width,
        depth=recipe.model.depth,
        normalisation=None,
        split=plan.split["hash"],
        kind=recipe.kind,
        extra={
            "scale": scale,
            "bases": list(bases),
            "lookback": recipe.lookback,
            "past": list(PAST),
            "known": list(KNOWN),
            "months": value["months"],
            "sequences": {"train": len(train), "validation": len(validation)},
        },
        sizes=sizes,
    )
    return Fitted(trained=trained, spec=spec)
