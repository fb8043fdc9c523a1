"""Cubes: written and read back the same, by us and by others, on every protocol."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from glacier_core.cube import (
    DIGITAL_NUMBER,
    LOCAL_CRS,
    PROBABILITY,
    REFLECTANCE,
    Packing,
    grid_of,
    make_cube,
    make_mask_cube,
    open_arrays,
    open_cube,
    open_pixels,
    read_image,
    read_mask,
    read_window,
    write_cube,
)
from glacier_core.errors import DataError, ServiceUnavailableError, StoreError
from glacier_core.grids import Grid
from tests.object_storage import BUCKET, Endpoint

KELVIN = Packing(dtype="int32", scale=1e-5, offset=273.15, fill=-(2**31), units="K", long_name="temperature")
BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")


def grid(height: int, width: int, *, crs: str = "EPSG:32645", x: float = 478_000.0, y: float = 3_100_020.0) -> Grid:
    return Grid(crs=crs, transform=(10.0, 0.0, x, 0.0, -10.0, y), width=width, height=height)


def instants(count: int) -> NDArray[np.datetime64]:
    return np.datetime64("2020-08-01T04:51:03.024", "ns") + np.arange(count) * np.timedelta64(5, "D")


def cube(imagery: NDArray[np.float32], *, packing: Packing = REFLECTANCE, **more: Any) -> xr.Dataset:
    times, bands, height, width = imagery.shape
    return make_cube(
        **{
            "grid": grid(height, width),
            "times": instants(times),
            "bands": [f"B{number:02}" for number in range(bands)],
            "imagery": imagery,
            "packing": packing,
            **more,
        }
    )


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32)
    found[..., :1, :] = np.nan
    return found


@pytest.fixture(params=["file", "file-url", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "a" / "scenes.zarr")
    if request.param == "file-url":
        return f"file://{tmp_path}/scenes.zarr"
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}/scenes.zarr"
    request.getfixturevalue("s3")
    return f"s3://{BUCKET}/{uuid.uuid4().hex}/scenes.zarr"


def test_a_cube_comes_back_as_it_was_on_every_protocol(place: str) -> None:
    imagery = noise(2, 3, 40, 50)
    classes = np.random.default_rng(1).integers(0, 12, (2, 40, 50)).astype(np.uint8)
    written = cube(
        imagery,
        extra={
            "scene": (("time",), np.array(["S2A_1", "S2B_ä"]), {"long_name": "STAC item"}),
            "scene_class": (("time", "y", "x"), classes, {}),
        },
        attrs={"composite": "none"},
    )
    write_cube(place, written)
    read = open_cube(place)
    assert read["imagery"].dtype == np.float32
    np.testing.assert_allclose(read["imagery"].values, imagery, atol=0.51e-4)
    assert read["scene_class"].dtype == np.uint8
    np.testing.assert_array_equal(read["scene_class"].values, classes)
    assert [str(name) for name in read["scene"].values] == ["S2A_1", "S2B_ä"]
    np.testing.assert_array_equal(read["time"].values, instants(2))
    assert read["imagery"].sel(band=["B02", "B00"]).shape == (2, 2, 40, 50)
    assert grid_of(read) == grid(40, 50)
    assert read.attrs["composite"] == "none"


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    packing=st.sampled_from([REFLECTANCE, DIGITAL_NUMBER, PROBABILITY, KELVIN]),
    data=st.data(),
)
@settings(max_examples=20, deadline=None)
def test_packing_loses_half_a_step_and_keeps_nan(
    shape: tuple[int, int, int, int], packing: Packing, data: st.DataObject
) -> None:
    low, high = packing.limits
    values = st.floats(low, high, width=64) | st.just(float("nan"))
    imagery = data.draw(npst.arrays(np.float64, shape, elements=values)).astype(np.float32)
    place = f"memory://{uuid.uuid4().hex}"
    write_cube(place, cube(imagery, packing=packing))
    first = open_cube(place)["imagery"].values
    # beside half a step, a float32 of this size has its own
    tolerance = packing.scale * 0.51 + np.nanmax(np.abs(imagery), initial=0) * 2e-7
    np.testing.assert_allclose(first, imagery, atol=tolerance, rtol=0)
    write_cube(place, cube(first.astype(np.float32), packing=packing))
    if packing.dtype == "uint16":
        np.testing.assert_array_equal(open_cube(place)["imagery"].values, first)


def test_what_does_not_fit_is_clipped_and_never_wraps_round() -> None:
    imagery = np.array([-5, -0.1, 6.4534, 7, 1e38, np.inf, -np.inf, np.nan], dtype=np.float32).reshape(1, 1, 1, 8)
    write_cube("memory://clipped", cube(imagery))
    read = open_cube("memory://clipped")["imagery"].values[0, 0, 0]
    np.testing.assert_allclose(read[:5], [-0.1, -0.1, 6.4534, 6.4534, 6.4534], atol=1e-6)
    # infinity is no measurement
    assert np.isnan(read[5:]).all()


def test_a_probability_of_one_half_is_kept_exactly() -> None:
    write_cube("memory://half", cube(np.array([0, 0.5, 1], dtype=np.float32).reshape(1, 1, 1, 3), packing=PROBABILITY))
    assert open_cube("memory://half")["imagery"].values.ravel().tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("times", "height", "width"), [(1, 513, 30), (3, 700, 520), (17, 20, 30), (70, 5, 6), (66, 513, 4)]
)
def test_zarr_reads_every_layout_of_chunks_and_shards(tmp_path: Path, times: int, height: int, width: int) -> None:
    imagery = noise(times, 2, height, width)
    write_cube(str(tmp_path / "c"), cube(imagery))
    for consolidated in (True, False):
        array: Any = zarr.open_group(str(tmp_path / "c"), mode="r", use_consolidated=consolidated)["imagery"]
        packed = array[...]
        physical = np.where(packed == 65535, np.nan, packed * 1e-4 - 0.1)
        np.testing.assert_allclose(physical, imagery, atol=0.51e-4)
        assert array.metadata.dimension_names == ("time", "band", "y", "x")
    np.testing.assert_allclose(
        open_cube(str(tmp_path / "c"))["imagery"][-1, :, -3:, 1:].values, imagery[-1, :, -3:, 1:], atol=0.51e-4
    )


def test_zarr_finds_the_checksum_of_a_damaged_shard_wrong(tmp_path: Path) -> None:
    write_cube(str(tmp_path / "c"), cube(noise(17, 1, 8, 8)))
    shard = tmp_path / "c/imagery/c.0.0.0.0"
    data = bytearray(shard.read_bytes())
    data[-20] ^= 1
    shard.write_bytes(data)
    with pytest.raises((ValueError, RuntimeError), match="checksum"):
        open_cube(str(tmp_path / "c"))["imagery"].load()
    with pytest.raises(StoreError, match="checksum"):
        read_window(str(tmp_path / "c"))


def test_a_small_cube_has_few_objects(tmp_path: Path) -> None:
    write_cube(str(tmp_path / "c"), cube(noise(6, 5, 330, 330)))
    assert sum(path.is_file() for path in (tmp_path / "c").rglob("*")) <= 12


def test_others_see_where_it_lies(tmp_path: Path) -> None:
    from odc.geo.xr import xr_coords  # noqa: F401 (gives datasets the accessor .odc)
    from pyproj import CRS

    write_cube(str(tmp_path / "c"), cube(noise(1, 1, 30, 40)))
    seen = xr.open_zarr(str(tmp_path / "c"), decode_coords="all", chunks=None)
    assert seen.odc.geobox == grid(30, 40).geobox()
    assert seen["imagery"].encoding["grid_mapping"] == "spatial_ref"
    assert CRS.from_cf(seen["spatial_ref"].attrs) == CRS("EPSG:32645")
    assert seen["x"].attrs["standard_name"] == "projection_x_coordinate"
    assert seen["imagery"].attrs["standard_name"] == "surface_bidirectional_reflectance"
    assert seen["imagery"].attrs["units"] == "1"
    attributes = json.loads((tmp_path / "c/zarr.json").read_text())["attributes"]
    assert attributes["proj:code"] == "EPSG:32645"
    assert attributes["spatial:transform"] == [10.0, 0.0, 478_000.0, 0.0, -10.0, 3_100_020.0]
    assert attributes["spatial:bbox"] == [478_000.0, 3_099_720.0, 478_400.0, 3_100_020.0]
    assert {entry["name"] for entry in attributes["zarr_conventions"]} == {"spatial:", "proj:"}


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    x=st.floats(-4e5, 4e5),
    y=st.floats(-4e5, 4e5),
    resolution=st.floats(0.37, 30),
    data=st.data(),
)
@settings(max_examples=20, deadline=None)
def test_the_grid_of_a_cube_and_of_any_window_is_known(
    height: int, width: int, x: float, y: float, resolution: float, data: st.DataObject
) -> None:
    whole = Grid(crs="EPSG:3413", transform=(resolution, 0.0, x, 0.0, -resolution, y), width=width, height=height)
    dataset = make_mask_cube(grid=whole, masks={"ice": np.zeros((height, width), dtype=np.uint8)})
    assert grid_of(dataset) == whole
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = grid_of(dataset.isel(y=slice(row, None), x=slice(column, None)))
    assert window.shape == (height - row, width - column)
    np.testing.assert_allclose(window.transform[2], x + column * resolution)
    np.testing.assert_allclose(window.transform[5], y - row * resolution)


def test_a_dataset_with_rows_left_out_has_no_grid() -> None:
    dataset = make_mask_cube(grid=grid(9, 9), masks={"ice": np.zeros((9, 9), dtype=np.uint8)})
    with pytest.raises(DataError, match="left out"):
        grid_of(dataset.isel(y=[0, 2, 3]))
    with pytest.raises(DataError, match="no georeference"):
        grid_of(dataset.drop_vars("spatial_ref"))


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3413", 'PROJCRS["x"]', ""])
def test_any_crs_and_none(crs: str) -> None:
    from pyproj import CRS

    if crs.startswith("PROJCRS"):
        crs = CRS("+proj=laea +lat_0=60 +lon_0=10 +datum=WGS84").to_wkt()
    place = f"memory://{uuid.uuid4().hex}"
    lattice = Grid(crs=crs, transform=(0.01, 0.0, 7.0, 0.0, -0.01, 60.0), width=4, height=3)
    write_cube(place, make_mask_cube(grid=lattice, masks={"ice": np.ones((3, 4), dtype=np.uint8)}))
    read = open_cube(place)
    assert grid_of(read).crs == (crs or LOCAL_CRS)
    assert grid_of(read).transform == lattice.transform
    assert CRS(read["spatial_ref"].attrs["crs_wkt"]) == CRS(crs or LOCAL_CRS)


def test_masks_stay_integers_with_their_unknown() -> None:
    ice = np.array([[0, 1, 255]], dtype=np.uint8)
    write_cube("memory://masks", make_mask_cube(grid=grid(1, 3), masks={"ice": ice}, attrs={"stale": False}))
    read = open_cube("memory://masks")
    assert read["ice"].dtype == np.uint8
    assert read["ice"].values.tolist() == [[0, 1, 255]]
    assert list(read["ice"].attrs["flag_values"]) == [0, 1, 255]
    arrays = open_arrays("memory://masks")
    assert isinstance(arrays["ice"], zarr.Array)


def test_a_cube_that_was_not_written_to_its_end_cannot_be_opened(tmp_path: Path) -> None:
    write_cube(str(tmp_path / "c"), cube(noise(1, 1, 8, 8)))
    (tmp_path / "c/zarr.json").unlink()
    for opening in (open_cube, open_arrays):
        with pytest.raises(DataError, match="no cube"):
            opening(str(tmp_path / "c"))
    shutil.rmtree(tmp_path / "c")
    with pytest.raises(DataError, match="no cube"):
        open_cube(str(tmp_path / "c"))


def test_metadata_that_are_damaged_are_no_cube(tmp_path: Path) -> None:
    write_cube(str(tmp_path / "c"), cube(noise(1, 1, 8, 8)))
    for damaged in ('{"zarr_format": 3', '{"zarr_format": 3, "node_type": "group", "attributes": {}}'):
        (tmp_path / "c/zarr.json").write_text(damaged)
        with pytest.raises(DataError, match="no cube"):
            open_cube(str(tmp_path / "c"))


def test_a_store_that_is_away_says_so(s3: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    for opening in (open_cube, open_arrays, open_pixels):
        with pytest.raises(DataError, match="no cube"):
            opening(f"s3://{BUCKET}/nothing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        for opening in (open_cube, open_arrays, open_pixels):
            with pytest.raises(ServiceUnavailableError, match="cannot be reached") as caught:
                opening(f"s3://{BUCKET}/nothing")
            assert caught.value.exit_code == 4
    finally:
        s3fs.S3FileSystem.clear_instance_cache()


def test_the_metadata_that_open_a_cube_come_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = Path.write_bytes

    def fail_on_pixels(self: Path, data: bytes) -> int:
        if "imagery/c" in str(self):
            raise OSError(28, "No space left on device")
        return kept(self, data)

    monkeypatch.setattr(Path, "write_bytes", fail_on_pixels)
    with pytest.raises(StoreError, match="is full"):
        write_cube(str(tmp_path / "c"), cube(noise(1, 1, 8, 8)))
    assert not (tmp_path / "c/zarr.json").exists()


def test_the_same_dataset_gives_the_same_bytes(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        write_cube(str(tmp_path / name), cube(noise(2, 2, 30, 40)))
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        found.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files})
    assert found[0] == found[1]


def test_a_second_write_replaces_the_first() -> None:
    write_cube("memory://twice", cube(noise(1, 1, 600, 20)))
    later = noise(2, 1, 30, 20, seed=1)
    write_cube("memory://twice", cube(later))
    np.testing.assert_allclose(open_cube("memory://twice")["imagery"].values, later, atol=0.51e-4)


@given(st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=5, unique=True))
@settings(max_examples=20, deadline=None)
def test_times_are_kept_to_the_nanosecond(counts: list[int]) -> None:
    times = np.sort(np.asarray(counts, dtype=np.int64)).astype("datetime64[ns]")
    write_cube("memory://times", cube(noise(len(times), 1, 2, 2), times=times))
    np.testing.assert_array_equal(open_cube("memory://times")["time"].values, times)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(DataError, match="shape"):
        cube(noise(1, 1, 4, 4), grid=grid(4, 5))
    with pytest.raises(DataError, match="ascend"):
        cube(noise(2, 1, 4, 4), times=instants(2)[::-1])
    with pytest.raises(DataError, match="CRS"):
        cube(noise(1, 1, 4, 4), grid=grid(4, 4, crs="EPSG:nonsense"))
    with pytest.raises(DataError, match="rotated"):
        cube(noise(1, 1, 4, 4), grid=Grid("EPSG:32645", (10.0, 1.0, 0.0, 1.0, -10.0, 0.0), 4, 4))
    with pytest.raises(DataError, match="mask ice"):
        make_mask_cube(grid=grid(4, 4), masks={"ice": np.zeros((3, 4), dtype=np.uint8)})
    with pytest.raises(DataError, match="attribute"):
        write_cube("memory://odd", cube(noise(1, 1, 4, 4), attrs={"odd": object()}))
    with pytest.raises(DataError, match="time of the cube is missing"):
        write_cube("memory://odd", cube(noise(1, 1, 4, 4), times=np.array(["NaT"], dtype="datetime64[ns]")))


def test_the_quick_readers_give_what_xarray_gives(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    grid = Grid("EPSG:32645", (10.0, 0.0, 500000.0, 0.0, -10.0, 3000000.0), 20, 30)
    imagery = rng.uniform(0, 1, (1, 3, 30, 20)).astype(np.float32)
    imagery[0, :, 4, 5] = np.nan
    cube = make_cube(
        grid=grid,
        times=[np.datetime64("2016-08-15")],
        bands=["B04", "B03", "B02"],
        imagery=imagery,
        packing=REFLECTANCE,
        extra={"clear": (("y", "x"), rng.integers(0, 2, (30, 20)).astype(np.uint8), {})},
    )
    path = str(tmp_path / "cube.zarr")
    write_cube(path, cube)
    whole = open_cube(path)
    np.testing.assert_array_equal(read_image(path), whole["imagery"].values[0])
    np.testing.assert_array_equal(
        read_image(path, bands=["B02", "B04"]), whole["imagery"].sel(band=["B02", "B04"]).values[0]
    )
    np.testing.assert_array_equal(read_mask(path, "clear"), whole["clear"].values == 1)
    with pytest.raises(DataError, match="B11"):
        read_image(path, bands=["B11"])
