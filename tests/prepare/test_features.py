"""Features: their names and order, indices, terrain, the distance from the middle, the sun."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from glacier_core.errors import ConfigurationError, SceneError
from glacier_core.grids import Grid
from glacier_core.prepare import Sun, features

GRID = Grid(crs="EPSG:32645", transform=(30.0, 0.0, 480_000.0, 0.0, -30.0, 3_100_000.0), width=20, height=16)


def test_channels_stand_in_the_order_of_their_names() -> None:
    names = features.feature_names(("B03", "B11"), indices=("ndsi",), terrain=("elevation", "aspect"), place=True)
    assert names == ("B03", "B11", "ndsi", "elevation", "aspect_sin", "aspect_cos", "middle_round", "middle_square")
    with pytest.raises(ConfigurationError, match="ndsi twice"):
        features.feature_names(("ndsi",), indices=("ndsi",))


def test_an_index_is_made_of_what_bands_see_whatever_they_are_called() -> None:
    image = np.stack([np.full((2, 2), 0.6), np.full((2, 2), 0.2)]).astype(np.float32)
    seen = {"B03": "green", "B11": "swir16"}
    found = features.index_channels(image, bands=("B03", "B11"), common=seen.__getitem__, indices=("ndsi",))
    assert found == pytest.approx(0.5)
    with pytest.raises(ConfigurationError, match="lacks band"):
        features.index_channels(image, bands=("B03", "B11"), common=seen.__getitem__, indices=("ndvi",))


def test_a_plane_that_falls_to_the_east_has_one_slope_and_one_aspect() -> None:
    height = np.broadcast_to(3000 - 30.0 * np.arange(20), GRID.shape).astype(np.float32)
    elevation, slope, sine, cosine = features.terrain_channels(height, GRID, features=("elevation", "slope", "aspect"))
    assert np.array_equal(elevation, height)
    assert slope == pytest.approx(45, abs=0.1)
    assert sine == pytest.approx(1, abs=0.05)  # north of the grid is not quite true north
    assert cosine == pytest.approx(0, abs=0.05)
    level = features.terrain_channels(np.full(GRID.shape, 5, np.float32), GRID, features=("aspect",))
    assert not level.any()


def test_the_distance_from_the_middle_is_the_same_from_every_side() -> None:
    found = features.place_channels((12, 12))
    for turns in range(4):
        assert np.allclose(np.rot90(found, turns, axes=(1, 2)), found)
    assert np.allclose(found[:, :, ::-1], found)
    assert found[1].max() == pytest.approx(11 / 12)
    assert found[0].min() == pytest.approx(np.hypot(1, 1) / 12)


def test_the_sun_stands_where_the_almanac_says() -> None:
    # the example of Reda and Andreas 2004 (doi:10.1016/j.solener.2003.12.003), without its refraction
    moment = datetime(2003, 10, 17, 19, 30, 30, tzinfo=UTC)
    sun = Sun.at(moment, longitude_deg=-105.1786, latitude_deg=39.742476)
    assert sun.azimuth_deg == pytest.approx(194.34024, abs=0.02)
    assert sun.elevation_deg == pytest.approx(39.8722, abs=0.02)
    with pytest.raises(SceneError):
        Sun.at(moment.replace(hour=7), longitude_deg=-105.0, latitude_deg=39.7)
