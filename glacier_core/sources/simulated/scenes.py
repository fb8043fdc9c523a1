"""Scenes: what Sentinel-2 sees of a place on a day, as Level-2A reflectance and scene classification."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from glacier_core.sources.simulated.glaciers import Ice
from glacier_core.sources.simulated.light import Sun, sun_at
from glacier_core.sources.simulated.noise import Bank, Field
from glacier_core.sources.simulated.spectra import BANDS, mix, spectrum
from glacier_core.sources.simulated.surfaces import Ground, Surface
from glacier_core.sources.simulated.terrain import Terrain
from glacier_core.sources.simulated.weather import Clouds, Pass, Sky, SnowGround

QUANTIZATION = 1e-4
"""Reflectance of one digital number."""
OFFSET = 1000
"""Digital numbers that processing baseline 04.00 and later adds (BOA_ADD_OFFSET is its negative)."""
OFFSET_SINCE = (2022, 1, 25)
"""First day of processing baseline 04.00."""
COUNT_STEP = 16
"""Digital numbers between two levels, below the noise of one pixel: a power of two deflates best."""
NO_DATA, DARK, SHADOW, VEGETATION, BARE, WATER, UNCLASSIFIED, CLOUD_MEDIUM, CLOUD_HIGH, CIRRUS, SNOW = (
    0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
)  # fmt: skip
"""Codes of the scene classification layer (ESA, Sentinel-2 Level-2A Algorithm Theoretical Basis Document, 2.3)."""

CLASSES = ("rock", "vegetation", "water", "debris", "ice", "snow")
"""Classes of the ground in order of their numbers: rock, scree and till; meadows; lakes; debris on ice; bare ice;
snow of the year."""
PURE = 0.6
"""Part of a pixel that a class must cover to be its class."""
MIXED = 255


@dataclass(frozen=True)
class Scene:
    """One scene."""

    bands: dict[str, NDArray[np.uint16]]
    """Digital numbers of each band: B11 at 20 m, the others at 10 m."""
    scene_class: NDArray[np.uint8]
    """Scene classification at 20 m."""
    baseline: str
    """Processing baseline."""
    offset: float
    """reflectance = QUANTIZATION · number + offset."""
    sun: Sun
    """Direction of the sun."""

    @property
    def cloud_percent(self) -> float:
        """Part of the scene classified as cloud, as Level-2A tells it."""
        return 100 * float(np.isin(self.scene_class, (CLOUD_MEDIUM, CLOUD_HIGH, CIRRUS)).mean())


class Painter:
    """Paints the scenes of one place.

    Args:
        rng: source of randomness.
        terrain: the place.
        ice: its glaciers.
        latitude: degrees north.
    """

    def __init__(self, rng: np.random.Generator, terrain: Terrain, ice: Ice, latitude: float) -> None:
        size = terrain.size
        self._latitude = latitude
        self._ground = Ground(rng, terrain, ice)
        first = np.logical_or.reduce([by_year[0] for by_year in ice.masks])
        self._snow = SnowGround(rng, self._ground.relief, first.astype(np.float32))
        self._sky = Sky(rng, size)
        self._white = Bank(rng, size, slope=0.0)
        self._patchy = Bank(rng, size, slope=1.8, low=16)
        self._grain = self._patchy.draw(rng)

    def surface(self, rng: np.random.Generator, year: int) -> Surface:
        """The ground in the year of that number, 0 the first."""
        return self._ground.in_year(rng, year)

    @property
    def heights(self) -> Field:
        """Surface elevation in the first year, ice or ground, m."""
        return self._ground.relief.surface

    def classes(self, surface: Surface, year: int, sky: Pass) -> NDArray[np.uint8]:
        """What covers each pixel on a day, as its number in `CLASSES`; what clouds hide counts as well.

        A pixel of which no class covers the part `PURE` is `MIXED`; firn, between snow and ice, is neither.

        Args:
            surface: what `surface` made of the year.
            year: its number, 0 the first.
            sky: the day's weather.
        """
        parts = self._ground.parts(surface, year)
        old, fresh = self._snow.cover(sky, surface.ela_m, self._ground.lasting_from_m)
        snow = (1 - (1 - old) * (1 - fresh)) * (1 - surface.water)
        covers = {name: share * (1 - snow) for name, share in vars(parts).items()} | {"snow": snow}
        shares = np.stack([covers[name] for name in CLASSES])
        return np.where(shares.max(axis=0) < PURE, np.uint8(MIXED), shares.argmax(axis=0)).astype(np.uint8)

    def scene(self, rng: np.random.Generator, surface: Surface, sky: Pass) -> Scene:
        """What the satellite sees of a surface on a day."""
        sun = sun_at(sky.when, self._latitude)
        clouds = self._sky.clouds(rng, sky, sun)
        old, fresh = self._snow.cover(sky, surface.ela_m, self._ground.lasting_from_m)
        dry = 1 - surface.water
        old, fresh = old * dry, fresh * dry
        aged = np.float32(0.35 + 0.5 * sky.season)
        snow = spectrum("fresh_snow") + aged * (spectrum("old_snow") - spectrum("fresh_snow"))
        grain = 1 + np.float32(0.006) * self._grain
        ground = mix(surface.reflectance, snow * grain, old)
        ground = mix(ground, spectrum("fresh_snow") * grain, fresh)
        seen = ground * surface.relief.light(sun, clouds.shade)
        seen = mix(seen, spectrum("cloud") * clouds.brightness, clouds.opacity)
        gain = 1 + np.float32(0.015) * rng.standard_normal((len(BANDS), 1, 1), dtype=np.float32)
        haze = np.float32(0.003) * rng.standard_normal((len(BANDS), 1, 1), dtype=np.float32)
        seen = seen * gain + haze
        since = datetime(*OFFSET_SINCE, tzinfo=sky.when.tzinfo)
        offset = OFFSET if sky.when >= since else 0
        bands = {}
        for name, values in zip(BANDS, seen, strict=True):
            coarse = halved(values) if name == "B11" else values
            noise = self._white.draw(rng)[: coarse.shape[0], : coarse.shape[1]]
            noisy = coarse + noise * (np.float32(0.0006) + np.float32(0.0012) * coarse)
            bands[name] = _counts(noisy, offset)
        return Scene(
            bands=bands,
            scene_class=_classify(
                rng,
                clouds=clouds,
                snow=np.maximum(old, fresh),
                surface=surface,
                seen=seen,
                noise=(self._patchy.draw(rng), self._white.draw(rng)),
            ),
            baseline=_baseline(sky.when),
            offset=-offset * QUANTIZATION,
            sun=sun,
        )


def halved(field: Field) -> Field:
    """Means of 2x2 pixels."""
    mean: Field = field[::2, ::2] + field[1::2, ::2]
    mean += field[::2, 1::2]
    mean += field[1::2, 1::2]
    mean *= np.float32(0.25)
    return mean


def _counts(reflectance: Field, offset: int) -> NDArray[np.uint16]:
    levels = np.rint(reflectance * np.float32(1 / (QUANTIZATION * COUNT_STEP)))
    counts: NDArray[np.uint16] = np.clip(levels * COUNT_STEP + offset, 1, 65535).astype(np.uint16)
    return counts


def _baseline(when: datetime) -> str:
    if when < datetime(*OFFSET_SINCE, tzinfo=when.tzinfo):
        return "02.04" if when.year < 2018 else "02.14"
    return "04.00" if when.year < 2023 else "05.09"


def _classify(
    rng: np.random.Generator,
    *,
    clouds: Clouds,
    snow: Field,
    surface: Surface,
    seen: Field,
    noise: tuple[Field, Field],
) -> NDArray[np.uint8]:
    """The scene classification with the real one's faults: it misses thin edges and takes some snow for cloud."""
    opacity, cirrus, shade, snow = (halved(field) for field in (clouds.opacity, clouds.cirrus, clouds.shade, snow))
    green, red, near, short = (halved(seen[BANDS.index(name)]) for name in ("B03", "B04", "B08", "B11"))
    patchy, white = (halved(field) for field in noise)
    ndsi = (green - short) / np.maximum(green + short, 0.01)
    codes = np.full(opacity.shape, BARE, dtype=np.uint8)
    codes[(near - red) / np.maximum(near + red, 0.01) > 0.4] = VEGETATION
    codes[halved(surface.water) + 0.1 * white > 0.5] = WATER
    codes[(ndsi > 0.4 + 0.03 * white) & (near > 0.12)] = SNOW
    codes[(near < 0.06) & (red < 0.07)] = DARK
    codes[shade * (1 - opacity) + 0.1 * patchy > 0.42] = SHADOW
    # bright snow of patchy grain passes for cloud
    brightest = (codes == SNOW) & (patchy + 0.6 * snow + rng.normal(0, 0.1) > 2.65)
    codes[brightest] = CLOUD_MEDIUM
    thick = opacity + 0.06 * patchy
    codes[thick > 0.22] = CLOUD_MEDIUM
    codes[thick > 0.6] = CLOUD_HIGH
    codes[(thick > 0.14) & (thick <= 0.45) & (cirrus > 0.6 * opacity)] = CIRRUS
    # over snow some cloud is taken for snow
    codes[(opacity > 0.22) & (opacity < 0.75) & (snow > 0.5) & (patchy > 1.5)] = SNOW
    return codes
