"""The network's front line and class map of every image of a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError
from glacier_core.steps.cubing import CUBE
from glacier_core.steps.kinds.front.learning import look_of
from glacier_core.steps.running import Step, reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.recipes import FrontRecipe
    from glacier_core.steps.networks import Network
    from glacier_core.steps.plans import Plan

LINES = "lines.json"


def predicted(step: Step, plan: Plan, entry: Mapping[str, Any], network: Network) -> str:
    """The reference of a unit's prediction: `lines.json` is {image: {line, classes, sure}}.

    Lines are row and column of the full image; `classes` names a picture that holds the number of each pixel's
    likeliest class; `sure` see `is_sure`.
    """
    prepared = step.read(entry["refs"]["prepare"])
    recipe: FrontRecipe = plan.recipe

    def make(attempt: Any) -> None:
        from glacier_core.cube import open_cube, open_pixels
        from glacier_core.labels.zones import zones_picture

        path = prepared.path(CUBE)
        frames = [str(name) for name in open_cube(path)["frame"].values]
        pixels = open_pixels(path)

        def said(number: int) -> NDArray[np.float32]:
            image = pixels.physical(times=slice(number, number + 1))[0]
            return probabilities(network, recipe, image, pixels.bands)

        shape = plan.units[entry["unit"]].grid.shape
        found = {}
        for number, (frame, small) in enumerate(zip(frames, _shared(recipe, said, len(frames)), strict=True)):
            probability = grown(small, reduce=recipe.view.reduce, shape=shape)
            line = line_of(probability, recipe)
            name = f"classes/{number:04d}.png"
            attempt.write_bytes(name, zones_picture(probability.argmax(axis=0).astype("uint8")))
            sure = is_sure(line, probability, recipe)
            found[frame] = {"line": line.round(3).tolist(), "classes": name, "sure": sure}
        attempt.write_json(LINES, found)

    part = {
        "line": recipe.line.model_dump(mode="json", exclude={"within_box"}),
        "mirrored": recipe.view.mirrored,
        "upstream": recipe.flow.upstream,
    }
    inputs = [reference(prepared), network.reference]
    return reference(step.build("predict", part=part, inputs=inputs, make=make))


def _shared(
    recipe: FrontRecipe, said: Callable[[int], NDArray[np.float32]], count: int
) -> Iterator[NDArray[np.float32]]:
    """What the network says of each image, with the recipe's share of the mean over all of them."""
    import numpy as np

    share = recipe.line.shared
    if not share:
        yield from (said(number) for number in range(count))
        return
    kept = [said(number).astype(np.float16) for number in range(count)]
    mean = np.mean(kept, axis=0, dtype=np.float32)
    for each in kept:
        yield ((1 - share) * each + share * mean).astype(np.float32)


def probabilities(
    network: Network, recipe: FrontRecipe, image: NDArray[np.float32], bands: tuple[str, ...]
) -> NDArray[np.float32]:
    """Probability of each class (K, h, w) on the reduced pixels of an image (C, y, x)."""
    import numpy as np

    from glacier_core.inference import predict_image
    from glacier_core.prepare.contrast import stretch_limits
    from glacier_core.samples.front_warping import Warp
    from glacier_core.samples.fronts import reduced, shown

    module, spec = network.load()
    wanted = tuple(spec.extra["imagery_bands"])
    missing = [band for band in wanted if band not in bands]
    if missing:
        raise ConfigurationError(
            f"the images lack the model's band {', '.join(missing)}",
            expected=f"bands {', '.join(wanted)}",
            do="add them to imagery.bands or choose another model",
        )
    chosen = image[[bands.index(band) for band in wanted]]
    shape = (image.shape[1], image.shape[2])
    look = look_of(recipe, wanted)
    small = reduced(chosen, Warp.none(shape), reduce=look.reduce, shape=shape)
    seen = shown(small, look, stretch_limits(chosen))
    found = predict_image(module, spec, seen)
    if recipe.view.mirrored:
        axis = 2 if recipe.flow.upstream in ("up", "down") else 1
        other = predict_image(module, spec, np.ascontiguousarray(np.flip(seen, axis)))
        found = ((found + np.flip(other, axis)) / 2).astype(np.float32)
    return np.nan_to_num(found)


def grown(probability: NDArray[np.float32], *, reduce: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Probabilities (K, h, w) of reduced pixels on the pixels of the image.

    Args:
        probability: from `probabilities`.
        reduce: how much smaller its images were made.
        shape: rows and columns of the image.
    """
    import cv2
    import numpy as np

    if reduce == 1:
        return probability
    size = (probability.shape[2] * reduce, probability.shape[1] * reduce)
    full = [cv2.resize(each, size, interpolation=cv2.INTER_LINEAR) for each in probability]
    return np.stack(full)[:, : shape[0], : shape[1]].astype(np.float32)


def line_of(probability: NDArray[np.float32], recipe: FrontRecipe) -> NDArray[np.float64]:
    """The front line of an image, the glacier on the right hand; there always is one."""
    from glacier_core.labels.fronts import oriented
    from glacier_core.measure.fronts import front_of_band, front_of_sides
    from glacier_core.samples.fronts import CLASSES

    rule: dict[str, Any] = {
        "presence": recipe.line.presence,
        "largest_gap": recipe.line.largest_gap_px,
        "smoothing": recipe.line.smoothing_px,
        "upstream": recipe.flow.upstream,
    }
    names = CLASSES[recipe.target.of]
    if recipe.target.of == "line":
        line = front_of_band(probability[names.index("front")], **rule)
    else:
        ocean, glacier = ("ocean", "glacier") if recipe.target.of == "zones" else ("ocean_side", "glacier_side")
        line = front_of_sides(probability[names.index(ocean)], probability[names.index(glacier)], **rule)
    return oriented(line, upstream=recipe.flow.upstream)


def is_sure(line: NDArray[np.float64], probability: NDArray[np.float32], recipe: FrontRecipe) -> bool:
    """Whether the network says of the line's surroundings that a front is there, with `line.presence` or more."""
    from glacier_core.measure.fronts import likely_between, probability_along
    from glacier_core.samples.fronts import CLASSES

    names = CLASSES[recipe.target.of]
    if recipe.target.of == "line":
        likely = probability[names.index("front")]
    else:
        ocean, glacier = ("ocean", "glacier") if recipe.target.of == "zones" else ("ocean_side", "glacier_side")
        likely = likely_between(probability[names.index(ocean)], probability[names.index(glacier)])
    return probability_along(line, likely) >= recipe.line.presence
