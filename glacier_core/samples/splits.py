"""Training, validation and test sets that share no place: by place, or by cuts through one image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glacier_core import recipes
from glacier_core.errors import ConfigurationError
from glacier_core.store import digest_of

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

PARTS = ("train", "validation", "test")
_MOST_CUTS = 200

Interval = tuple[float, float]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class SplitFile:
    """Which glacier serves which set. Its hash tells whether two models were held to the same one."""

    by: str
    """place, easting or northing."""
    parts: Mapping[str, tuple[str, ...]]
    """Glacier ids of train, validation and test, sorted."""
    places: Mapping[str, int] = field(default_factory=dict)
    """By place: the place of every glacier."""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """By easting or northing: the coordinates, in units of the CRS, between which each part's pixels lie."""
    gap_m: float = 0.0
    """By easting or northing: width of the strip between two parts, in units of the CRS."""
    seed: int = 0
    """What chance followed from."""

    @property
    def bounds(self) -> dict[str, Bounds]:
        """By easting or northing: left, bottom, right, top of each part's ground; infinite where nothing bounds it."""
        if self.by == "easting":
            return {part: (low, -math.inf, high, math.inf) for part, (low, high) in self.intervals.items()}
        return {part: (-math.inf, low, math.inf, high) for part, (low, high) in self.intervals.items()}

    @property
    def hash(self) -> str:
        """Digest of everything else in the file."""
        return digest_of(self._content())

    def part_of(self) -> dict[str, str]:
        """The part of every glacier that serves one."""
        return {glacier: part for part, glaciers in self.parts.items() for glacier in glaciers}

    def to_json(self) -> dict[str, Any]:
        """A plain object that `from_json` takes back; None stands for "without end"."""
        return {**self._content(), "hash": self.hash}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SplitFile:
        """The inverse of `to_json`.

        Raises:
            ConfigurationError: the hash is not that of the content.
        """
        found = cls(
            by=value["by"],
            parts={part: tuple(value[part]) for part in PARTS},
            places=dict(value["places"]),
            intervals={
                part: (-math.inf if low is None else low, math.inf if high is None else high)
                for part, (low, high) in value["intervals"].items()
            },
            gap_m=value["gap_m"],
            seed=value["seed"],
        )
        if found.hash != value["hash"]:
            raise ConfigurationError(
                f"the split file's hash is {value['hash']}",
                expected=found.hash,
                do="restore the file, which was changed",
            )
        return found

    def _content(self) -> dict[str, Any]:
        return {
            "by": self.by,
            **{part: list(self.parts.get(part, ())) for part in PARTS},
            "places": dict(self.places),
            "intervals": {
                part: [number if math.isfinite(number) else None for number in interval]
                for part, interval in self.intervals.items()
            },
            "gap_m": self.gap_m,
            "seed": self.seed,
        }


