"""The Sea Ice Index as GeoTIFF files, from folders and from servers that fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from glacier_core.errors import ConfigurationError, DataError, SceneError, ServiceUnavailableError, StoreError
from glacier_core.sources.nsidc import GRIDS, cell_areas_km2, locations, sea_ice_index
from tests.sources.nsidc.listing_server import Fault, ListingServer
from tests.sources.nsidc.nsidc_files import picture, sea, write_tiff

ROWS = slice(0, 3)
MONTHS = {"01": "Jan", "02": "Feb", "03": "Mar"}


def tiff(root: Path, month: str, *, value: int = 800, version: str = "v3.0") -> Path:
    """A file where NSIDC's server keeps it."""
    folder = root / "north" / "monthly" / "geotiff" / f"{month[4:]}_{MONTHS[month[4:]]}"
    return write_tiff(folder / f"N_{month}_concentration_{version}.tif", value=value)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer retries: their pauses double."""
    monkeypatch.setattr(locations, "RETRIES", 2)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Three months of the index, of which the last is near-real-time, as the extent tables tell."""
    root = tmp_path / "published"
    for place, month in enumerate(("202201", "202202", "202301")):
        tiff(root, month, value=300 + 100 * place)
    data = root / "north" / "monthly" / "data"
    data.mkdir(parents=True)
    head = "year, mo,    data-type, region, extent,   area\n"
    (data / "N_01_extent_v3.0.csv").write_text(
        head + "2022,  1,      Goddard,      N,  13.8,  12\n2023, 1, NRTSI-G, N, 13, 12\n"
    )
    (data / "N_02_extent_v3.0.csv").write_text(
        head.replace("data-type", "source_dataset") + "2022, 2, NSIDC-0051, N, 14, 13\n"
    )
    (root / "unrelated").mkdir()
    (root / "unrelated" / "N_202201_concentration_v3.0.tif").write_bytes(b"elsewhere")
    return root


@pytest.fixture
def server(published: Path) -> Iterator[ListingServer]:
    with ListingServer(published) as running:
        yield running


def test_a_folder_of_geotiffs(published: Path) -> None:
    series = sea_ice_index(str(published / "north"))
    assert (series.name, series.grid) == ("arctic_sea_ice", GRIDS["north"])
    assert [frame.time.isoformat() for frame in series.frames] == [
        f"{month}-01T00:00:00+00:00" for month in ("2022-01", "2022-02", "2023-01")
    ]
    assert [frame.labels["version"] for frame in series.frames] == ["final", "final", "near_real_time"]
    assert {frame.labels["sensor"] for frame in series.frames} == {"DMSP-F17 SSMIS"}
    assert {frame.labels["product"] for frame in series.frames} == {"G02135 v3.0"}
    first = series.frames[0].read(ROWS)
    assert first.shape == (1, 3, 304)
    assert first.dtype == np.float32
    assert np.isnan(first[0, 0, :4]).all()
    np.testing.assert_allclose(first[0, 1:], 0.3)
    assert series.masks["land"][0, :5].tolist() == [0, 1, 1, 0, 0]
    assert series.masks["pole_hole"][0, :5].tolist() == [1, 0, 0, 0, 0]
    assert [trouble.scene for trouble in series.troubles] == [f"2022-{month:02d}" for month in range(3, 13)]


def test_months_narrow_what_is_read(published: Path) -> None:
    series = sea_ice_index(str(published / "north"), months=("2022-02", "2022-04"))
    assert [frame.time.month for frame in series.frames] == [2]
    assert [trouble.scene for trouble in series.troubles] == ["2022-03", "2022-04"]


@pytest.mark.parametrize("months", [("2022-13", "2023-01"), ("2022", "2023"), ("2023-01", "2022-01")])
def test_months_that_cannot_be_read_are_refused(published: Path, months: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="month"):
        sea_ice_index(str(published), months=months)


def test_the_crs_is_the_files_own(tmp_path: Path) -> None:
    write_tiff(tmp_path / "N_202201_concentration_v4.0.tif", crs="EPSG:3413")
    series = sea_ice_index(str(tmp_path))
    assert series.grid.crs == "EPSG:3413"
    assert cell_areas_km2(series.grid)[234, 154] == pytest.approx(664, abs=2)


def test_the_south_has_its_own_grid(tmp_path: Path) -> None:
    write_tiff(tmp_path / "S_202201_concentration_v3.0.tif", hemisphere="south")
    series = sea_ice_index(str(tmp_path), hemisphere="south")
    assert (series.name, series.grid) == ("antarctic_sea_ice", GRIDS["south"])
    assert series.frames[0].read(ROWS).shape == (1, 3, 316)


