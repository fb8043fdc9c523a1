"""Weather: the season's scenes, their snow and their clouds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from glacier_core.sources.simulated.light import Relief, Sun
from glacier_core.sources.simulated.noise import Bank, Field, ramp
from glacier_core.sources.simulated.terrain import PIXEL_M

MINIMUM = (0.55, 0.8)
"""Part of the season in which snow is least; a scene of each year falls into it."""


@dataclass(frozen=True)
class Pass:
    """One acquisition and its weather."""

    when: datetime
    """Time of the acquisition (UTC)."""
    season: float
    """Part of the season gone by, 0 to 1."""
    cloud: float
    """Part of the sky that clouds cover, 0 to 1."""
    cirrus: float
    """Opacity of thin high cloud, 0 where there is none."""
    snow_line_m: float
    """Elevation above which last winter's snow covers level ground, relative to the equilibrium line, m."""
    fresh_m: float
    """Elevation above which fresh snow lies, relative to the equilibrium line, m; infinite without fresh snow."""

    def overcast(self) -> Pass:
        """The same acquisition under a closed cover."""
        return replace(self, cloud=1.0, cirrus=0.0)


@dataclass(frozen=True)
class Clouds:
    """Clouds over a scene, fields of (size, size)."""

    opacity: Field
    """Part of the light from below that clouds hold back."""
    brightness: Field
    """Brightness of the clouds relative to their mean."""
    cirrus: Field
    """Part of `opacity` that is thin high cloud."""
    shade: Field
    """Part of the direct sunlight that they take from the ground."""


def weather_of_year(rng: np.random.Generator, days: list[datetime], seasons: list[float], *, anchor: int) -> list[Pass]:
    """Weather of a year's scenes; the scene `anchor` is a fairly clear one."""
    melt = float(rng.uniform(190, 340))
    late = float(rng.normal(35, 20))
    winter = float(rng.uniform(0.74, 0.95))
    passes = []
    for number, (when, season) in enumerate(zip(days, seasons, strict=True)):
        line = late - melt * max(0.0, 1 - season / 0.6) ** 1.2
        fresh = math.inf
        if season > winter or rng.random() < 0.07:
            fresh = float(rng.uniform(-420, -60))
        cloud, cirrus = _sky(rng)
        if number == anchor:
            cloud, cirrus = min(cloud, float(rng.uniform(0, 0.15))), 0.0
            fresh = math.inf
        passes.append(Pass(when, season, cloud, cirrus, line, fresh))
    return passes


def _sky(rng: np.random.Generator) -> tuple[float, float]:
    """Cover and cirrus: mountains in summer are clear, half covered or overcast about equally often."""
    kind = rng.random()
    if kind < 0.42:
        cloud = rng.uniform(0, 0.08)
    elif kind < 0.72:
        cloud = rng.uniform(0.08, 0.5)
    elif kind < 0.92:
        cloud = rng.uniform(0.5, 0.97)
    else:
        cloud = 1.0
    return float(cloud), float(rng.uniform(0.08, 0.3)) if rng.random() < 0.2 else 0.0


class SnowGround:
    """Where snow lasts: an elevation that counts aspect, hollows and steepness.

    Args:
        rng: source of randomness.
        relief: the surface.
        ice: 1 on glaciers, 0 beside them, (size, size); ice keeps snow longer than rock.
    """

    def __init__(self, rng: np.random.Generator, relief: Relief, ice: Field) -> None:
        from scipy import ndimage

        size = ice.shape[0]
        surface = relief.surface
        # snow drifts even out what is smaller than about 30 m
        slope, north, even = (ndimage.gaussian_filter(field, 1.8) for field in (relief.slope, relief.north, surface))
        hollow = np.clip((ndimage.gaussian_filter(surface, 6.0) - even) / 8, -1.5, 1.5)
        steep = np.maximum(slope - 0.6, 0)
        bank = Bank(rng, size, slope=2.9, low=6, count=2)
        patches = bank.draw(rng)
        beside = 75 * patches + 40 * hollow - 330 * steep - 200
        on_ice = 26 * patches + 12 * hollow
        self.level: Field = (even + 130 * north + np.where(ice > 0.5, on_ice, beside)).astype(np.float32)
        """Elevation above which a snow line lies, m."""
        lasting = 1.0 * hollow + 1.1 * bank.draw(rng) + 2.2 * north - 1.6 * steep
        self.lasting: Field = np.where(ice > 0.5, -9, lasting).astype(np.float32)
        """How well snow patches outlast the summer, normal units."""

    def cover(self, sky: Pass, ela_m: float, lasting_from_m: float) -> tuple[Field, Field]:
        """Part of each pixel under last winter's snow, and under fresh snow.

        Args:
            sky: the scene's weather.
            ela_m: the year's equilibrium line.
            lasting_from_m: elevation above which snow patches last.
        """
        old = ramp(self.level, ela_m + sky.snow_line_m - 40, ela_m + sky.snow_line_m + 45)
        height: Field = (self.level - np.float32(lasting_from_m)) / np.float32(260)
        patch = ramp(self.lasting + height, 2.3, 2.9)
        old = np.maximum(old, patch)
        if math.isinf(sky.fresh_m):
            return old, np.zeros_like(old)
        return old, 0.92 * ramp(self.level, ela_m + sky.fresh_m - 60, ela_m + sky.fresh_m + 120)


class Sky:
    """Makes clouds over a place.

    Args:
        rng: source of randomness.
        size: rows and columns.
    """

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self._large = Bank(rng, size, slope=3.1, low=1.5)
        self._small = Bank(rng, size, slope=3.0, low=6)
        self._veil = Bank(rng, size, slope=3.6, low=1)

    def clouds(self, rng: np.random.Generator, sky: Pass, sun: Sun) -> Clouds:
        """Clouds and their shadows."""
        field = self._large.draw(rng) + np.float32(0.3) * self._small.draw(rng)
        opacity = _billows(field, sky.cloud, float(rng.uniform(0.35, 0.9)))
        veil = self._veil.draw(rng)
        cirrus = np.float32(sky.cirrus) * ramp(veil, -0.8, 0.8) if sky.cirrus else np.zeros_like(opacity)
        base_m = rng.uniform(500, 1500)
        reach = base_m / math.tan(math.radians(sun.elevation)) / PIXEL_M
        around = math.radians(sun.azimuth)
        # the field is periodic: shadows of clouds outside the scene fall into it
        shift = (round(reach * math.cos(around)), round(-reach * math.sin(around)))
        shade = np.float32(0.85) * np.roll(opacity, shift, axis=(0, 1))
        return Clouds(
            opacity=1 - (1 - opacity) * (1 - cirrus),
            brightness=1 + np.float32(0.08) * veil + np.float32(0.12) * (opacity - 0.8),
            cirrus=cirrus,
            shade=shade,
        )


def _billows(field: Field, cover: float, thickness: float) -> Field:
    if cover <= 0.005:
        return np.zeros_like(field)
    if cover >= 0.995:
        return (0.9 + 0.1 * ramp(field, -1.5, 0.5)).astype(np.float32)
    count = int(cover * (field.size - 1))
    edge = float(-np.partition(-field.ravel(), count)[count])
    soft: Field = np.clip((field - edge) / thickness, 0, 1) ** np.float32(0.7)
    return soft
