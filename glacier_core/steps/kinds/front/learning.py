"""Samples of training and validation, their normalisation, and the network that learns from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from glacier_core.errors import DataError
from glacier_core.steps.cubing import CUBE
from glacier_core.steps.kinds.contract import Entry, Fitted
from glacier_core.steps.kinds.front.labelling import LABELS
from glacier_core.steps.kinds.front.parts import part_of
from glacier_core.steps.running import Step, log, threads
from glacier_core.store import digest_of

if TYPE_CHECKING:
    from glacier_core.recipes import FrontRecipe
    from glacier_core.samples.fronts import FrontLook, FrontSample
    from glacier_core.steps.plans import Plan
    from glacier_core.store import Output

PARTS = ("train", "validation")


def write_samples(step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
    """Choose the samples of training and validation and fit the normalisation; see `Kind.sample`.

    Raises:
        DataError: one of the two sets is empty.
    """
    from glacier_core.cube import open_cube

    samples: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
    bands: tuple[str, ...] = ()
    for entry in entries:
        cube = open_cube(step.read(entry["refs"]["prepare"]).path(CUBE))
        bands = bands or tuple(str(band) for band in cube["band"].values)
        labels = step.read(entry["refs"]["label"]).read_json(LABELS)
        for number, frame in enumerate(str(name) for name in cube["frame"].values):
            part = part_of(plan, entry["unit"], frame)
            if part in PARTS and frame in labels:
                samples[part] += _windows(plan, entry, number, frame, labels[frame])
    for part in PARTS:
        if not samples[part]:
            raise DataError(
                f"the {part} set of recipe '{plan.recipe.name}' is empty",
                expected="at least one image whose front is known",
                do="add places, or change split",
            )
    value = {"bands": list(bands), "samples": samples}
    normalisation = _normalisation(plan.recipe, _located(step, value, "train", plan.recipe), bands)
    attempt.write_json("samples.json", {**value, "normalisation": normalisation.to_json()})
    log.info("[sample] %s samples", " and ".join(f"{len(found)} {part}" for part, found in samples.items()))


def fitted(
    step: Step, plan: Plan, samples: Output, *, checkpoints: str, track: Callable[[int, dict[str, float]], None]
) -> Fitted:
    """The network, trained; see `Kind.fit`."""
    from glacier_core.prepare import Normalisation
    from glacier_core.samples.fronts import CLASSES, FrontChips
    from glacier_core.training import ModelSpec, train

    recipe, value = plan.recipe, samples.read_json("samples.json")
    normalisation = Normalisation.from_json(value["normalisation"])
    look = look_of(recipe, value["bands"])
    training = recipe.training
    found = {part: _located(step, value, part, recipe) for part in PARTS}
    drawn = training.epochs * training.steps_per_epoch * training.batch
    # enough numbers for the whole training: no sample comes twice in the same way
    warped = -(-drawn // len(found["train"])) if recipe.view.warp else 0
    classes = CLASSES[recipe.target.of]
    trained = train(
        model=recipe.model,
        training=training,
        bands=len(normalisation.bands),
        classes=len(classes),
        train=FrontChips(found["train"], look, warped=warped, seed=training.seed),
        validation=FrontChips(found["validation"], look),
        normalisation=normalisation,
        checkpoints=checkpoints,
        track=track,
        threads=threads(),
    )
    spec = ModelSpec(
        name=recipe.model.name,
        bands=normalisation.bands,
        classes=classes,
        width=recipe.model.width,
        depth=recipe.model.depth,
        normalisation=normalisation,
        split=digest_of(plan.split),
        kind=recipe.kind,
        extra={"imagery_bands": value["bands"], "view": view_of(recipe)},
    )
    return Fitted(trained=trained, spec=spec)


def look_of(recipe: FrontRecipe, bands: Sequence[str]) -> FrontLook:
    """What is made of the images and their truth."""
    from glacier_core.samples.fronts import FrontLook

    return FrontLook(
        bands=tuple(bands),
        target=recipe.target.of,
        width_px=recipe.target.width_px,
        sees=recipe.view.sees,
        contrast_px=recipe.view.contrast_px,
        reduce=recipe.view.reduce,
        upstream=recipe.flow.upstream,
    )


def view_of(recipe: FrontRecipe) -> dict[str, Any]:
    """What a network was fed with, and what it answers: a recipe that differs in it needs another network."""
    view = recipe.view.model_dump(mode="json", include={"sees", "contrast_px", "reduce"})
    return {**view, "target": recipe.target.of}


def _windows(plan: Plan, entry: Entry, number: int, frame: str, label: dict[str, Any]) -> list[dict[str, Any]]:
    from glacier_core.samples import chips_of

    recipe, (height, width) = plan.recipe, plan.units[entry["unit"]].grid.shape
    zones = recipe.target.of == "zones"
    if zones and not label["zones"]:
        return []
    windows = [(0, 0, height, width)]
    if recipe.view.window == "chip":
        size = recipe.training.chip * recipe.view.reduce
        windows = [(row, column, size, size) for row, column in chips_of((height, width), size=size, stride=size)]
    common = {
        "image": entry["refs"]["prepare"],
        "label": entry["refs"]["label"],
        "number": number,
        "frame": frame,
        "zones": label["zones"] if zones else "",
    }
    return [{**common, "window": list(window)} for window in windows]


def _located(step: Step, value: dict[str, Any], part: str, recipe: FrontRecipe) -> list[FrontSample]:
    """Samples with the paths of their files; those of one set have one size, that of the largest."""
    from glacier_core.samples.fronts import FrontSample

    outputs: dict[str, Any] = {}
    labels: dict[str, Any] = {}
    chosen = value["samples"][part]
    for sample in chosen:
        for key in ("image", "label"):
            outputs.setdefault(sample[key], None)
            if outputs[sample[key]] is None:
                outputs[sample[key]] = step.read(sample[key])
        if sample["label"] not in labels:
            labels[sample["label"]] = outputs[sample["label"]].read_json(LABELS)
    height, width = (max(sample["window"][axis] for sample in chosen) for axis in (2, 3))
    lined = recipe.target.of != "zones"
    return [
        FrontSample(
            cube=outputs[sample["image"]].path(CUBE),
            number=sample["number"],
            line=tuple(map(tuple, labels[sample["label"]][sample["frame"]]["line"])) if lined else (),
            zones=outputs[sample["label"]].path(sample["zones"]) if sample["zones"] else "",
            window=(sample["window"][0], sample["window"][1], height, width),
        )
        for sample in chosen
    ]


def _normalisation(recipe: FrontRecipe, samples: Sequence[FrontSample], bands: Sequence[str]) -> Any:
    from glacier_core.prepare import Normalisation, fit_normalisation
    from glacier_core.prepare.contrast import contrast_bands
    from glacier_core.samples.fronts import FrontChips

    if recipe.view.sees == "contrast":
        names = contrast_bands(tuple(bands))
        return Normalisation(bands=names, mean=(0.0,) * len(names), std=(1.0,) * len(names))
    chips = FrontChips(samples, look_of(recipe, bands))
    return fit_normalisation((chips[index][0] for index in range(len(chips))), bands=tuple(bands))
