"""Simulated sea ice: the same numbers give the same months, and it has the properties that forecasts live on."""

from __future__ import annotations

import numpy as np

from glacier_core.recipes import SimulatedIceCover
from glacier_core.sources.simulated.ice_cover import open_simulated_ice_cover


def months(**changes: object) -> tuple[np.ndarray, list[str]]:
    imagery = SimulatedIceCover.model_validate(
        {"source": "simulated_ice_cover", "years": 10, "size": 48, "gap_months": 0, **changes}
    )
    series = open_simulated_ice_cover(imagery)[0]
    rows = slice(0, series.grid.height)
    return np.stack([frame.read(rows)[0] for frame in series.frames]), [frame.id for frame in series.frames]


def test_the_same_seed_gives_the_same_months_and_another_one_others() -> None:
    one, names = months()
    assert len(set(names)) == len(names) == 120
    assert np.array_equal(one, months()[0], equal_nan=True)
    assert not np.array_equal(one, months(seed=1)[0], equal_nan=True)
    assert np.nanmin(one) == 0
    assert np.nanmax(one) <= 1


def test_it_has_a_season_a_trend_and_memory() -> None:
    area = np.nansum(months(trend_px=0.3, years=12)[0], axis=(1, 2)).reshape(-1, 12)
    assert area[:, 2].mean() > 1.2 * area[:, 8].mean()
    assert area[-4:].mean() < area[:4].mean()
    calm = np.nansum(months(trend_px=0, years=40, memory=0.9)[0], axis=(1, 2)).reshape(-1, 12)
    anomaly = (calm - calm.mean(axis=0)).ravel()
    assert np.corrcoef(anomaly[1:], anomaly[:-1])[0, 1] > 0.6


def test_gaps_are_said_and_rows_can_be_read_alone() -> None:
    imagery = SimulatedIceCover(source="simulated_ice_cover", years=8, size=32, gap_months=3)
    series = open_simulated_ice_cover(imagery)[0]
    assert len(series.frames) == 8 * 12 - 3
    assert len(series.troubles) == 3
    frame = series.frames[5]
    whole, part = frame.read(slice(0, 32)), frame.read(slice(4, 9))
    assert np.array_equal(whole[:, 4:9], part, equal_nan=True)
    assert series.masks["land"].any()
    assert np.isnan(whole[0][series.masks["land"] == 1]).all()
