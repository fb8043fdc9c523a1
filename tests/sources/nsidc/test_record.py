"""The sea ice concentration record: packed and float files, months and collections, final and near-real-time."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.sources.nsidc import GRIDS, record, sea_ice_record
from tests.sources.nsidc.listing_server import Fault, ListingServer
from tests.sources.nsidc.nsidc_files import write_record

needs_hdf5 = pytest.mark.skipif(
    find_spec("h5py") is None and find_spec("pyfive") is None, reason="h5netcdf finds no HDF5 library (h5py)"
)
ROWS = slice(0, 3)


def test_without_an_hdf5_library_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="pip install h5py"):
        sea_ice_record(str(tmp_path))


@needs_hdf5
@pytest.mark.parametrize("as_float", [False, True], ids=["packed", "float"])
@pytest.mark.parametrize("upward", [False, True], ids=["north up", "south up"])
def test_fractions_and_flags(tmp_path: Path, as_float: bool, upward: bool) -> None:  # noqa: FBT001
    write_record(tmp_path / "seaice_conc_monthly_nh_197811_n07_v04r00.nc", [80], as_float=as_float, upward=upward)
    series = sea_ice_record(str(tmp_path))
    assert (series.grid, series.quantities) == (GRIDS["north"], ("ice_fraction",))
    (frame,) = series.frames
    assert dict(frame.labels) == {
        "sensor": "Nimbus-7 SMMR",
        "version": "final",
        "product": "G02202 v4",
        "replaces": "",
    }
    fraction = frame.read(ROWS)
    assert fraction.shape == (1, 3, 304)
    assert fraction.dtype == np.float32
    assert np.isnan(fraction[0, 0, :5]).all()
    np.testing.assert_allclose(fraction[0, 1:], 0.8, rtol=1e-6)
    assert series.masks["pole_hole"][0, :6].tolist() == [1, 0, 0, 0, 0, 0]
    assert series.masks["land"][0, :6].tolist() == [0, 1, 1, 1, 0, 0]


@needs_hdf5
def test_land_stands_in_the_surface_mask_of_version_5(tmp_path: Path) -> None:
    surface = np.full(GRIDS["north"].shape, 50, np.uint8)
    surface[1, :4] = 250, 200, 75, 100
    write_record(tmp_path / "sic_psn25_202001_F17_v05r00.nc", [60], first="2020-01", surface=surface)
    series = sea_ice_record(str(tmp_path))
    fraction = series.frames[0].read(ROWS)[0, 1]
    assert np.isnan(fraction[:3]).all()
    assert fraction[3] == pytest.approx(0.6)  # the hole that the record fills
    assert series.masks["land"][1, :4].tolist() == [1, 1, 1, 0]


@needs_hdf5
def test_final_months_win_over_near_real_time_ones(tmp_path: Path) -> None:
    write_record(tmp_path / "final" / "sic_psn25_202001_F17_v05r00.nc", [60], first="2020-01")
    for month, value in (("202001", 10), ("202002", 20)):
        name = f"sic_psn25_{month}_am2_icdr_v03r00.nc"
        write_record(tmp_path / "interim" / name, [value], first=f"{month[:4]}-{month[4:]}")
    series = sea_ice_record(str(tmp_path / "final"), near_real_time=str(tmp_path / "interim"))
    assert [
        (frame.labels["version"], frame.labels["replaces"], frame.labels["sensor"], frame.labels["product"])
        for frame in series.frames
    ] == [
        ("final", "near_real_time", "DMSP-F17 SSMIS", "G02202 v5"),
        ("near_real_time", "", "GCOM-W1 AMSR2", "G10016 v3"),
    ]
    assert float(series.frames[0].read(ROWS)[0, 1, 0]) == pytest.approx(0.6)
    (trouble,) = series.troubles
    assert trouble.scene == "sic_psn25_202001_am2_icdr_v03r00.nc"
    assert trouble.reason == "sic_psn25_202001_F17_v05r00.nc of the same month replaces it"


@needs_hdf5
def test_a_collection_of_months(tmp_path: Path) -> None:
    write_record(tmp_path / "sic_psn25_199111-199201_v05r00.nc", [10, 20, 30], first="1991-11")
    write_record(tmp_path / "sic_psn25_199112_F11_v05r00.nc", [40], first="1991-12")
    series = sea_ice_record(str(tmp_path), months=("1991-12", "1992-02"))
    assert [frame.labels["sensor"] for frame in series.frames] == ["DMSP-F11 SSM/I", "DMSP-F11 SSM/I"]
    values = [float(frame.read(ROWS)[0, 1, 0]) for frame in series.frames]
    assert values == pytest.approx([0.4, 0.3])  # a month's own file before the collection
    assert [trouble.scene for trouble in series.troubles if "no file" in trouble.reason] == ["1992-02"]


@needs_hdf5
def test_the_sensor_is_told_by_name_attributes_or_date(tmp_path: Path) -> None:
    folder = tmp_path
    write_record(folder / "seaice_conc_monthly_nh_198708_v04r00.nc", [1], attrs={"platform": "DMSP 5D-2/F8 > Defense"})
    write_record(folder / "seaice_conc_monthly_nh_198706_v04r00.nc", [1])
    sensors = [frame.labels["sensor"] for frame in sea_ice_record(str(folder)).frames]
    assert sensors == ["Nimbus-7 SMMR", "DMSP-F8 SSM/I"]


@needs_hdf5
def test_unusable_files_are_left_out(tmp_path: Path) -> None:
    good = write_record(tmp_path / "sic_psn25_202001_F17_v05r00.nc", [60], first="2020-01")
    (tmp_path / "sic_psn25_202002_F17_v05r00.nc").write_bytes(b"")
    (tmp_path / "sic_psn25_202003_F17_v05r00.nc").write_bytes(good.read_bytes()[:2000])
    series = sea_ice_record(str(tmp_path))
    assert len(series.frames) == 1
    assert all("no NetCDF file that can be read" in trouble.reason for trouble in series.troubles)
    good.unlink()
    with pytest.raises(DataError, match="holds no usable month"):
        sea_ice_record(str(tmp_path))


@needs_hdf5
def test_a_server_is_asked_again_for_near_real_time_months_only(tmp_path: Path) -> None:
    monthly = tmp_path / "published" / "north" / "monthly"
    write_record(monthly / "sic_psn25_202001_F17_v05r00.nc", [60], first="2020-01")
    write_record(monthly / "sic_psn25_202002_am2_icdr_v03r00.nc", [50], first="2020-02")
    faults = [Fault("_icdr_", "short"), Fault("_F17_", "garbled")]
    with ListingServer(tmp_path / "published", faults=faults) as server:
        for _ in range(2):
            series = sea_ice_record(server.url, cache=tmp_path / "cache")
        assert (server.asked("_F17_"), server.asked("_icdr_")) == ([200, 200], [200, 200, 304])
    assert [float(frame.read(ROWS)[0, 1, 0]) for frame in series.frames] == pytest.approx([0.6, 0.5])
