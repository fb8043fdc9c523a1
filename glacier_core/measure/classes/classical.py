"""Classical class maps that any network must beat, fitted on training pixels with the same care.

Majority class; nearest class mean and Gaussian maximum likelihood (Richards 2013, doi:10.1007/978-3-642-30062-2,
chapter 8) on bands and indices; thresholds for two classes (see `glacier_core.measure.baselines`); and, where labels
hold what lies in the image's middle, the snow index within a distance of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import IGNORED
from glacier_core.errors import DataError
from glacier_core.measure.baselines import Baseline, fit_baselines

Channels = Mapping[str, NDArray[np.float32]]
Sample = tuple[Channels, NDArray[np.uint8]]
"""Channels by name (y, x), and the true classes, 255 where unlabelled."""

PIXELS_PER_SAMPLE = 20_000
SNOW_INDEX = "ndsi"
ROUND, SQUARE = "middle_round", "middle_square"
"""Channels with the distance from the middle, of `glacier_core.prepare.features`."""
LEAST_VARIANCE = 1e-6


class ClassicalMap(ABC):
    """A rule that gives each pixel a class."""

    name: str
    """Name in scores and tables."""

    @abstractmethod
    def apply(self, channels: Channels) -> NDArray[np.uint8]:
        """Class of each pixel (y, x); 255 where the rule is not defined.

        Raises:
            DataError: a channel is absent.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """A plain object that `read_classical` takes back."""


@dataclass(frozen=True)
class MajorityClass(ClassicalMap):
    """The commonest class of the training pixels, everywhere."""

    number: int
    """The class."""
    name: str = "majority"

    def apply(self, channels: Channels) -> NDArray[np.uint8]:
        """See `ClassicalMap.apply`."""
        shape = next(iter(channels.values())).shape
        return np.full(shape, self.number, dtype=np.uint8)

    def to_json(self) -> dict[str, Any]:
        """See `ClassicalMap.to_json`."""
        return {"rule": "majority", **asdict(self)}


@dataclass(frozen=True)
class Threshold(ClassicalMap):
    """A threshold on a band or on the normalised difference of two: the second of two classes, else the first."""

    rule: Baseline
    """The threshold."""

    @property
    def name(self) -> str:  # type: ignore[override]  # the rule's own
        """Name in scores and tables."""
        return self.rule.name

    def apply(self, channels: Channels) -> NDArray[np.uint8]:
        """See `ClassicalMap.apply`."""
        return self.rule.apply(channels).astype(np.uint8)

    def to_json(self) -> dict[str, Any]:
        """See `ClassicalMap.to_json`."""
        return {"rule": "threshold", **self.rule.to_json()}


@dataclass(frozen=True)
class PlaceRule(ClassicalMap):
    """The second of two classes where the snow index is above a threshold, within a distance of the image's middle."""

    threshold: float
    """Least snow index; -2: any."""
    reach: float
    """Greatest distance, in parts of the half side."""
    name: str = "ndsi_place"

    def apply(self, channels: Channels) -> NDArray[np.uint8]:
        """See `ClassicalMap.apply`."""
        _require(channels, (ROUND, SNOW_INDEX))
        snow = np.nan_to_num(channels[SNOW_INDEX], nan=-1.0)
        return ((snow > self.threshold) & (channels[ROUND] < self.reach)).astype(np.uint8)

    def to_json(self) -> dict[str, Any]:
        """See `ClassicalMap.to_json`."""
        return {"rule": "place", **asdict(self)}


@dataclass(frozen=True)
class NearestMean(ClassicalMap):
    """The class whose mean is nearest in units of each channel's spread."""

    channels: tuple[str, ...]
    """What is looked at."""
    means: tuple[tuple[float, ...], ...]
    """Of each class, each channel; NaN for a class that never occurs."""
    spread: tuple[float, ...]
    """Standard deviation of each channel."""
    name: str = "nearest_mean"

    def apply(self, channels: Channels) -> NDArray[np.uint8]:
        """See `ClassicalMap.apply`."""
        pixels = _stacked(channels, self.channels) / np.asarray(self.spread, np.float32)[:, None, None]
        means = np.asarray(self.means, np.float32) / np.asarray(self.spread, np.float32)
        far = np.stack([((pixels - mean[:, None, None]) ** 2).sum(axis=0) for mean in means])
        return _least(far)

    def to_json(self) -> dict[str, Any]:
        """See `ClassicalMap.to_json`."""
        return {"rule": "nearest_mean", **asdict(self)}


