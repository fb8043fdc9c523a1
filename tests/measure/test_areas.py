"""Areas: exact pixel areas, unobserved ground, and the spread."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS

from glacier_core.errors import DataError
from glacier_core.grids import Grid
from glacier_core.measure import AreaEstimate, estimate_area, pixel_areas

ENGINEERING = 'ENGCRS["local",EDATUM["scene"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'


def geodesic_area_km2(grid: Grid) -> float:
    """Area of the grid's window as a densified polygon of geodesics on its ellipsoid."""
    from pyproj import Geod, Transformer

    crs: Any = CRS.from_user_input(grid.crs)
    to_degrees = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    left, bottom, right, top = grid.bounds
    up, across = np.linspace(bottom, top, 2000), np.linspace(left, right, 2000)
    x = np.concatenate([across, np.full(2000, right), across[::-1], np.full(2000, left)])
    y = np.concatenate([np.full(2000, bottom), up, np.full(2000, top), up[::-1]])
    geod = Geod(a=crs.ellipsoid.semi_major_metre, b=crs.ellipsoid.semi_minor_metre)
    return abs(float(geod.polygon_area_perimeter(*to_degrees.transform(x, y))[0])) / 1e6


@pytest.mark.parametrize(
    ("crs", "bounds", "resolution"),
    [
        ("EPSG:32645", (100_000.0, 3_090_000.0, 110_000.0, 3_100_000.0), 10.0),
        ("EPSG:32645", (830_000.0, 3_090_000.0, 860_000.0, 3_130_000.0), 30.0),
        ("EPSG:32733", (495_000.0, 9_000_000.0, 505_000.0, 9_010_000.0), 10.0),
        ("EPSG:3413", (-600_000.0, -2_400_000.0, -500_000.0, -2_300_000.0), 100.0),
        ("EPSG:2263", (1_000_000.0, 200_000.0, 1_050_000.0, 250_000.0), 100.0),  # US survey feet
        ("EPSG:4326", (80.0, 30.0, 81.0, 31.0), 0.01),
        ("EPSG:5972", (500_000.0, 6_700_000.0, 510_000.0, 6_710_000.0), 20.0),  # compound: UTM and heights
    ],
)
def test_pixel_areas_sum_to_the_geodesic_area(
    crs: str, bounds: tuple[float, float, float, float], resolution: float
) -> None:
    grid = Grid.covering(bounds, crs=crs, resolution=resolution)
    found = float(np.broadcast_to(pixel_areas(grid), grid.shape).sum())
    horizontal = replace(grid, crs="EPSG:25832") if crs == "EPSG:5972" else grid
    assert found == pytest.approx(geodesic_area_km2(horizontal), rel=1e-6)


def test_plain_utm_area_is_off_where_the_true_one_is_not() -> None:
    grid = Grid.covering((100_000.0, 3_090_000.0, 101_000.0, 3_091_000.0), crs="EPSG:32645", resolution=10.0)
    assert abs(1.0 / geodesic_area_km2(grid) - 1) > 1e-3
    assert pixel_areas(grid).sum() == pytest.approx(geodesic_area_km2(grid), rel=1e-6)


def test_single_pixels_have_the_area_of_their_own_polygon() -> None:
    grid = Grid.covering((100_000.0, 3_090_000.0, 160_000.0, 3_150_000.0), crs="EPSG:32645", resolution=1000.0)
    areas = pixel_areas(grid)
    for row, column in ((0, 0), (59, 59), (31, 7)):
        own = Grid(
            crs=grid.crs,
            transform=(1000.0, 0.0, 100_000.0 + 1000 * column, 0.0, -1000.0, 3_150_000.0 - 1000 * row),
            width=1,
            height=1,
        )
        assert areas[row, column] == pytest.approx(geodesic_area_km2(own), rel=1e-6)


def test_the_whole_earth_in_degrees() -> None:
    grid = Grid.covering((-180.0, -90.0, 180.0, 90.0), crs="EPSG:4326", resolution=1.0)
    assert pixel_areas(grid).sum() * grid.width == pytest.approx(510_065_621.724, rel=1e-9)  # WGS 84


def test_imagery_without_georeference_has_plain_pixels() -> None:
    grid = Grid(crs=ENGINEERING, transform=(20.0, 0.0, 0.0, 0.0, -20.0, 0.0), width=5, height=4)
    assert np.broadcast_to(pixel_areas(grid), grid.shape).sum() == pytest.approx(20 * 400e-6)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32645"])