def test_of_two_product_versions_the_newer_stays(published: Path) -> None:
    tiff(published, "202201", value=900, version="v4.0")
    series = sea_ice_index(str(published / "north"))
    assert series.frames[0].id == "N_202201_concentration_v4.0.tif"
    assert len(series.frames) == 3
    assert ("N_202201_concentration_v3.0.tif", "N_202201_concentration_v4.0.tif of the same month replaces it") in [
        (trouble.scene, trouble.reason) for trouble in series.troubles
    ]


@pytest.mark.parametrize(
    ("older", "newer"), [("v3.0", "v3.0.1"), ("v3.0.1", "v3.0.2"), ("v3.9", "v3.10"), ("v3.0.1", "v4"), ("v9.9", "v10")]
)
def test_versions_are_compared_part_by_part(tmp_path: Path, older: str, newer: str) -> None:
    for version in (newer, older):
        write_tiff(tmp_path / f"N_202201_concentration_{version}.tif")
    (frame,) = sea_ice_index(str(tmp_path)).frames
    assert frame.id == f"N_202201_concentration_{newer}.tif"


def test_amsr2_follows_in_version_4(tmp_path: Path) -> None:
    write_tiff(tmp_path / "N_202501_concentration_v4.0.tif")
    write_tiff(tmp_path / "N_202502_concentration_v3.0.tif")
    frames = sea_ice_index(str(tmp_path)).frames
    assert [frame.labels["sensor"] for frame in frames] == ["GCOM-W1 AMSR2", "DMSP-F17 SSMIS"]
    assert [frame.labels["version"] for frame in frames] == ["unknown", "unknown"]


def test_values_that_mean_nothing_are_told_when_read(tmp_path: Path) -> None:
    write_tiff(tmp_path / "N_202201_concentration_v3.0.tif", value=1234)
    write_tiff(tmp_path / "N_202202_concentration_v3.0.tif", value=2550)
    strange, empty = sea_ice_index(str(tmp_path)).frames
    with pytest.raises(SceneError, match="value 1234; expected 0 to 1000"):
        strange.read(ROWS)
    with pytest.raises(SceneError, match="holds no data: the month is missing"):
        empty.read(ROWS)


def test_unusable_files_are_left_out(tmp_path: Path) -> None:
    for place in range(2):
        write_tiff(tmp_path / f"N_20220{place + 1}_concentration_v3.0.tif")
    (tmp_path / "N_202203_concentration_v3.0.tif").write_bytes(b"")
    (tmp_path / "N_202204_concentration_v3.0.tif").write_bytes(b"no TIFF at all")
    write_tiff(tmp_path / "N_202205_concentration_v3.0.tif", dtype="uint8", value=80)
    write_tiff(tmp_path / "N_202206_concentration_v3.0.tif", hemisphere="south")
    series = sea_ice_index(str(tmp_path))
    assert len(series.frames) == 2
    reasons = [trouble.reason for trouble in series.troubles]
    assert ["TIFF" in reasons[0], "TIFF" in reasons[1], "uint8" in reasons[2]] == [True] * 3
    assert reasons[3] == "it lies on another grid than the files before it"


def test_nothing_usable_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        sea_ice_index(str(tmp_path / "absent"))
    with pytest.raises(ConfigurationError, match="holds no file named like"):
        sea_ice_index(str(tmp_path))
    (tmp_path / "N_202203_concentration_v3.0.tif").write_bytes(b"")
    with pytest.raises(DataError, match="holds no usable month"):
        sea_ice_index(str(tmp_path))


def test_a_server_is_read_as_its_folder(server: ListingServer, published: Path, tmp_path: Path) -> None:
    near, far = sea_ice_index(str(published / "north")), sea_ice_index(server.url, cache=tmp_path / "cache")
    assert [(frame.id, frame.labels) for frame in near.frames] == [(frame.id, frame.labels) for frame in far.frames]
    for one, other in zip(near.frames, far.frames, strict=True):
        np.testing.assert_array_equal(one.read(ROWS), other.read(ROWS))
    assert not server.asked("unrelated")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.name.endswith(".part")]


