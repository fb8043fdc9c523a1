"""Pictures of the Sea Ice Index: legend, georeference, what is drawn over the map, missing months."""

from __future__ import annotations

import itertools
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from glacier_core.errors import ConfigurationError, DataError, SceneError
from glacier_core.settings import Settings
from glacier_core.sources.nsidc import GRIDS, cell_areas_km2, sea_ice_index
from glacier_core.sources.nsidc.pictures import DecodedPicture, Legend, decode_picture, legend_of, open_picture
from glacier_core.sources.series import Series
from tests.sources.nsidc.nsidc_files import COLOURS, EDGES, land_mask, level_of, picture, pole_hole, sea

REAL = Settings().data / "ice_cover" / "arctic_sea_ice"
EVERY_ROW = slice(0, GRIDS["north"].height)
MIDDLES = np.array([0.0, *[(low + high) / 200 for low, high in itertools.pairwise(EDGES[1:])]])


def decoded(body: bytes, *, legend: Legend | None = None) -> DecodedPicture:
    pixels = open_picture(body, name="picture")
    own = legend or legend_of(pixels, name="picture")
    assert own is not None
    return decode_picture(pixels, legend=own, name="picture")


def test_levels_come_from_the_legend_in_the_picture() -> None:
    """The 18 colours are no linear scale: the first covers 15 %, the others 5 %."""
    legend = legend_of(open_picture(picture(sea()), name="picture"), name="picture")
    assert legend is not None
    assert legend.edges == tuple(edge / 100 for edge in EDGES)
    assert len(legend.colours) == len(COLOURS)
    np.testing.assert_allclose(legend.fractions, MIDDLES)


def test_other_colours_are_read_by_their_own_legend() -> None:
    other = tuple((level, 255 - 3 * level, 40 + 2 * level) for level in range(len(COLOURS)))
    first, second = decoded(picture(sea())), decoded(picture(sea(), colours=other))
    np.testing.assert_array_equal(first.fraction, second.fraction)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 50), median=st.integers(60, 220), cropped=st.booleans())
def test_every_cell_that_can_be_seen_has_its_level(seed: int, median: int, cropped: bool) -> None:  # noqa: FBT001
    field = sea(seed)
    legend = legend_of(open_picture(picture(field), name="picture"), name="picture")
    found = decoded(picture(field, median=median, cropped=cropped), legend=legend)
    hidden = land_mask() | pole_hole(12.3)
    seen = ~hidden & ~found.drawn & (found.land != 255)
    np.testing.assert_allclose(found.fraction[seen], MIDDLES[level_of(field)][seen])
    assert np.isnan(found.fraction[hidden & ~found.drawn]).all()


def test_both_sizes_show_the_same_cells() -> None:
    full = decoded(picture(sea()))
    legend = legend_of(open_picture(picture(sea()), name="picture"), name="picture")
    cut = decoded(picture(sea(), cropped=True), legend=legend)
    inside = cut.land != 255
    assert inside.sum() == 292 * 446
    # the corner of the frame is the only place where what is filled may differ
    core = inside.copy()
    core[:4], core[-4:], core[:, :16], core[:, -4:] = False, False, False, False
    np.testing.assert_array_equal(full.fraction[core], cut.fraction[core])
    np.testing.assert_array_equal(full.land[core], cut.land[core])
    np.testing.assert_array_equal(full.pole_hole, cut.pole_hole)
    assert np.isnan(cut.fraction[~inside]).all()


@settings(max_examples=5, deadline=None)
@given(row=st.integers(80, 210))
def test_the_median_edge_leaves_no_trace(row: int) -> None:
    """Neither in what is missing nor, beyond the rounding of its neighbours, in the values."""
    field = sea(3)
    without, found = decoded(picture(field, median=None)), decoded(picture(field, median=row))
    np.testing.assert_array_equal(np.isnan(found.fraction), np.isnan(without.fraction))
    levels = found.fraction[np.isfinite(found.fraction)]
    assert float(np.abs(levels[:, None] - MIDDLES).min(axis=1).max()) < 1e-6
    line = found.drawn & ~without.drawn & np.isfinite(found.fraction)
    assert line.sum() > 100
    assert float(np.abs(found.fraction - without.fraction)[line].max()) < 0.18  # no level is wider


