"""Composites: what they hold, what they cost, and frames that fail while they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from glacier_core.cube import open_cube
from glacier_core.errors import DataError, SceneError
from glacier_core.grids import Grid
from glacier_core.recipes import CubeRecipe
from glacier_core.sources.series import Frame, Series
from glacier_core.steps.compositing import Composite, composited
from glacier_core.steps.cube_building import Building

HEIGHT, WIDTH = 40, 16
AMPLE = 2**30
RECIPE = CubeRecipe.model_validate(
    {"name": "x", "kind": "cube", "data": ".", "memory_mb": 16, "imagery": {"source": "frames", "files": "*"}}
)
Read = Callable[[slice], NDArray[np.float32]]


def images(count: int) -> NDArray[np.float32]:
    values = np.random.default_rng(5).normal(size=(count, 1, HEIGHT, WIDTH)).astype(np.float32)
    values[np.random.default_rng(6).random(values.shape) < 0.4] = np.nan
    values[:, :, 3, 4] = np.nan
    return values


def series(*reads: Read, versions: str = "") -> Series:
    """One frame a day of one month."""
    frames = tuple(
        Frame(f"f{number}", datetime(2020, 1, number + 1, tzinfo=UTC), read, version=versions)
        for number, read in enumerate(reads)
    )
    grid = Grid("", (1.0, 0.0, 0.0, 0.0, -1.0, float(HEIGHT)), WIDTH, HEIGHT)
    return Series("place", grid, ("grey",), ("height",), frames)


def unexpected(frame: str, reason: str) -> None:
    pytest.fail(f"{frame}: {reason}")


def given(values: NDArray[np.float32]) -> Read:
    return lambda rows: values[:, rows]


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_the_median_of_what_is_seen(count: int) -> None:
    values = images(count)
    found = composited(series(*map(given, values)), "monthly", allowance=AMPLE, left_out=unexpected)
    (frame,) = found.frames
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(RuntimeWarning)
        expected = np.nanmedian(values, axis=0)
    np.testing.assert_allclose(frame.read(slice(0, HEIGHT)), expected, rtol=1e-6)
    np.testing.assert_allclose(frame.read(slice(7, 19)), expected[:, 7:19], rtol=1e-6)


def test_no_more_rows_are_held_than_the_allowance_has_room_for() -> None:
    asked: list[slice] = []
    values = images(8)

    def read(rows: slice) -> NDArray[np.float32]:
        asked.append(rows)
        return given(values[0])(rows)

    allowance = 16 * 4 * WIDTH * 10  # ten rows of eight frames and what their median takes
    found = composited(series(*[read] * 8), "yearly", allowance=allowance, left_out=unexpected)
    np.testing.assert_array_equal(found.frames[0].read(slice(0, HEIGHT)), values[0])
    assert {rows.stop - rows.start for rows in asked} == {10}
    assert len(asked) == 4 * 8


def test_a_frame_that_fails_is_left_out_of_every_row() -> None:
    ones, nines = np.ones((1, HEIGHT, WIDTH), np.float32), np.full((1, HEIGHT, WIDTH), 9, np.float32)

    def half(rows: slice) -> NDArray[np.float32]:
        if rows.start >= HEIGHT // 2:
            raise SceneError("its lower half is missing")
        return nines[:, rows]

    told: list[tuple[str, str]] = []
    made = composited(
        series(given(ones), half),
        "monthly",
        allowance=10 * 4 * WIDTH * 4,  # four rows at a time: the failure comes after others were read
        left_out=lambda frame, reason: told.append((frame, reason)),
    )
    (frame,) = made.frames
    assert isinstance(frame.read, Composite)
    np.testing.assert_array_equal(frame.read(slice(0, HEIGHT)), ones)
    assert told == [("f1", "left out of 2020-01: its lower half is missing")]
    assert not frame.read.mended()  # nothing had been given away
    np.testing.assert_array_equal(frame.read(slice(0, 4)), ones[:, :4])
    assert len(told) == 1

    (frame,) = composited(series(given(ones), half), "monthly", allowance=AMPLE, left_out=lambda *_: None).frames
    assert isinstance(frame.read, Composite)
    assert frame.read(slice(0, 4)).max() == 5
    assert frame.read(slice(20, 24)).max() == 1
    assert (frame.read.mended(), frame.read.mended()) == (True, False)


def test_a_cube_is_begun_again_when_a_frame_fails_below_what_is_written(tmp_path: Path) -> None:
    height, width = 4096, 512
    asked: list[int] = []

    def half(rows: slice) -> NDArray[np.float32]:
        asked.append(rows.start)
        if rows.start >= height // 2:
            raise SceneError("its lower half is missing")
        return np.full((1, rows.stop - rows.start, width), 9, np.float32)

    def ones(rows: slice) -> NDArray[np.float32]:
        return np.ones((1, rows.stop - rows.start, width), np.float32)

    grid = Grid("", (1.0, 0.0, 0.0, 0.0, -1.0, float(height)), width, height)
    told: list[str] = []
    made = composited(
        replace(series(ones, half), grid=grid),
        "monthly",
        allowance=AMPLE,
        left_out=lambda frame, _: told.append(frame),
    )
    path = str(tmp_path / "cube.zarr")
    report = Building(RECIPE, made, lambda _: None, {}).run(path)
    assert (report["dims"]["time"], told) == (1, ["f1"])
    assert asked[0] == 0  # the upper rows were read with it at first
    np.testing.assert_array_equal(open_cube(path)["imagery"].values, 1)


def test_a_period_without_a_readable_frame_is_refused() -> None:
    def broken(_: slice) -> NDArray[np.float32]:
        raise SceneError("it is empty")

    (frame,) = composited(series(broken, broken), "monthly", allowance=AMPLE, left_out=lambda *_: None).frames
    for _ in range(2):
        with pytest.raises(SceneError, match=r"none of 2 frames of 2020-01 can be read.*f0: it is empty"):
            frame.read(slice(0, 4))


def test_a_composite_is_another_one_when_a_frame_of_it_is() -> None:
    read = given(images(1)[0])

    def version(versions: str) -> str:
        made = composited(series(read, versions=versions), "monthly", allowance=AMPLE, left_out=unexpected)
        return made.frames[0].version

    assert version("a") == version("a")
    assert version("a") != version("b")


def test_frames_of_one_name_are_refused() -> None:
    one = series(given(images(1)[0]))
    twice = Series("place", one.grid, one.bands, one.quantities, one.frames * 2)
    with pytest.raises(DataError, match="several frames of place are called f0"):
        Building(RECIPE, twice, lambda _: None, {})
    assert Building(RECIPE, one, lambda _: None, {}).frames
