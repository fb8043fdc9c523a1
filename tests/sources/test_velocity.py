"""Ice velocity of any source becomes one series in metres a year."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.transform import from_origin

from glacier_core.errors import ConfigurationError
from glacier_core.settings import Settings
from glacier_core.sources.series import Series
from glacier_core.sources.velocity import open_velocity

KASKAWULSH = Settings().data / "motion/kaskawulsh_velocity"
SHAPE = (6, 5)
BOUNDS = (100_000.0, -2_000_720.0, 100_600.0, -2_000_000.0)
PAIR = {
    "acquisition_date_img1": "20170404T20:30:55.000000",
    "acquisition_date_img2": "20170420T20:30:55.000000",
    "satellite_img1": "8",
    "satellite_img2": "8",
}
COORDS = {
    "y": ("y", -2_000_060.0 - 120.0 * np.arange(SHAPE[0]), {"units": "m"}),
    "x": ("x", 100_060.0 + 120.0 * np.arange(SHAPE[1]), {"units": "m"}),
}


def field(seed: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(0, 500, SHAPE).astype(np.float32)
    values[0, 0] = np.nan
    return values


def mapping() -> xr.Variable:
    return xr.Variable((), np.int32(0), {"grid_mapping_name": "polar_stereographic", "spatial_epsg": 3413})


def netcdf(
    path: Path,
    *,
    units: str = "meter/year",
    pair: Mapping[str, str] = PAIR,
    south_first: bool = False,
    engine: str = "scipy",
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    vx, vy = field(1), field(2)
    attributes = {"units": units, "grid_mapping": "mapping"} if units else {"grid_mapping": "mapping"}
    dataset = xr.Dataset(
        {
            "vx": (("y", "x"), vx, attributes),
            "vy": (("y", "x"), vy, attributes),
            "v_error": (("y", "x"), np.abs(vx), attributes),
            "mapping": mapping(),
        },
        coords=COORDS,
    )
    if pair:
        dataset["img_pair_info"] = xr.Variable((), np.int32(0), dict(pair))
    (dataset.isel(y=slice(None, None, -1)) if south_first else dataset).to_netcdf(path, engine=engine)  # type: ignore[call-overload]
    return vx, vy


def datacube(path: Path, **changes: Any) -> NDArray[np.float32]:
    """Four pairs, not in order of their first dates; one without dates."""
    first = np.array(["2020-03-01", "2020-01-01T12", "2020-02-01", "NaT"], "datetime64[ns]")
    days = np.array([16.0, 32.0, 64.0, np.nan])
    last = first + (np.nan_to_num(days) * 86400e9).astype("timedelta64[ns]")
    vx = np.stack([field(number) for number in range(4)])
    attributes = {"units": "meter/year", "grid_mapping": "mapping"}
    variables: dict[str, Any] = {
        "vx": (("mid_date", "y", "x"), vx, attributes),
        "vy": (("mid_date", "y", "x"), -vx, attributes),
        "date_dt": ("mid_date", days, {"units": "days"}),
        "acquisition_date_img1": ("mid_date", first),
        "acquisition_date_img2": ("mid_date", last),
        "satellite_img1": ("mid_date", np.array(["8", "2A", "1A", "8"], dtype=object)),
        "mapping": mapping(),
    }
    middle = first + (last - first) / 2
    dataset = xr.Dataset({**variables, **changes}, coords={**COORDS, "mid_date": middle})
    dataset = dataset.drop_vars([name for name, value in changes.items() if value is None])
    packed = {"dtype": "int16", "_FillValue": -32767}
    dataset.to_zarr(path, zarr_format=2, encoding={"vx": packed, "vy": packed})
    return vx


def geotiff(path: Path, pixels: NDArray[np.float32], *, left: float = 585_000.0) -> None:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="float32",
        count=1,
        height=pixels.shape[0],
        width=pixels.shape[1],
        crs="EPSG:32607",
        transform=from_origin(left, 6_754_000.0, 60, 60),
        nodata=-9999,
    ) as file:
        file.write(np.where(np.isnan(pixels), -9999, pixels), 1)


def pixels_of(series: Series, number: int = 0) -> NDArray[np.float32]:
    return series.frames[number].read(slice(0, series.grid.height))


@pytest.mark.parametrize(("engine", "south_first"), [("scipy", False), ("scipy", True), ("h5netcdf", False)])
def test_an_image_pair(tmp_path: Path, engine: str, south_first: bool) -> None:  # noqa: FBT001
    if engine == "h5netcdf":
        pytest.importorskip("h5py", reason="h5netcdf writes through h5py")
    vx, vy = netcdf(tmp_path / "pair.nc", south_first=south_first, engine=engine)
    series = open_velocity(tmp_path / "pair.nc", bands=("vx", "vy", "v_error"))
    assert (series.bands, series.quantities) == (("vx", "vy", "v_error"), ("velocity",) * 3)
    assert (series.grid.crs, series.grid.bounds, series.grid.shape) == ("EPSG:3413", BOUNDS, SHAPE)
    (frame,) = series.frames
    assert frame.time == datetime(2017, 4, 4, 20, 30, 55, tzinfo=UTC)
    assert frame.labels == {
        "first_date": "2017-04-04",
        "last_date": "2017-04-20",
        "satellite_img1": "8",
        "satellite_img2": "8",
    }
    np.testing.assert_array_equal(pixels_of(series), np.stack([vx, vy, np.abs(vx)]))
    np.testing.assert_array_equal(frame.read(slice(2, 5)), pixels_of(series)[:, 2:5])


def test_mosaics_have_their_year_in_their_names(tmp_path: Path) -> None:
    for year in (2019, 2018):
        netcdf(tmp_path / f"ITS_LIVE_velocity_120m_RGI05A_{year}_v02.nc", pair={})
    netcdf(tmp_path / "ITS_LIVE_velocity_120m_RGI05A_0000_v02.nc", pair={})
    series = open_velocity(tmp_path, files="*.nc")
    assert [frame.time.year for frame in series.frames] == [2018, 2019]
    assert series.frames[0].labels["last_date"] == "2018-12-31"
    (trouble,) = series.troubles
    assert "0000_v02.nc tells no date" in trouble.reason
    told = open_velocity(tmp_path, files="*0000*", day=date(1985, 1, 1))
    assert told.frames[0].time == datetime(1985, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "stated", "factor"),
    [
        ("m/yr", "", 1.0),
        ("m yr-1", "m/yr", 1.0),
        ("meters/year", "", 1.0),
        ("metre per year", "", 1.0),
        ("m a^-1", "", 1.0),
        ("", "m/yr", 1.0),
        ("m/d", "", 365.25),
        ("", "m/day", 365.25),
        ("m s-1", "", 365.25 * 86400),
    ],
)
def test_any_unit_becomes_metres_a_year(tmp_path: Path, told: str, stated: str, factor: float) -> None:
    vx, _ = netcdf(tmp_path / "pair.nc", units=told)
    series = open_velocity(tmp_path / "pair.nc", units=stated)
    np.testing.assert_allclose(pixels_of(series)[0], vx * factor, rtol=1e-6)


@pytest.mark.parametrize(
    ("told", "stated", "message"),
    [
        ("", "", "told nowhere.*m/yr or m/day"),
        ("pixels", "", "'pixels'"),
        ("m/yr", "m/day", "is in m/yr, stated is m/day"),
        ("m/yr", "km/h", "stated as 'km/h'"),
    ],
)
def test_a_unit_that_is_not_known_is_no_guess(tmp_path: Path, told: str, stated: str, message: str) -> None:
    netcdf(tmp_path / "pair.nc", units=told)
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_velocity(tmp_path / "pair.nc", units=stated)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dates", ["acquisition", "separation"])
def test_a_datacube_is_a_frame_a_pair_in_order_of_time(tmp_path: Path, dates: str) -> None:
    path = tmp_path / "cube.zarr"
    dropped = {"acquisition_date_img1": None, "acquisition_date_img2": None} if dates == "separation" else {}
    vx = datacube(path, **dropped)
    series = open_velocity(path, name="jakobshavn")
    assert (series.name, series.grid.crs, series.grid.bounds) == ("jakobshavn", "EPSG:3413", BOUNDS)
    assert [frame.time for frame in series.frames] == [
        datetime(2020, 1, 1, 12, tzinfo=UTC),
        datetime(2020, 2, 1, tzinfo=UTC),
        datetime(2020, 3, 1, tzinfo=UTC),
    ]
    assert [frame.labels["satellite_img1"] for frame in series.frames] == ["2A", "1A", "8"]
    assert series.frames[0].labels["last_date"] == "2020-02-02"
    np.testing.assert_allclose(pixels_of(series), np.stack([vx[1], -vx[1]]), atol=0.5)
    assert np.isnan(pixels_of(series)[:, 0, 0]).all()
    (trouble,) = series.troubles
    assert "dates are missing" in trouble.reason


def test_a_datacube_is_read_in_parts_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datacube(tmp_path / "cube.zarr")
    whole = [pixels_of(open_velocity(tmp_path / "cube.zarr"), number) for number in range(3)]
    monkeypatch.setattr("glacier_core.sources.velocity.BLOCK_BYTES", 100)  # less than one pair
    series = open_velocity(tmp_path / "cube.zarr")
    for number, expected in enumerate(whole):
        np.testing.assert_array_equal(pixels_of(series, number), expected)
        np.testing.assert_array_equal(series.frames[number].read(slice(1, 4)), expected[:, 1:4])


def test_pairs_of_geotiffs(tmp_path: Path) -> None:
    for days in ("20180304-20180405", "2017-03-04_2017-04-05"):
        for seed, band in enumerate(("vx", "vy")):
            geotiff(tmp_path / f"{days}_velo-raw_{band}.tif", field(seed))
    geotiff(tmp_path / "20190101-20190201_vx.tif", field(1))  # no vy
    geotiff(tmp_path / "undated_vx.tif", field(1))
    geotiff(tmp_path / "undated_vy.tif", field(1))
    for band in ("vx", "vy"):
        geotiff(tmp_path / f"20160101-20160201_{band}.tif", field(1), left=0.0)
    (tmp_path / "20150101_vx.tif").write_bytes(b"")
    geotiff(tmp_path / "20150101_vy.tif", field(1))
    series = open_velocity(tmp_path, units="m/day")
    assert [frame.labels for frame in series.frames] == [
        {"first_date": f"{year}-03-04", "last_date": f"{year}-04-05"} for year in (2017, 2018)
    ]
    np.testing.assert_allclose(pixels_of(series), np.stack([field(0), field(1)]) * 365.25, rtol=1e-6)
    assert {trouble.scene: trouble.reason for trouble in series.troubles} == {
        "20190101-20190201": "vy of it is not there",
        "undated": "its name holds no date",
        "20160101-20160201": "it lies on another grid than the others",
        "20150101": "20150101_vx.tif is empty",
    }


def test_what_is_no_velocity_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.nc").write_bytes(b"CDF\x01 and no more")
    (tmp_path / "text.nc").write_bytes(b"no NetCDF")
    (tmp_path / "empty.zarr").mkdir()
    netcdf(tmp_path / "pair.nc")
    for source, options, message in (
        (tmp_path / "absent", {}, "does not exist"),
        (tmp_path / "broken.nc", {}, "no usable velocity"),
        (tmp_path / "text.nc", {}, "no NetCDF file"),
        (tmp_path / "empty.zarr", {}, "cannot be opened"),
        (tmp_path / "pair.nc", {"bands": ("vx", "vz")}, "holds no vz"),
        (tmp_path, {"files": "*.tif"}, "no file matches"),
    ):
        with pytest.raises(ConfigurationError, match=message) as caught:
            open_velocity(source, **options)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not KASKAWULSH.is_dir(), reason=f"GLACIER_DATA holds no motion/kaskawulsh_velocity ({KASKAWULSH})")
def test_kaskawulsh() -> None:
    series = open_velocity(KASKAWULSH, units="m/day")
    assert (series.grid.crs, series.grid.shape) == ("EPSG:32607", (602, 926))
    assert series.frames[0].labels == {"first_date": "2018-03-04", "last_date": "2018-04-05"}
    pixels = pixels_of(series)
    assert 0.02 < np.isnan(pixels).mean() < 0.05
    # most of the map is bedrock
    assert abs(float(np.nanmedian(pixels))) < 20
