"""Landsat Level 1: from digital numbers to reflectance at the top of the atmosphere and to brightness temperature.

The formulas are those of the Landsat 8-9 Data Users Handbook (USGS, LSDS-1574), chapter 5, and hold for Landsat 4 to 9
with the numbers of each scene's own metadata (MTL). Level 2 products need none of this: theirs is a scale and an
offset, which reading applies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import SceneError
from glacier_core.prepare.sun import Sun

FILL = 0
"""The digital number of pixels that the scene does not cover."""

# Level 2 metadata repeat these keys with other numbers (surface reflectance) in groups of other names
LEVEL_1_GROUPS = ("LEVEL1_RADIOMETRIC_RESCALING", "RADIOMETRIC_RESCALING")
THERMAL_GROUPS = ("LEVEL1_THERMAL_CONSTANTS", "TIRS_THERMAL_CONSTANTS", "THERMAL_CONSTANTS")


@dataclass(frozen=True)
class LandsatCalibration:
    """What the metadata of one Landsat scene say about its digital numbers. Bands are named as in MTL: "4", "10"."""

    scene: str
    """Product id."""
    sun: Sun
    """The sun at the scene's centre."""
    reflectance: Mapping[str, tuple[float, float]]
    """Reflectance, before the sun's elevation, of each reflective band: factor and summand."""
    radiance: Mapping[str, tuple[float, float]]
    """Spectral radiance of each band in W m-2 sr-1 µm-1: factor and summand."""
    thermal: Mapping[str, tuple[float, float]]
    """K1 (W m-2 sr-1 µm-1) and K2 (K) of each thermal band."""

    @classmethod
    def from_mtl(cls, metadata: Mapping[str, Any] | str) -> LandsatCalibration:
        """Read the scene's metadata.

        Args:
            metadata: content of the `_MTL.json` file of Collection 2: as text, or what `json.loads` makes of it.

        Raises:
            SceneError: it is no such file, or lacks the numbers of Level 1.
        """
        groups = _groups(metadata)
        rescaling = _first(groups, LEVEL_1_GROUPS)
        thermal = _first(groups, THERMAL_GROUPS)
        image = groups.get("IMAGE_ATTRIBUTES", {})
        product = _first(groups, ("LEVEL1_PROCESSING_RECORD", "PRODUCT_CONTENTS"))
        scene = str(product.get("LANDSAT_PRODUCT_ID", "a Landsat scene"))
        try:
            sun = Sun(float(image["SUN_AZIMUTH"]), float(image["SUN_ELEVATION"]))
            found = cls(
                scene=scene,
                sun=sun,
                reflectance=dict(_pairs(rescaling, "REFLECTANCE_MULT_BAND_", "REFLECTANCE_ADD_BAND_")),
                radiance=dict(_pairs(rescaling, "RADIANCE_MULT_BAND_", "RADIANCE_ADD_BAND_")),
                thermal=dict(_pairs(thermal, "K1_CONSTANT_BAND_", "K2_CONSTANT_BAND_")),
            )
        except KeyError as error:
            raise SceneError(f"the metadata of {scene} lack {error.args[0]}") from None
        except (TypeError, ValueError) as error:
            raise SceneError(f"the metadata of {scene} hold something else than a number ({error})") from None
        if not found.reflectance:
            raise SceneError(
                f"the metadata of {scene} have no rescaling of Level 1", expected=f"a group {LEVEL_1_GROUPS[0]}"
            )
        return found

    def toa_reflectance(
        self, numbers: NDArray[Any], *, band: str, sun_elevation_deg: NDArray[np.float32] | float | None = None
    ) -> NDArray[np.float32]:
        """Reflectance at the top of the atmosphere, (M Q + A) / sin(sun's elevation).

        Args:
            numbers: digital numbers of any shape, 0 or NaN where there is no data.
            band: which band they are of: "4", "B4" and "B04" name the same.
            sun_elevation_deg: the sun above the horizon for each pixel, where it is known better than at the scene's
                centre, to which the handbook's formula refers otherwise.

        Returns:
            Of the same shape, without unit; NaN where there is no data or the sun is below the horizon.

        Raises:
            SceneError: the metadata have no reflectance of that band.
        """
        factor, summand = self._of(self.reflectance, band, "reflectance")
        values = _linear(numbers, factor, summand)
        if sun_elevation_deg is None:
            values /= np.float32(math.sin(math.radians(self.sun.elevation_deg)))
            return values
        elevation = np.asarray(sun_elevation_deg, dtype=np.float32)
        # no sun, no reflectance: NaN divides to NaN
        height = np.sin(np.deg2rad(np.where(elevation > 0, elevation, np.float32(np.nan))))
        return np.asarray(values / height, dtype=np.float32)

    def brightness_temperature(self, numbers: NDArray[Any], *, band: str) -> NDArray[np.float32]:
        """Temperature of a black body that looks as bright: K2 / ln(K1 / L + 1), L = M Q + A.

        Not the surface's temperature: neither its emissivity nor the air above are accounted for.

        Args:
            numbers: digital numbers of any shape, 0 or NaN where there is no data.
            band: which band they are of: "10", "B10", "6_VCID_1".

        Returns:
            Of the same shape, in kelvin; NaN where there is no data or no radiance.

        Raises:
            SceneError: the metadata have no thermal constants of that band.
        """
        k1, k2 = self._of(self.thermal, band, "thermal constants")
        factor, summand = self._of(self.radiance, band, "radiance")
        radiance = _linear(numbers, factor, summand)
        radiance[radiance <= 0] = np.nan
        # log1p in place: three passes over the pixels and no copy
        np.divide(np.float32(k1), radiance, out=radiance)
        np.log1p(radiance, out=radiance)
        return np.divide(np.float32(k2), radiance, out=radiance)

    def _of(self, numbers: Mapping[str, tuple[float, float]], band: str, what: str) -> tuple[float, float]:
        name = band.upper().removeprefix("BAND_").removeprefix("B").lstrip("0")
        if name not in numbers:
            raise SceneError(
                f"the metadata of {self.scene} have no {what} of band {band}",
                expected=f"one of {', '.join(numbers) or 'none'}",
            )
        return numbers[name]


def _groups(metadata: Mapping[str, Any] | str) -> Mapping[str, Any]:
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except ValueError:
            raise SceneError(
                "the metadata are not JSON", expected="the content of a file that ends in _MTL.json"
            ) from None
    if not isinstance(metadata, Mapping):
        raise SceneError("the metadata are no object", expected="the content of a file that ends in _MTL.json")
    for key in ("LANDSAT_METADATA_FILE", "L1_METADATA_FILE"):
        if isinstance(metadata.get(key), Mapping):
            inner: Mapping[str, Any] = metadata[key]
            return inner
    return metadata


def _first(groups: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    for name in names:
        if isinstance(groups.get(name), Mapping):
            found: Mapping[str, Any] = groups[name]
            return found
    return {}


def _pairs(group: Mapping[str, Any], first: str, second: str) -> Iterator[tuple[str, tuple[float, float]]]:
    for key, value in group.items():
        if key.startswith(first):
            band = key.removeprefix(first)
            yield band, (float(value), float(group[second + band]))


def _linear(numbers: NDArray[Any], factor: float, summand: float) -> NDArray[np.float32]:
    """factor * number + summand as float32, NaN where the number is the fill."""
    raw = np.asarray(numbers)
    values = raw.astype(np.float32)
    values *= np.float32(factor)
    values += np.float32(summand)
    values[raw == FILL] = np.nan
    return values
