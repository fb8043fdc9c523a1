"""Training samples of calving fronts: what is moved together stays together, and all chance is repeatable."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from glacier_core.cube import IGNORED, make_cube, packing_of, write_cube
from glacier_core.grids import Grid
from glacier_core.labels.fronts import GLACIER_SIDE, OCEAN_SIDE
from glacier_core.labels.zones import read_zones, zones_picture
from glacier_core.prepare.contrast import contrast, contrast_bands, stretch_limits
from glacier_core.samples.front_warping import random_warp, repaint, water_of
from glacier_core.samples.fronts import FrontChips, FrontLook, FrontSample, zone_classes

SIDE = 48
ROW = 22.0


@pytest.fixture
def sample(tmp_path: Path) -> FrontSample:
    """A dark ocean above a bright glacier; the front is straight and leaves out the margins."""
    image = np.where(np.arange(SIDE)[:, None] > ROW, 200.0, 50.0) + np.zeros(SIDE)
    image += np.random.default_rng(0).normal(0, 3, image.shape)
    image[-4:] = np.nan
    packing, _ = packing_of(["digital_number"])
    cube = make_cube(
        grid=Grid(crs="", transform=(1.0, 0.0, 0.0, 0.0, -1.0, SIDE), width=SIDE, height=SIDE),
        times=[datetime(2020, 7, 1, tzinfo=UTC)],
        bands=["grey"],
        imagery=image.astype(np.float32)[None, None],
        packing=packing,
    )
    write_cube(str(tmp_path / "cube.zarr"), cube)
    codes = np.where(np.arange(SIDE)[:, None] > ROW, 127, 254) + np.zeros(SIDE, int)
    codes[:, :5] = 64
    codes[:3] = 0
    (tmp_path / "zones.png").write_bytes(zones_picture(codes.astype(np.uint8)))
    return FrontSample(
        cube=str(tmp_path / "cube.zarr"),
        number=0,
        line=((ROW + 0.5, 6.0), (ROW + 0.5, 40.0)),
        zones=str(tmp_path / "zones.png"),
        window=(0, 0, SIDE, SIDE),
    )


def look(**changes: Any) -> FrontLook:
    value: dict[str, Any] = {
        "bands": ("grey",),
        "target": "sides",
        "width_px": 4.0,
        "sees": "contrast",
        "contrast_px": 12.0,
        "reduce": 1,
        "upstream": "down",
    }
    return FrontLook(**{**value, **changes})


def test_an_image_as_it_is_has_its_sides_beside_the_front(sample: FrontSample) -> None:
    image, target = FrontChips([sample], look())[0]
    assert image.shape == (2, SIDE, SIDE)
    assert (image[:, -4:] == 0).all()
    assert (target[20:23, 20] == OCEAN_SIDE).all()
    assert (target[23:26, 20] == GLACIER_SIDE).all()
    assert target[10, 20] == target[40, 20] == target[22, 44] == 0
    halved, small = FrontChips([sample], look(reduce=2))[0]
    assert halved.shape == (2, SIDE // 2, SIDE // 2)
    assert small[10, 10] == OCEAN_SIDE
    assert small[12, 10] == GLACIER_SIDE


def test_zones_become_classes_and_no_information_is_unlabelled(sample: FrontSample) -> None:
    _, target = FrontChips([sample], look(target="zones", sees="values"))[0]
    assert set(np.unique(target)) == {0, 1, 2, IGNORED}
    assert (target[:3] == IGNORED).all()
    assert (target[-4:] == IGNORED).all()
    assert target[10, 2] == 0
    assert target[30, 20] == 1
    assert target[10, 20] == 2
    np.testing.assert_array_equal(zone_classes(read_zones(sample.zones))[3:-4], target[3:-4])


def test_a_chip_beyond_the_edge_is_unlabelled_there(sample: FrontSample) -> None:
    chip = FrontSample(**{**sample.__dict__, "window": (16, 32, 32, 32)})
    _, target = FrontChips([chip], look(target="line", sees="values"))[0]
    assert target.shape == (32, 32)
    assert target[6, 4] == 1
    assert (target[:, 16:] == IGNORED).all()


def test_warped_samples_differ_by_number_and_repeat_in_another_process(sample: FrontSample) -> None:
    chips = FrontChips([sample], look(), warped=12, seed=3)
    assert len(chips) == 12
    first, target = chips[0]
    again = pickle.loads(pickle.dumps(chips))  # noqa: S301 - what a spawned process does
    np.testing.assert_array_equal(again[0][0], first)
    np.testing.assert_array_equal(again[0][1], target)
    assert not np.array_equal(chips[1][0], first)
    for index in range(12):
        image, target = chips[index]
        sides: NDArray[np.uint8] = target
        if (sides == GLACIER_SIDE).sum() < 30 or (sides == OCEAN_SIDE).sum() < 30:
            continue
        assert np.isfinite(image).all()
        # whatever the warp, the glacier's side is below the ocean's
        below = np.argwhere(sides == GLACIER_SIDE).mean(axis=0)[0] - np.argwhere(sides == OCEAN_SIDE).mean(axis=0)[0]
        assert below > 1


def test_a_warp_keeps_the_width_of_the_bands() -> None:
    rng = np.random.default_rng(1)
    warp = random_warp(rng, (40, 40), upstream="left")
    assert warp.scale > 0
    assert np.linalg.det(warp.matrix[:2, :2]) != 0
    assert abs(abs(np.linalg.det(warp.matrix[:2, :2])) - warp.scale**2) < 1e-6


def test_water_is_painted_before_the_front_alone() -> None:
    rows, columns = np.indices((60, 60))
    rng = np.random.default_rng(0)
    light = np.where(rows < 30, 150.0, 120.0) + rng.normal(0, 2, (60, 60))
    light[:, :10] = 20  # a rock wall
    image = light.astype(np.float32)
    distance = (rows - 30).astype(np.float32)
    wet = water_of(image, distance, (columns > 10))
    assert wet[15, 30] > 0.9
    assert wet[45, 30] < 0.1
    assert wet[15, 3] < 0.1
    for seed in range(40):
        painted = repaint(image[None], wet, np.random.default_rng(seed))
        assert painted.shape == (1, 60, 60)
        assert np.isfinite(painted).all()


def test_contrast_does_not_depend_on_the_light() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((1, 40, 40), dtype=np.float32)
    image[0, :5, :5] = np.nan
    one = contrast(image, stretch_limits(image), radius=8)
    darker = image * 0.3 + 7
    np.testing.assert_allclose(contrast(darker, stretch_limits(darker), radius=8), one, atol=2e-2)
    assert (one[:, :5, :5] == 0).all()
    assert contrast_bands(("a",)) == ("a_stretched", "a_local")