def assign_places(windows: Sequence[BaseGeometry]) -> list[int]:
    """The place of each window: windows that meet, directly or through others, show one place.

    Args:
        windows: polygons in one CRS.

    Returns:
        Numbers from 0, in the order in which places first come up.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from shapely import STRtree

    if not windows:
        return []
    left, right = STRtree(list(windows)).query(list(windows), predicate="intersects")
    links = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(len(windows), len(windows)))
    _, labels = connected_components(links, directed=False)
    order: dict[int, int] = {}
    return [order.setdefault(int(label), len(order)) for label in labels]


def split_by_place(places: Mapping[str, int], *, split: recipes.Split) -> SplitFile:
    """Deal whole places out to the three sets so that the numbers of glaciers come near the recipe's fractions.

    The largest places go first, each to the set that lacks most; chance (the recipe's seed) orders those of equal size.
    No set stays empty while there are three places or more.

    Args:
        places: the place of each glacier.
        split: the recipe's fractions and seed.
    """
    glaciers: dict[int, list[str]] = {}
    for glacier, place in sorted(places.items()):
        glaciers.setdefault(place, []).append(glacier)
    # numbered by what lies there: the order in which glaciers came must change nothing
    grounds = sorted(glaciers.values())
    shuffled = [grounds[index] for index in np.random.default_rng(split.seed).permutation(len(grounds))]
    shuffled.sort(key=len, reverse=True)
    wanted = {part: getattr(split, part) * len(places) for part in PARTS}
    dealt: dict[str, list[str]] = {part: [] for part in PARTS}
    for number, ground in enumerate(shuffled):
        empty = [part for part in PARTS if not dealt[part]]
        among = empty if len(shuffled) - number <= len(empty) else PARTS
        # in relative terms, so that a small set is not the last to get anything
        part = max(among, key=lambda name: (wanted[name] - len(dealt[name])) / wanted[name])
        dealt[part].extend(ground)
    return SplitFile(
        by="place",
        parts={part: tuple(sorted(found)) for part, found in dealt.items()},
        places={glacier: int(place) for glacier, place in sorted(places.items())},
        seed=split.seed,
    )


def split_by_axis(outlines: Mapping[str, BaseGeometry], *, split: recipes.Split) -> SplitFile:
    """Cut one image into training, validation and test ground, from west to east or from south to north.

    The two cuts are laid where the numbers of glaciers come nearest to the recipe's fractions, with a strip of `gap_m`
    around each that serves neither side. A glacier serves validation or test only if it lies there whole, for a part of
    a glacier has no area to compare; it serves training if its middle lies there, with the pixels that do.

    Args:
        outlines: outline of each glacier in the imagery's CRS.
        split: the recipe's axis, fractions and gap.

    Raises:
        ConfigurationError: no two cuts leave a glacier to each set.
    """
    names = sorted(outlines)
    axis = 0 if split.by == "easting" else 1
    extent = np.asarray([outlines[name].bounds for name in names], dtype=np.float64).reshape(len(names), 4)
    low, high = extent[:, axis], extent[:, axis + 2]
    half = split.gap_m / 2
    best: tuple[float, float, float] | None = None
    cuts = _candidates(low, high, half)
    for first in cuts:
        for second in cuts[cuts >= first + split.gap_m]:
            counts = [int(part.sum()) for part in _members(low, high, first, second, half)]
            if min(counts) > 0:
                miss = sum(
                    abs(count / len(names) - getattr(split, part)) for count, part in zip(counts, PARTS, strict=True)
                )
                best = min(best or (math.inf, 0.0, 0.0), (miss, float(first), float(second)))
    if best is None:
        raise ConfigurationError(
            f"{len(names)} glaciers cannot be cut by {split.by} into three sets with gaps of {split.gap_m:g} m",
            expected="a glacier that lies whole in each of the last two sets",
            do="lower split.gap_m, cut along the other axis, or split by place",
        )
    _, first, second = best
    members = _members(low, high, first, second, half)
    return SplitFile(
        by=split.by,
        parts={
            part: tuple(name for name, inside in zip(names, found, strict=True) if inside)
            for part, found in zip(PARTS, members, strict=True)
        },
        intervals={
            "train": (-math.inf, first - half),
            "validation": (first + half, second - half),
            "test": (second + half, math.inf),
        },
        gap_m=split.gap_m,
        seed=split.seed,
    )


def _candidates(low: NDArray[np.float64], high: NDArray[np.float64], half: float) -> NDArray[np.float64]:
    """Places for a cut: right beside a glacier's ends."""
    cuts = np.unique(np.concatenate([low - half, high + half]))
    if len(cuts) > _MOST_CUTS:
        cuts = cuts[np.linspace(0, len(cuts) - 1, _MOST_CUTS).round().astype(int)]
    return cuts


def _members(
    low: NDArray[np.float64], high: NDArray[np.float64], first: float, second: float, half: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    return (
        (low + high) / 2 < first - half,
        (low >= first + half) & (high <= second - half),
        low >= second + half,
    )


def check_no_leak(split: SplitFile | Mapping[str, Any]) -> None:
    """Refuse a split whose sets share a glacier, a place or ground.

    Args:
        split: the split, or what its `to_json` gave.

    Raises:
        ConfigurationError: two sets share something, or the file was changed after its hash was made.
    """
    file = split if isinstance(split, SplitFile) else SplitFile.from_json(split)
    owner: dict[str, str] = {}
    where: dict[int, str] = {}
    for part, glaciers in file.parts.items():
        for glacier in glaciers:
            if owner.setdefault(glacier, part) != part:
                raise _leak(f"glacier {glacier}", owner[glacier], part)
            place = file.places.get(glacier)
            if place is not None and where.setdefault(place, part) != part:
                raise _leak(f"place {place}", where[place], part)
    ordered = sorted(file.intervals.items(), key=lambda item: item[1])
    for (before, (_, end)), (after, (start, _)) in itertools.pairwise(ordered):
        # what rounding takes off the gap is far less than a pixel
        if start < end or start - end < file.gap_m * (1 - 1e-9) - 1e-6:
            raise _leak(f"the ground from {start:g} to {end:g} (gap {file.gap_m:g})", before, after)


def _leak(what: str, one: str, other: str) -> ConfigurationError:
    return ConfigurationError(
        f"the split leaks: {what} serves both {one} and {other}",
        expected="sets that share no place",
        do="make it again",
    )
