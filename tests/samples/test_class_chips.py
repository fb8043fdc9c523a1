"""Chips of several images with the classes of the last of them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from glacier_core.cube import PACKINGS, create_cube
from glacier_core.grids import Grid
from glacier_core.samples import augment
from glacier_core.samples.class_chips import ClassChip, ClassChips, images_seen

GRID = Grid(crs="", transform=(1.0, 0.0, 0.0, 0.0, -1.0, 20.0), width=24, height=20)
TIMES = np.array(["2020-07-01", "2020-08-01", "2021-07-01"], dtype="datetime64[ns]")


@pytest.fixture
def cubes(tmp_path: Path) -> tuple[str, str]:
    rng = np.random.default_rng(0)
    pixels = rng.random((3, 2, *GRID.shape)).astype(np.float32)
    pixels[2, :, 0, 0] = np.nan
    codes = rng.integers(0, 3, (3, 1, *GRID.shape)).astype(np.float32)
    codes[2, 0, 1, 1] = np.nan
    paths = str(tmp_path / "features.zarr"), str(tmp_path / "classes.zarr")
    for path, bands, values, packing in (
        (paths[0], ["green", "ndsi"], pixels, None),
        (paths[1], ["class"], codes, PACKINGS["class"]),
    ):
        with create_cube(path, grid=GRID, times=TIMES, bands=bands, packing=packing) as writer:
            writer.write(slice(None), slice(None), slice(None), values)
    return paths


def test_the_classified_image_comes_last_and_the_first_stands_for_those_before_it() -> None:
    assert images_seen(4, 3) == [2, 3, 4]
    assert images_seen(0, 3) == [0, 0, 0]


@pytest.mark.parametrize("cache_bytes", [2**20, 1])
def test_chips_hold_images_date_by_date_and_what_is_unknown(cubes: tuple[str, str], cache_bytes: int) -> None:
    chip = ClassChip(*cubes, time=2, row=0, column=0, size=32)
    reader = ClassChips([chip], channels=("ndsi", "green"), dates=2, cache_bytes=cache_bytes)
    image, target = pickle.loads(pickle.dumps(reader))[0]  # noqa: S301 - as processes hand it on
    assert image.shape == (4, 32, 32)
    assert target.shape == (32, 32)
    assert np.isnan(image[2:, 0, 0]).all()
    assert np.isfinite(image[:2, 0, 0]).all()
    assert target[0, 0] == 255  # not seen
    assert target[1, 1] == 255  # not labelled
    assert (target[20:] == 255).all()
    assert (target[:, 24:] == 255).all()
    alone = ClassChips([chip], channels=("ndsi",), cache_bytes=cache_bytes)[0][0]
    assert np.array_equal(alone[0, :20, :24], image[2, :20, :24], equal_nan=True)


def test_bending_moves_image_and_target_alike() -> None:
    rows, columns = np.mgrid[:64, :64]
    target = (np.hypot(rows - 30, columns - 36) < 18).astype(np.uint8)
    image = np.stack([target, 2 * target]).astype(np.float32)
    moved, label = augment(image, target, np.random.default_rng(3), changes=("bend",))
    known = label != 255
    assert known.mean() > 0.7
    assert ((moved[0] > 0.5) == (label == 1))[known].mean() > 0.98
    assert np.allclose(moved[1], 2 * moved[0])
    assert (label[known] == 1).sum() != (target == 1).sum()
    again = augment(image, target, np.random.default_rng(3), changes=("bend",))
    assert np.array_equal(again[1], label)


def test_light_changes_and_heights_do_not() -> None:
    reader = ClassChips([], channels=("green", "elevation", "middle_round"), dates=2)
    assert reader.steady == (1, 2, 4, 5)
    image = np.random.default_rng(0).random((6, 16, 16)).astype(np.float32)
    target = np.zeros((16, 16), np.uint8)
    moved, _ = augment(image, target, np.random.default_rng(1), changes=("brightness", "noise"), steady=reader.steady)
    assert np.array_equal(moved[[1, 2, 4, 5]], image[[1, 2, 4, 5]])
    assert not np.isclose(moved[[0, 3]], image[[0, 3]]).all()
