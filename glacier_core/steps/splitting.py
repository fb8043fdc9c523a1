"""Which series, or which of their periods, serve training, validation and test: a plan's split file.

By place or by name the file is that of `glacier_core.samples.SplitFile`. By time it is {by, train_to, validation_to,
test_to, train, validation, test, hash}, where the three lists say `<series>:<from>..<to>` for people.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import Split
from glacier_core.store import digest_of

if TYPE_CHECKING:
    from glacier_core.sources.series import Series

PARTS = ("train", "validation", "test")
WGS84 = "EPSG:4326"


def split_series(split: Split, series: Sequence[Series], places: Mapping[str, int]) -> dict[str, Any]:
    """The split file of a recipe's series.

    Args:
        split: how the recipe splits.
        series: its series.
        places: the place of each, from `places_of`.

    Raises:
        ConfigurationError: the recipe names a place that is not there, the sets share ground, or one of them is empty.
    """
    from glacier_core.samples import check_no_leak, split_by_place

    if split.by == "time":
        return _by_time(split, series)
    if split.by not in ("place", "named"):
        raise ConfigurationError(
            f"split.by is '{split.by}', which cuts one image of glaciers in parts",
            expected="place, named or time for recipes of this kind",
            do="correct split.by",
        )
    file = split_by_place(places, split=split) if split.by == "place" else _by_name(split, places)
    check_no_leak(file)
    empty = [part for part in PARTS if not file.parts[part]]
    if empty:
        raise ConfigurationError(
            f"split by {split.by} leaves no series to {' and '.join(empty)}: {len(set(places.values()))} places are "
            "there",
            expected="a place for each of train, validation and test",
            do="add places, or split by time",
        )
    return file.to_json()


def untrained(names: Sequence[str], *, tested: bool) -> dict[str, Any]:
    """The split file of a run that trains nothing: all series are tested, or none serves anything."""
    return {"by": "none", "train": [], "validation": [], "test": sorted(names) if tested else [], "hash": ""}


def part_of(split: Mapping[str, Any], name: str) -> str:
    """The part that a series serves; `all` where periods are told apart, empty where it serves none."""
    if split["by"] == "time":
        return "all"
    return next((part for part in PARTS if name in split[part]), "")


def period_of(split: Mapping[str, Any], time: str) -> str:
    """The part that a time serves, of a split by time.

    Args:
        split: the split file; in one that is not by time, every time serves the test.
        time: ISO 8601.

    Returns:
        train, validation, test, or empty for a time after the test's end, or one that the model that is evaluated saw
        (`seen_to`).
    """
    day = time[:10]
    if split["by"] != "time":
        seen = split.get("seen_to", "")
        return "" if seen and day <= seen else "test"
    if day <= split["train_to"]:
        return "train"
    if day <= split["validation_to"]:
        return "validation"
    return "test" if not split["test_to"] or day <= split["test_to"] else ""


def without_what_was_seen(split: dict[str, Any], *, seen: Mapping[str, Any]) -> dict[str, Any]:
    """The split file of an evaluation, without the times of the same series that the model was fitted on.

    Args:
        split: all series are tested.
        seen: the split file that the model was trained on.
    """
    if seen.get("by") != "time":
        return split
    known = {str(entry).rpartition(":")[0] for entry in seen["train"]}
    return {**split, "seen_to": seen["validation_to"]} if known & set(split["test"]) else split


def check_split(split: Mapping[str, Any]) -> None:
    """Refuse a split whose sets share a place, ground or time, or that was changed after it was made.

    Raises:
        ConfigurationError: it leaks.
    """
    if split["by"] != "time":
        from glacier_core.samples import check_no_leak

        check_no_leak(split)
        return
    ends = [end for end in (split["train_to"], split["validation_to"], split["test_to"]) if end]
    if ends != sorted(set(ends)) or _digest(split) != split["hash"]:
        raise ConfigurationError(
            f"the split leaks: train ends {split['train_to']}, validation {split['validation_to']}, test "
            f"{split['test_to'] or 'never'}",
            expected="periods that follow each other, as they were when the split was made",
            do="make it again",
        )


def places_of(series: Sequence[Series]) -> dict[str, int]:
    """The number of the place of each series: those whose ground meets share one; ground without a CRS is its own."""
    if len(series) == 1:
        return {series[0].name: 0}
    import shapely
    from pyproj import Transformer

    from glacier_core.samples import assign_places

    located = [each for each in series if each.grid.crs]
    boxes = [
        shapely.box(*Transformer.from_crs(each.grid.crs, WGS84, always_xy=True).transform_bounds(*each.grid.bounds))
        for each in located
    ]
    numbers = dict(zip((each.name for each in located), assign_places(boxes), strict=True))
    first = max(numbers.values(), default=-1) + 1
    alone = [each.name for each in series if not each.grid.crs]
    return numbers | {name: first + number for number, name in enumerate(alone)}


def joined(places: Mapping[str, int], groups: Sequence[Sequence[str]]) -> dict[str, int]:
    """The places, those of each group become one; numbers from 0.

    Args:
        places: the place of each series.
        groups: names of series that show the same ground; those that are absent are passed over, so that a part of the
            data may be used alone.
    """
    found = dict(places)
    for group in groups:
        numbers = {found[name] for name in group if name in found}
        if numbers:
            found = {name: min(numbers) if number in numbers else number for name, number in found.items()}
    order = {number: index for index, number in enumerate(sorted(set(found.values())))}
    return {name: order[number] for name, number in found.items()}


def place_names(units: Mapping[str, Any]) -> dict[str, str]:
    """The place of each unit, by the name of the first of its units; units have a `place`."""
    first: dict[int, str] = {}
    for name, unit in sorted(units.items()):
        first.setdefault(unit.place, name)
    return {name: first[unit.place] for name, unit in units.items()}


def _by_name(split: Split, places: Mapping[str, int]) -> Any:
    from glacier_core.samples import SplitFile

    for name in (*split.validation_places, *split.test_places):
        if name not in places:
            near = difflib.get_close_matches(name, places, n=1, cutoff=0.5)
            raise ConfigurationError(
                f"split names the place '{name}', which is not among {len(places)}",
                expected=f"'{near[0]}'" if near else f"one of {', '.join(sorted(places)[:10])}",
                do="correct split.validation_places or split.test_places",
            )
    held = {*split.validation_places, *split.test_places}
    return SplitFile(
        by="named",
        parts={
            "train": tuple(sorted(name for name in places if name not in held)),
            "validation": tuple(sorted(split.validation_places)),
            "test": tuple(sorted(split.test_places)),
        },
        places=dict(sorted(places.items())),
    )


def _by_time(split: Split, series: Sequence[Series]) -> dict[str, Any]:
    undated = [each.name for each in series if not each.dated]
    if undated:
        raise ConfigurationError(
            f"split by time, and the images of {undated[0]} have no dates",
            expected="dates in the names of the files, or a split by place",
            do="state imagery.date_pattern, or change split.by",
        )
    file: dict[str, Any] = {"by": "time", "train_to": str(split.train_to), "validation_to": str(split.validation_to)}
    file["test_to"] = str(split.test_to) if split.test_to else ""
    starts = {"train": "", "validation": file["train_to"], "test": file["validation_to"]}
    names = sorted(each.name for each in series)
    for part in PARTS:
        file[part] = [f"{name}:{starts[part]}..{file[f'{part}_to']}" for name in names]
        if not any(period_of(file, frame.time.isoformat()) == part for each in series for frame in each.frames):
            raise ConfigurationError(
                f"no image lies in the period of {part} ({starts[part] or 'from the first'} to "
                f"{file[f'{part}_to'] or 'the last'})",
                expected="images in each of the three periods",
                do="correct split.train_to, split.validation_to, split.test_to or years",
            )
    return {**file, "hash": _digest(file)}


def _digest(split: Mapping[str, Any]) -> str:
    return digest_of({key: value for key, value in split.items() if key != "hash"})
