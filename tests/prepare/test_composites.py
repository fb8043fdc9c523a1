"""Composites: one image of a year, or of each month."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from glacier_core.cube import MIXED, grid_of, make_cube, open_cube, write_cube
from glacier_core.errors import ConfigurationError, WithheldError
from glacier_core.prepare import clear_mask, monthly_images, observations, yearly_image
from tests.prepare.cube_scenes import CLOUD, NAN, SNOW_OR_ICE, row_of, scenes

TARGET = datetime(2020, 8, 22, tzinfo=UTC)


def test_best_is_the_clearest_scene_whole() -> None:
    classes = np.full((3, 1, 4), SNOW_OR_ICE, dtype=np.uint8)
    classes[0, 0, :] = CLOUD
    classes[1, 0, 0] = CLOUD
    found = yearly_image(
        scenes(row_of([1] * 4, [2] * 4, [3] * 4), classes), how="best", target=TARGET, cloud_edge_pixels=0
    )
    assert found["imagery"].values[0, 0].tolist() == [[3, 3, 3, 3]]
    assert json.loads(found.attrs["scenes_used"]) == ["S2"]
    assert json.loads(found.attrs["scenes_left_out"]) == [{"scene": "S0", "reason": "all cloud"}]
    assert found["time"].values[0] == np.datetime64("2020-08-21")


def test_among_equally_clear_scenes_the_nearest_to_the_target_is_best() -> None:
    found = yearly_image(scenes(row_of([1], [2], [3])), how="best", target=datetime(2020, 8, 9))  # noqa: DTZ001
    assert json.loads(found.attrs["scenes_used"]) == ["S1"]


def test_pixels_under_cloud_are_unobserved_in_the_best_scene() -> None:
    classes = np.array([[[CLOUD, 4, 4]]], dtype=np.uint8)
    found = yearly_image(scenes(row_of([1, 2, 3]), classes), how="best", target=TARGET, cloud_edge_pixels=0)
    assert found["clear"].values.tolist() == [[0, 1, 1]]
    assert np.isnan(found["imagery"].values[0, :, 0, 0]).all()


@pytest.mark.parametrize(
    ("seen", "taken"),
    [([0.3], 0.3), ([0.9, 0.3], 0.3), ([0.3, 0.9, 0.8], 0.3), ([0.3, 0.25, 0.9, 0.8], 0.3), ([NAN, 0.5, NAN], 0.5)],
)
def test_late_summer_leaves_seasonal_snow_out(seen: list[float], taken: float) -> None:
    found = yearly_image(scenes(row_of(*([value] for value in seen))), how="late_summer", target=TARGET)
    np.testing.assert_allclose(found["imagery"].values[0, :, 0, 0], taken)


@given(
    st.integers(1, 6).flatmap(
        lambda count: st.tuples(
            npst.arrays(np.float32, (count, 2, 3, 4), elements=st.floats(0, 1, width=32) | st.just(NAN)),
            npst.arrays(np.uint8, (count, 3, 4), elements=st.integers(0, 11)),
        )
    )
)
@settings(max_examples=50, deadline=None)
def test_each_pixel_of_the_composite_is_one_clear_observation(
    drawn: tuple[NDArray[np.float32], NDArray[np.uint8]],
) -> None:
    imagery, classes = drawn
    clear = clear_mask(classes) & np.isfinite(imagery).all(axis=1)
    if not clear.any():
        with pytest.raises(WithheldError, match="clearly"):
            yearly_image(scenes(imagery, classes), how="late_summer", target=TARGET, cloud_edge_pixels=0)
        return
    found = yearly_image(scenes(imagery, classes), how="late_summer", target=TARGET, cloud_edge_pixels=0)
    image = found["imagery"].values[0]
    np.testing.assert_array_equal(found["clear"].values == 1, clear.any(axis=0))
    for row, column in np.ndindex(3, 4):
        candidates = imagery[clear[:, row, column], :, row, column]
        if not len(candidates):
            assert np.isnan(image[:, row, column]).all()
            continue
        assert any((candidate == image[:, row, column]).all() for candidate in candidates)
        # never brighter than the median, and the darkest only of three or fewer
        assert image[0, row, column] <= np.median(candidates[:, 0])
        if len(candidates) > 3:
            assert (candidates[:, 0] <= image[0, row, column]).sum() >= 2
    assert found["time"].values[0] == np.datetime64("2020-08-22")
    assert set(json.loads(found.attrs["scenes_used"])) <= {
        f"S{number}" for number in np.flatnonzero(clear.any(axis=(1, 2)))
    }
    assert len(json.loads(found.attrs["scenes_left_out"])) == (~clear.any(axis=(1, 2))).sum()


def test_scenes_that_show_nothing_are_left_out_with_the_reason() -> None:
    classes = np.full((3, 1, 2), SNOW_OR_ICE, dtype=np.uint8)
    classes[1] = CLOUD
    found = yearly_image(scenes(row_of([NAN, NAN], [0.9, 0.9], [0.4, 0.5]), classes), how="late_summer", target=TARGET)
    assert json.loads(found.attrs["scenes_left_out"]) == [
        {"scene": "S0", "reason": "no data in the window"},
        {"scene": "S1", "reason": "all cloud"},
    ]


def test_a_year_without_any_clear_pixel_is_withheld() -> None:
    with pytest.raises(WithheldError, match="S0: all cloud"):
        yearly_image(scenes(row_of([0.5]), np.array([[[CLOUD]]], dtype=np.uint8)), how="best", target=TARGET)
    with pytest.raises(ConfigurationError, match="composite"):
        yearly_image(scenes(row_of([0.5])), how="mean", target=TARGET)  # type: ignore[arg-type]


def test_the_image_is_a_cube_like_its_scenes() -> None:
    write_cube("memory://prepare/scenes", scenes(row_of([0.1, 0.2], [0.3, NAN])))
    image = yearly_image(open_cube("memory://prepare/scenes"), how="late_summer", target=TARGET)
    write_cube("memory://prepare/image", image)
    read = open_cube("memory://prepare/image")
    assert grid_of(read) == grid_of(image)
    np.testing.assert_allclose(read["imagery"].values[0, 0], [[0.1, 0.2]], atol=1e-6)
    assert read["imagery"].attrs["standard_name"] == "surface_bidirectional_reflectance"
    assert read["imagery"].encoding["scale_factor"] == pytest.approx(1e-4)


@given(st.integers(1, 9), st.integers(0, 3), st.sampled_from(["best", "late_summer", "median", "mean"]))
@settings(max_examples=40, deadline=None)
def test_strips_leave_no_seam(rows: int, edge: int, how: str) -> None:
    rng = np.random.default_rng(rows)
    imagery = rng.uniform(0, 1, (5, 2, 11, 7)).astype(np.float32)
    imagery[rng.uniform(size=imagery.shape) < 0.1] = NAN
    classes = rng.choice([SNOW_OR_ICE, CLOUD], (5, 11, 7), p=[0.9, 0.1]).astype(np.uint8)
    cube = scenes(imagery, classes)

    def made() -> xr.Dataset:
        if how in ("best", "late_summer"):
            return yearly_image(cube, how=how, target=TARGET, cloud_edge_pixels=edge)  # type: ignore[arg-type]
        return monthly_images(cube, how=how, cloud_edge_pixels=edge)  # type: ignore[arg-type]

    whole = made()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observations, "STRIP_BYTES", 4 * 5 * 2 * 7 * rows)
        xr.testing.assert_identical(made(), whole)


@pytest.fixture(scope="module")
def long_cube() -> str:
    """16 scenes of 2 bands by 4096 rows by 32 columns: 16 MiB of pixels."""
    path = "memory://prepare/long"
    pixels = np.random.default_rng(0).uniform(0, 1, (16, 2, 4096, 32)).astype(np.float32)
    write_cube(path, scenes(pixels, days_apart=0))
    return path


@pytest.mark.parametrize("how", ["best", "late_summer", "median"])
def test_memory_stays_flat_however_many_scenes_there_are(
    how: str, long_cube: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observations, "STRIP_BYTES", 2**20)
    cube = open_cube(long_cube)
    tracemalloc.start()
    if how == "median":
        monthly_images(cube)
    else:
        yearly_image(cube, how=how, target=TARGET)  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # an image (1 MiB) and what a strip (1 MiB of pixels) needs
    assert peak < 7 * 2**20


def test_what_is_known_of_the_bands_goes_along() -> None:
    made = make_cube(
        grid=grid_of(scenes(row_of([0.1]))),
        times=[np.datetime64("2020-08-01")],
        bands=("nir", "thermal"),
        imagery=np.array([0.4, 271.3], np.float32).reshape(1, 2, 1, 1),
        packing=MIXED,
        extra={"band_units": (("band",), np.array(["1", "K"]), {})},
    )
    write_cube("memory://prepare/mixed", made)
    for image in (
        yearly_image(open_cube("memory://prepare/mixed"), how="late_summer", target=TARGET),
        monthly_images(open_cube("memory://prepare/mixed")),
    ):
        write_cube("memory://prepare/mixed_image", image)
        read = open_cube("memory://prepare/mixed_image")
        assert read["band_units"].values.tolist() == ["1", "K"]
        np.testing.assert_allclose(read["imagery"].values[0, :, 0, 0], [0.4, 271.3], rtol=1e-6)


def test_a_month_is_the_median_of_its_clear_observations() -> None:
    # 1, 11, 21, 31 August; 10, 20, 30 September
    classes = np.full((7, 1, 2), SNOW_OR_ICE, np.uint8)
    classes[3, 0, 0] = CLOUD
    cube = scenes(row_of(*([value, value + 1] for value in (0.1, 0.4, 0.2, 9, 0.5, NAN, 0.7))), classes)
    found = monthly_images(cube, cloud_edge_pixels=0)
    assert found["time"].values.tolist() == np.array(["2020-08-01", "2020-09-01"], "datetime64[ns]").tolist()
    np.testing.assert_allclose(found["imagery"].values[:, 0, 0], [[0.2, 1.3], [0.6, 1.6]], rtol=1e-6)
    assert found["observations"].values[:, 0].tolist() == [[3, 4], [2, 2]]
    assert json.loads(found.attrs["scenes_used"]) == ["S0", "S1", "S2", "S3", "S4", "S6"]
    assert json.loads(found.attrs["scenes_left_out"]) == [{"scene": "S5", "reason": "no data in the window"}]
    assert json.loads(found.attrs["months_left_out"]) == []
    mean = monthly_images(cube, how="mean", cloud_edge_pixels=0)
    np.testing.assert_allclose(mean["imagery"].values[:, 0, 0, 0], [0.7 / 3, 0.6], rtol=1e-6)


def test_months_without_anything_clear_are_left_out_and_named() -> None:
    # 1 August, 10 September, 20 October, 29 November, 8 January
    classes = np.full((5, 1, 1), SNOW_OR_ICE, np.uint8)
    classes[2] = CLOUD
    cube = scenes(row_of([0.1], [0.2], [0.3], [0.4], [0.5]), classes, days_apart=40)
    found = monthly_images(cube)
    months = found["time"].values.astype("datetime64[M]").astype(str).tolist()
    assert months == ["2020-08", "2020-09", "2020-11", "2021-01"]
    assert json.loads(found.attrs["months_left_out"]) == [
        {"month": "2020-10", "reason": "nothing was clear"},
        {"month": "2020-12", "reason": "no scene"},
    ]
    write_cube("memory://prepare/months", found)
    np.testing.assert_allclose(
        open_cube("memory://prepare/months")["imagery"].values[:, 0, 0, 0], [0.1, 0.2, 0.4, 0.5], rtol=1e-6
    )


def test_too_few_observations_are_none() -> None:
    cube = scenes(row_of([0.1, NAN], [0.2, NAN], [0.3, 0.5]))
    found = monthly_images(cube, least_observations=2)
    np.testing.assert_allclose(found["imagery"].values[0, 0, 0], [0.2, NAN], rtol=1e-6)
    assert found["observations"].values.tolist() == [[[3, 1]]]
    with pytest.raises(WithheldError, match="4 times in any of 1 months"):
        monthly_images(cube, least_observations=4)
    with pytest.raises(WithheldError, match="S0: no data in the window"):
        monthly_images(scenes(row_of([NAN])))
    with pytest.raises(ConfigurationError, match="median or mean"):
        monthly_images(cube, how="max")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="least_observations is 0"):
        monthly_images(cube, least_observations=0)


@pytest.mark.parametrize("count", [2, 5, 10, 11, 25])
def test_the_median_of_few_and_of_many_scenes(count: int) -> None:
    imagery = np.random.default_rng(count).uniform(0, 1, (count, 2, 5, 6)).astype(np.float32)
    imagery[0, :, 0, 0] = NAN
    found = monthly_images(scenes(imagery, days_apart=1))
    np.testing.assert_allclose(found["imagery"].values[0], np.nanmedian(imagery, axis=0), rtol=1e-6)


@given(
    npst.arrays(np.float32, (6, 2, 3, 4), elements=st.floats(0, 1, width=32) | st.just(NAN)),
    npst.arrays(np.uint8, (6, 3, 4), elements=st.sampled_from([CLOUD, SNOW_OR_ICE])),
    st.sampled_from(["median", "mean"]),
)
@settings(max_examples=40, deadline=None)
@pytest.mark.filterwarnings("ignore:(Mean of empty|All-NaN) slice")
def test_months_are_numpys_medians_and_means(
    imagery: NDArray[np.float32], classes: NDArray[np.uint8], how: Literal["median", "mean"]
) -> None:
    clear = (classes == SNOW_OR_ICE) & np.isfinite(imagery).all(axis=1)
    if not clear.any():
        return
    found = monthly_images(scenes(imagery, classes, days_apart=14), how=how, cloud_edge_pixels=0)
    masked = np.where(clear[:, None], imagery.astype(np.float64), NAN)
    for own in ([0, 1, 2], [3, 4], [5]):  # August, September, October
        if not clear[own].any():
            continue
        month = np.datetime64("2020-08", "M") + {0: 0, 3: 1, 5: 2}[own[0]]
        image = found["imagery"].sel(time=month.astype("datetime64[ns]")).values
        expected = getattr(np, f"nan{how}")(masked[own], axis=0)
        np.testing.assert_allclose(image, expected, rtol=1e-6, atol=1e-7)
