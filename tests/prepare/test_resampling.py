"""From one grid to another: what is known stays known, and what is not is never blended into it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from glacier_core.cube import IGNORED, LOCAL_CRS, MIXED, grid_of, make_cube, open_cube, write_cube
from glacier_core.errors import DataError
from glacier_core.grids import Grid
from glacier_core.prepare import resample, resample_classes, resample_cube
from glacier_core.prepare.resampling import Method, method_for
from tests.prepare.cube_scenes import NAN, scenes

UTM = "EPSG:32645"
METHODS: tuple[Method, ...] = ("nearest", "bilinear", "average")


def utm(size: int, resolution: float = 30.0, *, east: float = 0.0, south: float = 0.0, crs: str = UTM) -> Grid:
    return Grid(crs, (resolution, 0.0, 5e5 + east, 0.0, -resolution, 3.1e6 - south), size, size)


def hills(grid: Grid) -> NDArray[np.float32]:
    rows, columns = np.indices(grid.shape)
    return np.asarray(4000 + 300 * np.sin(rows / 9) * np.cos(columns / 7), dtype=np.float32)


heights = npst.arrays(np.float32, (12, 12), elements=st.floats(-100, 8000, width=32) | st.just(NAN))
targets = st.builds(
    utm,
    st.integers(3, 15),
    st.sampled_from([7.0, 15.0, 30.0, 47.0, 90.0]),
    east=st.floats(-100, 200),
    south=st.floats(-100, 200),
)


@given(heights, st.sampled_from(METHODS))
@settings(max_examples=20, deadline=None)
def test_the_same_grid_gives_the_same_pixels(height: NDArray[np.float32], method: Method) -> None:
    found = resample(height, source=utm(12), target=utm(12), method=method)
    np.testing.assert_array_equal(found, height)
    assert found is not height


@given(heights, st.sampled_from([2, 3, 4]))
@settings(max_examples=30, deadline=None)
def test_whole_blocks_become_the_mean_of_what_is_known_in_them(height: NDArray[np.float32], factor: int) -> None:
    found = resample(height, source=utm(12), target=utm(12 // factor, 30.0 * factor))
    size = 12 // factor
    blocks = height.astype(np.float64).reshape(size, factor, size, factor).swapaxes(1, 2).reshape(size, size, -1)
    known = np.isfinite(blocks)
    expected = np.where(known.any(axis=-1), np.where(known, blocks, 0).sum(-1) / np.maximum(known.sum(-1), 1), NAN)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-2)


@given(heights, targets, st.sampled_from(METHODS))
@settings(max_examples=60, deadline=None)
def test_a_constant_stays_what_it_is_whatever_is_missing(
    height: NDArray[np.float32], target: Grid, method: Method
) -> None:
    constant = np.where(np.isfinite(height), np.float32(1234.5), np.float32(NAN))
    found = resample(constant, source=utm(12), target=target, method=method)
    np.testing.assert_allclose(found[np.isfinite(found)], 1234.5, rtol=1e-6)


@given(heights, targets, st.sampled_from(METHODS))
@settings(max_examples=40, deadline=None)
def test_no_value_lies_beyond_those_that_were_known(height: NDArray[np.float32], target: Grid, method: Method) -> None:
    found = resample(height, source=utm(12), target=target, method=method)
    known, made = height[np.isfinite(height)], found[np.isfinite(found)]
    if not known.size:
        assert not made.size
    elif made.size:
        assert made.min() >= known.min() - 0.01
        assert made.max() <= known.max() + 0.01


@given(heights, targets)
@settings(max_examples=40, deadline=None)
def test_the_average_weighs_what_is_known_by_its_area(height: NDArray[np.float32], target: Grid) -> None:
    found = resample(height, source=utm(12), target=target, method="average")
    a, _, left, _, e, top = target.transform
    edges = 30.0 * np.arange(13)
    for row, column in np.ndindex(target.shape):
        north, west = top + e * row, left + a * column
        down = np.minimum(north, 3.1e6 - edges[:-1]) - np.maximum(north + e, 3.1e6 - edges[1:])
        across = np.minimum(west + a, 5e5 + edges[1:]) - np.maximum(west, 5e5 + edges[:-1])
        weights = np.outer(np.maximum(down, 0), np.maximum(across, 0)) * np.isfinite(height)
        if weights.sum() > 0.1:
            expected = (np.nan_to_num(height) * weights).sum() / weights.sum()
            assert found[row, column] == pytest.approx(expected, rel=1e-4, abs=1e-2)
        elif weights.sum() == 0:
            assert np.isnan(found[row, column])


def test_the_mean_over_the_ground_is_conserved() -> None:
    source = utm(60)
    height = hills(source)
    for size in (25, 20, 9):
        coarse = resample(height, source=source, target=utm(size, 1800 / size), method="average")
        assert coarse.mean() == pytest.approx(height.mean(), abs=0.02)


def test_coarser_pixels_are_averaged_and_finer_ones_interpolated() -> None:
    assert method_for(utm(12), utm(12, 90.0)) == "average"
    assert method_for(utm(12), utm(12, 31.0)) == "bilinear"
    assert method_for(utm(12), utm(12, 10.0)) == "bilinear"
    degrees = Grid("EPSG:4326", (0.00027, 0.0, 87.0, 0.0, -0.00027, 28.02), 12, 12)
    assert method_for(degrees, utm(12, 30.0)) == "bilinear"
    assert method_for(degrees, utm(12, 60.0)) == "average"
    assert method_for(utm(12), Grid("EPSG:4326", (0.001, 0.0, 87.0, 0.0, -0.001, 28.02), 12, 12)) == "average"


def test_each_band_has_its_own_gaps() -> None:
    """GDAL given both at once would keep a pixel that one of them knows, and blend the other one's NaN or nodata."""
    source, target = utm(40), utm(100, 11.0, east=10, south=7)
    full = np.stack([hills(source), hills(source) + 100])
    gaps = full.copy()
    gaps[0, 10:20, 10:20] = NAN
    gaps[1, 25:30, 5:35] = NAN
    together = resample(gaps[None], source=source, target=target)
    assert together.shape == (1, 2, 100, 100)
    for number in range(2):
        alone = resample(gaps[number], source=source, target=target)
        np.testing.assert_array_equal(together[0, number], alone)
        there = np.isfinite(alone)
        whole = resample(full[number], source=source, target=target)
        # where it is known at all, it is what it would be without the gap but for the ground at the gap's edge
        assert np.abs(alone - whole)[there].max() < 60
        assert np.isnan(alone).any()


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_another_projection_agrees_with_odc_geo(method: Method) -> None:
    from odc.geo.warp import rio_reproject

    source = Grid("EPSG:4326", (0.00027, 0.0, 86.9, 0.0, -0.00027, 28.05), 120, 140)
    target = Grid.covering((490_500.0, 3_099_000.0, 492_500.0, 3_102_000.0), crs=UTM, resolution=30.0)
    height = hills(source)
    height[40:60, 50:70] = NAN
    expected = np.full(target.shape, NAN, np.float32)
    rio_reproject(height, expected, source.geobox(), target.geobox(), resampling=method, src_nodata=NAN, dst_nodata=NAN)
    assert 0.3 < np.isfinite(expected).mean() < 1
    np.testing.assert_allclose(
        resample(height, source=source, target=target, method=method), expected, rtol=1e-6, equal_nan=True
    )


