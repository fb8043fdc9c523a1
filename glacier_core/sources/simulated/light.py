"""Light: where the sun stands when the satellite passes, and what of its light reaches each pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from glacier_core.sources.simulated.noise import Field
from glacier_core.sources.simulated.spectra import DIFFUSE
from glacier_core.sources.simulated.terrain import PIXEL_M

OVERPASS_H = 10.5
"""Local solar time of Sentinel-2's descending node, hours."""
TERRAIN_CORRECTION = 0.75
"""Exponent of the relief shading that is left in Level-2A: 1 none removed, 0 all (Minnaert's constant)."""


@dataclass(frozen=True)
class Sun:
    """Direction of the sun."""

    elevation: float
    """Degrees above the horizon."""
    azimuth: float
    """Degrees clockwise from north."""

    @property
    def toward(self) -> tuple[float, float, float]:
        """Unit vector east, north, up."""
        up, around = math.radians(self.elevation), math.radians(self.azimuth)
        return math.cos(up) * math.sin(around), math.cos(up) * math.cos(around), math.sin(up)


def sun_at(when: datetime, latitude: float) -> Sun:
    """The sun at the satellite's pass (Spencer 1971's declination; spherical astronomy)."""
    angle = 2 * math.pi * (when.timetuple().tm_yday - 1) / 365.0
    declination = (
        0.006918
        - 0.399912 * math.cos(angle)
        + 0.070257 * math.sin(angle)
        - 0.006758 * math.cos(2 * angle)
        + 0.000907 * math.sin(2 * angle)
    )
    hour, phi = math.radians(15 * (OVERPASS_H - 12)), math.radians(latitude)
    up = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(hour)
    east = -math.cos(declination) * math.sin(hour)
    north = math.cos(phi) * math.sin(declination) - math.sin(phi) * math.cos(declination) * math.cos(hour)
    return Sun(elevation=math.degrees(math.asin(up)), azimuth=math.degrees(math.atan2(east, north)) % 360)


class Relief:
    """Slopes of a surface, and its shading under any sun.

    Args:
        surface: elevation (size, size), m, rows south.
        caster: the relief whose cast shadows serve this one too, if it differs in detail only.
    """

    def __init__(self, surface: Field, *, caster: Relief | None = None) -> None:
        down, right = np.gradient(surface, PIXEL_M)
        self.surface = surface
        self.slope: Field = np.hypot(down, right).astype(np.float32)
        """Tangent of the slope."""
        length = np.sqrt(1 + self.slope**2)
        self.east: Field = (-right / length).astype(np.float32)
        """East component of the normal."""
        self.north: Field = (down / length).astype(np.float32)
        """North component of the normal."""
        self.up: Field = (1 / length).astype(np.float32)
        """Vertical component of the normal."""
        self._caster = caster
        self._shadows: dict[int, Field] = {}

    def light(self, sun: Sun, dimmed: Field) -> Field:
        """Light on each pixel relative to level ground in the sun, (bands, y, x).

        Args:
            sun: direction of the sun.
            dimmed: part of the direct light that clouds take away, (y, x).
        """
        x, y, z = sun.toward
        incidence = np.maximum(self.east * np.float32(x) + self.north * np.float32(y) + self.up * np.float32(z), 0)
        relative = incidence * self.shadow(sun) / np.float32(z)
        direct = np.minimum(relative ** np.float32(TERRAIN_CORRECTION), 1.5) * (1 - dimmed)
        sky = 0.5 + 0.5 * self.up
        parts = np.array(DIFFUSE, dtype=np.float32)[:, None, None]
        light: Field = (1 - parts) * direct + parts * (sky * (1 + 0.25 * dimmed))
        return light

    def shadow(self, sun: Sun) -> Field:
        """1 in the sun, 0 in the shadow that the relief casts, (y, x); suns of about the same direction share one."""
        if self._caster is not None:
            return self._caster.shadow(sun)
        key = round(sun.elevation / 4) * 1000 + round(sun.azimuth / 6)
        if key not in self._shadows:
            self._shadows[key] = _cast(self.surface, sun)
        return self._shadows[key]


def _cast(surface: Field, sun: Sun) -> Field:
    from scipy import ndimage

    coarse = surface[::2, ::2]
    size = coarse.shape[0]
    around = math.radians(sun.azimuth)
    rise = 2 * PIXEL_M * math.tan(math.radians(sun.elevation))
    horizon = np.full(coarse.shape, -np.inf, dtype=np.float32)
    reach = min(size - 1, int((surface.max() - surface.min()) / rise) + 1)
    for step in range(1, reach):
        rows, columns = round(-step * math.cos(around)), round(step * math.sin(around))
        r0, r1 = max(0, -rows), min(size, size - rows)
        c0, c1 = max(0, -columns), min(size, size - columns)
        ahead = coarse[r0 + rows : r1 + rows, c0 + columns : c1 + columns] - np.float32(step * rise)
        np.maximum(horizon[r0:r1, c0:c1], ahead, out=horizon[r0:r1, c0:c1])
    lit = np.repeat(np.repeat((horizon <= coarse + 3).astype(np.float32), 2, axis=0), 2, axis=1)
    soft: Field = ndimage.gaussian_filter(lit, 1.2)
    return soft
