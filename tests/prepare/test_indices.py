"""Spectral indices and their registry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.prepare import INDICES, ndsi, spectral_index

NAN = float("nan")
# reflectances of typical surfaces
ICE = {"green": 0.55, "red": 0.50, "nir": 0.40, "swir16": 0.05}
ROCK = {"green": 0.14, "red": 0.16, "nir": 0.20, "swir16": 0.24}
WATER = {"green": 0.08, "red": 0.05, "nir": 0.02, "swir16": 0.01}
GRASS = {"green": 0.08, "red": 0.05, "nir": 0.45, "swir16": 0.20}


def of(name: str, surface: dict[str, float]) -> float:
    return float(spectral_index(name, {band: np.array([value], np.float32) for band, value in surface.items()})[0])


def test_ndsi() -> None:
    green = np.array([0.8, 0.2, 0.0, NAN, -0.01], dtype=np.float32)
    swir = np.array([0.2, 0.2, 0.0, 0.1, 0.2], dtype=np.float32)
    np.testing.assert_allclose(ndsi(green, swir), [0.6, 0, NAN, NAN, -1], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ndsi", (0.55 - 0.05) / (0.55 + 0.05)),
        ("ndsii", (0.50 - 0.05) / (0.50 + 0.05)),
        ("ndwi", (0.55 - 0.40) / (0.55 + 0.40)),
        ("ndmi", (0.40 - 0.05) / (0.40 + 0.05)),
        ("ndvi", (0.40 - 0.50) / (0.40 + 0.50)),
        ("red_swir_ratio", 0.50 / 0.05),
        ("nir_swir_ratio", 0.40 / 0.05),
    ],
)
def test_each_index_is_its_formula(name: str, expected: float) -> None:
    assert of(name, ICE) == pytest.approx(expected, rel=1e-6)


def test_each_index_tells_its_surface_from_the_others() -> None:
    for name in ("ndsi", "ndsii", "red_swir_ratio", "nir_swir_ratio"):
        assert of(name, ICE) > of(name, ROCK)
        assert of(name, ICE) > of(name, GRASS)
    assert max((WATER, ROCK, GRASS), key=lambda surface: of("ndwi", surface)) is WATER
    assert max((ICE, WATER, ROCK, GRASS), key=lambda surface: of("ndvi", surface)) is GRASS


def test_the_ratio_of_dark_snow_has_a_bound() -> None:
    bands = {
        "red": np.array([0.4, 0.4, 0.0, NAN, 0.4, -0.1], np.float32),
        "swir16": np.array([0.0, -0.02, 0.0, 0.1, NAN, 0.2], np.float32),
    }
    np.testing.assert_allclose(spectral_index("red_swir_ratio", bands), [400, 400, NAN, NAN, NAN, 0], rtol=1e-5)


bands = npst.arrays(np.float32, (3, 4), elements=st.floats(-0.25, 1.5, width=32) | st.just(NAN))


@given(st.sampled_from(sorted(INDICES)), bands, bands)
def test_an_index_stays_within_its_limits_and_is_unknown_where_a_band_is(
    name: str, first: NDArray[np.float32], second: NDArray[np.float32]
) -> None:
    index = INDICES[name]
    found = spectral_index(name, dict(zip(index.bands, (first, second), strict=True)))
    assert found.dtype == np.float32
    assert np.isnan(found[np.isnan(first) | np.isnan(second)]).all()
    known = found[np.isfinite(found)]
    assert (known >= (0 if index.quantity == "ratio" else -1)).all()
    assert (known <= (2000 if index.quantity == "ratio" else 1)).all()
    assert not np.isinf(found).any()


def test_an_unknown_index_or_a_missing_band_is_one_line() -> None:
    with pytest.raises(ConfigurationError, match=r"no index 'ndsy'; expected one of ndsi, .*; write 'ndsi'"):
        spectral_index("ndsy", {})
    with pytest.raises(ConfigurationError, match="lacks band swir16; expected green and swir16"):
        spectral_index("ndsi", {"green": np.zeros(2, np.float32)})
    with pytest.raises(DataError, match="shape"):
        spectral_index("ndsi", {"green": np.zeros(2, np.float32), "swir16": np.zeros(3, np.float32)})