@given(
    npst.arrays(np.uint8, (12, 12), elements=st.sampled_from([0, 1, 7, IGNORED])),
    targets,
    st.sampled_from(["nearest", "mode"]),
)
@settings(max_examples=40, deadline=None)
def test_codes_are_never_mixed(codes: NDArray[np.uint8], target: Grid, method: Any) -> None:
    found = resample_classes(codes, source=utm(12), target=target, method=method)
    assert found.dtype == np.uint8
    assert set(np.unique(found)) <= {*np.unique(codes).tolist(), IGNORED}
    if method == "nearest":
        a, _, left, _, e, top = target.transform
        columns = (left + a * (np.arange(target.width) + 0.5) - 5e5) / 30
        rows = (3.1e6 - (top + e * (np.arange(target.height) + 0.5))) / 30
        row, column = np.meshgrid(rows, columns, indexing="ij")
        inside = (row > 0) & (row < 12) & (column > 0) & (column < 12)
        clear = inside & (np.abs(row - np.round(row)) > 1e-3) & (np.abs(column - np.round(column)) > 1e-3)
        expected = codes[np.floor(row[clear]).astype(int), np.floor(column[clear]).astype(int)]
        np.testing.assert_array_equal(found[clear], expected)
        assert (found[~inside & ((row < -1e-3) | (row > 12.001) | (column < -1e-3) | (column > 12.001))] == 255).all()


