"""A folder of dated images becomes series: one a place, in order of time, with what is wrong told and left out."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import from_origin
from scipy.io import netcdf_file

from glacier_core.errors import ConfigurationError, SceneError
from glacier_core.settings import Settings
from glacier_core.sources.dates_in_names import ISO_DATE, compile_date_pattern, moment_of
from glacier_core.sources.frames import FrameNames, FramePixels, natural, open_frames
from glacier_core.sources.pictures import open_picture
from glacier_core.sources.series import Series

DATA = Settings().data
UNDATED = FrameNames(date_pattern="")


def grey(seed: int, *, height: int = 12, width: int = 9) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 255, (height, width), dtype=np.uint8)


def save(path: Path, pixels: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)
    return path


def geotiff(path: Path, pixels: NDArray[Any], *, left: float = 500_000.0, **options: Any) -> Path:
    layers = pixels if pixels.ndim == 3 else pixels[None]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=layers.dtype,
        count=len(layers),
        height=layers.shape[1],
        width=layers.shape[2],
        transform=from_origin(left, 3_100_000.0, 30, 30),
        **{"crs": "EPSG:32645", **options},
    ) as file:
        file.write(layers)
    return path


def gmt3(path: Path, pixels: NDArray[Any], *, node_offset: int = 1) -> Path:
    """A grid as GMT 3 writes it: 10..28 by 50..74 at its edges, or at its outer nodes."""
    height, width = pixels.shape
    with netcdf_file(path, "w") as file:
        file.createDimension("side", 2)
        file.createDimension("xysize", pixels.size)
        for name, kind, values in (
            ("x_range", "d", (10.0, 28.0)),
            ("y_range", "d", (50.0, 74.0)),
            ("spacing", "d", (2.0, 2.0)),
            ("dimension", "i", (width, height)),
        ):
            file.createVariable(name, kind, ("side",))[:] = values
        z = file.createVariable("z", "d", ("xysize",))
        z[:] = pixels.ravel()
        z.node_offset = np.int32(node_offset)
    return path


def coards(path: Path, pixels: NDArray[Any], *, classic: bool, units: str = "degrees_east") -> Path:
    """A grid as GMT 4 and later write it: southernmost row first."""
    height, width = pixels.shape
    x, y = 11.0 + 2.0 * np.arange(width), 51.0 + 2.0 * np.arange(height)
    if classic:
        with netcdf_file(path, "w") as file:
            file.createDimension("lon", width)
            file.createDimension("lat", height)
            file.createVariable("lon", "d", ("lon",))[:] = x
            file.variables["lon"].units = units
            file.createVariable("lat", "d", ("lat",))[:] = y
            file.createVariable("z", "f", ("lat", "lon"))[:] = pixels[::-1]
    else:
        pytest.importorskip("h5py", reason="h5netcdf writes through h5py")
        h5netcdf: Any = pytest.importorskip("h5netcdf")
        with h5netcdf.File(path, "w") as other:
            other.dimensions = {"x": width, "y": height}
            other.create_variable("x", ("x",), data=x).attrs["units"] = units
            other.create_variable("y", ("y",), data=y)
            other.create_variable("z", ("y", "x"), data=pixels[::-1].astype(np.float32))
    return path


def only(series: Sequence[Series]) -> Series:
    (one,) = series
    return one


def pixels_of(series: Series, number: int = 0) -> NDArray[np.float32]:
    return series.frames[number].read(slice(0, series.grid.height))


def troubles_of(series: Sequence[Series]) -> dict[str, str]:
    return {trouble.scene: trouble.reason for one in series for trouble in one.troubles}


# --- files ------------------------------------------------------------------------------------------------------


def test_pictures_arrays_and_rasters_of_one_folder_are_one_series(tmp_path: Path) -> None:
    images = [grey(seed) for seed in range(4)]
    save(tmp_path / "scene_20200301.png", images[2])
    save(tmp_path / "scene_2020-01-01.npy", images[0])
    Image.fromarray(images[3]).save(tmp_path / "20200401.tif")
    save(tmp_path / "20200201.PNG", images[1])
    (tmp_path / "notes_20200101.txt").write_text("no image")
    series = only(open_frames(tmp_path))
    assert [frame.time for frame in series.frames] == [datetime(2020, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4)]
    assert (series.bands, series.quantities, series.dated) == (("grey",), ("digital_number",), True)
    assert series.grid.crs == ""
    assert series.grid.transform == (1.0, 0.0, 0.0, 0.0, -1.0, 12.0)
    for number, image in enumerate(images):
        np.testing.assert_array_equal(pixels_of(series, number), image[None].astype(np.float32))


def test_frames_are_read_by_rows_and_jpegs_are_nearly_right(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
    colour = np.stack([smooth, smooth // 2, 255 - smooth], axis=-1)
    save(tmp_path / "20200101.png", colour)
    Image.fromarray(colour).save(tmp_path / "20200201.jpg", quality=98)
    series = only(open_frames(tmp_path, pixels=FramePixels(pixel_size_m=5.0)))
    assert series.bands == ("red", "green", "blue")
    assert series.grid.bounds == (0.0, 0.0, 240.0, 320.0)
    for number in range(2):
        strips = [series.frames[number].read(slice(start, min(start + 10, 64))) for start in range(0, 64, 10)]
        whole = np.concatenate(strips, axis=1)
        assert whole.dtype == np.float32
        np.testing.assert_array_equal(whole, pixels_of(series, number))
        np.testing.assert_allclose(whole, np.moveaxis(colour, -1, 0), atol=0 if number == 0 else 8)


def test_grey_palette_and_transparent_pictures(tmp_path: Path) -> None:
    image = grey(1)
    alpha = np.where(np.arange(12)[:, None] < 2, 0, 255) * np.ones((12, 9))
    save(tmp_path / "a_20200101.png", np.dstack([image, image, image, alpha.astype(np.uint8)]))
    save(tmp_path / "b_20200201.png", np.dstack([image] * 3))
    save(tmp_path / "c_20200301.png", np.dstack([image, image, 255 - image]))
    palette = Image.fromarray(image % 4, mode="P")
    palette.putpalette([0, 0, 0, 10, 20, 30, 40, 50, 60, 70, 80, 90])
    palette.save(tmp_path / "palette.png")
    series = only(open_frames(tmp_path, files="?_*", pixels=FramePixels(bands=("pan",))))
    first = pixels_of(series)
    assert np.isnan(first[0, :2]).all()
    np.testing.assert_array_equal(first[0, 2:], image[2:])
    np.testing.assert_array_equal(pixels_of(series, 1)[0], image)
    with pytest.raises(SceneError, match="in colour"):
        pixels_of(series, 2)
    coloured = open_picture(tmp_path / "palette.png")
    assert coloured.names == ("red", "green", "blue")
    table = np.array([[0, 0, 0], [10, 20, 30], [40, 50, 60], [70, 80, 90]])
    np.testing.assert_array_equal(coloured.read(slice(0, 12)), np.moveaxis(table[image % 4], -1, 0))


def test_a_georeferenced_stack_keeps_grid_nodata_scale_and_names(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).uniform(0, 60_000, (3, 12, 9))
    stack[0, 0, 0] = -1
    stack[1, 1, 1] = np.inf
    path = geotiff(tmp_path / "chip_2020_08.tif", stack, nodata=-1)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("green", "red", "nir")
        file.scales = (0.5, 1.0, 1.0)
    names = FrameNames(date_pattern=r"(?P<year>\d{4})_(?P<month>\d\d)")
    series = only(open_frames(tmp_path, names=names))
    assert series.bands == ("green", "red", "nir")
    assert series.grid.crs == "EPSG:32645"
    assert series.grid.transform == (30.0, 0.0, 500_000.0, 0.0, -30.0, 3_100_000.0)
    assert series.frames[0].time == datetime(2020, 8, 1, tzinfo=UTC)
    pixels = pixels_of(series)
    assert np.isnan(pixels[0, 0, 0])
    assert np.isnan(pixels[1, 1, 1])
    np.testing.assert_allclose(pixels[0, 1:], stack[0, 1:] * 0.5, rtol=1e-6)
    np.testing.assert_allclose(pixels[2], stack[2], rtol=1e-6)
    stated = FramePixels(bands=("a", "b"), quantities=("reflectance", "temperature"), scale=2.0, offset=1.0, nodata=7)
    series = only(open_frames(tmp_path, names=names, pixels=stated))
    assert (series.bands, series.quantities) == (("a", "b"), ("reflectance", "temperature"))
    np.testing.assert_allclose(pixels_of(series)[1, 2:], stack[1, 2:] * 2 + 1, rtol=1e-6)


def test_stated_nodata_counts_where_all_bands_have_it(tmp_path: Path) -> None:
    colour = np.dstack([grey(1), grey(2), grey(3)])
    colour[0, 0] = 0
    colour[1, 1, 0] = 0
    save(tmp_path / "20200101.png", colour)
    pixels = pixels_of(only(open_frames(tmp_path, pixels=FramePixels(nodata=0))))
    assert np.isnan(pixels).sum() == 3
    assert pixels[0, 1, 1] == 0


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((12, 9), (1, 12, 9)), ((1, 12, 9), (1, 12, 9)), ((5, 12, 9), (5, 12, 9)), ((12, 9, 4), (4, 12, 9))],
)
def test_arrays_of_two_and_three_dimensions(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape)
    save(tmp_path / "a.npy", array)
    picture = open_picture(tmp_path / "a.npy")
    pixels = picture.read(slice(3, 8))
    assert pixels.shape == (expected[0], 5, expected[2])
    whole = array.reshape(expected) if array.shape != (12, 9, 4) else np.moveaxis(array, -1, 0)
    np.testing.assert_allclose(pixels, whole[:, 3:8], rtol=1e-6)


@pytest.mark.parametrize("classic", [True, False])
def test_gmt_grids_of_every_layout_lie_at_the_same_place(tmp_path: Path, classic: bool) -> None:  # noqa: FBT001
    values = np.random.default_rng(0).normal(size=(12, 9))
    values[3, 4] = np.nan
    gmt3(tmp_path / "a_20200101.grd", values)
    coards(tmp_path / "b_20200102.grd", values, classic=classic)
    series = only(open_frames(tmp_path, pixels=FramePixels(crs="EPSG:4326", bands=("height",))))
    assert len(series.frames) == 2
    assert series.grid.crs == "EPSG:4326"
    assert series.grid.bounds == (10.0, 50.0, 28.0, 74.0)
    for number in range(2):
        pixels = pixels_of(series, number)
        np.testing.assert_allclose(pixels[0], values, rtol=1e-6)
        np.testing.assert_array_equal(series.frames[number].read(slice(2, 7)), pixels[:, 2:7])


def test_gmt_nodes_are_centres_and_the_crs_may_be_told(tmp_path: Path) -> None:
    values = np.ones((13, 10))
    gmt3(tmp_path / "a.grd", values, node_offset=0)
    assert open_picture(tmp_path / "a.grd").transform == (2.0, 0.0, 9.0, 0.0, -2.0, 75.0)
    coards(tmp_path / "b.nc", values, classic=True)
    assert open_picture(tmp_path / "b.nc").crs == "EPSG:4326"
    coards(tmp_path / "c.nc", values, classic=True, units="m")
    assert open_picture(tmp_path / "c.nc").crs == ""


# --- names ------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2099, 12, 31)))
def test_a_date_is_found_however_it_is_written(day: date) -> None:
    expected = datetime(day.year, day.month, day.day, tzinfo=UTC)
    forms = {ISO_DATE: ("%Y%m%d", "%Y-%m-%d"), r"(?P<year>\d{4})(?P<doy>\d{3})": ("%Y%j",)}
    for pattern, writings in forms.items():
        for writing in writings:
            found = compile_date_pattern(pattern).search(f"scene_{day.strftime(writing)}.png")
            assert found is not None
            assert moment_of(found) == expected


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=8, unique=True))
def test_numbered_names_sort_by_their_numbers(numbers: list[int]) -> None:
    names = [f"frame_{number}.npy" for number in numbers]
    assert sorted(names, key=natural) == [f"frame_{number}.npy" for number in sorted(numbers)]


def test_time_of_day_and_other_groups_become_labels(tmp_path: Path) -> None:
    for seed, name in enumerate(["LC08_20200101T235959_008011", "LE07_20200101T000001_008011"]):
        save(tmp_path / f"{name}.png", grey(seed))
    pattern = (
        r"(?P<sensor>L\w\d\d)_(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
        r"T(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
    )
    series = only(open_frames(tmp_path, names=FrameNames(date_pattern=pattern)))
    assert [frame.labels["sensor"] for frame in series.frames] == ["LE07", "LC08"]
    assert series.frames[1].time == datetime(2020, 1, 1, 23, 59, 59, tzinfo=UTC)
    assert series.frames[1].labels["file"] == "LC08_20200101T235959_008011.png"


def test_places_are_series_and_neighbours_may_be_one_place(tmp_path: Path) -> None:
    for seed, code in enumerate(["008011", "009011", "010011", "231012"]):
        save(tmp_path / f"LE07_{code}_2000010{seed + 1}.png", grey(seed))
    save(tmp_path / "LE07_20000101.png", grey(9))
    names = FrameNames(place_pattern=r"_(?P<place>\d{6})_", places={"upper fjord": ["009011", "010011"]})
    series = open_frames(tmp_path, names=names)
    assert [(one.name, len(one.frames)) for one in series] == [("008011", 1), ("231012", 1), ("upper-fjord", 2)]
    assert [frame.labels["place_code"] for frame in series[2].frames] == ["009011", "010011"]
    assert troubles_of(series) == {"LE07_20000101.png": "its name holds no place"}


def test_undated_frames_are_counted_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        save(tmp_path / f"frame_{number}.npy", np.full((4, 5), number))
    series = only(open_frames(tmp_path, names=UNDATED))
    assert not series.dated
    assert [frame.time.date() for frame in series.frames] == [date(1970, 1, day) for day in (1, 2, 3)]
    assert [pixels_of(series, number)[0, 0, 0] for number in range(3)] == [1, 2, 10]


def test_a_stated_order_and_a_stated_date(tmp_path: Path) -> None:
    for seed, name in enumerate(["after", "before", "other"]):
        save(tmp_path / f"pair_{name}.png", grey(seed))
    ordered = only(open_frames(tmp_path, names=FrameNames(date_pattern="", order=("pair_before", "pair_after.png"))))
    assert [frame.id for frame in ordered.frames] == ["pair_before", "pair_after"]
    assert troubles_of([ordered]) == {"pair_other.png": "the stated order does not name it"}
    with pytest.raises(ConfigurationError, match=r"names pair_late.*pair_after\.png"):
        open_frames(tmp_path, names=FrameNames(date_pattern="", order=("pair_late",)))
    chips = open_frames(tmp_path, names=FrameNames(date=date(2001, 7, 1), place_pattern=r"pair_(\w+)"))
    assert [one.name for one in chips] == ["after", "before", "other"]
    assert all(one.dated and one.frames[0].time == datetime(2001, 7, 1, tzinfo=UTC) for one in chips)


# --- masks ------------------------------------------------------------------------------------------------------


def test_masks_one_for_all_or_one_a_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    truth = (grey(0, height=16, width=16) > 128).repeat(8, axis=0).repeat(8, axis=1)
    for day in (1, 2):
        save(tmp_path / f"one/2020010{day}.png", grey(day, height=128, width=128))
    Image.fromarray((truth * 250).astype(np.uint8)).save(tmp_path / "one/mask.jpg", quality=60)
    series = only(open_frames(tmp_path / "one", pixels=FramePixels(mask="mask.jpg")))
    assert len(series.frames) == 2
    assert not series.troubles
    assert (series.masks["mask"] == truth).mean() > 0.99
    for place in ("a", "b"):
        save(tmp_path / f"many/images/{place}.png", grey(1))
    save(tmp_path / "many/masks/a.npy", np.eye(12, 9))
    names = FrameNames(date_pattern="", place_pattern=r"^\w")
    first, second = open_frames(
        tmp_path / "many", files="images/*", names=names, pixels=FramePixels(mask="masks/{place}.npy")
    )
    np.testing.assert_array_equal(first.masks["mask"], np.eye(12, 9))
    assert (second.masks["mask"] == 255).all(), "a place without a mask: unknown, not outside"
    assert "b.npy does not exist" in caplog.text


@pytest.mark.parametrize("mask", ["absent.png", "small.png", "broken.png"])
def test_a_mask_that_does_not_serve_is_said(tmp_path: Path, mask: str) -> None:
    save(tmp_path / "20200101.png", grey(1))
    save(tmp_path / "small.png", grey(1, height=5))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ConfigurationError, match=mask.removesuffix(".png")) as caught:
        open_frames(tmp_path, files="2020*", pixels=FramePixels(mask=mask))
    assert "\n" not in str(caught.value)


# --- what is wrong ----------------------------------------------------------------------------------------------


def test_bad_files_are_told_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for day in (1, 2, 3):
        save(tmp_path / f"2020010{day}.png", grey(day))
    (tmp_path / "20200104.png").write_bytes(b"")
    (tmp_path / "20200105.tif").write_bytes(b"II*\0 but no TIFF after all")
    save(tmp_path / "20200106.png", grey(6, height=13))
    save(tmp_path / "undated.png", grey(7))
    save(tmp_path / "20201340.png", grey(8))
    (tmp_path / "20200107.npy").write_bytes(b"\x93NUMPY and nothing else")
    (tmp_path / "20200108.grd").write_bytes(b"neither of them")
    np.save(tmp_path / "20200109.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    save(tmp_path / "20200110.png", np.dstack([grey(1)] * 3))
    series = only(open_frames(tmp_path))
    assert [frame.id for frame in series.frames] == ["20200101", "20200102", "20200103"]
    reasons = troubles_of([series])
    assert reasons["20200104.png"] == "20200104.png is empty"
    assert reasons["20200106.png"] == "it has 13 x 9 pixels, the others 12 x 9"
    assert reasons["undated.png"] == reasons["20201340.png"] == "its name holds no date"
    assert reasons["20200110.png"] == "its bands are red, green, blue, expected grey"
    assert set(reasons) == {path.name for path in tmp_path.iterdir()} - {f"2020010{day}.png" for day in (1, 2, 3)}
    assert all(name in caplog.text for name in reasons)
    assert not any("\n" in reason for reason in reasons.values())


def test_frames_of_one_name_have_ids_of_their_own(tmp_path: Path) -> None:
    files = ["a/01.png", "b/01.png", "b/01.npy", "b/02.png", "03.png", "03.npy", "03.png.npy", "04.v2.png"]
    for seed, file in enumerate(files):
        save(tmp_path / file, grey(seed))
    series = only(open_frames(tmp_path, files="**/*", names=UNDATED))
    by_id = {frame.id: frame for frame in series.frames}
    expected = ["a/01", "b/01.png", "b/01.npy", "02", "03.png", "03.npy", "03.png.npy", "04.v2"]
    assert (set(by_id), len(series.frames)) == (set(expected), len(files))
    for seed, name in enumerate(expected):
        np.testing.assert_array_equal(by_id[name].read(slice(0, 12))[0], grey(seed))


def test_a_copy_of_the_same_name_in_another_folder_is_a_copy(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        save(tmp_path / folder / "20200101.png", grey(1))
    series = only(open_frames(tmp_path, files="*/*.png"))
    assert [frame.id for frame in series.frames] == ["20200101"]
    assert troubles_of([series]) == {"20200101.png": "it is the same image as a/20200101.png; one is kept"}


def test_what_is_left_out_is_told_with_its_place(tmp_path: Path) -> None:
    for place in ("east", "west"):
        for day in (1, 2):
            save(tmp_path / f"{place}_2020010{day}.png", grey(day))
    for name in ("east_20200103.png", "west_20200103.png", "north_20200103.png"):
        (tmp_path / name).write_bytes(b"")
    save(tmp_path / "west_undated.png", grey(3))
    save(tmp_path / "20200104.png", grey(4))
    east, west = open_frames(tmp_path, names=FrameNames(place_pattern="^[a-z]+"))
    assert set(troubles_of([west])) == {"west_20200103.png", "west_undated.png"}
    # no place, and a place without any usable file
    assert set(troubles_of([east])) == {"east_20200103.png", "north_20200103.png", "20200104.png"}
    order = ("east_20200101", "west_20200101")
    east, west = open_frames(
        tmp_path, files="*st_2020010[12].png", names=FrameNames(date_pattern="", order=order, place_pattern="^[a-z]+")
    )
    assert set(troubles_of([east])) == {"east_20200102.png"}
    assert set(troubles_of([west])) == {"west_20200102.png"}


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.npy", "a.grd"])
def test_a_truncated_file_fails_when_it_is_read_and_never_half(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    noise = grey(1, height=256, width=200)
    if name == "a.tif":
        geotiff(path, noise, compress="deflate")
    elif name == "a.grd":
        gmt3(path, noise.astype(float))
    else:
        save(path, noise)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])

    def read() -> NDArray[np.float32]:
        return open_picture(path).read(slice(0, 256))

    with pytest.raises(SceneError, match=r"a\.\w+"):
        read()


def test_a_damaged_picture_is_not_painted_over(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", grey(1, height=64, width=64))
    bytes_ = bytearray(path.read_bytes())
    bytes_[len(bytes_) // 2] ^= 0xFF
    path.write_bytes(bytes_)
    with pytest.raises(SceneError, match="damaged"):
        open_picture(path).read(slice(0, 64))


def test_duplicates_are_merged_and_two_passes_of_a_day_are_kept(tmp_path: Path) -> None:
    save(tmp_path / "b_20200101.png", grey(1))
    shutil.copy(tmp_path / "b_20200101.png", tmp_path / "a_20200101.png")
    save(tmp_path / "c_20200101.npy", grey(1))  # the same pixels in another file
    save(tmp_path / "d_20200101.png", grey(2))
    save(tmp_path / "e_20200201.png", grey(1))  # the same pixels on another day
    series = only(open_frames(tmp_path))
    assert [frame.id for frame in series.frames] == ["a_20200101", "d_20200101", "e_20200201"]
    assert set(troubles_of([series])) == {"b_20200101.png", "c_20200101.npy"}
    assert "same image as a_20200101.png" in troubles_of([series])["b_20200101.png"]


def test_frames_on_another_grid_are_left_out(tmp_path: Path) -> None:
    for day in (1, 2):
        geotiff(tmp_path / f"2020010{day}.tif", grey(day), left=500_000.0 + 0.001 * day)
    geotiff(tmp_path / "20200103.tif", grey(3), left=500_030.0)
    geotiff(tmp_path / "20200104.tif", grey(3), crs="EPSG:32646")
    series = only(open_frames(tmp_path))
    assert [frame.id for frame in series.frames] == ["20200101", "20200102"]
    assert set(troubles_of([series]).values()) == {"it lies on another grid than the others"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folder": "absent"}, "does not exist"),
        ({"files": "*.bmp"}, r"no image matches \*\.bmp"),
        ({"names": FrameNames(date_pattern="(")}, "no regular expression"),
        ({"names": FrameNames(date_pattern=r"(?P<year>\d{4})")}, "year and month"),
        ({"names": FrameNames(place_pattern="(")}, "place_pattern is no regular expression"),
        ({"names": FrameNames(place_pattern="nowhere")}, "its name holds no place"),
        ({"pixels": FramePixels(bands=("a", "b", "c"), quantities=("index", "index"))}, "2 quantities .* for 3 bands"),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_line(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    save(tmp_path / "20200101.png", np.dstack([grey(1)] * 3))
    folder = tmp_path / options.pop("folder", "")
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_frames(folder, **options)
    assert "\n" not in str(caught.value)


def test_more_bands_named_than_there_are(tmp_path: Path) -> None:
    save(tmp_path / "20200101.png", grey(1))
    series = only(open_frames(tmp_path, pixels=FramePixels(bands=("a", "b"))))
    with pytest.raises(SceneError, match="has 1 bands"):
        pixels_of(series)


def test_frames_travel_between_processes(tmp_path: Path) -> None:
    save(tmp_path / "a_20200101.png", grey(1))
    save(tmp_path / "a_20200102.npy", grey(1))
    gmt3(tmp_path / "b_20200103.grd", grey(1).astype(float))
    for series in open_frames(tmp_path, names=FrameNames(place_pattern="^.")):
        for frame in pickle.loads(pickle.dumps(series.frames)):  # noqa: S301 our own
            np.testing.assert_array_equal(frame.read(slice(0, 12))[0], grey(1))


def test_pixels_are_read_only_when_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path / "20200101.png", grey(1))
    series = only(open_frames(tmp_path))
    path.unlink()
    with pytest.raises(SceneError, match="20200101"):
        pixels_of(series)


# --- real data --------------------------------------------------------------------------------------------------


def needs(folder: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (DATA / folder).is_dir(), reason=f"GLACIER_DATA holds no {folder} ({DATA})")


@needs("motion/perito_moreno")
def test_perito_moreno() -> None:
    series = only(open_frames(DATA / "motion/perito_moreno", pixels=FramePixels(mask="mask.jpg")))
    assert (len(series.frames), series.bands, series.grid.shape) == (17, ("red", "green", "blue"), (1231, 1731))
    assert (series.frames[0].time.date(), series.frames[-1].time.date()) == (date(2020, 1, 1), date(2020, 2, 27))
    assert not series.troubles
    mask = series.masks["mask"] == 1
    assert 0.4 < mask.mean() < 0.6
    pixels = pixels_of(series)
    assert pixels[:, mask].mean() > 10 * pixels[:, ~mask].mean(), "the images are masked to the glacier"


@needs("motion/parvati_ndsi")
def test_parvati() -> None:
    stated = FramePixels(bands=("ndsi",), quantities=("index",))
    series = only(open_frames(DATA / "motion/parvati_ndsi", files="frame_*.npy", names=UNDATED, pixels=stated))
    assert (len(series.frames), series.grid.shape, series.dated) == (4, (800, 800), False)
    assert 0 <= float(np.nanmin(pixels_of(series))) <= float(np.nanmax(pixels_of(series))) <= 1


@needs("motion/daugaard_jensen_sar")
def test_daugaard_jensen() -> None:
    names = FrameNames(date_pattern="", order=("DJ_before", "DJ_after"))
    series = only(open_frames(DATA / "motion/daugaard_jensen_sar", names=names))
    assert [frame.id for frame in series.frames] == ["DJ_before", "DJ_after"]
    assert series.grid.shape == (1950, 1450)


@needs("front/landsat_greenland")
@pytest.mark.parametrize("layer", ["images", "labels_1px"])
def test_landsat_greenland(layer: str) -> None:
    names = FrameNames(
        date_pattern=r"^(?P<sensor>L\w\d\d)_\w{4}_\d{6}_(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
        place_pattern=r"_(?P<place>\d{6})_",
        places={
            "a": ["008011"],
            "b": ["009011", "010011"],
            "c": ["020007", "021006", "021007", "022006", "023006", "024006"],
            "d": ["229012", "230012", "231012"],
        },
    )
    series = open_frames(
        DATA / "front/landsat_greenland", files=f"{layer}/*.png", names=names, pixels=FramePixels(bands=("grey",))
    )
    assert {one.name: len(one.frames) for one in series} == {"a": 10, "b": 20, "c": 70, "d": 23}
    assert not troubles_of(series)
    assert {one.grid.shape for one in series} == {(300, 200)}
    assert all(np.isfinite(pixels_of(one)).all() for one in series)
    years = [frame.time.year for one in series for frame in one.frames]
    assert (min(years), max(years)) == (1985, 2016)


@needs("front/jakobshavn_kangerlussuaq")
def test_jakobshavn_and_kangerlussuaq() -> None:
    names = FrameNames(
        place_pattern="JI|009011|kanger", places={"jakobshavn": ["JI", "009011"], "kangerlussuaq": ["kanger"]}
    )
    folder = DATA / "front/jakobshavn_kangerlussuaq"
    series = open_frames(folder, names=names, pixels=FramePixels(crs="EPSG:4326"))
    assert {one.name: len(one.frames) for one in series} == {"jakobshavn": 2, "kangerlussuaq": 1}
    grd, tif = pixels_of(series[0], 0)[0], pixels_of(series[0], 1)[0]
    # three years apart, yet the same fjord: right way up the two agree far better than upside down
    upright, flipped = (np.corrcoef(image.ravel(), tif.ravel())[0, 1] for image in (grd, grd[::-1]))
    assert upright > 0.15
    assert flipped < 0.05


@needs("extent/norway_chips")
def test_norway_chips() -> None:
    series = open_frames(
        DATA / "extent/norway_chips",
        files="images/*.tif",
        names=FrameNames(date=date(2000, 8, 1), place_pattern=r"G\d+E\d+N"),
        pixels=FramePixels(mask="masks/{place}.tif"),
    )
    assert len(series) == 22
    assert all(one.grid.shape == (128, 128) and len(one.bands) == 8 and one.masks["mask"].any() for one in series)
    assert all(np.isfinite(pixels_of(one)).all() for one in series)


@needs("extent/high_mountain_asia")
def test_high_mountain_asia() -> None:
    series = open_frames(
        DATA / "extent/high_mountain_asia",
        files="landsat/*.tif",
        names=FrameNames(date_pattern="", place_pattern=r"G\d+E\d+N"),
        pixels=FramePixels(
            bands=("blue", "green", "red", "nir", "swir16", "thermal"),
            quantities=("reflectance",) * 5 + ("temperature",),
        ),
    )
    assert len(series) == 84
    assert {one.grid.crs for one in series} == {"EPSG:4326"}
    thermal = pixels_of(series[0])[5]
    assert 230 < float(np.nanmedian(thermal)) < 320


@needs("extent/everest")
@needs("extent/outlines_and_dems")
def test_everest_and_dems() -> None:
    names = FrameNames(date_pattern=r"LE7\d{6}(?P<year>\d{4})(?P<doy>\d{3})")
    rgb = only(open_frames(DATA / "extent/everest", files="LE7*SGS00_RGB.tif", names=names))
    assert (rgb.frames[0].time.date(), rgb.grid.crs, rgb.grid.shape) == (date(2000, 10, 30), "EPSG:32645", (655, 800))
    dems = open_frames(
        DATA / "extent/outlines_and_dems",
        files="*.tif",
        names=FrameNames(date_pattern="", place_pattern=".+"),
        pixels=FramePixels(bands=("height",), quantities=("height",)),
    )
    assert [one.name for one in dems] == ["RGI60-14.03439", "baltoro_srtm_clip", "dem_Columbia"]
    assert all(np.nanmax(pixels_of(one)) > 3000 for one in dems)
