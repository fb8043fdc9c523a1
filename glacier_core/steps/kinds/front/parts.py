"""Which images serve which set: whole places, and the latest images of training places as validation where no place
is kept for it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import Caffe
from glacier_core.steps import splitting

if TYPE_CHECKING:
    from glacier_core.recipes import FrontRecipe
    from glacier_core.sources.series import Series
    from glacier_core.steps.plans import Plan

CAFFE_PARTS = {"train": "train", "val": "validation", "test": "test"}
INNER = "validation_images"
"""Key of the split: images of training places that serve validation, by series."""


def split_fronts(recipe: FrontRecipe, series: Sequence[Series], places: Mapping[str, int]) -> dict[str, Any]:
    """The split file; `validation_images` lists, by series, images of training places that serve validation.

    - CaFFe is split as it is published, or by its scheme: the frames' label `split`.
    - By named places without `validation_places`: the latest images of each training place, as many as
      `split.validation` says, serve validation. The test shares no place with either.
    - Otherwise as every series recipe.

    Raises:
        ConfigurationError: sets would share a place, or one would be empty.
    """
    if isinstance(recipe.imagery, Caffe):
        return _published(series, places)
    if recipe.split.by == "named" and not recipe.split.validation_places:
        return _within(recipe, series, places)
    return splitting.split_series(recipe.split, series, places)


def part_of(plan: Plan, unit: str, frame: str) -> str:
    """The part that an image serves: train, validation, test, or none (empty)."""
    if frame in plan.split.get(INNER, {}).get(unit, ()):
        return "validation"
    return str(plan.units[unit].part)


def places_by_glacier(series: Sequence[Series]) -> dict[str, int]:
    """The place of each series of CaFFe: all series of one glacier show one place."""
    names = [each.frames[0].labels["glacier"] for each in series]
    number = {name: index for index, name in enumerate(sorted(set(names)))}
    return {each.name: number[name] for each, name in zip(series, names, strict=True)}


def require_known(places: Mapping[str, int], groups: Sequence[Sequence[str]]) -> None:
    """Training must not leak by a slip of the pen: `overlapping` names series that are there.

    Args:
        places: the place of each series.
        groups: names of series that show the same ground.

    Raises:
        ConfigurationError: a group names a series that is not there.
    """
    absent = [name for group in groups for name in group if name not in places]
    if absent:
        raise ConfigurationError(
            f"overlapping names the series '{absent[0]}', which is not among {len(places)}",
            expected=f"one of {', '.join(sorted(places)[:10])}",
            do="correct overlapping",
        )


def _published(series: Sequence[Series], places: Mapping[str, int]) -> dict[str, Any]:
    parts: dict[str, list[str]] = {part: [] for part in splitting.PARTS}
    inner: dict[str, list[str]] = {}
    for each in series:
        frames = defaultdict(list)
        for frame in each.frames:
            frames[CAFFE_PARTS[frame.labels["split"]]].append(frame.id)
        if len(frames) > 1 and frames["test"]:
            raise ConfigurationError(f"the series {each.name} serves training and test", expected="one of them")
        part = "train" if frames["train"] else next(iter(name for name in frames if frames[name]))
        parts[part].append(each.name)
        if part == "train" and frames["validation"]:
            inner[each.name] = sorted(frames["validation"])
    # of the published split, series with validation images alone show glaciers of the training set too
    trained = {places[name] for name in parts["train"]}
    moved = [name for name in parts["validation"] if places[name] in trained]
    for name in moved:
        parts["validation"].remove(name)
        parts["train"].append(name)
        inner[name] = sorted(frame.id for each in series if each.name == name for frame in each.frames)
    return _file(parts, places, inner)


def _within(recipe: FrontRecipe, series: Sequence[Series], places: Mapping[str, int]) -> dict[str, Any]:
    unknown = [name for name in recipe.split.test_places if name not in places]
    if unknown:
        raise ConfigurationError(
            f"split names the place '{unknown[0]}', which is not among {len(places)}",
            expected=f"one of {', '.join(sorted(places)[:10])}",
            do="correct split.test_places",
        )
    others = sorted(set(places) - set(recipe.split.test_places))
    parts = {"train": others, "validation": [], "test": sorted(recipe.split.test_places)}
    inner = {}
    for each in series:
        if each.name in others and len(each.frames) > 1:
            count = max(1, math.floor(len(each.frames) * recipe.split.validation))
            inner[each.name] = sorted(frame.id for frame in each.frames[-count:])
    return _file(parts, places, inner)


def _file(
    parts: Mapping[str, Sequence[str]], places: Mapping[str, int], inner: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    from glacier_core.samples import SplitFile, check_no_leak

    file = SplitFile(
        by="named",
        parts={part: tuple(sorted(names)) for part, names in parts.items()},
        places=dict(sorted(places.items())),
    )
    check_no_leak(file)
    for part in ("train", "test"):
        if not file.parts[part]:
            raise ConfigurationError(f"the split leaves no series to {part}", expected="a place for each of both")
    if not file.parts["validation"] and not inner:
        raise ConfigurationError("the split leaves no image to validation", expected="series of two images or more")
    return {**file.to_json(), INNER: {name: list(frames) for name, frames in sorted(inner.items())}}