def test_the_mode_is_the_class_that_covers_most() -> None:
    codes = np.array([[1, 1, 2, 2], [1, 2, 2, 2], [255, 255, 0, 0], [255, 3, 0, 1]], dtype=np.uint8)
    found = resample_classes(codes, source=utm(4), target=utm(2, 60.0), method="mode")
    assert found.tolist() == [[1, 2], [3, 0]]


def test_planes_without_a_crs_are_related_to_each_other_alone() -> None:
    height = hills(utm(20))
    plain, local = utm(20, crs=""), utm(10, 60.0, crs=LOCAL_CRS)
    expected = resample(height, source=utm(20), target=utm(10, 60.0))
    np.testing.assert_array_equal(resample(height, source=plain, target=local), expected)
    with pytest.raises(DataError, match="no CRS"):
        resample(height, source=utm(20), target=local)
    with pytest.raises(DataError, match="shape"):
        resample(height, source=utm(21), target=utm(10, 60.0))
    with pytest.raises(DataError, match="cannot go"):
        resample(height, source=utm(20), target=utm(10, 60.0, crs="EPSG:0"), method="nearest")
    with pytest.raises(DataError, match="cannot go from the CRS 'EPSG:32645' to 'EPSG:0'"):
        resample(height, source=utm(20), target=utm(10, 60.0, crs="EPSG:0"))


def test_a_whole_cube_goes_to_another_grid_and_back_to_disk() -> None:
    rng = np.random.default_rng(0)
    imagery = rng.uniform(0, 1, (3, 2, 24, 24)).astype(np.float32)
    imagery[1, :, :8] = NAN
    classes = np.full((3, 24, 24), 11, np.uint8)
    classes[0, :6] = 9
    made = scenes(imagery, classes)
    made.attrs["source"] = "somewhere"
    write_cube("memory://resampling/scenes", made)
    target = Grid(UTM, (20.0, 0.0, 5e5 - 40, 0.0, -20.0, 3.1e6), 14, 12)
    found = resample_cube(open_cube("memory://resampling/scenes"), target)
    assert grid_of(found) == target
    assert found["scene"].values.tolist() == ["S0", "S1", "S2"]
    assert found.attrs["source"] == "somewhere"
    write_cube("memory://resampling/found", found)
    read = open_cube("memory://resampling/found")
    blocks = imagery.reshape(3, 2, 12, 2, 12, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(read["imagery"].values[..., 2:], blocks, atol=2e-4)
    assert np.isnan(read["imagery"].values[..., :2]).all()
    assert read["imagery"].encoding["scale_factor"] == pytest.approx(1e-4)
    assert (read["scene_class"].values[..., :2] == 0).all()
    assert (read["scene_class"].values[0, :3, 2:] == 9).all()
    assert (read["scene_class"].values[0, 3:, 2:] == 11).all()


def test_a_cube_of_several_quantities_keeps_them() -> None:
    made = make_cube(
        grid=utm(8),
        times=[np.datetime64("2020-08-01")],
        bands=("nir", "thermal"),
        imagery=np.stack([np.full((8, 8), 0.4), np.full((8, 8), 271.3)])[None].astype(np.float32),
        packing=MIXED,
        extra={"band_units": (("band",), np.array(["1", "K"]), {})},
    )
    write_cube("memory://resampling/mixed", made)
    found = resample_cube(open_cube("memory://resampling/mixed"), utm(4, 60.0))
    write_cube("memory://resampling/mixed_found", found)
    read = open_cube("memory://resampling/mixed_found")
    np.testing.assert_allclose(read["imagery"].values[0, 1], 271.3, rtol=1e-6)
    assert read["band_units"].values.tolist() == ["1", "K"]
    with pytest.raises(DataError, match="no imagery"):
        resample_cube(read.drop_vars("imagery"), utm(4, 60.0))
