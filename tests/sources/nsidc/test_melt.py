"""Antarctic melt: monthly fractions from zips of daily maps."""

from __future__ import annotations

import zipfile
from datetime import date, timedelta
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.settings import Settings
from glacier_core.sources.nsidc import GRIDS, antarctic_grids, antarctic_melt, locations, melt_months
from tests.sources.nsidc.listing_server import Fault, ListingServer
from tests.sources.nsidc.nsidc_files import melt_day, write_season

REAL = Settings().data / "ice_cover" / "antarctic_melt"
EVERY_ROW = slice(0, 332)
JANUARY = date(1990, 1, 1)


def january(days: int, *, seen: float = 1.0) -> dict[date, NDArray[np.int16] | bytes]:
    return {JANUARY + timedelta(day): melt_day(seed=day, melting=0.1 + 0.02 * day, seen=seen) for day in range(days)}


def test_fractions_are_melt_days_over_valid_days(tmp_path: Path) -> None:
    days = january(20, seen=0.8)
    write_season(tmp_path / "melt_season_1989_1990.zip", days)
    series = antarctic_melt(str(tmp_path))
    (frame,) = series.frames
    assert (series.grid, series.bands, series.quantities) == (GRIDS["south"], ("melt_fraction",), ("melt_fraction",))
    assert (frame.time.date(), frame.labels["valid_days"]) == (JANUARY, "20")
    assert (frame.labels["sensor"], frame.labels["product"]) == ("DMSP-F8 SSM/I", "Antarctica_Today S3B_20210129")
    stack = np.stack([day for day in days.values() if not isinstance(day, bytes)])
    valid, melting = (stack > 0).sum(axis=0), (stack == 2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.where(valid >= 10, melting / valid, np.nan)
    np.testing.assert_allclose(frame.read(EVERY_ROW)[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(frame.read(slice(100, 150)), frame.read(EVERY_ROW)[:, 100:150])
    ((month,), _) = melt_months(str(tmp_path))
    np.testing.assert_array_equal(month.valid_days, valid)


@settings(max_examples=6, deadline=None)
@given(days=st.integers(1, 14), least=st.integers(1, 14))
def test_a_month_of_too_few_valid_days_is_no_month(
    tmp_path_factory: pytest.TempPathFactory, days: int, least: int
) -> None:
    folder = tmp_path_factory.mktemp("melt")
    write_season(folder / "melt_season_1989_1990.zip", january(days))
    if days >= least:
        assert len(antarctic_melt(str(folder), min_valid_days=least).frames) == 1
    else:
        with pytest.raises(DataError, match=f"1990-01: {days} valid days are too few for a month"):
            antarctic_melt(str(folder), min_valid_days=least)


def test_days_that_show_little_do_not_count(tmp_path: Path) -> None:
    days = january(12) | {JANUARY + timedelta(40 + day): melt_day(seen=0.3, seed=day) for day in range(12)}
    write_season(tmp_path / "melt_season_1989_1990.zip", days)
    series = antarctic_melt(str(tmp_path))
    assert [frame.time.month for frame in series.frames] == [1]
    assert series.troubles[0].scene == "1990-02"
    assert "0 valid days" in series.troubles[0].reason


def test_a_broken_entry_costs_its_day_alone(tmp_path: Path) -> None:
    path = write_season(tmp_path / "melt_season_1989_1990.zip", january(15) | {date(1990, 1, 31): b"short"})
    with zipfile.ZipFile(path) as archive:
        broken = archive.infolist()[3]
    body = bytearray(path.read_bytes())
    start = broken.header_offset + 30 + len(broken.filename) + 40
    body[start : start + 20] = 20 * b"\xff"
    path.write_bytes(body)
    series = antarctic_melt(str(tmp_path))
    assert series.frames[0].labels["valid_days"] == "14"
    reasons = {trouble.scene.rpartition("_melt_")[2][:8]: trouble.reason for trouble in series.troubles}
    assert "its entry is broken" in reasons["19900104"]
    assert reasons["19900131"] == "its entry has 5 bytes; expected 209824"


def test_an_entry_that_runs_past_the_end_costs_its_day_alone(tmp_path: Path) -> None:
    path = tmp_path / "melt_season_1989_1990.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for day in range(1, 13):
            archive.writestr(f"antarctica_melt_199001{day:02d}_S3B_20210129.bin", melt_day(seed=day).tobytes())
    body = bytearray(path.read_bytes())
    sizes = body.rfind(b"PK\x01\x02") + 20  # of the last entry in the zip's directory, packed and unpacked
    body[sizes : sizes + 8] = 2 * (10**8).to_bytes(4, "little")
    path.write_bytes(body)
    series = antarctic_melt(str(tmp_path))
    assert series.frames[0].labels["valid_days"] == "11"
    assert "19900112" in series.troubles[0].scene
    assert "its entry is broken (" in series.troubles[0].reason


def test_values_beyond_the_codes_are_refused(tmp_path: Path) -> None:
    strange = melt_day()
    strange[0, 0] = 9
    write_season(tmp_path / "melt_season_1989_1990.zip", january(12) | {date(1990, 1, 31): strange})
    assert "values from -1 to 9; expected -1 to 2" in antarctic_melt(str(tmp_path)).troubles[0].reason


def test_a_zip_that_cannot_be_opened_is_left_out(tmp_path: Path) -> None:
    write_season(tmp_path / "melt_season_1989_1990.zip", january(12))
    (tmp_path / "melt_season_1990_1991.zip").write_bytes(b"")
    (tmp_path / "melt_season_1991_1992.zip").write_bytes(b"PK no zip")
    series = antarctic_melt(str(tmp_path))
    assert len(series.frames) == 1
    assert [trouble.scene for trouble in series.troubles] == ["melt_season_1990_1991.zip", "melt_season_1991_1992.zip"]
    assert all("no zip that can be read" in trouble.reason for trouble in series.troubles)


def test_months_of_a_season_without_files_are_told(tmp_path: Path) -> None:
    days = january(12) | {date(1990, 11, 1) + timedelta(day): melt_day() for day in range(12)}
    write_season(tmp_path / "melt_season_1989_1990.zip", days)
    series = antarctic_melt(str(tmp_path))
    missing = [trouble.scene for trouble in series.troubles]
    assert missing == ["1990-02", "1990-03", "1990-04", "1990-10"]  # no maps are made from May to September


def test_a_day_in_two_zips_counts_once(tmp_path: Path) -> None:
    write_season(tmp_path / "melt_season_1989_1990.zip", january(12))
    write_season(tmp_path / "melt_season_1990_copy.zip", january(8))
    (frame,) = antarctic_melt(str(tmp_path)).frames
    assert frame.labels["valid_days"] == "12"


def test_settings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="min_valid_days is 0"):
        antarctic_melt(str(tmp_path), min_valid_days=0)
    with pytest.raises(ConfigurationError, match="holds no file"):
        antarctic_melt(str(tmp_path))


def test_zips_elsewhere_are_read_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "RETRIES", 2)
    write_season(tmp_path / "melt_season_1989_1990.zip", january(12))
    near = antarctic_melt(str(tmp_path)).frames[0].read(EVERY_ROW)
    with ListingServer(tmp_path, faults=[Fault(".zip", "short"), Fault(".zip", "status")]) as server:
        np.testing.assert_array_equal(antarctic_melt(server.url).frames[0].read(EVERY_ROW), near)
        server.faults = [Fault(".zip", "status", times=99)]
        with pytest.raises(DataError, match="cannot be reached"):
            antarctic_melt(server.url)
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/melt/melt_season_1989_1990.zip", (tmp_path / "melt_season_1989_1990.zip").read_bytes())
    try:
        np.testing.assert_array_equal(antarctic_melt("memory://melt").frames[0].read(EVERY_ROW), near)
    finally:
        fs.rm("/melt", recursive=True)


needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"GLACIER_DATA holds no ice_cover/antarctic_melt ({REAL})")


@needs_real
def test_real_melt_peaks_at_midsummer() -> None:
    series = antarctic_melt(str(REAL), months=("1987-10", "1989-04"))
    assert [trouble.scene for trouble in series.troubles] == ["1987-12"]
    assert len(series.frames) == 13
    assert not np.isfinite(series.frames[0].read(EVERY_ROW)[0][series.masks["ice"] == 0]).any()
    means = {frame.time.strftime("%Y-%m"): float(np.nanmean(frame.read(EVERY_ROW))) for frame in series.frames}
    assert max(means, key=lambda month: means[month]).endswith(("-12", "-01"))
    assert means["1989-01"] > 5 * means["1988-10"]


@needs_real
def test_real_grids_of_the_ground() -> None:
    grids = antarctic_grids(str(REAL))
    assert set(grids) == {"ice", "rock", "ocean", "elevation"}
    assert 3500 < float(np.nanmax(grids["elevation"])) < 4800
    # the ice sheet's area, shelves included, is 13.9 million km²
    from glacier_core.sources.nsidc import cell_areas_km2

    area = float((cell_areas_km2(GRIDS["south"]) * grids["ice"]).sum()) / 1e6
    assert area == pytest.approx(13.9, abs=0.5)
