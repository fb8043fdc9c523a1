"""Spectral indices, by name: what each is made of, and how.

Bands are named by what they see, with STAC's common names (https://github.com/stac-extensions/eo#common-band-names):
green 0.56 µm, red 0.66 µm, nir 0.86 µm, swir16 1.6 µm.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError, DataError

Pixels: TypeAlias = NDArray[np.float32]

LEAST_SWIR = 1e-3
"""Reflectance below which a short-wave infrared band holds nothing but noise: a ratio by less would have no bound."""


@dataclass(frozen=True)
class Index:
    """One index: what it is called, what it needs, how it is made."""

    name: str
    """Short name, as recipes write it."""
    bands: tuple[str, ...]
    """Common names of the bands, in the order in which `formula` takes them."""
    title: str
    """What a person calls it."""
    quantity: str
    """What its values are: `index`, from -1 to 1, or `ratio`, from 0 on."""
    formula: Callable[[Pixels, Pixels], Pixels] = field(repr=False, compare=False)
    """Makes it from reflectances of any one shape."""


def spectral_index(name: str, bands: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """An index by its name.

    Args:
        name: a key of `INDICES`.
        bands: reflectances by common name, all of one shape; more than the index needs may be there.

    Returns:
        The index, of the bands' shape; NaN where one of its bands is NaN or it has no value.

    Raises:
        ConfigurationError: there is no such index, or one of its bands is not there.
        DataError: the bands differ in shape.
    """
    index = INDICES.get(name)
    if index is None:
        near = difflib.get_close_matches(name, INDICES, n=1)
        raise ConfigurationError(
            f"there is no index {name!r}",
            expected=f"one of {', '.join(INDICES)}",
            do=f"write {near[0]!r}" if near else "",
        )
    missing = [band for band in index.bands if band not in bands]
    if missing:
        raise ConfigurationError(
            f"the index {name} lacks band {', '.join(missing)}",
            expected=f"{' and '.join(index.bands)}",
            do=f"add them to the bands ({', '.join(bands) or 'none'})",
        )
    first, second = (np.asarray(bands[band], dtype=np.float32) for band in index.bands)
    if first.shape != second.shape:
        raise DataError(
            f"band {index.bands[0]} has the shape {first.shape} and {index.bands[1]} {second.shape}",
            expected="bands on one grid",
        )
    return index.formula(first, second)


def ndsi(green: NDArray[np.float32], swir: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalised-difference snow index, (green - swir) / (green + swir).

    Hall, Riggs and Salomonson 1995, doi:10.1016/0034-4257(95)00137-P.

    Args:
        green: reflectance near 0.56 µm, any shape.
        swir: reflectance near 1.6 µm, the same shape.

    Returns:
        From -1 to 1; NaN where either band is NaN or their sum is not positive. Reflectance below zero counts as zero.
    """
    return _normalised_difference(green, swir)


def ndsii(red: NDArray[np.float32], swir: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalised-difference snow and ice index, (red - swir) / (red + swir), values as in `ndsi`.

    Xiao, Shen and Qin 2001, International Journal of Remote Sensing 22(13), 2479-2487. Red tells dirty ice from water
    and thin cloud a little better than green does.
    """
    return _normalised_difference(red, swir)


def ndwi(green: NDArray[np.float32], nir: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalised-difference water index of open water, (green - nir) / (green + nir), values as in `ndsi`.

    McFeeters 1996, doi:10.1080/01431169608948714. Gao's index of the same year and name is `ndmi`.
    """
    return _normalised_difference(green, nir)


def ndmi(nir: NDArray[np.float32], swir: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalised-difference moisture index, (nir - swir) / (nir + swir), values as in `ndsi`.

    What Gao 1996 (doi:10.1016/S0034-4257(96)00067-3) called NDWI, with the band at 1.6 µm that Landsat and Sentinel-2
    have in place of 1.24 µm.
    """
    return _normalised_difference(nir, swir)


def ndvi(nir: NDArray[np.float32], red: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalised-difference vegetation index, (nir - red) / (nir + red), values as in `ndsi`.

    Tucker 1979, doi:10.1016/0034-4257(79)90013-0.
    """
    return _normalised_difference(nir, red)


def band_ratio(bright: NDArray[np.float32], swir: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ratio of a visible or near-infrared band to that at 1.6 µm: high on ice and snow, low on rock.

    Red / SWIR: Paul et al. 2016, doi:10.3390/rs8070575. NIR / SWIR: Paul et al. 2002, doi:10.3189/172756402781817941.

    Args:
        bright: reflectance in red or near infrared, any shape.
        swir: reflectance near 1.6 µm, the same shape.

    Returns:
        From 0 on; NaN where either band is NaN, or neither holds more than noise. SWIR below `LEAST_SWIR` counts as
        that, so that dark, clean snow has a high ratio and not an infinite one.
    """
    above = np.maximum(bright, np.float32(0))
    below = np.maximum(swir, np.float32(LEAST_SWIR))
    ratio = np.asarray(above / below, dtype=np.float32)
    ratio[(above <= 0) & (below <= np.float32(LEAST_SWIR))] = np.nan
    return ratio


def _normalised_difference(first: Pixels, second: Pixels) -> Pixels:
    bright, dark = np.maximum(first, np.float32(0)), np.maximum(second, np.float32(0))
    total = bright + dark
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, (bright - dark) / total, np.float32(np.nan)).astype(np.float32)


INDICES: Mapping[str, Index] = {
    index.name: index
    for index in (
        Index("ndsi", ("green", "swir16"), "normalised-difference snow index", "index", ndsi),
        Index("ndsii", ("red", "swir16"), "normalised-difference snow and ice index", "index", ndsii),
        Index("ndwi", ("green", "nir"), "normalised-difference water index", "index", ndwi),
        Index("ndmi", ("nir", "swir16"), "normalised-difference moisture index", "index", ndmi),
        Index("ndvi", ("nir", "red"), "normalised-difference vegetation index", "index", ndvi),
        Index("red_swir_ratio", ("red", "swir16"), "ratio of red to short-wave infrared", "ratio", band_ratio),
        Index("nir_swir_ratio", ("nir", "swir16"), "ratio of near to short-wave infrared", "ratio", band_ratio),
    )
}
"""Every index by its name."""