@dataclass(frozen=True)
class MaximumLikelihood(ClassicalMap):
    """The class under whose normal distribution the pixel is likeliest, weighted by how common the class is."""

    channels: tuple[str, ...]
    """What is looked at."""
    means: tuple[tuple[float, ...], ...]
    """Of each class, each channel; NaN for a class that never occurs."""
    covariances: tuple[tuple[tuple[float, ...], ...], ...]
    """Of each class."""
    shares: tuple[float, ...]
    """Part of the training pixels of each class."""
    name: str = "maximum_likelihood"

    def apply(self, channels: Channels) -> NDArray[np.uint8]:
        """See `ClassicalMap.apply`."""
        pixels = _stacked(channels, self.channels)
        shape = pixels.shape[1:]
        flat = pixels.reshape(len(self.channels), -1).astype(np.float64)
        cost = np.full((len(self.means), flat.shape[1]), np.nan)
        for number, (mean, covariance, share) in enumerate(zip(self.means, self.covariances, self.shares, strict=True)):
            if share <= 0:
                continue
            away = flat - np.asarray(mean)[:, None]
            factor = np.linalg.cholesky(np.asarray(covariance))
            white = np.linalg.solve(factor, away)
            cost[number] = (white**2).sum(axis=0) + 2 * np.log(np.diag(factor)).sum() - 2 * np.log(share)
        return _least(cost.reshape(-1, *shape))

    def to_json(self) -> dict[str, Any]:
        """See `ClassicalMap.to_json`."""
        return {"rule": "maximum_likelihood", **asdict(self)}


def read_classical(value: Mapping[str, Any]) -> ClassicalMap:
    """The rule that a `to_json` wrote."""
    kind, plain = value["rule"], {key: found for key, found in value.items() if key != "rule"}
    if kind == "threshold":
        return Threshold(Baseline.from_json(plain))
    if kind == "majority":
        return MajorityClass(**plain)
    if kind == "place":
        return PlaceRule(**plain)
    fixed = {key: _tuples(found) for key, found in plain.items()}
    return NearestMean(**fixed) if kind == "nearest_mean" else MaximumLikelihood(**fixed)


def fit_classical(
    samples: Iterable[Sample], *, classes: int, spectral: Sequence[str], green: str = "", swir: str = ""
) -> list[ClassicalMap]:
    """All rules that make sense of the samples, fitted to them.

    Args:
        samples: training images with their true classes.
        classes: number of classes.
        spectral: bands and indices among the channels, which classical maps look at.
        green: green band, for the snow index of two classes; empty: there is none.
        swir: band at 1.6 µm, likewise.

    Raises:
        DataError: no pixel is labelled.
    """
    kept = [_thinned(channels, truth) for channels, truth in samples]
    kept = [(channels, truth) for channels, truth in kept if truth.size]
    if not kept:
        raise DataError("no training pixel is labelled", expected="labelled pixels that were seen")
    names = tuple(name for name in spectral if all(name in channels for channels, _ in kept))
    truth = np.concatenate([own for _, own in kept])
    pixels = np.stack([np.concatenate([channels[name] for channels, _ in kept]) for name in names]).astype(np.float64)
    counts = np.bincount(truth, minlength=classes)
    rules: list[ClassicalMap] = [MajorityClass(int(counts.argmax()))]
    if classes == 2 and counts.all():
        bands = [name for name in names if name != SNOW_INDEX]
        shown = [({band: own[band] for band in bands}, true == 1, true != IGNORED) for own, true in kept]
        rules += [Threshold(rule) for rule in fit_baselines(shown, green=green, swir=swir)]
        if all(ROUND in own and SNOW_INDEX in own for own, _ in kept):
            rules += _place_rules(kept)
    rules += _by_distribution(pixels, truth, names=names, counts=counts)
    return rules