def test_land_pole_hole_and_labels_are_masked() -> None:
    found = decoded(picture(sea()))
    wrong = (found.land == 1) != land_mask()
    assert not (wrong & ~found.drawn).any()
    assert wrong.sum() < 60  # behind lines and letters along the coast
    assert (found.pole_hole != pole_hole(12.3)).sum() < 15
    assert not np.isfinite(found.fraction[found.pole_hole | (found.land == 1)]).any()


def test_the_pole_hole_is_that_of_its_month() -> None:
    small, large = decoded(picture(sea(), hole=3.8)), decoded(picture(sea(), hole=24.0))
    assert small.pole_hole.sum() < 80
    assert large.pole_hole.sum() > 1700


def save(folder: Path, month: str, body: bytes, *, version: str = "v3.0") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"N_{month}_conc_{version}.png").write_bytes(body)


def test_pictures_become_a_series(tmp_path: Path) -> None:
    for month, body in {
        "198706": picture(sea(1), hole=24.0),
        "198707": picture(sea(2), hole=24.0),
        "198708": picture(sea(2), no_data=True),
        "198709": picture(sea(3)),
        "198711": picture(sea(4), cropped=True),
        "200912": picture(sea(5), hole=3.8, near_real_time=True),
    }.items():
        save(tmp_path, month, body)
    series = sea_ice_index(str(tmp_path), form="png", months=("1987-01", "1988-01"))
    assert [frame.time.strftime("%Y-%m") for frame in series.frames] == ["1987-06", "1987-07", "1987-09", "1987-11"]
    assert [frame.labels["sensor"] for frame in series.frames] == 2 * ["Nimbus-7 SMMR"] + 2 * ["DMSP-F8 SSM/I"]
    assert [frame.labels["version"] for frame in series.frames] == ["final", "final", "final", "unknown"]
    assert (series.grid, series.bands, series.quantities) == (GRIDS["north"], ("ice_fraction",), ("ice_fraction",))
    troubles = {trouble.scene: trouble.reason for trouble in series.troubles}
    assert "NO DATA" in troubles["N_198708_conc_v3.0.png"]
    assert troubles["1987-10"] == "no file for this month"
    assert "1987-08" not in troubles  # told by its picture
    assert series.frames[0].read(slice(10, 30)).shape == (1, 20, 304)
    assert series.masks["pole_hole"].sum() > 1700
    latest = sea_ice_index(str(tmp_path), form="png", months=("2009-12", "2009-12"))
    assert latest.frames[0].labels["version"] == "near_real_time"


def test_all_months_of_a_sensor_are_empty_in_the_same_cells(tmp_path: Path) -> None:
    for place, month in enumerate(("199001", "199002", "199003")):
        save(tmp_path, month, picture(sea(place), median=90 + 40 * place))
    frames = [frame.read(EVERY_ROW) for frame in sea_ice_index(str(tmp_path), form="png").frames]
    for frame in frames[1:]:
        np.testing.assert_array_equal(np.isnan(frame), np.isnan(frames[0]))


def test_a_picture_of_unknown_size_is_left_out(tmp_path: Path) -> None:
    save(tmp_path, "199001", picture(sea()))
    with Image.open(tmp_path / "N_199001_conc_v3.0.png") as image:
        image.resize((840, 1000)).save(tmp_path / "N_199002_conc_v3.0.png")
    series = sea_ice_index(str(tmp_path), form="png")
    assert len(series.frames) == 1
    (trouble,) = series.troubles
    assert "840 x 1000 pixels; expected 420 x 500 or 292 x 446" in trouble.reason


@pytest.mark.parametrize("body", [b"", b"no picture", picture(sea())[:4000]], ids=["empty", "text", "cut off"])
def test_a_damaged_picture_is_left_out(tmp_path: Path, body: bytes) -> None:
    save(tmp_path, "199001", picture(sea()))
    save(tmp_path, "199002", body)
    series = sea_ice_index(str(tmp_path), form="png")
    assert [frame.id for frame in series.frames] == ["N_199001_conc_v3.0.png"]
    assert "no picture that can be read" in series.troubles[0].reason


def test_a_picture_that_is_drawn_over_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (500, 420, 3), np.uint8)
    noise[..., 2] |= 128  # not yellow
    legend = legend_of(open_picture(picture(sea()), name="picture"), name="picture")
    assert legend is not None
    with pytest.raises(SceneError, match="shows the map on only 0%"):
        decode_picture(noise, legend=legend, name="picture")


