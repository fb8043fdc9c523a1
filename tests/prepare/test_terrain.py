"""Slope, aspect, illumination and cast shadows against surfaces whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Geod

from glacier_core.cube import LOCAL_CRS
from glacier_core.errors import ConfigurationError, DataError, SceneError
from glacier_core.grids import Grid
from glacier_core.prepare import Sun, aspect_deg, cast_shadow, illumination, slope_deg, terrain, terrain_gradient
from glacier_core.settings import Settings

CHIPS = Settings().data / "extent/high_mountain_asia"
WGS84 = Geod(ellps="WGS84")


def plane(grid: Grid, *, slope: float, aspect: float, origin: tuple[float, float]) -> NDArray[np.float32]:
    """A plane on the ground around `origin` (longitude, latitude), by geodesic distance and azimuth."""
    from pyproj import Transformer

    a, _, left, _, e, top = grid.transform
    x, y = np.meshgrid(left + a * (np.arange(grid.width) + 0.5), top + e * (np.arange(grid.height) + 0.5))
    longitude, latitude = Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(x, y)
    from_x, from_y = np.full_like(longitude, origin[0]), np.full_like(latitude, origin[1])
    azimuth, _, distance = WGS84.inv(from_x, from_y, longitude, latitude)
    along = distance * np.cos(np.radians(azimuth - aspect))
    return np.asarray(4000 - math.tan(math.radians(slope)) * along, dtype=np.float32)


def grid_around(crs: str, longitude: float, latitude: float, resolution: float, size: int = 21) -> Grid:
    from pyproj import Transformer

    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(longitude, latitude)
    half = size / 2 * resolution
    return Grid(crs, (resolution, 0.0, x - half, 0.0, -resolution, y + half), size, size)


def flat_grid(size: int, resolution: float = 30.0) -> Grid:
    return Grid("EPSG:32645", (resolution, 0.0, 5e5, 0.0, -resolution, 3.1e6), size, size)


PLACES = st.sampled_from(
    [
        ("EPSG:32645", 87.0, 28.0, 30.0),
        ("EPSG:32645", 89.9, 28.0, 30.0),
        ("EPSG:4326", 87.0, 28.0, 0.00027),
        ("EPSG:4326", -45.0, 72.0, 0.00027),
        ("EPSG:3413", -20.0, 75.0, 100.0),  # true north is 25 degrees off the grid's
        ("EPSG:3031", 120.0, -72.0, 100.0),  # true north is 120 degrees off
        ("EPSG:3857", 10.0, 61.0, 60.0),  # pixels half as large on the ground
        ("EPSG:6933", 8.0, 46.0, 60.0),  # equal area: pixels are no squares on the ground
        ("EPSG:2264", -82.0, 35.5, 100.0),  # US survey feet
    ]
)


@given(PLACES, st.floats(1, 60), st.floats(0, 359.9))
@settings(max_examples=40, deadline=None)
def test_a_plane_has_its_slope_and_aspect_in_every_projection(
    place: tuple[str, float, float, float], slope: float, aspect: float
) -> None:
    crs, longitude, latitude, resolution = place
    grid = grid_around(crs, longitude, latitude, resolution)
    gradient = terrain_gradient(plane(grid, slope=slope, aspect=aspect, origin=(longitude, latitude)), grid)
    assert gradient.shape == (2, 21, 21)
    np.testing.assert_allclose(slope_deg(gradient), slope, atol=0.1)
    off = (aspect_deg(gradient) - aspect + 180) % 360 - 180
    np.testing.assert_allclose(off, 0, atol=0.1 + 0.1 / math.tan(math.radians(slope)))


def test_edges_lead_on_as_a_plane_does() -> None:
    grid = flat_grid(6)
    columns = np.broadcast_to(np.arange(6, dtype=np.float32) * 30, (6, 6))
    gradient = terrain_gradient(np.ascontiguousarray(columns), grid)
    np.testing.assert_allclose(slope_deg(gradient), 45, atol=0.1)
    # it rises to the east, so that it falls to the west
    np.testing.assert_allclose(aspect_deg(gradient), 270, atol=0.5)


def test_a_slope_by_hand() -> None:
    # Horn: east (3 + 2*5 + 7 - 1 - 2*2 - 4) / 8 / 10 = 11 / 80; south (4 + 2*9 + 7 - 1 - 2*1 - 3) / 80 = 23 / 80
    height = np.array([[1, 1, 3], [2, 0, 5], [4, 9, 7]], dtype=np.float32)
    grid = Grid("", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), 3, 3)
    east, north = terrain_gradient(height, grid, pixel_size_m=10.0)[:, 1, 1]
    assert (east, north) == (pytest.approx(11 / 80), pytest.approx(-23 / 80))
    with pytest.raises(ConfigurationError, match="pixel_size_m"):
        terrain_gradient(height, Grid(LOCAL_CRS, grid.transform, 3, 3))


def test_unknown_heights_make_their_neighbours_unknown_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    height = rng.normal(3000, 50, (9, 9)).astype(np.float32)
    whole = terrain_gradient(height, flat_grid(9))
    height[4, 5] = np.nan
    found = terrain_gradient(height, flat_grid(9))
    rows, columns = np.indices((9, 9))
    near = (np.abs(rows - 4) <= 1) & (np.abs(columns - 5) <= 1)
    np.testing.assert_array_equal(np.isnan(found), np.broadcast_to(near, (2, 9, 9)))
    np.testing.assert_allclose(found[:, ~near], whole[:, ~near], atol=1e-5)
    assert np.isnan(terrain_gradient(np.full((9, 9), np.nan, np.float32), flat_grid(9))).all()


def test_strips_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    grid = grid_around("EPSG:3413", -20, 75, 100, size=70)
    height = rng.normal(1000, 200, grid.shape).astype(np.float32)
    whole = terrain_gradient(height, grid)
    monkeypatch.setattr(terrain, "STRIP_ROWS", 13)
    np.testing.assert_allclose(terrain_gradient(height, grid), whole, atol=1e-5)


def test_level_ground_faces_nowhere() -> None:
    gradient = terrain_gradient(np.full((5, 5), 100, np.float32), flat_grid(5))
    assert (slope_deg(gradient) == 0).all()
    assert np.isnan(aspect_deg(gradient)).all()
    np.testing.assert_allclose(illumination(gradient, Sun(150, 35)), math.sin(math.radians(35)), rtol=1e-6)


@given(st.floats(0, 80), st.floats(0, 360), st.floats(0, 360), st.floats(1, 89))
@settings(max_examples=100, deadline=None)
def test_the_illumination_is_lamberts(slope: float, aspect: float, azimuth: float, elevation: float) -> None:
    steep, towards = math.tan(math.radians(slope)), math.radians(aspect)
    gradient = np.array([-steep * math.sin(towards), -steep * math.cos(towards)], np.float32)[:, None, None]
    zenith, tilt = math.radians(90 - elevation), math.radians(slope)
    expected = math.cos(tilt) * math.cos(zenith) + math.sin(tilt) * math.sin(zenith) * math.cos(
        math.radians(azimuth) - towards
    )
    assert float(illumination(gradient, Sun(azimuth, elevation))[0, 0]) == pytest.approx(expected, abs=2e-5)


def test_the_sun_must_be_up() -> None:
    with pytest.raises(SceneError, match="elevation -2"):
        Sun(100, -2)
    with pytest.raises(SceneError, match="azimuth nan"):
        Sun(math.nan, 30)


@pytest.mark.parametrize(("azimuth", "turns"), [(90, 0), (0, 1), (270, 2), (180, 3)])
def test_a_wall_throws_a_shadow_of_its_height_over_the_tangent(azimuth: float, turns: int) -> None:
    # the wall's shadow falls to the west when the sun stands in the east
    height = np.zeros((41, 41), np.float32)
    height[:, 30] = 100.0
    expected = np.zeros((41, 41), bool)
    # 100 m at 45 degrees: 9 pixels of 10 m; at the centre of the tenth the sun just looks over the wall
    expected[:, 21:30] = True
    found = cast_shadow(
        np.ascontiguousarray(np.rot90(height, turns)),
        Grid("", (10.0, 0, 0, 0, -10.0, 0), 41, 41),
        Sun(azimuth, 45.0),
        pixel_size_m=10.0,
    )
    np.testing.assert_array_equal(found == 1, np.rot90(expected, turns))


@given(st.floats(0, 360), st.floats(5, 70))
@settings(max_examples=25, deadline=None)
def test_a_tower_throws_its_shadow_away_from_the_sun(azimuth: float, elevation: float) -> None:
    size, tall = 81, 200.0
    height = np.zeros((size, size), np.float32)
    middle = size // 2
    height[middle - 1 : middle + 2, middle - 1 : middle + 2] = tall
    found = cast_shadow(height, flat_grid(size, 10.0), Sun(azimuth, elevation))
    rows, columns = np.nonzero(found == 1)
    reach = tall / math.tan(math.radians(elevation)) / 10
    along = -(columns - middle) * math.sin(math.radians(azimuth)) + (rows - middle) * math.cos(math.radians(azimuth))
    across = (columns - middle) * math.cos(math.radians(azimuth)) + (rows - middle) * math.sin(math.radians(azimuth))
    if 4 < reach < middle - 4:
        assert along.max() >= reach - 2
    assert (along > 0).all()
    assert (along <= reach + 3).all()
    assert (np.abs(across) <= 3).all()


def test_unknown_heights_hide_nothing_and_are_not_known_to_lie_in_shadow() -> None:
    height = np.zeros((5, 12), np.float32)
    height[:, 9] = np.nan
    height[2, 6] = 50
    grid = Grid("", (1.0, 0, 0, 0, -1.0, 0), 12, 5)
    found = cast_shadow(height, grid, Sun(90, 45), pixel_size_m=10.0)
    assert (found[:, 9] == 255).all()
    assert found[2].tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0, 255, 0, 0]
    assert (found[0, :9] == 0).all()
    assert (cast_shadow(height, grid, Sun(90, 90), pixel_size_m=10.0) != 1).all()


def test_heights_must_fit_their_grid() -> None:
    with pytest.raises(DataError, match=r"shape \(4, 4\)"):
        terrain_gradient(np.zeros((4, 4), np.float32), flat_grid(5))
    with pytest.raises(DataError, match="beyond a pole"):
        terrain_gradient(np.zeros((4, 4), np.float32), Grid("EPSG:4326", (1.0, 0, 0, 0, -1.0, 91.0), 4, 4))
    with pytest.raises(DataError, match="not known"):
        terrain_gradient(np.zeros((4, 4), np.float32), Grid("EPSG:0", (1.0, 0, 0, 0, -1.0, 91.0), 4, 4))


def chip_with_heights(name: str) -> tuple[NDArray[np.float32], NDArray[np.float32], Grid]:
    """Near infrared (y, x) of a Landsat chip, the heights below it, and their grid."""
    import rasterio

    from glacier_core.prepare import resample

    pixels, grids = [], []
    for path, band in ((CHIPS / f"landsat/{name}.tif", 4), (CHIPS / f"dem/{name}_NASADEM.tif", 1)):
        with rasterio.open(path) as dataset:
            a, b, c, d, e, f = tuple(dataset.transform)[:6]
            grids.append(Grid("EPSG:4326", (a, b, c, d, e, f), dataset.width, dataset.height))
            values = dataset.read(band).astype(np.float32)
        values[values == 0] = np.nan
        pixels.append(values)
    return pixels[0], resample(pixels[1], source=grids[1], target=grids[0], method="bilinear"), grids[0]


@pytest.mark.skipif(not CHIPS.is_dir(), reason=f"GLACIER_DATA holds no extent/high_mountain_asia ({CHIPS})")
def test_real_slopes_that_face_the_morning_sun_are_brighter() -> None:
    """The chips have no date. Landsat passes at about 10:15 local time, when the sun stands in the south-east."""
    wins = 0
    for name in ("G086949E27913N", "G086943E28072N", "G086917E27925N", "G086889E27929N", "G078348E31293N"):
        nir, height, grid = chip_with_heights(name)
        gradient = terrain_gradient(height, grid)
        steep = slope_deg(gradient)
        # Himalayan valleys: steep, yet no cliffs
        assert 15 < np.nanmedian(steep) < 45
        seen = np.isfinite(steep) & np.isfinite(nir)
        morning, evening = (
            np.corrcoef(illumination(gradient, Sun(azimuth, 40))[seen], nir[seen])[0, 1] for azimuth in (145, 325)
        )
        wins += morning > evening
    assert wins >= 4


@pytest.mark.skipif(not CHIPS.is_dir(), reason=f"GLACIER_DATA holds no extent/high_mountain_asia ({CHIPS})")
def test_real_mountains_cast_the_shadows_that_the_image_shows() -> None:
    """Walls of the Khumbu valley; the sun's place is a guess, for the chip has no date."""
    nir, height, grid = chip_with_heights("G086949E27913N")
    shadow = cast_shadow(height, grid, Sun(150, 28))
    assert 0.1 < (shadow == 1).mean() < 0.5
    in_shadow, in_light = (np.nanmedian(nir[shadow == code]) for code in (1, 0))
    assert in_shadow < 0.4 * in_light