def _thinned(channels: Channels, truth: NDArray[np.uint8]) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.uint8]]:
    """Labelled pixels where every channel is known, at most so many."""
    seen = np.all([np.isfinite(channel) for channel in channels.values()], axis=0)
    chosen = np.flatnonzero(((truth != IGNORED) & seen).ravel())
    chosen = chosen[:: max(1, -(-chosen.size // PIXELS_PER_SAMPLE))]
    return {name: np.asarray(channel).ravel()[chosen] for name, channel in channels.items()}, truth.ravel()[chosen]


def _by_distribution(
    pixels: NDArray[np.float64], truth: NDArray[np.uint8], *, names: tuple[str, ...], counts: NDArray[np.int64]
) -> list[ClassicalMap]:
    spread = np.maximum(pixels.std(axis=1), LEAST_VARIANCE)
    means: list[tuple[float, ...]] = []
    covariances: list[tuple[tuple[float, ...], ...]] = []
    shares = [0.0] * len(counts)
    for number, count in enumerate(counts):
        own = pixels[:, truth == number]
        # a covariance needs more pixels than channels
        usable = int(count) > 2 * len(names)
        means.append(tuple(own.mean(axis=1).tolist()) if usable else (float("nan"),) * len(names))
        covariance = np.atleast_2d(np.cov(own)) if usable else np.eye(len(names))
        covariance = covariance + np.diag(LEAST_VARIANCE + 1e-4 * spread**2)
        covariances.append(tuple(tuple(row) for row in covariance.tolist()))
        shares[number] = float(count / counts.sum()) if usable else 0.0
    return [
        NearestMean(channels=names, means=tuple(means), spread=tuple(spread.tolist())),
        MaximumLikelihood(channels=names, means=tuple(means), covariances=tuple(covariances), shares=tuple(shares)),
    ]


def _place_rules(kept: Sequence[tuple[Mapping[str, NDArray[np.float32]], NDArray[np.uint8]]]) -> list[ClassicalMap]:
    """The distance alone, and the snow index within a distance, each with the highest IoU on the samples."""
    snow = np.concatenate([np.nan_to_num(own[SNOW_INDEX], nan=-1.0) for own, _ in kept])
    far = np.concatenate([own[ROUND] for own, _ in kept])
    inside = np.concatenate([true for _, true in kept]) == 1
    total = int(inside.sum())

    def best(threshold: float) -> tuple[float, float]:
        """IoU and distance of the best distance for a threshold."""
        chosen = snow > threshold
        edges = np.linspace(0, 1.5, 301)
        hit = np.cumsum(np.histogram(far[chosen & inside], edges)[0])
        every = np.cumsum(np.histogram(far[chosen], edges)[0])
        iou = hit / (total + every - hit)
        return float(iou.max()), float(edges[1 + int(iou.argmax())])

    tried = {float(threshold): best(float(threshold)) for threshold in np.linspace(-0.3, 0.9, 97)}
    threshold = max(tried, key=lambda found: tried[found][0])
    return [
        PlaceRule(threshold=-2.0, reach=best(-2.0)[1], name="place"),
        PlaceRule(threshold=threshold, reach=tried[threshold][1]),
    ]


def _stacked(channels: Channels, names: Sequence[str]) -> NDArray[np.float32]:
    _require(channels, names)
    return np.stack([np.asarray(channels[name], dtype=np.float32) for name in names])


def _require(channels: Channels, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in channels]
    if missing:
        raise DataError(f"a classical map needs channel {', '.join(missing)}", expected=f"one of {', '.join(channels)}")


def _least(cost: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Number of the least cost along the first axis; 255 where all are NaN."""
    known = np.isfinite(cost)
    found: NDArray[np.uint8] = np.where(known, cost, np.inf).argmin(axis=0).astype(np.uint8)
    found[~known.any(axis=0)] = IGNORED
    return found


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value
