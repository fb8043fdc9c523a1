"""C-correction: takes out of an image what the terrain's slopes do to its light.

Teillet, Guindon and Goodenough 1982, doi:10.1080/07038992.1982.10855028. Over slopes of one surface the measured
reflectance L rises with the cosine of the sun's incidence, L = a + b cos i: b by direct light, a by that of the sky and
of the ground around. With c = a / b the reflectance of level ground is L (cos z + c) / (cos i + c), z being the sun's
zenith distance.

The fit holds for one kind of surface: where ice lies on shady slopes and rock on sunny ones, a single line through both
says nothing of either. Kinds of surface can be told apart (`strata`), and a fit without meaning is refused, the band
then staying as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError
from glacier_core.prepare.terrain import illumination, slope_deg

if TYPE_CHECKING:
    from glacier_core.prepare.sun import Sun

LEAST_SLOPE_DEG = 5.0
"""Ground less steep than this says little about the fit: its light hardly varies (Reese and Olsson 2011,
doi:10.1016/j.rse.2011.01.019, who sample the slopes for that reason)."""
LEAST_CORRELATION = 0.15
"""Correlation of reflectance and illumination below which the terrain is not what makes the image vary."""
LEAST_PIXELS = 200
"""Pixels on slopes below which nothing is fitted."""
GREATEST_REST = 0.5
"""Part of the image's dependence on the light that a correction may leave; one that leaves more is none."""
GREATEST_GAIN = 4.0
"""Pixels that would be brightened by more are noise: they are not corrected, and not trusted."""

DARK = 0.0
"""Illumination at which direct light ends."""


@dataclass(frozen=True)
class BandFit:
    """What the fit of one band on one kind of surface gave."""

    band: str
    """Name of the band."""
    stratum: int
    """Which kind of surface; 1 where they are not told apart."""
    verdict: Literal["corrected", "refused"]
    """Whether the band was changed there."""
    reason: str
    """Why it was refused; empty otherwise."""
    pixels: int
    """Pixels on slopes that the fit is from."""
    c: float
    """The parameter c, without unit and never negative; NaN where nothing could be fitted."""
    correlation: float
    """Of reflectance and illumination before the correction; NaN where nothing could be fitted."""
    correlation_after: float
    """The same after it; as before where the band was refused."""


@dataclass(frozen=True)
class TopographicCorrection:
    """An image as if its ground were level."""

    image: NDArray[np.float32]
    """(band, y, x), as given where the fit was refused or nothing is known of the terrain."""
    trusted: NDArray[np.bool_]
    """(y, x): false in self-shadow, and where any band would be brightened too much: there nothing was corrected."""
    fits: tuple[BandFit, ...]
    """One for each band and kind of surface."""


def c_correction(
    image: NDArray[np.float32],
    gradient: NDArray[np.float32],
    sun: Sun,
    *,
    bands: Sequence[str],
    strata: NDArray[np.uint8] | None = None,
    shadow: NDArray[np.uint8] | None = None,
) -> TopographicCorrection:
    """Correct reflectance for the terrain's light, each band by its own fit.

    A fit is refused, and the band left as it is, where fewer than `LEAST_PIXELS` lit pixels lie on slopes, the
    illumination there does not vary, the correlation with it is below `LEAST_CORRELATION`, the image is darker where
    there is more light, or the correction leaves most of the light's part in the image. A fit with a negative c (the
    image grows faster than the light: haze was taken off too much) is held at c = 0, which is the plain cosine
    correction.

    Args:
        image: (band, y, x) float32 reflectance, NaN where nothing was seen.
        gradient: (2, y, x), from `terrain_gradient` on the same grid.
        sun: where the sun stood.
        bands: names of the bands.
        strata: (y, x) kinds of surface, each fitted by itself; 0 is left out and not corrected. Such as 1 where NDSI
            is above 0.4, else 2.
        shadow: (y, x), from `cast_shadow`; pixels that are 1 are neither used nor corrected.

    Raises:
        DataError: the shapes do not fit each other.
    """
    kinds = np.ones(image.shape[1:], np.uint8) if strata is None else strata
    _check(image, gradient, bands, kinds, shadow)
    light = illumination(gradient, sun)
    lit = light > DARK
    if shadow is not None:
        lit &= shadow != 1
    known = np.isfinite(light)
    useful = lit & (slope_deg(gradient) >= LEAST_SLOPE_DEG)
    level = math.sin(math.radians(sun.elevation_deg))
    corrected = image.copy()
    trusted = lit | ~known
    fits: list[BandFit] = []
    for stratum in (int(code) for code in np.unique(kinds) if code):
        here = kinds == stratum
        gains: list[NDArray[np.float32] | None] = []
        for pixels, band in zip(image, bands, strict=True):
            fit = _fit(pixels, light, useful & here, BandFit(band, stratum, "refused", "", 0, *[math.nan] * 3))
            gain = _gain(light, level, fit.c) if fit.verdict == "corrected" else None
            if gain is not None:
                fit = _tried(pixels, light, gain, useful & here, fit)
            gains.append(gain if fit.verdict == "corrected" else None)
            fits.append(fit)
        for gain in gains:
            if gain is not None:
                trusted &= ~(here & known) | (gain <= GREATEST_GAIN)
        change = here & known & trusted
        for pixels, gain, made in zip(image, gains, corrected, strict=True):
            if gain is not None:
                np.multiply(pixels, gain, out=made, where=change)
    return TopographicCorrection(corrected, trusted, tuple(fits))


