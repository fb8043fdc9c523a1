"""Sequences of frames read from cubes: what a network sees, and what nothing may tell it."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glacier_core.cube import REFLECTANCE, make_cube, write_cube
from glacier_core.errors import DataError
from glacier_core.grids import Grid
from glacier_core.samples.frame_sequences import (
    FrameScale,
    FrameSequences,
    FrameWindow,
    Shown,
    latest,
    sequence_of,
)

SCALE = FrameScale(centre=0.5, spread=0.25)
GRID = Grid(crs="EPSG:32643", transform=(10.0, 0.0, 300_000.0, 0.0, -10.0, 3_600_000.0), width=24, height=20)


def test_a_normalised_difference_of_two_bands_is_taken_with_its_floor() -> None:
    images = np.array([[[[0.6, 0.2, 0.0, np.nan]], [[0.2, 0.6, 0.0, 0.3]]]], dtype=np.float32)
    found = Shown(bands=("green", "swir16"), floor=0.0).of(images)
    assert found.shape == (1, 1, 4)
    assert found[0, 0].tolist() == pytest.approx([0.5, 0.0, np.nan, np.nan], nan_ok=True)
    one = Shown(bands=("green",), unseen_below=0.1).of(images[:, :1])
    assert one[0, 0].tolist() == pytest.approx([0.6, 0.2, np.nan, np.nan], nan_ok=True)


def test_a_sequence_holds_values_what_was_seen_and_when() -> None:
    values = np.array([0.25, 0.5, 0.75, 1.0], dtype=np.float32)[:, None, None] * np.ones((4, 2, 2), np.float32)
    values[2, 0, 0] = np.nan  # the last image in has a gap
    values[3, 1, 1] = np.nan  # what came was not seen there
    found = sequence_of(values, inputs=3, days=(-30, -15, 0, 15), scale=SCALE)
    assert found.past.shape == (3, 3, 2, 2)
    assert found.past[:, 0, 1, 0].tolist() == [-1, 0, 1]
    assert found.past[2, :2, 0, 0].tolist() == [0, 0]
    assert found.past[:, 2, 0, 0].tolist() == [-1, -0.5, 0]
    assert found.known[0, 0, 0, 0] == 0.5
    # "no change": the gap is filled from the image before
    assert found.base[0, 0].tolist() == [[0, 1], [1, 1]]
    assert found.future[0, 0, 0, 0] == 2
    assert found.weight[0, 0].tolist() == [[1, 1], [1, 0]]


def test_what_came_changes_nothing_that_the_network_sees() -> None:
    draw = np.random.default_rng(0)
    values = draw.random((4, 6, 6)).astype(np.float32)
    other = values.copy()
    other[3] = draw.random((6, 6))
    one, two = (sequence_of(each, inputs=3, days=(-2, -1, 0, 1), scale=SCALE) for each in (values, other))
    for name in ("past", "known", "base"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    assert not np.array_equal(one.future, two.future)


def test_images_in_another_light_are_brought_into_that_of_the_last_one_in() -> None:
    rng = np.random.default_rng(4)
    structure = rng.random((12, 12)).astype(np.float32)
    light = [(0.5, 0.1), (1.3, -0.2), (1.0, 0.0), (0.8, 0.3)]
    values = np.stack([gain * structure + offset for gain, offset in light]).astype(np.float32)
    values[0, :3] = np.nan
    days = [-2.0, -1.0, 0.0, 1.0]
    plain, equal = (
        sequence_of(values, inputs=3, days=days, scale=replace(SCALE, equal_light=which)) for which in (False, True)
    )
    last = SCALE.apply(structure)
    assert np.allclose(equal.past[1:, 0], last, atol=1e-4)
    assert np.allclose(equal.past[0, 0, 3:], last[3:], atol=1e-4)
    assert np.allclose(equal.future[0, 0], last, atol=1e-4)
    assert np.array_equal(equal.base, plain.base)
    assert np.array_equal(equal.past[:, 1], plain.past[:, 1])
    assert not np.allclose(plain.future[0, 0], last, atol=0.1)


def test_a_pixel_is_taken_as_it_was_last_seen() -> None:
    values = np.array([[[1.0, 2.0, np.nan]], [[np.nan, 3.0, np.nan]]], dtype=np.float32)
    assert latest(values)[0].tolist() == pytest.approx([1.0, 3.0, np.nan], nan_ok=True)


def test_a_sequence_without_an_image_out_is_refused() -> None:
    with pytest.raises(DataError, match="images out"):
        sequence_of(np.zeros((3, 2, 2), np.float32), inputs=3, days=(0, 1, 2), scale=SCALE)


def test_sequences_are_windows_of_the_cube_here_and_in_another_process(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((5, 1, 20, 24)).astype(np.float32)
    times = np.datetime64("2020-01-01", "ns") + np.arange(5) * np.timedelta64(1, "D")
    path = str(tmp_path / "cube.zarr")
    write_cube(path, make_cube(grid=GRID, times=times, bands=("b",), imagery=values, packing=REFLECTANCE))
    windows = [FrameWindow(path, 1, 4, 8, (-1.0, 0.0, 1.0)), FrameWindow(path, 0, 10, 16, (-1.0, 0.0, 1.0))]
    source = FrameSequences(windows, shown=Shown(("b",)), inputs=2, size=12, scale=SCALE)
    inside, edge = source[0], source[1]
    assert len(source) == 2
    assert np.allclose(SCALE.undo(inside.future[0, 0]), values[3, 0, 4:16, 8:20], atol=1e-4)
    assert np.allclose(SCALE.undo(inside.past[0, 0]), values[1, 0, 4:16, 8:20], atol=1e-4)
    # beyond the cube's edge nothing was seen
    assert not edge.weight[0, 0, 10:].any()
    assert not edge.past[:, 1, :, 8:].any()
    copied = pickle.loads(pickle.dumps(source))  # noqa: S301 our own bytes
    assert np.array_equal(copied[0].past, inside.past)
    assert FrameWindow.from_json(windows[0].to_json()) == windows[0]
