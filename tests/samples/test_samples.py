"""Chips, augmentation, places and splits."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glacier_core.cube import REFLECTANCE, make_cube, make_mask_cube, write_cube
from glacier_core.errors import ConfigurationError, DataError
from glacier_core.grids import Grid
from glacier_core.recipes import Split
from glacier_core.samples import (
    Chip,
    ChipReader,
    SplitFile,
    assign_places,
    augment,
    check_no_leak,
    chips_of,
    split_by_axis,
    split_by_place,
)

BANDS = ("B02", "B03", "B04")


@given(st.tuples(st.integers(1, 300), st.integers(1, 300)), st.integers(1, 64), st.integers(1, 64))
@settings(max_examples=60, deadline=None)
def test_chips_cover_every_pixel_and_stay_inside(shape: tuple[int, int], size: int, stride: int) -> None:
    stride = min(stride, size)
    seen = np.zeros(shape, dtype=bool)
    windows = chips_of(shape, size=size, stride=stride)
    for row, column in windows:
        assert row == 0 or row + size <= shape[0]
        assert column == 0 or column + size <= shape[1]
        seen[row : row + size, column : column + size] = True
    assert seen.all()
    assert len(set(windows)) == len(windows)


def test_chips_that_would_leave_gaps_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="chips"):
        chips_of((100, 100), size=32, stride=33)


def written(folder: Path, name: str, *, height: int = 50, width: int = 60, seed: int = 0) -> tuple[str, str, Any, Any]:
    """An image and its label; what a reader has to give for the whole of it."""
    rng = np.random.default_rng(seed)
    grid = Grid("EPSG:32645", (10.0, 0.0, 5e5, 0.0, -10.0, 3.1e6), width, height)
    imagery = rng.uniform(0, 1, (1, 3, height, width)).astype(np.float32)
    imagery[0, 1, 3, 4] = np.nan
    clear = np.ones((height, width), dtype=np.uint8)
    clear[10:20, 10:20] = 0
    ice = rng.integers(0, 2, (height, width)).astype(np.uint8)
    ice[30:, :5] = 255
    image = make_cube(
        grid=grid,
        times=[np.datetime64("2020-08-15")],
        bands=BANDS,
        imagery=imagery,
        packing=REFLECTANCE,
        extra={"clear": (("y", "x"), clear, {})},
    )
    write_cube(str(folder / f"{name}.zarr"), image)
    write_cube(
        str(folder / f"{name}-label.zarr"), make_mask_cube(grid=grid, masks={"ice": ice, "reference": 1 - ice % 2})
    )
    seen = (clear == 1) & np.isfinite(imagery[0]).all(axis=0)
    expected = np.where(seen, imagery[0], np.nan)
    target = np.where(seen, ice, 255)
    return str(folder / f"{name}.zarr"), str(folder / f"{name}-label.zarr"), expected, target


@pytest.mark.parametrize("cache_bytes", [2**20, 0])
def test_a_chip_is_the_window_of_its_cube(tmp_path: Path, cache_bytes: int) -> None:
    image, label, expected, target = written(tmp_path, "a")
    windows = chips_of((50, 60), size=32, stride=16)
    chips = [Chip(image=image, label=label, row=row, column=column, size=32) for row, column in windows]
    reader = ChipReader(chips, bands=("B04", "B03"), cache_bytes=cache_bytes)
    assert len(reader) == len(windows)
    for index, (row, column) in enumerate(windows):
        pixels, found = reader[index]
        assert pixels.dtype == np.float32
        assert found.dtype == np.uint8
        window = np.s_[row : row + 32, column : column + 32]
        np.testing.assert_allclose(pixels, expected[[2, 1]][(slice(None), *window)], atol=0.51e-4)
        np.testing.assert_array_equal(found, target[window])
    # what only another band lacks is seen
    assert np.isfinite(ChipReader(chips, bands=("B04",), cache_bytes=cache_bytes)[0][0][0, 3, 4])


def test_what_lies_beyond_the_image_is_ignored(tmp_path: Path) -> None:
    image, label, expected, target = written(tmp_path, "a", height=20, width=25)
    pixels, found = ChipReader([Chip(image, label, 0, 0, 32)], bands=BANDS)[0]
    np.testing.assert_allclose(pixels[:, :20, :25], expected, atol=0.51e-4)
    np.testing.assert_array_equal(found[:20, :25], target)
    assert np.isnan(pixels[:, 20:]).all()
    assert (found[:, 25:] == 255).all()


def test_memory_is_bounded_and_a_copy_opens_anew(tmp_path: Path) -> None:
    chips = []
    for number in range(5):
        image, label, _, _ = written(tmp_path, f"g{number}", seed=number)
        chips.append(Chip(image, label, 0, 0, 32))
    one_cube = 50 * 60 * (3 * 2 + 1 + 1)
    reader = ChipReader(chips, bands=BANDS, cache_bytes=int(2.5 * one_cube))
    first = [reader[index] for index in range(5)]
    assert sum(scene.nbytes for scene in reader._kept.values()) <= reader.cache_bytes
    copy = pickle.loads(pickle.dumps(reader))  # noqa: S301 (ours, a moment old)
    assert not copy._kept
    for index in (4, 0, 3, 0, 2, 1):
        np.testing.assert_array_equal(copy[index][0], first[index][0])
        np.testing.assert_array_equal(reader[index][1], first[index][1])


def test_chips_of_other_labels_and_missing_things(tmp_path: Path) -> None:
    image, label, _, _ = written(tmp_path, "a")
    chip = Chip(image, label, 0, 0, 32)
    assert 1 in ChipReader([chip], bands=BANDS, label_variable="reference")[0][1]
    with pytest.raises(DataError, match="no variable front"):
        ChipReader([chip], bands=BANDS, label_variable="front")[0]
    with pytest.raises(ConfigurationError, match="no band B11"):
        ChipReader([chip], bands=("B02", "B11"))[0]
    _, other, _, _ = written(tmp_path, "b", height=51)
    with pytest.raises(DataError, match="shape"):
        ChipReader([Chip(image, other, 0, 0, 32)], bands=BANDS)[0]
    with pytest.raises(DataError, match="no cube"):
        ChipReader([Chip(str(tmp_path / "none"), label, 0, 0, 32)], bands=BANDS)[0]


def test_augmentation_moves_image_and_target_alike() -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, (64, 64)).astype(np.uint8)
    image = np.stack([target.astype(np.float32), 5 + 2 * target.astype(np.float32)])
    image[:, 2, 3] = np.nan
    target[2, 3] = 255
    symmetries = [np.rot90(side, turns) for side in (target, target[:, ::-1]) for turns in range(4)]
    seen: set[int] = set()
    holes = 0
    for _ in range(100):
        pixels, label = augment(image, target, rng)
        assert pixels.dtype == np.float32
        assert pixels.flags.c_contiguous
        assert label.flags.c_contiguous
        np.testing.assert_array_equal(np.isnan(pixels).all(axis=0), label == 255)
        known = label != 255
        assert known.mean() > 0.7
        holes += known.sum() < target.size - 1
        for band in pixels:
            ice, land = band[known & (label == 1)], band[known & (label == 0)]
            assert ice.min() > land.max()
            assert np.ptp(ice) < 1e-5
        seen.update(number for number, side in enumerate(symmetries) if (side[known] == label[known]).all())
    assert seen == set(range(8))
    assert 50 < holes < 100, "most chips have holes, some have none"
    assert (image[0][target == 1] == 1).all()


def test_augmentation_follows_its_generator_and_leaves_empty_chips_empty() -> None:
    image, target = np.random.default_rng(1).normal(size=(3, 8, 8)).astype(np.float32), np.zeros((8, 8), dtype=np.uint8)
    one, other = (augment(image, target, np.random.default_rng(7))[0] for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert np.isnan(augment(np.full_like(image, np.nan), target, np.random.default_rng(7))[0]).all()


window = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 15), st.integers(1, 15)).map(
    lambda at: shapely.box(at[0], at[1], at[0] + at[2], at[1] + at[3])
)


@given(st.lists(window, max_size=12))
@settings(max_examples=60, deadline=None)
def test_windows_of_different_places_never_meet(windows: list[Any]) -> None:
    places = assign_places(windows)
    assert len(places) == len(windows)
    for number, first in enumerate(windows):
        for place, second in zip(places[:number], windows[:number], strict=True):
            if first.intersects(second):
                assert places[number] == place
    # as few joined as need be: each place hangs together
    for place in set(places):
        merged = shapely.union_all([shape for found, shape in zip(places, windows, strict=True) if found == place])
        assert shapely.get_num_geometries(merged.buffer(0.01)) == 1
    assert list(dict.fromkeys(places)) == list(range(len(set(places))))


place_sizes = st.lists(st.integers(1, 4), min_size=3, max_size=25)


@given(place_sizes, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_splits_keep_places_together_and_come_near_the_fractions(sizes: list[int], seed: int) -> None:
    places = {f"G{place:02}-{number}": place for place, size in enumerate(sizes) for number in range(size)}
    split = Split(seed=seed)
    found = split_by_place(places, split=split)
    check_no_leak(found)
    check_no_leak(json.loads(json.dumps(found.to_json())))
    part_of = found.part_of()
    assert set(part_of) == set(places)
    assert all(found.parts[part] for part in ("train", "validation", "test"))
    for place in set(places.values()):
        assert len({part_of[glacier] for glacier, own in places.items() if own == place}) == 1
    if len(sizes) >= 10:
        for part in ("train", "validation", "test"):
            assert abs(len(found.parts[part]) - getattr(split, part) * len(places)) <= max(sizes)
    assert SplitFile.from_json(json.loads(json.dumps(found.to_json()))) == found
    reordered = dict(reversed(places.items()))
    assert split_by_place(reordered, split=split).hash == found.hash


def test_the_seed_decides_the_split_and_nothing_else() -> None:
    places = {f"G{number:02}": number for number in range(20)}
    hashes = {split_by_place(places, split=Split(seed=seed)).hash for seed in range(5)}
    assert len(hashes) == 5
    renumbered = {glacier: 100 - place for glacier, place in places.items()}
    assert split_by_place(renumbered, split=Split()).parts == split_by_place(places, split=Split()).parts


def test_one_place_cannot_be_split() -> None:
    assert split_by_place({"a": 0}, split=Split()).part_of() == {"a": "train"}
    assert split_by_place({}, split=Split()).part_of() == {}


@given(
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900), st.integers(5, 60)), min_size=12, max_size=30),
    st.sampled_from(["easting", "northing"]),
    st.sampled_from([0.0, 20.0]),
)
@settings(max_examples=40, deadline=None)
def test_cut_ground_is_disjoint_and_holds_whole_glaciers(
    squares: list[tuple[int, int, int]], axis: str, gap_m: float
) -> None:
    outlines = {f"G{number}": shapely.box(x, y, x + size, y + size) for number, (x, y, size) in enumerate(squares)}
    try:
        found = split_by_axis(outlines, split=Split(by=axis, gap_m=gap_m))
    except ConfigurationError as error:
        assert "cannot be cut" in str(error)  # noqa: PT017 (either outcome is right, and both are checked)
        return
    check_no_leak(found)
    check_no_leak(json.loads(json.dumps(found.to_json())))
    assert SplitFile.from_json(json.loads(json.dumps(found.to_json()))) == found
    grounds = {part: shapely.box(*np.clip(bounds, -1e6, 1e6)) for part, bounds in found.bounds.items()}
    for one, other in (("train", "validation"), ("validation", "test"), ("train", "test")):
        assert grounds[one].distance(grounds[other]) >= gap_m - 1e-6
    for part in ("validation", "test"):
        for name in found.parts[part]:
            assert outlines[name].within(grounds[part])
    for name in found.parts["train"]:
        assert outlines[name].centroid.within(grounds["train"])
    assert math.isinf(found.bounds["train"][0 if axis == "easting" else 1])


def test_cuts_come_near_the_fractions_and_refuse_what_they_cannot_do() -> None:
    outlines = {f"G{number:02}": shapely.box(number * 100, 0, number * 100 + 60, 50) for number in range(50)}
    found = split_by_axis(outlines, split=Split(by="easting", gap_m=30))
    assert [len(found.parts[part]) for part in ("train", "validation", "test")] == [30, 10, 10]
    with pytest.raises(ConfigurationError, match="cannot be cut by northing"):
        split_by_axis(outlines, split=Split(by="northing"))


def made(**changes: Any) -> SplitFile:
    value: dict[str, Any] = {
        "by": "place",
        "parts": {"train": ("a", "b"), "validation": ("c",), "test": ("d",)},
        "places": {"a": 0, "b": 0, "c": 1, "d": 2},
    }
    return SplitFile(**{**value, **changes})


def test_leaks_are_found() -> None:
    check_no_leak(made())
    with pytest.raises(ConfigurationError, match="glacier a serves both train and test"):
        check_no_leak(made(parts={"train": ("a", "b"), "validation": ("c",), "test": ("a",)}))
    with pytest.raises(ConfigurationError, match="place 0 serves both train and test"):
        check_no_leak(made(parts={"train": ("a",), "validation": ("c",), "test": ("b",)}))
    cut = {"train": (-math.inf, 100.0), "validation": (110.0, 200.0), "test": (210.0, math.inf)}
    check_no_leak(made(by="easting", places={}, intervals=cut, gap_m=10.0))
    with pytest.raises(ConfigurationError, match="ground"):
        check_no_leak(made(by="easting", places={}, intervals=cut, gap_m=20.0))
    with pytest.raises(ConfigurationError, match="ground"):
        check_no_leak(made(by="easting", places={}, intervals={**cut, "validation": (90.0, 200.0)}))


def test_a_split_file_that_was_changed_is_refused() -> None:
    value = made().to_json()
    value["test"] = ["b"]
    with pytest.raises(ConfigurationError, match="hash"):
        check_no_leak(value)


def test_pixels_of_the_test_set_change_nothing_that_is_fitted(tmp_path: Path) -> None:
    from glacier_core.prepare import fit_normalisation

    def fitted(seed: int) -> NDArray[np.float64]:
        cubes = {name: written(tmp_path, name, seed=0 if name == "train" else seed)[:2] for name in ("train", "test")}
        reader = ChipReader([Chip(*cubes["train"], 0, 0, 32)], bands=BANDS)
        return np.asarray(fit_normalisation((reader[0][0] for _ in range(1)), bands=BANDS).mean)

    np.testing.assert_array_equal(fitted(1), fitted(2))