def _check(
    image: NDArray[np.float32],
    gradient: NDArray[np.float32],
    bands: Sequence[str],
    kinds: NDArray[np.uint8],
    shadow: NDArray[np.uint8] | None,
) -> None:
    if image.ndim != 3 or len(image) != len(bands):
        raise DataError(f"the image has the shape {image.shape}", expected=f"({len(bands)}, y, x)")
    for name, shape in (
        ("gradient", gradient.shape[1:]),
        ("strata", kinds.shape),
        ("shadow", image.shape[1:] if shadow is None else shadow.shape),
    ):
        if shape != image.shape[1:]:
            raise DataError(f"the {name} has the shape {shape}", expected=f"{image.shape[1:]}, that of the image")


def _fit(band: NDArray[np.float32], light: NDArray[np.float32], useful: NDArray[np.bool_], fit: BandFit) -> BandFit:
    sample = useful & np.isfinite(band)
    count = int(sample.sum())
    fit = replace(fit, pixels=count)
    if count < LEAST_PIXELS:
        return replace(fit, reason=f"only {count} lit pixels lie on slopes, fewer than {LEAST_PIXELS}")
    x, y = light[sample].astype(np.float64), band[sample].astype(np.float64)
    x_mean, y_mean = x.mean(), y.mean()
    x -= x_mean
    y -= y_mean
    spread_x, spread_y, common = float(x @ x), float(y @ y), float(x @ y)
    if spread_x < count * 1e-4 or spread_y <= count * 1e-12:
        return replace(fit, reason="the illumination or the reflectance hardly varies")
    correlation = common / math.sqrt(spread_x * spread_y)
    fit = replace(fit, correlation=correlation, correlation_after=correlation)
    if abs(correlation) < LEAST_CORRELATION:
        return replace(fit, reason=f"the correlation with the illumination is {correlation:.2f}: too weak")
    if correlation < 0:
        return replace(fit, reason=f"the image is darker where there is more light (correlation {correlation:.2f})")
    gain = common / spread_x
    return replace(fit, verdict="corrected", c=max(0.0, (y_mean - gain * x_mean) / gain))


def _gain(light: NDArray[np.float32], level: float, c: float) -> NDArray[np.float32]:
    """How many times brighter level ground is."""
    received = np.maximum(light, np.float32(DARK)) + np.float32(c)
    # without any light at all the gain is beyond the greatest one, and finite
    return np.asarray(np.float32(level + c) / np.maximum(received, np.float32(1e-6)))


def _tried(
    band: NDArray[np.float32],
    light: NDArray[np.float32],
    gain: NDArray[np.float32],
    useful: NDArray[np.bool_],
    fit: BandFit,
) -> BandFit:
    """The fit with the correlation that it leaves; refused where the light's part of the image hardly shrinks."""
    sample = useful & np.isfinite(band) & (gain <= GREATEST_GAIN)
    x, before = light[sample].astype(np.float64), band[sample].astype(np.float64)
    after = before * gain[sample]
    left, correlation = _response(x, after)
    had = _response(x, before)[0]
    if not left <= GREATEST_REST * had:
        return replace(
            fit, verdict="refused", reason=f"the correction leaves {left:.3f} of {had:.3f} of the light's part"
        )
    return replace(fit, correlation_after=correlation)


def _response(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """By what part of its mean y changes with a standard deviation of x, and the correlation of both."""
    if x.size < LEAST_PIXELS or not y.any():
        return math.nan, math.nan
    spread = float(x.std() * y.std())
    common = float(((x - x.mean()) * (y - y.mean())).mean())
    # an image without any variation left follows no light
    correlation = common / spread if spread > 1e-12 else 0.0
    return abs(common / max(float(x.std()), 1e-12) / float(y.mean())), correlation
