"""Fronts without a network, which any network must beat; tuned on the training images with the same care.

- `mean_front`: the mean front of the training images, at the same place in every image.
- `sobel_path`: the path of least cost along strong edges (Sobel), near where fronts lay in training. How far that may
  be, and how much edges count, is tuned.
- `otsu`: the longest boundary of Otsu's two classes (1979, doi 10.1109/TSMC.1979.4310076) near where fronts lay.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.errors import DataError
from glacier_core.labels.fronts import length_of, trace
from glacier_core.measure.baselines import otsu_threshold
from glacier_core.measure.fronts.distances import compare_fronts
from glacier_core.measure.fronts.lines import crossings
from glacier_core.measure.fronts.paths import least_cost_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Line = NDArray[np.float64]
    Image = NDArray[np.float32]

NAMES = ("sobel_path", "mean_front", "otsu")
SPREADS = (0.03, 0.06, 0.12, 0.25)
"""How far from the mean front a path may lie before it costs e times as much: parts of the image's diagonal."""
POWERS = (1.0, 2.0, 4.0)
EDGE_SMOOTHING_PX = 1.5
TUNING_IMAGES = 12
MOST_PIXELS = 400**2
"""A larger image is made smaller first: a path through it takes a second for each of these."""
POINTS = 100
CORRIDOR = 0.15
FEWEST_POINTS = 8
BINS = 256


@dataclass(frozen=True)
class FrontBaseline:
    """A rule that draws a front into an image."""

    name: str
    """One of `NAMES`."""
    mean: tuple[tuple[float, float], ...]
    """The mean training front: points as parts of the image's height and width."""
    spread: float = 0.1
    """See `SPREADS`."""
    power: float = 1.0
    """Exponent of the edge's strength."""

    def apply(self, image: Image) -> Line:
        """The front in an image (y, x), NaN where nothing was seen."""
        if self.name == "mean_front":
            return np.asarray(np.array(self.mean) * np.array(image.shape))
        small, factor = _smaller(image)
        prior = np.array(self.mean) * np.array(small.shape)
        if self.name == "sobel_path":
            line = _sobel_path(small, prior, spread=self.spread, power=self.power)
        else:
            line = _otsu(small, prior)
        return (line + 0.5) * factor - 0.5 if factor > 1 else line

    def describe(self) -> str:
        """The rule in words."""
        if self.name == "sobel_path":
            return f"least-cost path on Sobel edges (power {self.power:g}, prior within {self.spread:g} diagonals)"
        return "Otsu's threshold near the mean front" if self.name == "otsu" else "mean front of the training images"

    def to_json(self) -> dict[str, Any]:
        """A plain object that `from_json` takes back."""
        mean = [list(point) for point in self.mean]
        return {"name": self.name, "mean": mean, "spread": self.spread, "power": self.power}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FrontBaseline:
        """The inverse of `to_json`."""
        mean = tuple((float(row), float(column)) for row, column in value["mean"])
        return cls(name=str(value["name"]), mean=mean, spread=float(value["spread"]), power=float(value["power"]))


def fit_front_baselines(
    fronts: Sequence[tuple[Line, tuple[int, int]]], image: Callable[[int], Image]
) -> list[FrontBaseline]:
    """Rules fitted to training images.

    Args:
        fronts: true fronts, all walked in the same direction (see `labels.fronts.oriented`), and rows and columns of
            their images.
        image: reads the image (y, x) of a front by its number; called for `TUNING_IMAGES` of them at most.

    Raises:
        DataError: there is no image.
    """
    if not fronts:
        raise DataError("there is no training image to fit front baselines to", expected="at least one")
    lines = np.stack([_parts(line) / np.array(shape) for line, shape in fronts])
    mean = tuple((float(row), float(column)) for row, column in lines.mean(axis=0))
    # every n-th image stands for the others: paths take time
    every = max(1, -(-len(fronts) // TUNING_IMAGES))
    chosen = [(image(number), fronts[number][0]) for number in range(0, len(fronts), every)]
    rules = [
        FrontBaseline("sobel_path", mean, spread=spread, power=power)
        for spread, power in itertools.product(SPREADS, POWERS)
    ]
    best = min(rules, key=lambda rule: sum(compare_fronts(rule.apply(seen), line).symmetric for seen, line in chosen))
    return [best, FrontBaseline("mean_front", mean), FrontBaseline("otsu", mean)]


def _parts(line: Line) -> Line:
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    wanted = np.linspace(0.0, along[-1], POINTS)
    return np.stack([np.interp(wanted, along, line[:, axis]) for axis in (0, 1)], axis=1)


def _smaller(image: Image) -> tuple[Image, int]:
    """The means of square blocks of an image that would take a path too long, and the blocks' side."""
    factor = math.ceil(math.sqrt(image.size / MOST_PIXELS))
    if factor < 2:
        return image, 1
    height, width = (length // factor for length in image.shape)
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor)
    seen = np.isfinite(blocks)
    count = seen.sum(axis=(1, 3))
    total = np.where(seen, blocks, 0).sum(axis=(1, 3), dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32), factor


def _filled(image: Image) -> Image:
    seen = np.isfinite(image)
    return np.where(seen, image, np.median(image[seen]) if seen.any() else 0).astype(np.float32)


def _away(prior: Line, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Distance of each pixel from the mean front, in diagonals of the image."""
    from scipy.spatial import cKDTree

    pixels = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 2)
    distance: NDArray[np.float64] = np.asarray(cKDTree(prior).query(pixels)[0]).reshape(shape)
    return distance / math.hypot(*shape)


def _sobel_path(image: Image, prior: Line, *, spread: float, power: float) -> Line:
    from scipy.ndimage import gaussian_filter, sobel

    smooth = gaussian_filter(_filled(image), EDGE_SMOOTHING_PX)
    edges = np.hypot(sobel(smooth, axis=0), sobel(smooth, axis=1))
    strength = np.clip(edges / max(float(np.quantile(edges, 0.98)), 1e-9), 0, 1) ** power
    cost = np.exp(np.minimum(_away(prior, image.shape) / spread, 30.0)) / (0.05 + strength)
    return least_cost_path(cost, ends=_ends(prior, image.shape))


def _ends(prior: Line, shape: tuple[int, ...]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Pixels along the flow at either end of the mean front: on lines through its ends, across their chord."""
    chord = prior[-1] - prior[0]
    across = np.array([-chord[1], chord[0]]) / max(float(np.hypot(*chord)), 1e-9)
    reach = np.arange(-math.hypot(*shape), math.hypot(*shape), 0.5)
    found = []
    for end in (prior[0], prior[-1]):
        pixels = np.unique(np.round(end + reach[:, None] * across).astype(int), axis=0)
        inside = ((pixels >= 0) & (pixels < np.array(shape))).all(axis=1)
        nearest = np.clip(np.round(end).astype(int), 0, np.array(shape) - 1)
        chosen = pixels[inside] if inside.any() else nearest[None]
        found.append([(int(row), int(column)) for row, column in chosen])
    return found[0], found[1]


def _otsu(image: Image, prior: Line) -> Line:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(_filled(image), 2.0)
    counts, edges = np.histogram(smooth, bins=BINS)
    side = np.where(smooth > otsu_threshold(counts, edges), 1.0, -1.0)
    side[_away(prior, image.shape) > CORRIDOR] = np.nan
    line = trace(crossings(side), largest_gap=1.5)
    return line if len(line) >= FEWEST_POINTS and length_of(line) > 0 else prior
