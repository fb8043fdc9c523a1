"""The C-correction against images whose level truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glacier_core.errors import DataError
from glacier_core.prepare import Sun, c_correction, illumination
from glacier_core.prepare.topography import GREATEST_GAIN

SUN = Sun(150.0, 40.0)
LEVEL = float(np.sin(np.radians(40.0)))


def hills(size: int = 96, *, steepness: float = 0.5, seed: int = 0) -> NDArray[np.float32]:
    """Gradients (2, y, x) of smooth hills."""
    rng = np.random.default_rng(seed)
    waves = rng.uniform(0.05, 0.25, (6, 2))
    phases = rng.uniform(0, 6.3, 6)
    rows, columns = np.indices((size, size))
    angles = [rows * wave[0] + columns * wave[1] + phase for wave, phase in zip(waves, phases, strict=True)]
    east = sum(np.sin(angle) for angle in angles)
    north = sum(np.cos(1.3 * angle) for angle in angles)
    return np.asarray(steepness / 2 * np.stack([east, north]), dtype=np.float32)


def lit_image(gradient: NDArray[np.float32], truth: NDArray[np.float32], *, diffuse: float) -> NDArray[np.float32]:
    """Reflectance of ground with direct light by Lambert and diffuse light from all sides; level ground shows truth."""
    light = np.maximum(illumination(gradient, SUN), 0)
    return np.asarray(truth * (light + diffuse) / (LEVEL + diffuse), dtype=np.float32)


@given(st.floats(0.05, 1.0), st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_what_the_terrain_did_is_undone(diffuse: float, seed: int) -> None:
    gradient = hills(seed=seed)
    truth = np.array([0.6, 0.3])[:, None, None] * np.random.default_rng(seed).normal(1, 0.05, (2, 96, 96))
    image = lit_image(gradient, truth.astype(np.float32), diffuse=diffuse)
    found = c_correction(image, gradient, SUN, bands=("green", "nir"))
    light = illumination(gradient, SUN)
    lit = found.trusted & (light > 0)
    for number, fit in enumerate(found.fits):
        assert fit.verdict == "corrected"
        assert fit.c == pytest.approx(diffuse, abs=0.05 + 0.2 * diffuse)
        assert fit.correlation > 0.5
        assert abs(fit.correlation_after) < 0.1
        np.testing.assert_allclose(np.median(found.image[number][lit]), np.median(truth[number]), rtol=0.05)
        error = np.abs(found.image[number][lit] / truth[number][lit] - 1).mean()
        assert error < 0.2 * np.abs(image[number][lit] / truth[number][lit] - 1).mean()


def test_an_image_that_does_not_follow_the_light_is_left_as_it_is() -> None:
    rng = np.random.default_rng(0)
    gradient = hills()
    noise = rng.normal(0.4, 0.1, (1, 96, 96)).astype(np.float32)
    found = c_correction(noise, gradient, SUN, bands=("green",))
    np.testing.assert_array_equal(found.image, noise)
    assert found.fits[0].verdict == "refused"
    assert "too weak" in found.fits[0].reason
    against = 0.9 - 0.5 * illumination(gradient, SUN)[None]
    opposed = c_correction(against, gradient, SUN, bands=("green",))
    assert "darker where there is more light" in opposed.fits[0].reason
    np.testing.assert_array_equal(opposed.image, against)


def test_level_ground_and_too_few_slopes_are_refused() -> None:
    level = np.zeros((2, 50, 50), np.float32)
    image = np.random.default_rng(0).normal(0.4, 0.1, (1, 50, 50)).astype(np.float32)
    assert "only 0 lit pixels" in c_correction(image, level, SUN, bands=("green",)).fits[0].reason
    inclined = np.full((2, 50, 50), 0.3, np.float32)
    assert "hardly varies" in c_correction(image, inclined, SUN, bands=("green",)).fits[0].reason


def test_kinds_of_surface_are_fitted_by_themselves() -> None:
    """Bright ice on the shady slopes and dark rock on the sunny ones: one line through both would be upside down."""
    gradient = hills()
    light = illumination(gradient, SUN)
    ice = light < np.median(light)
    truth = np.where(ice, 0.8, 0.2).astype(np.float32)
    image = lit_image(gradient, truth[None], diffuse=0.3)
    together = c_correction(image, gradient, SUN, bands=("green",))
    assert together.fits[0].verdict == "refused"
    apart = c_correction(image, gradient, SUN, bands=("green",), strata=np.where(ice, 1, 2).astype(np.uint8))
    assert [(fit.stratum, fit.verdict) for fit in apart.fits] == [(1, "corrected"), (2, "corrected")]
    np.testing.assert_allclose(apart.image[0][apart.trusted], truth[apart.trusted], rtol=0.03)
    left = np.where(ice, 1, 0).astype(np.uint8)
    only_ice = c_correction(image, gradient, SUN, bands=("green",), strata=left)
    np.testing.assert_array_equal(only_ice.image[0][~ice], image[0][~ice])


def test_shade_is_neither_used_nor_corrected_nor_trusted() -> None:
    gradient = hills(steepness=1.2)
    truth = np.full((1, 96, 96), 0.5, np.float32)
    image = lit_image(gradient, truth, diffuse=0.02)
    shadow = np.zeros((96, 96), np.uint8)
    shadow[:10] = 1
    image[:, :10] = 0.01
    found = c_correction(image, gradient, SUN, bands=("green",), shadow=shadow)
    dark = (illumination(gradient, SUN) <= 0) | (shadow == 1)
    assert dark[10:].any()
    assert not found.trusted[dark].any()
    np.testing.assert_array_equal(found.image[0][~found.trusted], image[0][~found.trusted])
    assert (found.image[0][found.trusted] <= image[0][found.trusted] * (GREATEST_GAIN + 1e-3)).all()
    np.testing.assert_allclose(found.image[0][found.trusted], 0.5, rtol=0.02)


def test_a_correction_is_never_stronger_than_the_cosine() -> None:
    gradient = hills()
    light = np.maximum(illumination(gradient, SUN), 0)
    # too much haze was subtracted: c would be negative
    image = np.maximum(0.8 * light - 0.1, 0).astype(np.float32)[None]
    found = c_correction(image, gradient, SUN, bands=("green",))
    assert found.fits[0].c == 0.0
    there = found.trusted & (light > 0)
    np.testing.assert_allclose(found.image[0][there], (image[0] * LEVEL / np.maximum(light, 1e-9))[there], rtol=1e-4)


def test_a_correction_that_leaves_the_light_in_the_image_is_refused() -> None:
    gradient = hills()
    light = np.maximum(illumination(gradient, SUN), 0)
    # so much haze was subtracted that the image is far steeper than any light
    image = np.maximum(3 * light - 1.3, 0.01).astype(np.float32)[None]
    found = c_correction(image, gradient, SUN, bands=("green",))
    assert found.fits[0].verdict == "refused"
    assert "the correction leaves" in found.fits[0].reason
    np.testing.assert_array_equal(found.image, image)


def test_unknown_pixels_and_unknown_terrain_stay_as_they_are() -> None:
    gradient = hills()
    image = lit_image(gradient, np.full((1, 96, 96), 0.5, np.float32), diffuse=0.2)
    image[0, 3, 4] = np.nan
    gradient[:, 50, 60] = np.nan
    found = c_correction(image, gradient, SUN, bands=("green",))
    assert np.isnan(found.image[0, 3, 4])
    assert found.image[0, 50, 60] == image[0, 50, 60]
    assert np.isnan(found.image).sum() == 1


def test_shapes_must_fit() -> None:
    gradient = hills(20)
    with pytest.raises(DataError, match="shape"):
        c_correction(np.zeros((2, 20, 20), np.float32), gradient, SUN, bands=("green",))
    with pytest.raises(DataError, match="gradient has the shape"):
        c_correction(np.zeros((1, 21, 20), np.float32), gradient, SUN, bands=("green",))
    with pytest.raises(DataError, match="strata"):
        c_correction(np.zeros((1, 20, 20), np.float32), gradient, SUN, bands=("g",), strata=np.zeros((3, 3), np.uint8))
