"""Classical thresholds that any network must beat, tuned on training pixels with the same care.

The normalised-difference snow index (Hall, Riggs and Salomonson 1995, doi 10.1016/0034-4257(95)00137-P), thresholds of
Otsu (1979, doi 10.1109/TSMC.1979.4310076), and band ratios (Paul et al. 2002, doi 10.3189/172756402781817941). A ratio
a/b is handled as the normalised difference (a - b)/(a + b), which grows with it and stays between -1 and 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CUSTOMARY_NDSI = 0.4
BINS = 1024
# Every n-th pixel of a large sample stands for the others: thresholds change by less than a bin.
PIXELS_PER_SAMPLE = 20_000


@dataclass(frozen=True)
class Baseline:
    """A threshold on a band, or on the normalised difference of two."""

    name: str
    """Name in scores and tables."""
    bands: tuple[str, ...]
    """One band, or the two of (first - second) / (first + second)."""
    threshold: float
    """In units of the band, or of the normalised difference."""
    above: bool
    """Whether ice lies above the threshold, or at and below it."""

    def apply(self, bands: Mapping[str, NDArray[np.float32]]) -> NDArray[np.bool_]:
        """Where there is ice; never where a band is NaN or the normalised difference is not defined.

        Args:
            bands: the image's bands by name, physical values, of one shape.

        Raises:
            DataError: a band is absent.
        """
        missing = [band for band in self.bands if band not in bands]
        if missing:
            raise DataError(
                f"baseline {self.name} needs band {', '.join(missing)}", expected=f"one of {', '.join(bands)}"
            )
        value = _feature([bands[band] for band in self.bands])
        return np.asarray(np.isfinite(value) & ((value > self.threshold) == self.above))

    def describe(self) -> str:
        """The rule in words."""
        value = self.bands[0] if len(self.bands) == 1 else "({0} - {1})/({0} + {1})".format(*self.bands)
        return f"{value} {'>' if self.above else '<='} {self.threshold:.4g}"

    def to_json(self) -> dict[str, Any]:
        """A plain object that `from_json` takes back."""
        return {**asdict(self), "bands": list(self.bands)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Baseline:
        """The inverse of `to_json`."""
        return cls(
            name=str(value["name"]),
            bands=tuple(value["bands"]),
            threshold=float(value["threshold"]),
            above=bool(value["above"]),
        )


def fit_baselines(
    samples: Iterable[tuple[Mapping[str, NDArray[np.float32]], NDArray[np.bool_], NDArray[np.bool_]]],
    *,
    green: str,
    swir: str,
) -> list[Baseline]:
    """Thresholds fitted to training pixels.

    - `ndsi_0.4` and `ndsi_tuned`: the snow index at the customary threshold and at the best one (with green and SWIR),
    - `otsu_<band>`: Otsu's threshold on each band, the side of ice chosen by IoU,
    - `otsu_ratio`: Otsu's threshold on the pair of bands where it does best,
    - `tuned_band` and `tuned_ratio`: the best threshold of any band and of any pair.

    "Best" is the highest IoU on the training pixels.

    Args:
        samples: for each training image its bands by name (y, x), the true ice, and where both are known.
        green: the green band of the snow index; empty: there is none.
        swir: the short-wave infrared band of the snow index; empty: there is none.

    Raises:
        DataError: there is no pixel of ice, or none of other ground.
    """
    bands, pixels, truth = _gathered(samples)
    if not truth.any() or truth.all():
        raise DataError(
            f"{truth.size} training pixels, {int(truth.sum())} of them ice", expected="both ice and other ground"
        )
    singles = [_Histogram.of((band,), [pixels[band]], truth) for band in bands]
    pairs = [_Histogram.of((a, b), [pixels[a], pixels[b]], truth) for a, b in combinations(bands, 2)]
    if green in bands and swir in bands:
        index = _Histogram.of((green, swir), [pixels[green], pixels[swir]], truth)
        found = [
            Baseline(name=f"ndsi_{CUSTOMARY_NDSI:g}", bands=(green, swir), threshold=CUSTOMARY_NDSI, above=True),
            index.tuned("ndsi_tuned", sides=(True,))[1],
        ]
    else:
        found = []
    found += [histogram.otsu(f"otsu_{histogram.bands[0]}")[1] for histogram in singles]
    found.append(_best(histogram.tuned("tuned_band") for histogram in singles))
    if pairs:
        found.append(_best(histogram.otsu("otsu_ratio") for histogram in pairs))
        found.append(_best(histogram.tuned("tuned_ratio") for histogram in pairs))
    return found


def otsu_threshold(counts: NDArray[np.int_], edges: NDArray[np.float64]) -> float:
    """Otsu's threshold of a histogram: the edge that parts it into the two classes farthest apart.

    Args:
        counts: (n,) number of values in each bin.
        edges: (n + 1,) edges of the bins.

    Returns:
        An edge between two bins; values above it are the upper class.
    """
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    moment = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (moment[:-1] / below - (moment[-1] - moment[:-1]) / above) ** 2
    return float(edges[1 + int(np.argmax(np.nan_to_num(between, nan=-1.0)))])


@dataclass(frozen=True)
class _Histogram:
    """Training pixels of one feature, ice and other ground apart."""

    bands: tuple[str, ...]
    edges: NDArray[np.float64]
    ice: NDArray[np.int_]
    other: NDArray[np.int_]
    undefined_ice: int
    """Ice where the feature is not defined: missed by every threshold."""

    @classmethod
    def of(cls, bands: tuple[str, ...], pixels: Sequence[NDArray[np.float32]], truth: NDArray[np.bool_]) -> _Histogram:
        value = _feature(pixels)
        known = np.isfinite(value)
        low, high = (-1.0, 1.0) if len(bands) == 2 else _range_of(value[known])
        edges = np.linspace(low, high, BINS + 1)
        scaled = (value[known] - np.float32(low)) * np.float32(BINS / (high - low))
        index = np.clip(scaled, 0, BINS - 1).astype(np.int16)
        ice, other = (np.bincount(index[side], minlength=BINS) for side in (truth[known], ~truth[known]))
        return cls(bands=bands, edges=edges, ice=ice, other=other, undefined_ice=int(np.count_nonzero(truth & ~known)))

    def otsu(self, name: str) -> tuple[float, Baseline]:
        """IoU and rule of Otsu's threshold, on its better side."""
        threshold = otsu_threshold(self.ice + self.other, self.edges)
        position = int(np.searchsorted(self.edges, threshold)) - 1
        scored = [(float(self._iou(above)[position]), above) for above in (True, False)]
        iou, above = max(scored, key=lambda found: found[0])
        return iou, Baseline(name=name, bands=self.bands, threshold=threshold, above=above)

    def tuned(self, name: str, sides: Sequence[bool] = (True, False)) -> tuple[float, Baseline]:
        """IoU and rule of the threshold with the highest IoU."""
        scored = []
        for above in sides:
            iou = self._iou(above)
            # the middle of a plateau, as far as may be from either class
            best = np.flatnonzero(iou >= iou.max() - 1e-12)
            scored.append((float(iou.max()), float(self.edges[1 + best[len(best) // 2]]), above))
        iou_found, threshold, above = max(scored, key=lambda found: found[0])
        return iou_found, Baseline(name=name, bands=self.bands, threshold=threshold, above=above)

    def _iou(self, above: bool) -> NDArray[np.float64]:  # noqa: FBT001
        """IoU for a threshold at each inner edge."""
        total = self.ice.sum()
        tp, fp = np.cumsum(self.ice)[:-1], np.cumsum(self.other)[:-1]
        if above:
            tp, fp = total - tp, self.other.sum() - fp
        return np.asarray(tp / (total + self.undefined_ice + fp))


def _feature(bands: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    if len(bands) == 1:
        return np.asarray(bands[0], dtype=np.float32)
    first, second = (np.asarray(band, dtype=np.float32) for band in bands)
    total = first + second
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, (first - second) / total, np.float32(np.nan)).astype(np.float32)


def _range_of(values: NDArray[np.float32]) -> tuple[float, float]:
    """Where the bulk of the values lies; the few beyond go to the outermost bins."""
    if not values.size:
        return 0.0, 1.0
    low, high = (float(edge) for edge in np.quantile(values, [0.001, 0.999]))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _best(candidates: Iterator[tuple[float, Baseline]]) -> Baseline:
    return max(candidates, key=lambda found: found[0])[1]


def _gathered(
    samples: Iterable[tuple[Mapping[str, NDArray[np.float32]], NDArray[np.bool_], NDArray[np.bool_]]],
) -> tuple[list[str], dict[str, NDArray[np.float32]], NDArray[np.bool_]]:
    """Bands that every sample has, their pixels, and the truth of these, of at most so many pixels a sample."""
    bands: list[str] | None = None
    pixels: list[dict[str, NDArray[np.float32]]] = []
    truths: list[NDArray[np.bool_]] = []
    for image, truth, where in samples:
        bands = list(image) if bands is None else [band for band in bands if band in image]
        chosen = np.flatnonzero(where)
        chosen = chosen[:: max(1, -(-chosen.size // PIXELS_PER_SAMPLE))]
        pixels.append({band: np.asarray(values).ravel()[chosen] for band, values in image.items()})
        truths.append(np.asarray(truth, dtype=bool).ravel()[chosen])
    if bands is None or not bands:
        raise DataError("there is no training image to fit baselines to", expected="at least one with bands")
    joined = {band: np.concatenate([sample[band] for sample in pixels]) for band in bands}
    return bands, joined, np.concatenate(truths)
