"""Surfaces: what covers the ground of a place in each year, before any seasonal snow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glacier_core.sources.simulated.glaciers import Ice
from glacier_core.sources.simulated.light import Relief
from glacier_core.sources.simulated.noise import Bank, Field, Mask, fractal, ramp
from glacier_core.sources.simulated.spectra import mix, spectrum, tint
from glacier_core.sources.simulated.terrain import Terrain


@dataclass(frozen=True)
class Surface:
    """A place's ground in one year, without seasonal snow."""

    reflectance: Field
    """(bands, y, x)"""
    water: Field
    """Part of each pixel under water."""
    relief: Relief
    """Its slopes."""
    ela_m: float
    """Equilibrium-line altitude."""


@dataclass(frozen=True)
class Parts:
    """What covers how much of each pixel, before any seasonal snow, (y, x) from 0 to 1; all of them add up to 1."""

    rock: Field
    """Rock, scree and till."""
    vegetation: Field
    """Meadows."""
    water: Field
    """Lakes."""
    debris: Field
    """Debris on ice."""
    ice: Field
    """Bare ice."""
    firn: Field
    """Snow of earlier years, on ice."""


class Ground:
    """Makes the surfaces of one place.

    Rock, scree and debris share one geology, so that debris differs from what lies beside the glacier by little: it is
    fresh and grey where exposed rock is weathered and red, and its grain is finer.

    Args:
        rng: source of randomness.
        terrain: the place.
        ice: its glaciers.
    """

    def __init__(self, rng: np.random.Generator, terrain: Terrain, ice: Ice) -> None:
        self._ice = ice
        self._shapes = _Shapes(rng, terrain, ice)
        self.relief = self._shapes.in_year(0)
        """Slopes in the first year."""
        first = _extent(ice, 0)
        self._ela_m = float(np.quantile(ice.surface[first], rng.uniform(0.36, 0.46)))
        self._rise_m = float(rng.uniform(4, 9))
        self._geology = tint(brightness=float(rng.normal(1, 0.12)), redness=float(rng.normal(0, 0.045)))
        patches = Bank(rng, terrain.size, slope=2.8, low=3)
        grains = Bank(rng, terrain.size, slope=1.8, low=16)
        self._bare, self._green = self._land(rng, terrain, patches, grains)
        smooth = 1 + np.float32(0.03) * grains.draw(rng) + np.float32(0.05) * patches.draw(rng)
        self._debris: Field = spectrum("debris") * self._geology * smooth
        self._grain = grains.draw(rng)
        self._dirt = patches.draw(rng)
        clear, turbid = spectrum("clear_lake"), spectrum("lake")
        self._water: Field = clear + np.float32(rng.uniform(0, 1.1)) * (turbid - clear)

    @property
    def lasting_from_m(self) -> float:
        """Elevation about which snow patches last through the summer: the first year's equilibrium line, m."""
        return self._ela_m

    def in_year(self, rng: np.random.Generator, year: int) -> Surface:
        """The ground in the year of that number, 0 the first; the equilibrium line rises by a few metres a year."""
        from scipy import ndimage

        ela_m = self._ela_m + self._rise_m * year + float(rng.normal(0, 18))
        extent, relief = _extent(self._ice, year), self._shapes.in_year(year)
        firn = self._firn(ela_m)
        dirt = np.clip(0.3 + 0.25 * self._dirt + 0.5 * ramp(self._ice.margin, 0.5, 1), 0, 1) * (1 - firn)
        body = mix(mix(spectrum("clean_ice"), spectrum("dirty_ice"), dirt), spectrum("firn"), firn)
        body = mix(body * (1 + np.float32(0.015) * self._grain), self._debris, self._debris_cover(year))
        water = np.where(extent, 0, ramp(self._ice.basin, 0.35, 0.5)).astype(np.float32)
        land = mix(self._bare, self._water * np.float32(rng.uniform(0.85, 1.15)), water)
        # the instrument's point spread
        blurred: Field = ndimage.gaussian_filter(
            np.where(extent, body, land).astype(np.float32), (0, 0.65, 0.65), truncate=2.5
        )
        return Surface(reflectance=blurred, water=water, relief=relief, ela_m=ela_m)

    def parts(self, surface: Surface, year: int) -> Parts:
        """What the ground of a surface is covered with.

        Args:
            surface: what `in_year` made of the year.
            year: its number, 0 the first.
        """
        on_ice = _extent(self._ice, year).astype(np.float32)
        firn, debris = self._firn(surface.ela_m), self._debris_cover(year)
        bare = on_ice * (1 - debris)
        dry = (1 - on_ice) * (1 - surface.water)
        return Parts(
            rock=dry * (1 - self._green),
            vegetation=dry * self._green,
            water=(1 - on_ice) * surface.water,
            debris=on_ice * debris,
            ice=bare * (1 - firn),
            firn=bare * firn,
        )

    def _firn(self, ela_m: float) -> Field:
        return ramp(self.relief.surface + 18 * self._dirt, ela_m - 90, ela_m + 30)

    def _land(self, rng: np.random.Generator, terrain: Terrain, patches: Bank, grains: Bank) -> tuple[Field, Field]:
        """Reflectance, and the part under vegetation.

        Rock on steep slopes, scree and till elsewhere, vegetation in the lower valleys but not in the forefields.
        """
        slope, size = self.relief.slope, terrain.size
        rough = 1 + np.float32(0.09) * patches.draw(rng) + np.float32(0.04) * grains.draw(rng)
        rough += np.float32(0.02) * fractal(rng, size, slope=0.0)
        scree = np.maximum(ramp(slope + np.float32(0.1) * patches.draw(rng), 0.85, 0.6), self._ice.forefield)
        bare = mix(spectrum("rock"), spectrum("scree"), scree) * self._geology * rough
        level = terrain.elevation + 60 * patches.draw(rng) - 70 * self.relief.north
        line = float(np.quantile(terrain.elevation, rng.uniform(0.12, 0.38)))
        green = ramp(level, line + 40, line - 60) * ramp(slope, 0.95, 0.6) * (1 - 0.97 * self._ice.forefield)
        meadow = spectrum("vegetation") * (1 + np.float32(0.12) * grains.draw(rng))
        return mix(bare, meadow, green.astype(np.float32)), green.astype(np.float32)

    def _debris_cover(self, year: int) -> Field:
        """Part of each pixel under debris: a constant part of the shrinking glacier."""
        ice = self._ice
        cover = np.zeros(ice.margin.shape, dtype=np.float32)
        for by_year, share in zip(ice.masks, ice.debris_share, strict=True):
            ranks = ice.debris_rank[by_year[year]]
            if len(ranks):
                edge = float(np.quantile(ranks, 1 - share))
                cover[by_year[year]] = ramp(ranks, edge - 0.025, edge + 0.025)
        return cover