def test_final_months_are_fetched_once_and_others_asked_about(
    server: ListingServer, published: Path, tmp_path: Path
) -> None:
    sea_ice_index(server.url, cache=tmp_path)
    server.answers.clear()
    sea_ice_index(server.url, cache=tmp_path)
    assert server.asked("N_2022") == []
    assert server.asked("N_202301_") == [304]
    tiff(published, "202301", value=950)
    series = sea_ice_index(server.url, cache=tmp_path)
    assert server.asked("N_202301_") == [304, 200]
    np.testing.assert_allclose(series.frames[-1].read(ROWS)[0, 1:], 0.95)


def test_a_server_that_fails_for_a_while(server: ListingServer, tmp_path: Path) -> None:
    """Busy, cut off, reset, and a body that is no TIFF: all asked for again."""
    server.faults = [
        Fault("/north/monthly/", "status", times=2),
        Fault("N_202201_", "short", times=2),
        Fault("N_202202_", "reset"),
        Fault("N_202301_", "garbled"),
    ]
    series = sea_ice_index(server.url, cache=tmp_path)
    assert len(series.frames) == 3
    assert [series.frames[place].read(ROWS)[0, 1, 0] for place in range(3)] == pytest.approx([0.3, 0.4, 0.5])


def test_what_cannot_be_fetched_is_left_out(server: ListingServer, tmp_path: Path) -> None:
    server.faults = [
        Fault("N_202201_", "status", times=99),
        Fault("N_202202_", "garbled", times=99),
    ]
    series = sea_ice_index(server.url, cache=tmp_path)
    assert [frame.time.year for frame in series.frames] == [2023]
    troubles = {trouble.scene: trouble for trouble in series.troubles}
    assert troubles["N_202201_concentration_v3.0.tif"].temporary
    assert "HTTP 503" in troubles["N_202201_concentration_v3.0.tif"].reason
    assert "no TIFF that can be read" in troubles["N_202202_concentration_v3.0.tif"].reason
    assert sorted(path.name for path in tmp_path.glob("*.tif")) == ["N_202301_concentration_v3.0.tif"]


def test_what_was_kept_serves_while_its_server_is_busy(server: ListingServer, tmp_path: Path) -> None:
    sea_ice_index(server.url, cache=tmp_path)
    server.faults = [Fault("N_202301_", "status", times=99)]
    assert len(sea_ice_index(server.url, cache=tmp_path).frames) == 3


def test_a_damaged_cache_is_fetched_again(server: ListingServer, tmp_path: Path) -> None:
    sea_ice_index(server.url, cache=tmp_path)
    (tmp_path / "N_202201_concentration_v3.0.tif").write_bytes(b"")
    series = sea_ice_index(server.url, cache=tmp_path)
    assert len(series.frames) == 3


def test_a_server_that_stays_away(server: ListingServer, tmp_path: Path) -> None:
    server.faults = [Fault("/", "status", times=99)]
    with pytest.raises(ServiceUnavailableError, match=r"127.0.0.1:\d+ cannot be reached \(HTTP 503\)"):
        sea_ice_index(server.url, cache=tmp_path)
    server.faults = []
    with pytest.raises(ConfigurationError, match="HTTP 404"):
        sea_ice_index(f"{server.url}absent/", cache=tmp_path)
    with pytest.raises(ConfigurationError, match="name a cache folder"):
        sea_ice_index(server.url)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be written"):
        sea_ice_index(server.url, cache=tmp_path / "file")


def test_pictures_of_a_server(server: ListingServer, published: Path, tmp_path: Path) -> None:
    folder = published / "north" / "monthly" / "images" / "01_Jan"
    folder.mkdir(parents=True)
    (folder / "N_202201_conc_v3.0.png").write_bytes(picture(sea()))
    (folder / "N_202301_conc_v3.0.png").write_bytes(picture(sea(), near_real_time=True))
    for _ in range(2):
        series = sea_ice_index(server.url, form="png", cache=tmp_path)
    assert [frame.labels["version"] for frame in series.frames] == ["final", "near_real_time"]
    assert (server.asked("N_202201_conc"), server.asked("N_202301_conc")) == ([200], [200, 304])


def test_any_place_that_fsspec_knows(published: Path, tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    for path in (published / "north").rglob("*.tif"):
        fs.pipe_file(f"/nsidc/{path.name}", path.read_bytes())
    try:
        series = sea_ice_index("memory://nsidc", cache=tmp_path)
        assert len(series.frames) == 3
        with pytest.raises(ConfigurationError, match="does not exist"):
            sea_ice_index("memory://absent", cache=tmp_path)
    finally:
        fs.rm("/nsidc", recursive=True)
