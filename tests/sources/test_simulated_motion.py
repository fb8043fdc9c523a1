"""The simulated glaciers that move: what is asked of a twin whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from glacier_core.measure.motion import Tracking, track
from glacier_core.recipes import SimulatedMotion
from glacier_core.sources.simulated.motion import (
    days_of,
    displacement_of,
    open_simulated_motion,
    place_number,
    velocity_of,
)


def spec(**changes: object) -> SimulatedMotion:
    return SimulatedMotion.model_validate({"source": "simulated_motion", "places": 2, "size": 128, **changes})


def test_a_place_is_a_series_with_a_mask_of_its_glacier() -> None:
    first, second = open_simulated_motion(spec(frames=4))
    assert (first.name, second.name, place_number(second.name)) == ("place-01", "place-02", 1)
    assert [frame.time.day for frame in first.frames] == [1, 9, 17, 3]
    image = first.frames[0].read(slice(None))
    assert image.shape == (1, 128, 128)
    assert np.array_equal(first.frames[0].read(slice(10, 20)), image[:, 10:20])
    assert 0.2 < first.masks["glacier"].mean() < 0.7
    assert first.grid.bounds[2] < second.grid.bounds[0]


def test_the_same_seed_gives_the_same_pixels_and_another_one_others() -> None:
    images = [open_simulated_motion(spec(seed=seed))[0].frames[1].read(slice(None)) for seed in (0, 0, 1)]
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


def test_the_centre_is_fast_the_margins_are_slow_and_the_ground_beside_is_still() -> None:
    what = spec()
    mask = open_simulated_motion(what)[0].masks["glacier"] == 1
    rows, columns = np.mgrid[:128, :128].astype(float)
    speed = np.hypot(*velocity_of(what, 0, rows=rows, columns=columns))
    assert not speed[~mask].any()
    assert speed.max() == pytest.approx(what.fastest_px_per_day, rel=0.01)
    across = speed[:, 64][mask[:, 64]]
    assert across[[0, -1]].max() < across[len(across) // 2] / 3


def test_the_way_back_ends_where_the_way_forward_began() -> None:
    rows, columns = (np.array([60.0, 64.0, 70.0]), np.array([40.0, 64.0, 90.0]))
    dx, dy = displacement_of(spec(), 0, rows=rows, columns=columns, days=20)
    back_x, back_y = displacement_of(spec(), 0, rows=rows + dy, columns=columns + dx, days=-20)
    assert dx.min() > 2
    assert np.abs(dx + back_x).max() < 1e-3
    assert np.abs(dy + back_y).max() < 1e-3


def test_tracked_displacement_is_the_simulated_one() -> None:
    what = spec(fastest_px_per_day=0.2, size=160)
    series = open_simulated_motion(what)[0]
    first, second = (series.frames[number].read(slice(None))[0] for number in (0, 2))
    days = days_of(what)[2]
    field = track(first, second, settings=Tracking(template_px=32, search_px=8, step_px=8))
    rows, columns = np.meshgrid(field.rows, field.columns, indexing="ij")
    dx, dy = displacement_of(what, 0, rows=rows, columns=columns, days=days)
    assert field.reliable.mean() > 0.9
    assert np.median(np.hypot(field.dx_px - dx, field.dy_px - dy)[field.reliable]) < 0.1
