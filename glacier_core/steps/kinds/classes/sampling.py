"""`sample`: chips of training and validation, and the normalisation fitted on training alone. `fit`: the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from glacier_core.errors import DataError
from glacier_core.recipes import ClassesRecipe
from glacier_core.steps.kinds.classes.featuring import FEATURES
from glacier_core.steps.kinds.classes.labelling import LABELS, TOLD
from glacier_core.steps.kinds.contract import Entry, Fitted
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, log, threads
from glacier_core.steps.splitting import period_of
from glacier_core.store import Output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.prepare import Normalisation
    from glacier_core.samples.class_chips import ClassChips
    from glacier_core.training import Trained

PARTS = ("train", "validation")
MEMBER = "member-{}.safetensors"
"""Weights of the networks after the first."""
MOST_FITTED = 400
"""Chips of the training set that the normalisation is fitted to: more change it by less than their own noise."""


def part_of(plan: Plan, unit: Any, time: str) -> str:
    """The part that an image of a unit serves; none where the model that is evaluated was fitted on its time."""
    if plan.split["by"] in ("time", "none"):
        return period_of(plan.split, time)
    return str(unit.part)


def channel_names(channels: Sequence[str], dates: int) -> tuple[str, ...]:
    """Names of all that the network sees: those of earlier images say how many images before, `red@-1`."""
    return tuple(f"{channel}@-{back}" if back else channel for back in reversed(range(dates)) for channel in channels)


def write_samples(step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
    """See `Kind.sample`."""
    from glacier_core.labels.classes import require_classes
    from glacier_core.prepare import fit_normalisation

    recipe: ClassesRecipe = plan.recipe
    done = [entry for entry in entries if entry["state"] == "done"]
    chips = {part: [chip for entry in done for chip in _chips(step, plan, entry, part)] for part in PARTS}
    for part, found in chips.items():
        if not found:
            raise DataError(
                f"the {part} set of recipe '{recipe.name}' is empty",
                expected="at least one place with images and fresh labels",
                do="add places, widen labels.tolerance_days, or change split",
            )
    channels = _channels(step, done[0])
    reader = chip_reader(step, chips["train"], channels=channels, dates=recipe.dates)
    counts = _counted(reader, classes=len(recipe.classes))
    require_classes(counts, classes=recipe.classes, optional=recipe.labels.optional)
    own = fit_normalisation((image[-len(channels) :] for image in _spread(reader)), bands=channels)
    names = channel_names(channels, recipe.dates)
    # what is seen earlier is of one kind with what is seen now
    whole = replace(own, bands=names, mean=own.mean * recipe.dates, std=own.std * recipe.dates)
    attempt.write_json(
        "samples.json",
        {"chips": chips, "channels": list(channels), "counts": counts, "normalisation": whole.to_json()},
    )
    log.info("[sample] %s chips", " and ".join(f"{len(found)} {part}" for part, found in chips.items()))


def fitted(
    step: Step,
    plan: Plan,
    samples: Output,
    *,
    checkpoints: str,
    track: Callable[[int, dict[str, float]], None],
) -> Fitted:
    """See `Kind.fit`."""
    from safetensors.torch import save

    from glacier_core.prepare import Normalisation
    from glacier_core.training import ModelSpec

    recipe: ClassesRecipe = plan.recipe
    value = samples.read_json("samples.json")
    channels, normalisation = tuple(value["channels"]), Normalisation.from_json(value["normalisation"])
    sources = {
        part: chip_reader(step, chips, channels=channels, dates=recipe.dates) for part, chips in value["chips"].items()
    }
    trained = [
        _member(recipe, number, sources, normalisation, checkpoints=checkpoints, track=track)
        for number in range(recipe.members)
    ]
    others = {
        MEMBER.format(number): save({name: tensor.contiguous() for name, tensor in member.state.items()})
        for number, member in enumerate(trained)
        if number
    }
    spec = ModelSpec(
        name=recipe.model.name,
        bands=normalisation.bands,
        classes=recipe.classes,
        width=recipe.model.width,
        depth=recipe.model.depth,
        normalisation=normalisation,
        split=plan.split["hash"],
        kind=recipe.kind,
        sizes={"bands": len(channels), "classes": len(recipe.classes), "dates": recipe.dates},
        extra={"dates": recipe.dates, "channels": list(channels), "members": recipe.members},
    )
    whole = replace(trained[0], seconds=sum(member.seconds for member in trained))
    return Fitted(trained=whole, spec=spec, files=others)


def _member(
    recipe: ClassesRecipe,
    number: int,
    sources: Mapping[str, ClassChips],
    normalisation: Normalisation,
    *,
    checkpoints: str,
    track: Callable[[int, dict[str, float]], None],
) -> Trained:
    """One network, trained from a seed of its own."""
    from glacier_core.training import train

    # seeds that follow each other share no network
    seed = recipe.training.seed * recipe.members + number
    training = recipe.training.model_copy(update={"seed": seed})

    def told(epoch: int, found: dict[str, float]) -> None:
        track(number * training.epochs + epoch, found)

    return train(
        model=recipe.model,
        training=training,
        bands=len(normalisation.bands) // recipe.dates,
        classes=len(recipe.classes),
        sizes={"dates": recipe.dates},
        train=sources["train"],
        validation=sources["validation"],
        normalisation=normalisation,
        checkpoints=f"{checkpoints.rstrip('/')}/{number}" if number else checkpoints,
        track=told,
        threads=threads(),
    )


def chip_reader(step: Step, chips: Sequence[Mapping[str, Any]], *, channels: Sequence[str], dates: int) -> ClassChips:
    """The chips of a set; references are looked up once each."""
    from glacier_core.samples.class_chips import ClassChip, ClassChips

    paths: dict[str, str] = {}
    for key, variable in (("image", FEATURES), ("label", LABELS)):
        for chip in chips:
            if chip[key] not in paths:
                paths[chip[key]] = step.read(chip[key]).path(variable)
    located = [ClassChip(**{**chip, "image": paths[chip["image"]], "label": paths[chip["label"]]}) for chip in chips]
    return ClassChips(located, channels=channels, dates=dates)


def _channels(step: Step, entry: Entry) -> tuple[str, ...]:
    from glacier_core.cube import open_pixels

    return open_pixels(step.read(entry["refs"]["prepare"]).path(FEATURES)).bands


def _chips(step: Step, plan: Plan, entry: Entry, part: str) -> Iterator[dict[str, Any]]:
    """Windows of a unit's images that serve a part and hold a label."""
    from glacier_core.samples import chips_of

    unit, recipe = plan.units[entry["unit"]], plan.recipe
    labelled = step.read(entry["refs"]["label"])
    told = {found["frame"]: found for found in labelled.read_json(TOLD)}
    size = recipe.training.chip
    # training windows overlap by half, so that each pixel is seen beside several neighbours
    windows = chips_of(unit.grid.shape, size=size, stride=size // 2 if part == "train" else size)
    for time, (frame, stamp) in enumerate(_frames(labelled, unit)):
        about = told[frame]
        usable = sum(about["counts"]) and (recipe.labels.train_on_stale or not about["stale"])
        if not usable or part_of(plan, unit, stamp) != part:
            continue
        for row, column in windows:
            yield {
                "image": entry["refs"]["prepare"],
                "label": entry["refs"]["label"],
                "time": time,
                "row": row,
                "column": column,
                "size": size,
            }


def _frames(labelled: Output, unit: Any) -> list[tuple[str, str]]:
    """Id and time of each image that the unit's cube holds: some may have been left out of it."""
    stamps = dict(zip(unit.frames, unit.times, strict=True))
    return [(found["frame"], stamps.get(found["frame"], "")) for found in labelled.read_json(TOLD)]


def _spread(reader: ClassChips) -> Iterator[NDArray[np.float32]]:
    """Images of chips from all over the set."""
    stride = max(1, -(-len(reader) // MOST_FITTED))
    return (reader[index][0] for index in range(0, len(reader), stride))


def _counted(reader: ClassChips, *, classes: int) -> list[int]:
    """Labelled pixels of each class in all chips."""
    from glacier_core.labels.classes import class_counts

    total = [0] * classes
    for index in range(len(reader)):
        for number, count in enumerate(class_counts(reader[index][1], classes=classes)):
            total[number] += count
    return total