def test_a_grid_off_the_earth_is_refused(crs: str) -> None:
    with pytest.raises(DataError, match="transform"):
        pixel_areas(Grid(crs=crs, transform=(1e7, 0.0, 1e8, 0.0, -1e7, 1e9), width=4, height=4))


def scene(size: int = 60) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Probability (confident), domain and outline: ice fills the outline, the domain is wider."""
    domain, outline = np.zeros((2, size, size), dtype=bool)
    domain[5:-5, 5:-5] = True
    outline[15:-15, 15:-15] = True
    return np.where(outline, 0.99, 0.01).astype(np.float32), domain, outline


def measured(probability: NDArray[np.float32], domain: NDArray[np.bool_], outline: NDArray[np.bool_]) -> AreaEstimate:
    return estimate_area(
        probability=probability, domain=domain, outline=outline, pixel_area=np.full((len(domain), 1), 1e-4)
    )


def test_a_clear_scene_is_counted() -> None:
    probability, domain, outline = scene()
    found = measured(probability, domain, outline)
    assert found.area_km2 == pytest.approx(900e-4)
    assert found.observed_ice_km2 == pytest.approx(900e-4)
    assert found.unobserved_km2 == 0
    assert found.clear_fraction == 1
    # 120 edges of half a pixel each, and 1 % of 2500 pixels in doubt
    assert found.spread_km2 == pytest.approx(np.hypot(60e-4, 25e-4), rel=1e-6)


def test_ice_outside_the_domain_does_not_count() -> None:
    probability, domain, outline = scene()
    probability[:5] = 1
    assert measured(probability, domain, outline).area_km2 == pytest.approx(900e-4)


def test_unobserved_pixels_take_the_fraction_seen_on_their_side_of_the_outline() -> None:
    probability, domain, outline = scene()
    probability[15:30, 15:30] = 0.01  # a quarter of the outline is ice-free
    probability[30:45, 15:30] = np.nan  # another quarter is hidden
    found = measured(probability, domain, outline)
    assert found.observed_ice_km2 == pytest.approx(450e-4)
    assert found.area_km2 == pytest.approx((450 + 225 * 2 / 3) * 1e-4)
    assert found.unobserved_km2 == pytest.approx(225e-4)
    assert found.clear_fraction == pytest.approx(1 - 225 / 2500)


def test_where_nothing_was_seen_the_outline_speaks_and_the_spread_is_as_wide_as_ignorance() -> None:
    probability, domain, outline = scene()
    probability[:] = np.nan
    found = measured(probability, domain, outline)
    assert found.area_km2 == pytest.approx(900e-4)
    assert found.clear_fraction == 0
    assert found.spread_km2 > 0.5 * 1600e-4


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_hidden_pixels_always_widen_and_are_never_land(data: st.DataObject) -> None:
    probability, domain, outline = scene()
    probability = np.where(outline, np.float32(1), np.float32(0))
    clear = measured(probability, domain, outline)
    rows = data.draw(st.integers(16, 54))
    columns = data.draw(st.integers(16, 54))
    hidden = probability.copy()
    hidden[5:rows, 5:columns] = np.nan
    found = measured(hidden, domain, outline)
    assert found.spread_km2 > clear.spread_km2
    assert found.area_km2 == pytest.approx(clear.area_km2)  # every pixel seen inside was ice: so are the hidden ones
    assert found.area_km2 <= found.domain_km2
    more = hidden.copy()
    more[5:rows, 5:55] = np.nan
    assert measured(more, domain, outline).spread_km2 >= found.spread_km2


def test_no_ice_is_an_area_of_zero_with_a_spread() -> None:
    _, domain, outline = scene()
    found = measured(np.zeros((60, 60), dtype=np.float32), domain, outline)
    assert found.area_km2 == 0
    assert found.spread_km2 > 0


def test_an_empty_domain_and_different_shapes_are_refused() -> None:
    probability, domain, outline = scene()
    with pytest.raises(DataError, match="domain holds no pixel"):
        measured(probability, np.zeros_like(domain), outline)
    with pytest.raises(DataError, match="one shape"):
        measured(probability[1:], domain, outline)
