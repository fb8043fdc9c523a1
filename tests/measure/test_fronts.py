"""Calving fronts: lines out of maps, distances between lines, positions along the flow, baselines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glacier_core.errors import DataError
from glacier_core.labels.fronts import (
    GLACIER_SIDE,
    OCEAN_SIDE,
    front_band,
    front_sides,
    length_of,
    oriented,
    resample,
    signed_distance,
    trace,
    trace_mask,
)
from glacier_core.measure.fronts import (
    FlowFrame,
    FrontBaseline,
    FrontError,
    box_position,
    centre_position,
    common_box,
    compare_fronts,
    fit_front_baselines,
    front_of_band,
    front_of_sides,
    front_of_zones,
    least_cost_path,
    likely_between,
    pooled_error,
    probability_along,
    smoothed,
)

Line = NDArray[np.float64]


def straight(row: float, *, first: float = 0.0, last: float = 40.0) -> Line:
    return np.array([[row, first], [row, last]])


def wave(seed: int = 0, *, size: int = 60, middle: float = 30.0, height: float = 5.0) -> Line:
    columns = np.arange(8.0, size - 8.0, 0.5)
    return np.stack([middle + height * np.sin(columns / 9 + seed), columns], axis=1)


# --- distances ----------------------------------------------------------------------------------------------------


def test_parallel_lines_are_their_distance_apart_by_every_measure() -> None:
    found = compare_fronts(straight(10), straight(13))
    assert found.symmetric == pytest.approx(3)
    assert found.directed == pytest.approx(3)
    assert found.along == pytest.approx(3)
    assert found.hausdorff95 == pytest.approx(3)
    assert found.total / found.points == pytest.approx(3)


def test_a_line_half_as_long_is_nearer_to_the_whole_than_the_whole_to_it() -> None:
    # half of the true line has the prediction under it; the rest is 1, 2, ... 20 pixels away
    found = compare_fronts(straight(10, last=20), straight(10, last=40))
    assert found.symmetric == pytest.approx((0 + sum(range(21)) / 41) / 2)
    assert found.total == pytest.approx(sum(range(21)))
    assert found.points == 21 + 41
    # points of the same number: fractions of 20 and of 40 pixels
    assert found.along == pytest.approx(10)


def test_the_directed_distance_asks_nothing_of_what_was_left_out() -> None:
    # the short line lies on the long one; the long one goes on 1, 2, ... 20 pixels beyond the end of the short one
    short, long = straight(10, last=20), straight(10, last=40)
    assert compare_fronts(short, long).directed == pytest.approx(0)
    assert compare_fronts(short, long).directed_points == 21
    assert compare_fronts(long, short).directed == pytest.approx(sum(range(21)) / 41)
    # both directions together are twice the symmetric distance
    both = compare_fronts(short, long).directed + compare_fronts(long, short).directed
    assert both == pytest.approx(2 * compare_fronts(short, long).symmetric)


def test_the_pooled_error_weighs_long_fronts_more() -> None:
    errors = [compare_fronts(straight(0, last=9), straight(2, last=9)), compare_fronts(straight(0), straight(1))]
    assert pooled_error(errors) == pytest.approx((20 * 2 + 82 * 1) / 102)
    with pytest.raises(DataError, match="no image has a predicted front"):
        pooled_error([])


def test_a_line_of_one_point_is_refused() -> None:
    with pytest.raises(DataError, match="predicted front has 1 points"):
        compare_fronts(np.zeros((1, 2)), straight(1))


@settings(max_examples=25, deadline=None)
@given(st.floats(-20, 20), st.floats(-20, 20), st.integers(0, 9))
def test_distances_are_symmetric_and_zero_on_the_line_itself(down: float, right: float, seed: int) -> None:
    one = wave(seed)
    other = one[::-1] + np.array([down, right])
    there, back = compare_fronts(one, other), compare_fronts(other, one)
    assert there.symmetric == pytest.approx(back.symmetric)
    assert there.along == pytest.approx(back.along, abs=1e-6)
    assert there.symmetric <= math.hypot(down, right) + 1e-6
    # no line is further from the other than the ends of the shift, however it is measured
    assert there.along == pytest.approx(math.hypot(down, right), abs=0.2)
    assert compare_fronts(one, one[::-1]).symmetric == pytest.approx(0, abs=1e-9)


def test_an_error_is_kept_as_json() -> None:
    found = compare_fronts(straight(0), straight(1))
    assert FrontError(**found.to_json()) == found


# --- tracing, sides, zones ----------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 50), st.integers(0, 3))
def test_a_line_is_found_again_in_its_scattered_points(seed: int, branches: int) -> None:
    random = np.random.default_rng(seed)
    line = wave(seed)
    spurs = [
        line[int(random.integers(10, len(line) - 10))] + np.array([[0.6 * step, 0.0] for step in (1, 2, 3)])
        for _ in range(branches)
    ]
    points = random.permutation(np.concatenate([line, *spurs]))
    found = trace(points)
    assert compare_fronts(found, line).symmetric < 0.2
    assert length_of(found) == pytest.approx(length_of(line), rel=0.05)


def test_pieces_across_a_large_gap_are_not_joined() -> None:
    points = np.concatenate([straight(0, last=10), straight(0, first=14, last=18)])
    points = np.concatenate([resample(points[:2]), resample(points[2:])])
    assert length_of(trace(points)) == pytest.approx(18)
    assert length_of(trace(points, largest_gap=2)) == pytest.approx(10)
    assert len(trace(points[:1])) == 0
    assert length_of(trace(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 5.0]]))) == pytest.approx(5)


@pytest.mark.parametrize("upstream", ["down", "up", "left", "right"])
def test_the_glacier_lies_on_the_right_hand(upstream: str) -> None:
    turns = {"down": 0, "right": 1, "up": 2, "left": 3}[upstream]
    mask = np.zeros((30, 30), dtype=bool)
    mask[15, 4:26] = True
    line = oriented(trace_mask(np.rot90(mask, turns)), upstream=upstream)  # type: ignore[arg-type]
    sides = front_sides(*signed_distance(line, (30, 30)), width=4)
    straightened = np.rot90(sides, -turns)
    assert straightened[18, 15] == GLACIER_SIDE
    assert straightened[12, 15] == OCEAN_SIDE
    assert straightened[25, 15] == 0
    assert straightened[18, 1] == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 50), st.floats(3, 8))
def test_sides_become_the_line_again(seed: int, width: float) -> None:
    line = wave(seed)
    distance, beside = signed_distance(line, (60, 60))
    sides = front_sides(distance, beside, width=width)
    found = front_of_sides(
        (sides == OCEAN_SIDE).astype(float), (sides == GLACIER_SIDE).astype(float), presence=0.5, largest_gap=5
    )
    assert compare_fronts(found, line).symmetric < 0.6
    band = front_band(distance, beside, width=width).astype(float)
    assert compare_fronts(front_of_band(band, presence=0.5, largest_gap=5), line).hausdorff95 < width + 2


def test_the_longest_boundary_of_ocean_and_glacier_inside_the_box_is_the_front() -> None:
    zones = np.full((40, 40), 64, dtype=np.uint8)
    zones[:15, 5:35], zones[15:, 5:35] = 254, 127
    zones[2:6, 10:14] = 127  # an iceberg taken for the glacier
    line = front_of_zones(zones, ocean=254, glacier=127)
    assert compare_fronts(line, straight(14.5, first=5, last=34)).symmetric < 0.3
    inside = front_of_zones(zones, ocean=254, glacier=127, box=(slice(10, 20), slice(10, 20)), smoothing=1)
    assert compare_fronts(inside, straight(14.5, first=10, last=19)).symmetric < 0.3
    assert len(front_of_zones(zones, ocean=254, glacier=127, box=(slice(20, 30), slice(0, 40)))) == 0


def test_an_image_without_any_sign_of_a_front_gets_one() -> None:
    nothing = np.zeros((20, 30))
    line = front_of_sides(nothing, nothing, presence=0.3, largest_gap=5)
    assert line[0, 1] == 0
    assert line[-1, 1] == 29
    faint = nothing.copy()
    faint[8] = 0.01
    other = nothing.copy()
    other[9] = 0.01
    found = front_of_sides(faint, other, presence=0.3, largest_gap=5)
    assert compare_fronts(found, straight(8.5, last=29)).symmetric < 0.2


@pytest.mark.parametrize(("upstream", "axis"), [("down", 1), ("up", 1), ("left", 0), ("right", 0)])
def test_a_guessed_front_runs_across_the_flow_and_is_unlikely(upstream: str, axis: int) -> None:
    nothing = np.zeros((20, 30))
    for line in (
        front_of_sides(nothing, nothing, presence=0.3, largest_gap=5, upstream=upstream),  # type: ignore[arg-type]
        front_of_band(nothing, presence=0.3, largest_gap=5, upstream=upstream),  # type: ignore[arg-type]
    ):
        assert line[0, axis] == 0
        assert line[-1, axis] == nothing.shape[axis] - 1
        assert probability_along(line, likely_between(nothing, nothing)) == 0


def test_a_line_between_both_sides_is_likely_and_one_through_the_ocean_is_not() -> None:
    ocean, glacier = np.zeros((40, 40)), np.zeros((40, 40))
    ocean[:20], glacier[20:] = 0.97, 0.97
    likely = likely_between(ocean, glacier)
    assert probability_along(straight(19.5, last=39), likely) > 0.9
    assert probability_along(straight(8, last=39), likely) == 0
    assert probability_along(np.zeros((0, 2)), likely) == 0


def test_smoothing_keeps_the_ends_and_takes_the_stairs() -> None:
    stairs = np.array([[column % 2, column] for column in range(60)], dtype=float)
    found = smoothed(stairs, 3)
    assert found[0] == pytest.approx(stairs[0])
    assert found[-1] == pytest.approx(stairs[-1])
    assert np.ptp(found[20:-20, 0]) < 0.2


def test_the_path_of_least_cost_follows_the_valley() -> None:
    cost = np.full((15, 20), 10.0)
    cost[7] = 1
    cost[7, 10] = np.inf
    cost[6, 9:12] = 1
    path = least_cost_path(cost)
    assert {tuple(point) for point in path} >= {(7, 0), (7, 19), (6, 10)}
    with pytest.raises(DataError, match="no path"):
        least_cost_path(np.where(np.arange(20) == 10, np.inf, cost))


# --- positions ----------------------------------------------------------------------------------------------------


def test_an_advance_of_ten_pixels_is_ten_pixels_by_both_methods() -> None:
    frame = FlowFrame(shape=(100, 60), upstream="down")
    before, after = straight(50, first=10, last=50), straight(40, first=10, last=50)
    box = common_box([before, after], frame)
    assert box == (10, 50)
    moved = box_position(after, frame, box=box) - box_position(before, frame, box=box)
    assert moved == pytest.approx(10)
    crossed = [centre_position(line, frame, across=30) for line in (before, after)]
    assert crossed[0] is not None
    assert crossed[1] is not None
    assert crossed[1] - crossed[0] == pytest.approx(10)
    assert centre_position(before, frame, across=55) is None


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["down", "up", "left", "right"]), st.integers(0, 9))
def test_positions_do_not_depend_on_how_the_image_is_turned(upstream: str, seed: int) -> None:
    line = wave(seed)
    turned = {
        "down": line,
        "up": 59 - line,
        "right": np.stack([59 - line[:, 1], line[:, 0]], axis=1),
        "left": np.stack([line[:, 1], 59 - line[:, 0]], axis=1),
    }[upstream]
    reference = FlowFrame(shape=(60, 60), upstream="down")
    frame = FlowFrame(shape=(60, 60), upstream=upstream)  # type: ignore[arg-type]
    assert box_position(turned, frame, box=(10, 50)) == pytest.approx(
        box_position(line, reference, box=(10, 50)), abs=0.05
    )


def test_a_box_counts_the_area_of_a_front_that_doubles_back() -> None:
    frame = FlowFrame(shape=(100, 40), upstream="down")
    # a step of ten rows with an overhang: half the box at 60, half at 50, whatever the overhang does in between
    line = np.array([[40, 0], [40, 22], [45, 18], [50, 20], [50, 40]], dtype=float)
    level = box_position(np.array([[40.0, 0], [40, 20], [50, 20], [50, 40]]), frame, box=(0, 40))
    assert box_position(line, frame, box=(0, 40)) == pytest.approx(level, abs=0.6)
    with pytest.raises(DataError, match="box"):
        box_position(line, frame, box=(5, 5))


# --- baselines ----------------------------------------------------------------------------------------------------


def drawn(seed: int) -> tuple[NDArray[np.float32], Line]:
    line = wave(seed, middle=30 + seed % 5, height=3)
    rows = np.arange(60)[:, None]
    front = np.interp(np.arange(60), line[:, 1], line[:, 0])
    random = np.random.default_rng(seed)
    image = np.where(rows > front, 150, 60) + random.normal(0, 4, (60, 60))
    return image.astype(np.float32), line


def test_the_tuned_path_finds_a_clear_edge_and_beats_the_mean_front() -> None:
    known = [drawn(seed) for seed in range(6)]
    path, mean, otsu = fit_front_baselines([(line, (60, 60)) for _, line in known], lambda number: known[number][0])
    errors = {rule.name: [] for rule in (path, mean, otsu)}  # type: dict[str, list[float]]
    for seed in range(6, 10):
        image, line = drawn(seed)
        for rule in (path, mean, otsu):
            assert FrontBaseline.from_json(rule.to_json()) == rule
            errors[rule.name].append(compare_fronts(rule.apply(image), line).symmetric)
    assert np.mean(errors["sobel_path"]) < 1.5
    assert np.mean(errors["sobel_path"]) < np.mean(errors["mean_front"])
    with pytest.raises(DataError, match="no training image"):
        fit_front_baselines([], lambda number: known[number][0])


def test_baselines_read_few_images_and_draw_into_a_large_one_on_a_smaller_copy() -> None:
    read: list[int] = []

    def image(number: int) -> NDArray[np.float32]:
        read.append(number)
        return drawn(number)[0]

    path, mean, _ = fit_front_baselines([(drawn(seed)[1], (60, 60)) for seed in range(40)], image)
    assert len(read) <= 12
    seen, line = drawn(3)
    large = np.kron(seen, np.ones((15, 15), np.float32))  # 900 x 900: blocks of three pixels a side
    true = (line + 0.5) * 15 - 0.5
    assert compare_fronts(path.apply(large), true).symmetric < 15
    assert np.allclose(mean.apply(large), mean.apply(seen) * 15)
