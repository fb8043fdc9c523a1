"""Masks, composites, indices and the normalisation."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from glacier_core.cube import REFLECTANCE, grid_of, make_cube, open_cube, write_cube
from glacier_core.errors import ConfigurationError, DataError, WithheldError
from glacier_core.grids import Grid
from glacier_core.prepare import Normalisation, clear_mask, fit_normalisation, ndsi, yearly_image

TARGET = datetime(2020, 8, 22, tzinfo=UTC)
NAN = float("nan")
SNOW_OR_ICE, CLOUD = 11, 9


def scenes(
    imagery: NDArray[np.float32], classes: NDArray[np.uint8] | None = None, *, bands: tuple[str, ...] = ("B03", "B11")
) -> xr.Dataset:
    count, _, height, width = imagery.shape
    extra: dict[str, Any] = {"scene": (("time",), np.array([f"S{number}" for number in range(count)]), {})}
    if classes is not None:
        extra["scene_class"] = (("time", "y", "x"), classes, {})
    return make_cube(
        grid=Grid("EPSG:32645", (10.0, 0.0, 5e5, 0.0, -10.0, 3.1e6), width, height),
        times=np.datetime64("2020-08-01", "ns") + np.arange(count) * np.timedelta64(10, "D"),
        bands=bands,
        imagery=imagery,
        packing=REFLECTANCE,
        extra=extra,
    )


def row_of(*values: list[float]) -> NDArray[np.float32]:
    """Scenes of one row: both bands hold the same value."""
    found = np.asarray(values, dtype=np.float32)[:, None, None, :]
    return np.repeat(found, 2, axis=1)


def test_clear_is_what_the_classification_calls_surface() -> None:
    codes = np.arange(12, dtype=np.uint8).reshape(1, 12)
    assert np.flatnonzero(~clear_mask(codes)[0]).tolist() == [0, 1, 3, 8, 9, 10]


def test_clouds_grow_but_only_in_their_own_scene_and_missing_data_do_not() -> None:
    classes = np.full((2, 7, 7), SNOW_OR_ICE, dtype=np.uint8)
    classes[0, 3, 3] = CLOUD
    classes[1, 0, 0] = 0
    clear = clear_mask(classes, dilation_pixels=2)
    rows, columns = np.indices((7, 7))
    np.testing.assert_array_equal(~clear[0], np.abs(rows - 3) + np.abs(columns - 3) <= 2)
    assert (~clear[1]).sum() == 1


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


def test_ndsi() -> None:
    green = np.array([0.8, 0.2, 0.0, NAN, -0.01], dtype=np.float32)
    swir = np.array([0.2, 0.2, 0.0, 0.1, 0.2], dtype=np.float32)
    np.testing.assert_allclose(ndsi(green, swir), [0.6, 0, NAN, NAN, -1], rtol=1e-6)


images = st.lists(
    npst.arrays(
        np.float32,
        st.tuples(st.just(2), st.integers(1, 4), st.integers(1, 4)),
        elements=st.floats(-2, 6, width=32) | st.just(NAN),
    ),
    min_size=1,
    max_size=4,
)


@given(images)
@settings(max_examples=60, deadline=None)
def test_the_normalisation_is_that_of_all_pixels_at_once(found: list[NDArray[np.float32]]) -> None:
    pixels = np.concatenate([image.reshape(2, -1) for image in found], axis=1).astype(np.float64)
    if np.isnan(pixels).all(axis=1).any():
        with pytest.raises(DataError, match="no training pixel"):
            fit_normalisation(found, bands=("a", "b"))
        return
    fitted = fit_normalisation(iter(found), bands=("a", "b"))
    np.testing.assert_allclose(fitted.mean, np.nanmean(pixels, axis=1), atol=1e-9)
    expected = np.nanstd(pixels, axis=1)
    np.testing.assert_allclose(fitted.std, np.where(expected > 1e-6, expected, fitted.std), rtol=1e-6)
    for image in found:
        applied = fitted.apply(image)
        assert applied.dtype == np.float32
        assert np.isfinite(applied).all()
        assert (applied[np.isnan(image)] == 0).all()
    assert Normalisation.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted


def test_the_normalisation_survives_large_offsets_and_constant_bands() -> None:
    rng = np.random.default_rng(0)
    image = np.stack([280 + rng.normal(0, 1e-3, (50, 50)), np.full((50, 50), 0.1)]).astype(np.float32)
    fitted = fit_normalisation([image, image], bands=("thermal", "flat"))
    np.testing.assert_allclose(fitted.std[0], image[0].astype(np.float64).std(), rtol=1e-6)
    assert fitted.std[1] == 1.0
    batch = np.stack([image, image])
    np.testing.assert_array_equal(fitted.apply(batch)[1], fitted.apply(image))
    with pytest.raises(DataError, match="bands"):
        fitted.apply(image[:1])
    with pytest.raises(DataError, match="shape"):
        fit_normalisation([image[:1]], bands=("a", "b"))
