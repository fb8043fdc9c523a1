"""Normalisation: zero mean and unit spread for each band, fitted on training data alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError


@dataclass(frozen=True)
class Normalisation:
    """What is subtracted from each band, and what it is divided by."""

    bands: tuple[str, ...]
    """Names of the bands, in the model's order."""
    mean: tuple[float, ...]
    """Mean of each band over the training pixels that were seen, in its physical unit."""
    std: tuple[float, ...]
    """Standard deviation of each band over the same pixels; 1 where the band is constant."""

    def apply(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The image in units of standard deviations; NaN becomes 0, the mean.

        Args:
            image: (..., band, y, x) float32, physical values, NaN where nothing was seen; bands in the order of
                `bands` (`for_bands` makes it that of another image).

        Raises:
            DataError: the number of bands is another.
        """
        if image.ndim < 3 or image.shape[-3] != len(self.bands):
            raise DataError(
                f"the image has the shape {image.shape}", expected=f"{len(self.bands)} bands before y and x"
            )
        mean, std = (np.asarray(values, dtype=np.float32)[:, None, None] for values in (self.mean, self.std))
        scaled: NDArray[np.float32] = (image - mean) / std
        return np.nan_to_num(scaled, copy=False, nan=0.0)

    def for_bands(self, bands: Sequence[str]) -> Normalisation:
        """The same numbers for an image with these bands, in their order.

        Raises:
            DataError: a band was not among the training data's.
        """
        absent = [band for band in bands if band not in self.bands]
        if absent:
            raise DataError(
                f"band {', '.join(absent)} has no normalisation", expected=f"bands among {', '.join(self.bands)}"
            )
        order = [self.bands.index(band) for band in bands]
        return Normalisation(
            bands=tuple(bands),
            mean=tuple(self.mean[index] for index in order),
            std=tuple(self.std[index] for index in order),
        )

    def to_json(self) -> dict[str, Any]:
        """A plain object that `from_json` takes back."""
        return {"bands": list(self.bands), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Normalisation:
        """The inverse of `to_json`.

        Raises:
            DataError: there is not one mean and one positive standard deviation for each band.
        """
        made = cls(bands=tuple(value["bands"]), mean=tuple(value["mean"]), std=tuple(value["std"]))
        if not len(made.bands) == len(made.mean) == len(made.std) or not all(number > 0 for number in made.std):
            raise DataError(
                f"the normalisation has {len(made.bands)} bands, {len(made.mean)} means and {len(made.std)} "
                "standard deviations",
                expected="one of each for every band, the deviations above zero",
            )
        return made


def fit_normalisation(images: Iterable[NDArray[np.float32]], *, bands: Sequence[str]) -> Normalisation:
    """Mean and standard deviation of each band in one pass, by merging each image's moments.

    Chan, Golub and LeVeque 1982 (doi:10.1007/978-3-642-51461-6_3): no cancellation, constant memory.

    Args:
        images: (band, y, x) each, physical values; NaN does not count.
        bands: names of the bands.

    Raises:
        DataError: an image has another number of bands, or a band has no value at all.
    """
    count = np.zeros(len(bands))
    mean = np.zeros(len(bands))
    squares = np.zeros(len(bands))
    for image in images:
        if image.ndim != 3 or image.shape[0] != len(bands):
            raise DataError(f"a training image has the shape {image.shape}", expected=f"({len(bands)}, y, x)")
        values = image.reshape(len(bands), -1).astype(np.float64)
        seen = np.isfinite(values)
        values[~seen] = 0
        n = seen.sum(axis=1)
        own = values.sum(axis=1) / np.maximum(n, 1)
        spread = (np.where(seen, values - own[:, None], 0) ** 2).sum(axis=1)
        total = np.maximum(count + n, 1)
        shift = own - mean
        squares += spread + shift**2 * count * n / total
        mean += shift * n / total
        count += n
    if not count.all():
        empty = [band for band, number in zip(bands, count, strict=True) if not number]
        raise DataError(
            f"no training pixel has a value in band {', '.join(empty)}", expected="clear pixels in the training set"
        )
    std = np.sqrt(squares / count)
    # a band that never changes says nothing: dividing by rounding errors would make it say something
    std[std <= 1e-9 * np.maximum(np.abs(mean), 1e-9)] = 1.0
    return Normalisation(
        bands=tuple(bands), mean=tuple(float(value) for value in mean), std=tuple(float(value) for value in std)
    )
