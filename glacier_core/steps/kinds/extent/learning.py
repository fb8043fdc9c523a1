"""Chips of training and validation, their normalisation, and the network that learns from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from glacier_core.errors import DataError
from glacier_core.steps.kinds.contract import Entry, Fitted
from glacier_core.steps.kinds.extent.imagery import IMAGE
from glacier_core.steps.kinds.extent.labelling import LABELS
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, log, threads
from glacier_core.store import Output

CLASSES = ("other", "glacier")


def write_samples(step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
    """Choose the chips of training and validation and fit the normalisation on training data alone.

    Raises:
        DataError: one of the two sets is empty.
    """
    from glacier_core.prepare import fit_normalisation
    from glacier_core.samples import ChipReader

    chips = {
        part: [
            chip
            for entry in entries
            if plan.units[entry["unit"]].part == part and _may_teach(step, plan, entry)
            for chip in _chips(plan, entry, part)
        ]
        for part in ("train", "validation")
    }
    for name, found in chips.items():
        if not found:
            raise DataError(
                f"the {name} set of recipe '{plan.recipe.name}' is empty",
                expected="at least one glacier with imagery and an outline within labels.tolerance_days",
                do="add glaciers, widen labels.tolerance_days, or change split",
            )
    reader = ChipReader(_located(step, chips["train"]), bands=plan.recipe.imagery.bands)
    normalisation = fit_normalisation(
        (reader[index][0] for index in range(len(reader))), bands=plan.recipe.imagery.bands
    )
    attempt.write_json("samples.json", {"chips": chips, "normalisation": normalisation.to_json()})
    log.info("[sample] %s chips", " and ".join(f"{len(found)} {part}" for part, found in chips.items()))


def fitted(
    step: Step, plan: Plan, samples: Output, *, checkpoints: str, track: Callable[[int, dict[str, float]], None]
) -> Fitted:
    """The network, trained on the chips; see `Kind.fit`."""
    from glacier_core.prepare import Normalisation
    from glacier_core.samples import ChipReader
    from glacier_core.training import ModelSpec, train

    recipe = plan.recipe
    value = samples.read_json("samples.json")
    normalisation = Normalisation.from_json(value["normalisation"])
    sources = {
        part: ChipReader(_located(step, chips), bands=recipe.imagery.bands) for part, chips in value["chips"].items()
    }
    trained = train(
        model=recipe.model,
        training=recipe.training,
        bands=len(recipe.imagery.bands),
        classes=len(CLASSES),
        train=sources["train"],
        validation=sources["validation"],
        normalisation=normalisation,
        checkpoints=checkpoints,
        track=track,
        threads=threads(),
    )
    spec = ModelSpec(
        name=recipe.model.name,
        bands=tuple(recipe.imagery.bands),
        classes=CLASSES,
        width=recipe.model.width,
        depth=recipe.model.depth,
        normalisation=normalisation,
        split=plan.split["hash"],
        kind=recipe.kind,
    )
    return Fitted(trained=trained, spec=spec)


def _may_teach(step: Step, plan: Plan, entry: Entry) -> bool:
    """Whether the outline is near enough to the image to train on, or the recipe says that stale ones may."""
    if plan.recipe.labels.train_on_stale:
        return True
    labels: dict[str, Any] = step.read(entry["refs"]["label"]).read_json("labels.json")
    return not labels["ice"]["stale"]


def _chips(plan: Plan, entry: Entry, part: str) -> list[dict[str, Any]]:
    from glacier_core.samples import chips_of

    unit = plan.units[entry["unit"]]
    size = plan.recipe.training.chip
    # training windows overlap by half, so that each pixel is seen beside several neighbours
    windows = chips_of(unit.grid.shape, size=size, stride=size // 2 if part == "train" else size)
    return [
        {"image": entry["refs"]["prepare"], "label": entry["refs"]["label"], "row": row, "column": column, "size": size}
        for row, column in windows
    ]


def _located(step: Step, chips: list[dict[str, Any]]) -> list[Any]:
    """Chips with the paths of their cubes: references are looked up once each."""
    from glacier_core.samples import Chip

    paths: dict[str, str] = {}
    for name, variable in (("image", IMAGE), ("label", LABELS)):
        for chip in chips:
            if chip[name] not in paths:
                paths[chip[name]] = step.read(chip[name]).path(variable)
    return [
        Chip(
            image=paths[chip["image"]],
            label=paths[chip["label"]],
            row=chip["row"],
            column=chip["column"],
            size=chip["size"],
        )
        for chip in chips
    ]
