"""Simulated sea ice around a pole: an identical twin of monthly concentrations, with an anomaly that can be followed.

The edge is a circle whose radius has a season and a trend; anomalies of the radius last from month to month and drift
eastward along it, so that whoever knows this month's edge knows something of the next months' edges elsewhere. The
fraction rises across the edge within a few cells, with noise, in steps of 1 %.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from glacier_core.grids import Grid
from glacier_core.recipes import SimulatedIceCover
from glacier_core.sources.reading import SceneTrouble
from glacier_core.sources.series import Frame, Series

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELL_M = 25_000.0
CRS = "EPSG:3411"
MONTHS = 12
ANGLES = 180
HARMONICS = 5
EDGE_PX = 2.5
NOISE = 0.02
LEVEL = 0.01


def open_simulated_ice_cover(imagery: SimulatedIceCover) -> list[Series]:
    """The one series of a simulation; each month is drawn when it is read.

    Args:
        imagery: how it is simulated.
    """
    size = imagery.size
    half = size * CELL_M / 2
    grid = Grid(CRS, (CELL_M, 0.0, -half, 0.0, -CELL_M, half), width=size, height=size)
    rng = np.random.default_rng(imagery.seed)
    count = imagery.years * MONTHS
    gaps = sorted(int(month) for month in rng.choice(count, size=imagery.gap_months, replace=False))
    radii = _radii(imagery)
    angle, distance = _polar(size)
    land = (np.abs(angle - 1.0) < 0.25) & (distance > size / 5)
    frames = []
    for number in range(count):
        year, month = imagery.first_year + number // MONTHS, number % MONTHS + 1
        if number in gaps:
            continue
        name = f"simulated_{year:04d}{month:02d}"
        read = functools.partial(_read, imagery, number, radii[number], land)
        time = datetime(year, month, 1, tzinfo=UTC)
        frames.append(Frame(id=name, time=time, read=read, labels={"sensor": "simulated", "version": "final"}))
    months = [f"{imagery.first_year + gap // MONTHS:04d}-{gap % MONTHS + 1:02d}" for gap in gaps]
    return [
        Series(
            name="simulated_sea_ice",
            grid=grid,
            bands=("ice_fraction",),
            quantities=("ice_fraction",),
            frames=tuple(frames),
            masks={"land": land.astype(np.uint8)},
            troubles=tuple(SceneTrouble(month, "the month is missing") for month in months),
            attrs={"source": "simulated_ice_cover", "seed": imagery.seed},
        )
    ]


def _radii(imagery: SimulatedIceCover) -> NDArray[np.float64]:
    """Radius of the edge in cells at each angle: (months, angles)."""
    rng = np.random.default_rng([imagery.seed, 1])
    count, size = imagery.years * MONTHS, imagery.size
    turn = 2 * np.pi * np.arange(ANGLES) / ANGLES
    middle = size / 3.4
    drift = imagery.drift_px / middle
    waves = np.zeros(HARMONICS + 1, complex)
    found = np.empty((count, ANGLES))
    for number in range(count):
        kick = rng.normal(size=HARMONICS + 1) + 1j * rng.normal(size=HARMONICS + 1)
        waves = imagery.memory * waves * np.exp(-1j * drift * np.arange(HARMONICS + 1)) + kick * size / 180
        season = size / 12 * np.cos(2 * np.pi * (number % MONTHS - 2) / MONTHS)
        trend = imagery.trend_px * (number / MONTHS - imagery.years / 2)
        anomaly = (waves[:, None] * np.exp(1j * np.arange(HARMONICS + 1)[:, None] * turn)).real.sum(axis=0)
        found[number] = middle + season - trend + anomaly
    return found


def _polar(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angle (-pi to pi) and distance from the pole in cells."""
    at = np.arange(size) + 0.5 - size / 2
    x, y = np.meshgrid(at, -at)
    return np.arctan2(y, x), np.hypot(x, y)


def _read(
    imagery: SimulatedIceCover, number: int, radius: NDArray[np.float64], land: NDArray[np.bool_], rows: slice
) -> NDArray[np.float32]:
    angle, distance = _polar(imagery.size)
    edge = np.interp(angle % (2 * np.pi), 2 * np.pi * np.arange(ANGLES + 1) / ANGLES, np.r_[radius, radius[0]])
    noise = np.random.default_rng([imagery.seed, 2, number]).normal(0, NOISE, distance.shape)
    fraction = 1 / (1 + np.exp((distance - edge) / (EDGE_PX / 2))) + noise * (distance < edge + 2 * EDGE_PX)
    fraction = np.where(fraction < 0.02, 0, np.round(np.clip(fraction, 0, 1) / LEVEL) * LEVEL)
    return np.where(land, np.nan, fraction).astype(np.float32)[None, rows]