class _Shapes:
    """The surface of each year: smooth ice, hummocky debris, level water, and rough ground where the ice has left."""

    def __init__(self, rng: np.random.Generator, terrain: Terrain, ice: Ice) -> None:
        from scipy import ndimage

        self._ice = ice
        ground = terrain.elevation - ndimage.gaussian_filter(terrain.elevation, 7.0)
        self._rough = ndimage.gaussian_filter(ground, 1.0)
        self._hummocks = 0.9 * ramp(ice.debris_rank, 0.7, 0.85) * fractal(rng, terrain.size, slope=2.0, low=24)
        self._base = _levelled(ndimage.gaussian_filter(ice.surface, 1.0), terrain.tarns < 0)
        self._first: Relief | None = None

    def in_year(self, year: int) -> Relief:
        now, first = _extent(self._ice, year), _extent(self._ice, 0)
        bare = first & ~now & (self._ice.basin < 0.4)
        surface = self._base + np.where(now, self._hummocks, 0) + np.where(bare, self._rough, 0)
        relief = Relief(surface.astype(np.float32), caster=self._first)
        self._first = self._first or relief
        return relief


def _extent(ice: Ice, year: int) -> Mask:
    extent: Mask = np.logical_or.reduce([by_year[year] for by_year in ice.masks])
    return extent


def _levelled(surface: Field, water: Mask) -> Field:
    """The surface with each lake at one level."""
    from scipy import ndimage

    lakes, count = ndimage.label(water)
    levels = np.array([0.0, *(float(np.median(surface[lakes == lake])) for lake in range(1, count + 1))])
    return np.where(lakes > 0, levels[lakes], surface).astype(np.float32)
