"""The normalisation that travels with a model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from glacier_core.errors import DataError
from glacier_core.prepare import Normalisation, fit_normalisation

NAN = float("nan")

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


def test_each_band_keeps_its_own_numbers_in_another_order() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(np.array([0.2, 0.5, 280])[:, None, None], 0.1, (3, 9, 9)).astype(np.float32)
    fitted = fit_normalisation([image], bands=("red", "nir", "thermal"))
    turned = fitted.for_bands(["thermal", "red"])
    np.testing.assert_array_equal(turned.apply(image[[2, 0]]), fitted.apply(image)[[2, 0]])
    assert fitted.for_bands(fitted.bands) == fitted
    with pytest.raises(DataError, match="band swir16 has no normalisation; expected bands among red, nir, thermal"):
        fitted.for_bands(["red", "swir16"])


@pytest.mark.parametrize(
    "value", [{"bands": ["a"], "mean": [0.0, 1.0], "std": [1.0]}, {"bands": ["a"], "mean": [0.0], "std": [0.0]}]
)
def test_a_damaged_normalisation_is_refused(value: dict[str, list[float]]) -> None:
    with pytest.raises(DataError, match="normalisation"):
        Normalisation.from_json(value)
