"""The simulated calving fronts: repeatable, and true to what the images show."""

from __future__ import annotations

import numpy as np

from glacier_core.labels.fronts import oriented, signed_distance
from glacier_core.measure.fronts import compare_fronts, front_of_zones
from glacier_core.recipes import SimulatedFronts
from glacier_core.sources.simulated.fronts import GLACIER, OCEAN, ROCK, front_truth, open_simulated_fronts

SPEC = SimulatedFronts(source="simulated_fronts", places=2, frames=4, size=96)


def test_the_same_seed_gives_the_same_images_and_another_one_others() -> None:
    whole = slice(0, 96)
    first, again = (open_simulated_fronts(SPEC)[1].frames[2].read(whole) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = open_simulated_fronts(SPEC.model_copy(update={"seed": 1}))[1].frames[2].read(whole)
    assert not np.array_equal(first, other)
    assert first.shape == (1, 96, 96)
    np.testing.assert_array_equal(open_simulated_fronts(SPEC)[1].frames[2].read(slice(10, 20)), first[:, 10:20])


def test_the_front_lies_between_the_zones_and_moves() -> None:
    lines = []
    for number in range(4):
        truth = front_truth(SPEC, place="place-01", number=number)
        assert set(np.unique(truth.zones)) == {ROCK, GLACIER, OCEAN}
        assert compare_fronts(front_of_zones(truth.zones, ocean=OCEAN, glacier=GLACIER), truth.line).symmetric < 0.6
        lines.append(truth.line)
    assert compare_fronts(lines[0], lines[3]).symmetric > 0.3


def test_images_change_at_the_front() -> None:
    for series in open_simulated_fronts(SPEC):
        assert [frame.labels["sensor"] for frame in series.frames] == ["optical", "radar", "optical", "radar"]
        for number, frame in enumerate(series.frames):
            truth = front_truth(SPEC, place=series.name, number=number)
            distance, beside = signed_distance(oriented(truth.line, upstream="down"), (96, 96))
            image = frame.read(slice(0, 96))[0]
            inside = beside & (truth.zones != ROCK)
            glacier = image[inside & (distance > 1) & (distance < 6)]
            ocean = image[inside & (distance < -1) & (distance > -6)]
            assert glacier.mean() > ocean.mean() * 1.15


def test_without_a_pixel_size_there_is_no_crs() -> None:
    known, unknown = (
        open_simulated_fronts(SPEC.model_copy(update={"pixel_size_m": size}))[0].grid for size in (30.0, None)
    )
    assert known.crs == "EPSG:3413"
    assert known.resolution == 30
    assert unknown.crs == ""
