"""Flow lines and front positions of glaciers whose geometry is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glacier_core.grids import Grid
from glacier_core.measure import FlowLine, flow_line, terminus_position

RESOLUTION = 10.0
GRID = Grid(
    crs="EPSG:32645", transform=(RESOLUTION, 0.0, 500_000.0, 0.0, -RESOLUTION, 3_100_000.0), width=240, height=240
)


def coordinates() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y of the pixel centres in metres from the grid's middle."""
    middle = RESOLUTION * 120
    x, y = np.meshgrid(np.arange(240) * RESOLUTION + 5 - middle, middle - np.arange(240) * RESOLUTION - 5)
    return x, y


def absolute(x: float, y: float) -> tuple[float, float]:
    return 500_000.0 + 1200 + x, 3_100_000.0 - 1200 + y


def tongue(angle: float, *, retreat: float = 0.0) -> NDArray[np.bool_]:
    """A tongue 200 m wide from -800 m (its terminus) to 800 m along a line at `angle`, with a round wide head."""
    x, y = coordinates()
    along = x * math.cos(angle) + y * math.sin(angle)
    across = -x * math.sin(angle) + y * math.cos(angle)
    trunk = (abs(across) <= 100) & (along >= -800 + retreat) & (along <= 800)
    return np.asarray(trunk | (np.hypot(along - 700, across) <= 300))


def straight_flow(angle: float) -> FlowLine:
    flow = flow_line(tongue(angle), GRID, terminus=absolute(-800 * math.cos(angle), -800 * math.sin(angle)))
    assert flow is not None
    return flow


@settings(max_examples=12, deadline=None)
@given(angle=st.floats(0, 2 * math.pi), retreat=st.floats(0, 900))
def test_retreat_of_a_straight_tongue_is_measured_to_a_pixel_or_two(angle: float, retreat: float) -> None:
    flow = straight_flow(angle)
    before = terminus_position(flow, tongue(angle), GRID)
    after = terminus_position(flow, tongue(angle, retreat=retreat), GRID)
    assert before is not None
    assert after is not None
    assert abs(before) <= 2 * RESOLUTION
    assert after - before == pytest.approx(retreat, abs=2.5 * RESOLUTION)


@pytest.mark.parametrize("angle", [0.0, 0.6, math.pi / 2, 4.0])
def test_the_line_follows_the_middle_and_its_length_is_true(angle: float) -> None:
    flow = straight_flow(angle)
    x, y = flow.points[:, 0] - absolute(0, 0)[0], flow.points[:, 1] - absolute(0, 0)[1]
    along = x * math.cos(angle) + y * math.sin(angle)
    across = -x * math.sin(angle) + y * math.cos(angle)
    trunk = (along > -600) & (along < 400)
    assert abs(across[trunk]).max() <= 2 * RESOLUTION
    stretch = along[trunk][-1] - along[trunk][0]
    assert flow.distance_m[trunk][-1] - flow.distance_m[trunk][0] == pytest.approx(stretch, rel=0.02)
    assert np.all(np.diff(flow.distance_m) > 0)


def test_a_curved_glacier_is_measured_along_its_bend() -> None:
    x, y = coordinates()
    radius, angle = np.hypot(x, y), np.arctan2(y, x)

    def ring(start: float) -> NDArray[np.bool_]:
        return np.asarray((abs(radius - 700) <= 120) & (angle >= start) & (angle <= 2.5))

    flow = flow_line(ring(0.0), GRID, terminus=absolute(700, 0))
    assert flow is not None
    before, after = terminus_position(flow, ring(0.0), GRID), terminus_position(flow, ring(0.8), GRID)
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(700 * 0.8, rel=0.06)


def test_an_advance_beyond_the_terminus_is_negative() -> None:
    position = terminus_position(straight_flow(0.0), tongue(0.0, retreat=-200), GRID)
    assert position == pytest.approx(-200, abs=20)


def test_a_snow_patch_below_the_front_does_not_count() -> None:
    flow = straight_flow(0.0)
    x, y = coordinates()
    patch = np.hypot(x + 750, y) <= 40
    assert terminus_position(flow, tongue(0.0, retreat=400) | patch, GRID) == pytest.approx(400, abs=20)


def test_no_position_without_ice_on_the_line() -> None:
    flow = straight_flow(0.0)
    x, y = coordinates()
    assert terminus_position(flow, np.zeros(GRID.shape, dtype=bool), GRID) is None
    assert terminus_position(flow, np.hypot(x, y - 900) <= 100, GRID) is None


def test_elevation_tells_the_lower_end_where_no_terminus_is_known() -> None:
    x, _ = coordinates()
    flow = flow_line(tongue(0.0), GRID, elevation=(5000 + x).astype(np.float32))
    assert flow is not None
    terminus = flow.points[np.argmin(abs(flow.distance_m))]
    assert terminus[0] == pytest.approx(absolute(-795, 0)[0], abs=1)
    assert flow.points[-1][0] > absolute(900, 0)[0]


def test_the_terminus_is_moved_to_the_ice_and_another_piece_is_left_out() -> None:
    x, y = coordinates()
    outline = tongue(0.0) | (np.hypot(x, y - 1000) <= 50)
    flow = flow_line(outline, GRID, terminus=absolute(-900, 0))
    assert flow is not None
    assert terminus_position(flow, outline, GRID) == pytest.approx(0, abs=10)


def test_nothing_is_guessed() -> None:
    assert flow_line(tongue(0.0), GRID) is None
    assert flow_line(np.zeros(GRID.shape, dtype=bool), GRID, terminus=absolute(0, 0)) is None
    single = np.zeros(GRID.shape, dtype=bool)
    single[5, 5] = True
    assert flow_line(single, GRID, terminus=absolute(0, 0)) is None


def test_a_glacier_of_two_pixels_has_a_line() -> None:
    outline = np.zeros(GRID.shape, dtype=bool)
    outline[100, 100:102] = True
    flow = flow_line(outline, GRID, terminus=(500_000.0 + 1005, 3_100_000.0 - 1005))
    assert flow is not None
    assert flow.distance_m[-1] == pytest.approx(10, abs=3)