def test_a_cut_picture_needs_another_ones_legend(tmp_path: Path) -> None:
    save(tmp_path, "199001", picture(sea(), cropped=True))
    with pytest.raises(DataError, match="shows the legend"):
        sea_ice_index(str(tmp_path), form="png")


def test_a_picture_without_its_legend_is_refused() -> None:
    with Image.open(BytesIO(picture(sea()))) as image:
        pixels = np.array(image.convert("RGB"))
    pixels[:, 330:] = 79
    with pytest.raises(SceneError, match="has no legend"):
        legend_of(pixels, name="picture")


def test_pictures_of_the_south_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="use form: geotiff"):
        sea_ice_index(str(tmp_path), form="png", hemisphere="south")


needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"GLACIER_DATA holds no ice_cover/arctic_sea_ice ({REAL})")


@pytest.fixture(scope="module")
def arctic() -> Series:
    return sea_ice_index(str(REAL), form="png")


@needs_real
def test_real_months_and_the_three_missing_ones(arctic: Series) -> None:
    assert len(arctic.frames) == 371
    assert [(trouble.scene[2:8], "NO DATA" in trouble.reason) for trouble in arctic.troubles] == [
        ("198708", True),
        ("198712", True),
        ("198801", True),
    ]
    assert {frame.labels["version"] for frame in arctic.frames} == {"final", "unknown"}
    assert sum(frame.labels["version"] == "unknown" for frame in arctic.frames) == 10


@needs_real
def test_real_extents_are_those_that_are_published(arctic: Series) -> None:
    """Sea Ice Index, version 3, million km²; pictures tell the coast less well than the grids: within 0.2."""
    published = {"197903": 16.34, "199609": 7.87, "200703": 14.56, "200709": 4.27, "200909": 5.26}
    areas = cell_areas_km2(arctic.grid)
    assert (areas.min(), areas.max()) == pytest.approx((382.6, 664.2), abs=0.5)  # of the 25 km grid's cells, km²
    for frame in arctic.frames:
        month = frame.id[2:8]
        if month in published:
            fraction = frame.read(EVERY_ROW)[0]
            hole = np.isnan(fraction) & (arctic.masks["pole_hole"] == 1) & (arctic.masks["land"] == 0)
            extent = float(areas[(fraction >= 0.15) | hole].sum()) / 1e6
            assert extent == pytest.approx(published[month], abs=0.2), month


@needs_real
def test_real_pictures_of_both_sizes_show_one_land(arctic: Series) -> None:
    """2007-05 is cut, its neighbours are whole; so is 2009-03."""
    whole: dict[str, DecodedPicture] = {}
    cut: dict[str, DecodedPicture] = {}
    legend = legend_of(open_picture((REAL / "N_200706_conc_v3.0.png").read_bytes(), name="whole"), name="whole")
    for month, into in (("200704", whole), ("200706", whole), ("200705", cut), ("200903", cut)):
        into[month] = decoded((REAL / f"N_{month}_conc_v3.0.png").read_bytes(), legend=legend)
    for first in whole.values():
        for second in cut.values():
            both = (second.land != 255) & ~first.drawn & ~second.drawn
            assert both.sum() > 115_000
            assert ((first.land == 1) != (second.land == 1))[both].sum() <= 5


@needs_real
def test_real_months_of_a_sensor_are_empty_in_the_same_cells(arctic: Series) -> None:
    """So what is missing tells nothing of the median edge."""
    year = [frame for frame in arctic.frames if frame.id.startswith("N_1997")]
    empty = [np.isnan(frame.read(EVERY_ROW)) for frame in year]
    assert len(empty) == 12
    assert all((other == empty[0]).all() for other in empty)


@needs_real
def test_real_pole_holes_are_those_of_the_sensors(arctic: Series) -> None:
    """Radii in cells of 25 km: SMMR 84.5° N, SSM/I 87.2° N, SSMIS 89.18° N."""
    for month, radius in (("198501", 24.4), ("200001", 12.4), ("200911", 3.8)):
        body = (REAL / f"N_{month}_conc_v3.0.png").read_bytes()
        assert (decoded(body).pole_hole.sum() / np.pi) ** 0.5 == pytest.approx(radius, abs=0.5)
