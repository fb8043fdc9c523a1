"""Scenes that make one image: neighbours of a day, borders of UTM zones, seams, duplicates; series of such images."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.warp import transform_bounds

from glacier_core.errors import ConfigurationError, SceneError, ServiceUnavailableError
from glacier_core.grids import Grid
from glacier_core.sources.mosaics import Pixels, merged_items, same_day
from glacier_core.sources.reading import SceneTrouble
from glacier_core.sources.scene_series import scene_series
from glacier_core.sources.stac import SceneItem, newest_of_each, read_scenes
from glacier_core.sources.times import solar_day
from tests.sources.scene_files import CORNER, CRS, Ground, make_item, numbers, plain_item, write_raster

DAY = "2020-08-01"
LEFT, TOP = CORNER
SIZE = 96
GRID = Grid(CRS, (10.0, 0.0, LEFT, 0.0, -10.0, TOP), 2 * SIZE - 20, SIZE)
"""Two scenes side by side that overlap by 20 columns."""
EAST = Ground((LEFT + 10 * (SIZE - 20), TOP), SIZE)


def scene(
    folder: Path,
    name: str,
    pixels: NDArray[np.uint16],
    *,
    ground: Ground | None = None,
    day: str = DAY,
    classes: int = 4,
    fields: dict[str, Any] | None = None,
) -> dict[str, Any]:
    ground = ground or Ground()
    links = {"B02": str(write_raster(folder / name / "B02.tif", pixels, ground=ground))}
    scl = np.full((len(pixels) // 2, len(pixels) // 2), classes, np.uint8)
    links["SCL"] = str(write_raster(folder / name / "SCL.tif", scl, ground=ground, resolution=20))
    return make_item(name, day=day, links=links, ground=ground, fields=fields)


def read(items: list[dict[str, Any]], **changes: Any) -> tuple[NDArray[Any], list[str], dict[str, str]]:
    """Images (time, y, x) as numbers of the files, the names of their scenes, and the troubles."""
    asked = {"bands": ("B02",), "mask": "", "grid": GRID, "mosaic": True, **changes}
    found, troubles = read_scenes(items, **asked)
    names = [str(name) for name in found["scene"].values]
    return found["imagery"].values[:, 0] / 1e-4, names, {trouble.scene: trouble.reason for trouble in troubles}


# --- one day's neighbours ---------------------------------------------------------------------------------------


def test_neighbours_of_a_day_become_one_time_without_a_seam(tmp_path: Path) -> None:
    west, east = numbers(1, SIZE), numbers(2, SIZE)
    west[:, 90:] = 0  # the west scene's swath ends within the overlap
    items = [scene(tmp_path, "west", west), scene(tmp_path, "east", east, ground=EAST)]
    images, names, troubles = read(items)
    assert names == ["east;west"], "both of the same time: the order of their ids decides"
    assert not troubles
    assert np.isfinite(images).all()
    np.testing.assert_allclose(images[0][:, SIZE - 20 :], east, atol=0.01)
    np.testing.assert_allclose(images[0][:, : SIZE - 20], west[:, : SIZE - 20], atol=0.01)

    apart, names, _ = read(items, mosaic=False)
    assert names == ["east", "west"], "by default every scene is a time of its own"
    assert np.isnan(apart).any(axis=(1, 2)).all()


def test_the_first_scene_goes_before_the_later_one(tmp_path: Path) -> None:
    west, east = numbers(1, SIZE), numbers(2, SIZE)
    west[:, 90:] = 0
    items = [
        scene(tmp_path, "west", west, fields={"datetime": "2020-08-01T04:59:40Z"}),
        scene(tmp_path, "east", east, ground=EAST),
    ]
    images, names, _ = read(items[::-1])
    assert names == ["west;east"]
    np.testing.assert_allclose(images[0][:, :90], west[:, :90], atol=0.01)
    np.testing.assert_allclose(images[0][:, 90:], east[:, 14:], atol=0.01), "it fills where the first shows nothing"


def test_newer_processing_goes_first_and_each_has_its_own_offset(tmp_path: Path) -> None:
    old, new = numbers(1, SIZE, low=2000), numbers(2, SIZE, low=2000)
    items = [
        scene(tmp_path, "a-old", old, fields={"s2:processing_baseline": "03.01"}),
        scene(tmp_path, "b-new", new, ground=EAST, fields={"s2:processing_baseline": "05.00"}),
    ]
    images, names, _ = read(items)
    assert names == ["b-new;a-old"]
    np.testing.assert_allclose(images[0][:, SIZE - 20 :], new - 1000.0, atol=0.01)
    np.testing.assert_allclose(images[0][:, : SIZE - 20], old[:, : SIZE - 20], atol=0.01)


def test_pixels_are_taken_whole_from_the_scene_that_has_all_bands(tmp_path: Path) -> None:
    first, second = numbers(1, SIZE), numbers(2, SIZE)
    items = [scene(tmp_path, "a", first, classes=9), scene(tmp_path, "b", second, classes=5)]
    for name, pixels in (("a", first.copy()), ("b", second)):
        if name == "a":
            pixels[40:60] = 0
        write_raster(tmp_path / name / "B03.tif", pixels)
    for item in items:
        item["assets"]["B03"] = {**item["assets"]["B02"], "href": str(tmp_path / item["id"] / "B03.tif")}
    grid = Grid(CRS, GRID.transform, SIZE, SIZE)
    found, _ = read_scenes(items, bands=("B02", "B03"), mask="SCL", grid=grid, mosaic=True)
    image = found["imagery"].values[0, 0] / 1e-4
    np.testing.assert_allclose(image[40:60], second[40:60], atol=0.01)
    np.testing.assert_allclose(image[:40], first[:40], atol=0.01)
    assert set(found["scene_class"].values[0, 40:60].ravel()) == {5}, "its class comes with it"
    assert set(found["scene_class"].values[0, :40].ravel()) == {9}


def test_scenes_hidden_by_others_of_their_day_are_told(tmp_path: Path) -> None:
    items = [scene(tmp_path, name, numbers(seed, SIZE)) for seed, name in enumerate(("a", "b"))]
    _, names, troubles = read(items)
    assert names == ["a"]
    assert troubles == {"b": "other scenes of its day show all that it shows"}


def test_a_broken_neighbour_is_left_out_alone(tmp_path: Path) -> None:
    west, east = numbers(1, SIZE), numbers(2, SIZE)
    items = [scene(tmp_path, "west", west), scene(tmp_path, "east", east, ground=EAST)]
    (tmp_path / "east/B02.tif").write_bytes(b"")
    images, names, troubles = read(items)
    assert names == ["west"]
    assert list(troubles) == ["east"]
    assert np.isfinite(images[0][:, :SIZE]).all()
    assert np.isnan(images[0][:, SIZE:]).all()


def test_satellites_days_and_directions_stay_apart() -> None:
    def item(name: str, when: str, platform: str, orbit: str = "") -> dict[str, Any]:
        fields = {"platform": platform, **({"sat:orbit_state": orbit} if orbit else {})}
        return plain_item(name, collection="c", when=when, ground=Ground(), assets={}, fields=fields)

    items = [
        item("later", "2020-08-02T05:00:00Z", "Sentinel-2A"),
        item("a", "2020-08-01T05:00:00Z", "Sentinel-2A"),
        item("b", "2020-08-01T05:00:20Z", "sentinel 2a"),
        item("other", "2020-08-01T05:10:00Z", "Sentinel-2B"),
        item("up", "2020-08-03T00:10:00Z", "SENTINEL-1A", "ascending"),
        item("down", "2020-08-03T12:10:00Z", "SENTINEL-1A", "descending"),
    ]
    groups = [[found["id"] for found in group] for group in same_day(items, GRID)]
    assert groups == [["a", "b"], ["other"], ["later"], ["up"], ["down"]]


def test_the_day_is_the_suns() -> None:
    # New Zealand and Alaska: one morning's pass, on two days of UTC
    assert solar_day(datetime(2020, 8, 1, 23, 59, tzinfo=UTC), 170) == date(2020, 8, 2)
    assert solar_day(datetime(2020, 8, 2, 0, 1, tzinfo=UTC), 170) == date(2020, 8, 2)
    assert solar_day(datetime(2020, 8, 2, 0, 1, tzinfo=UTC), -150) == date(2020, 8, 1)
    away = Ground((500_000.0, 7_000_000.0), crs="EPSG:32601")
    grid = Grid("EPSG:32601", (10.0, 0.0, 500_000.0, 0.0, -10.0, 7_000_000.0), 96, 96)
    items = [
        plain_item(name, collection="c", when=when, ground=away, assets={}, fields={"platform": "x"})
        for name, when in (("a", "2020-08-01T23:59:50Z"), ("b", "2020-08-02T00:00:10Z"))
    ]
    assert len(same_day(items, grid)) == 1


def test_elevation_has_no_days() -> None:
    tiles = [
        plain_item(f"t{year}", collection="cop-dem-glo-30", when=f"{year}-04-22T00:00:00Z", ground=Ground(), assets={})
        for year in (2021, 2019)
    ]
    assert len(same_day(tiles, GRID)) == 1


def test_a_days_mosaic_equals_odc_stacs(tmp_path: Path) -> None:
    import odc.stac
    import pystac

    west, east = numbers(1, SIZE), numbers(2, SIZE)
    west[:, 70:] = 0
    items = [
        scene(tmp_path, "west", west, fields={"datetime": "2020-08-01T04:59:40Z"}),
        scene(tmp_path, "east", east, ground=EAST),
        scene(tmp_path, "next", numbers(3, SIZE), day="2020-08-02"),
    ]
    shifted = Grid(CRS, (10.0, 0.0, LEFT + 3.1, 0.0, -10.0, TOP - 4.2), GRID.width, GRID.height)
    for grid, tolerance in ((GRID, 0.01), (shifted, 1.0)):
        images, _, _ = read(items, grid=grid)
        loaded = odc.stac.load(
            [pystac.Item.from_dict(item) for item in items],
            bands=["B02"],
            geobox=grid.geobox(),
            groupby="solar_day",
            resampling="bilinear",
            dtype="float32",
            nodata=0,
        )
        theirs = np.where(loaded["B02"].values == 0, np.nan, loaded["B02"].values)
        assert images.shape == theirs.shape
        np.testing.assert_array_equal(np.isnan(images), np.isnan(theirs))
        np.testing.assert_allclose(images, theirs, atol=tolerance)


# --- a border of UTM zones --------------------------------------------------------------------------------------


def field(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth field, the same in every projection."""
    values: NDArray[np.float64] = 4000 + 2500 * np.sin(longitude * 900) + 1500 * np.cos(latitude * 700)
    return values


def drawn(ground: Ground) -> NDArray[np.uint16]:
    left, top = ground.corner
    x, y = np.meshgrid(left + 10 * (np.arange(ground.size) + 0.5), top - 10 * (np.arange(ground.size) + 0.5))
    return np.rint(field(*Transformer.from_crs(ground.crs, "EPSG:4326", always_xy=True).transform(x, y))).astype("u2")


@pytest.mark.parametrize("target", ["EPSG:32644", "EPSG:32645"])
def test_scenes_that_meet_at_a_utm_border_make_one_image(tmp_path: Path, target: str) -> None:
    border, latitude = 84.0, 28.0
    grounds = []
    for crs, aside in (("EPSG:32644", -1400.0), ("EPSG:32645", -500.0)):
        x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(border, latitude)
        grounds.append(Ground((round(x + aside, -1), round(y + 950, -1)), 190, crs))
    items = [scene(tmp_path, f"zone-{ground.crs[-2:]}", drawn(ground), ground=ground) for ground in grounds]
    x, y = Transformer.from_crs("EPSG:4326", target, always_xy=True).transform(border, latitude)
    grid = Grid.covering((x - 1000, y - 700, x + 1000, y + 700), crs=target, resolution=10.0)
    images, names, troubles = read(items, grid=grid)
    assert names == ["zone-44;zone-45"]
    assert not troubles
    assert np.isfinite(images).all(), "no seam"
    a, _, left, _, e, top = grid.transform
    x, y = np.meshgrid(left + a * (np.arange(grid.width) + 0.5), top + e * (np.arange(grid.height) + 0.5))
    truth = field(*Transformer.from_crs(target, "EPSG:4326", always_xy=True).transform(x, y))
    steepest = max(np.abs(np.diff(truth, axis=axis)).max() for axis in (0, 1))
    # bilinear interpolation of a smooth field; a scene's outermost half pixel repeats its last one
    error = np.abs(images[0] - truth)
    assert np.quantile(error, 0.99) < 0.05 * steepest
    assert error.max() < 0.5 * steepest


def test_scenes_that_abut_leave_no_seam_when_warped(tmp_path: Path) -> None:
    east = Ground((LEFT + 10 * SIZE, TOP), SIZE)
    items = [scene(tmp_path, "west", drawn(Ground())), scene(tmp_path, "east", drawn(east), ground=east)]
    for crs, resolution in ((CRS, 7.3), ("EPSG:32644", 10.0), ("EPSG:3857", 13.0)):
        inner = (LEFT + 100, TOP - 10 * SIZE + 100, LEFT + 20 * SIZE - 100, TOP - 100)
        left, bottom, right, top = transform_bounds(CRS, crs, *inner)
        width, height = right - left, top - bottom
        middle = (left + 0.2 * width, bottom + 0.3 * height, right - 0.2 * width, top - 0.3 * height)
        images, _, troubles = read(items, grid=Grid.covering(middle, crs=crs, resolution=resolution))
        assert not troubles
        assert np.isfinite(images).all()


# --- laying pixels together -------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from([0, 1, 2, 3]), min_size=6, max_size=6), min_size=1, max_size=5))
def test_each_pixel_is_the_first_whole_one_or_else_the_first_seen(layers: list[list[int]]) -> None:
    """0: nothing is known of the pixel; 1, 2: one of two bands; 3: both."""
    images = []
    for number, layer in enumerate(layers, start=1):
        bands = [np.where(np.array([layer]) & bit, np.float32(number), np.float32(np.nan)) for bit in (1, 2)]
        image = Pixels([band.astype(np.float32) for band in bands])
        image.classify(np.full((1, 6), number, np.uint8))
        images.append(image)
    top = images[0]
    used = [top.lay_under(image) for image in images[1:]]
    assert len(used) == len(layers) - 1
    for pixel in range(6):
        column = [layer[pixel] for layer in layers]
        best = next((n for n, seen in enumerate(column) if seen == 3), None)
        best = next((n for n, seen in enumerate(column) if seen), None) if best is None else best
        got = [band[0, pixel] for band in top.bands]
        expected = [np.nan, np.nan] if best is None else [best + 1 if column[best] & bit else np.nan for bit in (1, 2)]
        np.testing.assert_array_equal(got, expected)
        assert top.classes is not None
        assert top.classes[0, pixel] == (0 if best is None else best + 1)


# --- duplicates -------------------------------------------------------------------------------------------------


def test_the_item_updated_last_is_the_one_that_counts(tmp_path: Path) -> None:
    old = scene(tmp_path / "old", "scene", numbers(1, SIZE), fields={"updated": "2021-01-01T00:00:00Z"})
    new = scene(tmp_path / "new", "scene", numbers(2, SIZE), fields={"updated": "2022-01-01T00:00:00Z"})
    for items in ([old, new], [new, old], [new, old, new]):
        (kept,) = merged_items(items)
        assert kept is new
        images, names, troubles = read(items, mosaic=False)
        assert (names, troubles) == (["scene"], {})
        np.testing.assert_allclose(images[0][:, :SIZE], numbers(2, SIZE), atol=0.01)


def test_two_parts_of_one_tile_are_no_reprocessing() -> None:
    tile = {"s2:mgrs_tile": "45RVL"}
    parts = [make_item("north", day=DAY, links={}, fields=tile)]
    parts.append(make_item("south", day=DAY, links={}, ground=Ground((LEFT, TOP - 600)), fields=tile))
    again = make_item("again", day=DAY, links={}, fields={**tile, "s2:processing_baseline": "05.00"})
    found = newest_of_each([SceneItem.of(item) for item in (*parts, again)])
    assert {scene.id for scene in found} == {"again", "south"}


# --- series -----------------------------------------------------------------------------------------------------


def test_a_series_reads_strips_of_the_same_pixels(tmp_path: Path) -> None:
    items = [
        scene(tmp_path, "late", numbers(3, SIZE), day="2020-08-05"),
        scene(tmp_path, "west", numbers(1, SIZE), classes=9),
        scene(tmp_path, "east", numbers(2, SIZE), ground=EAST, classes=4),
    ]
    series = scene_series(items, name="place", bands=("B02",), mask="SCL", grid=GRID)
    assert (series.bands, series.quantities) == (("B02", "scene_class"), ("reflectance", "class"))
    assert [frame.id for frame in series.frames] == ["east;west", "late"]
    assert [frame.time.day for frame in series.frames] == [1, 5]
    assert series.frames[0].labels["scene"] == "east;west"
    assert series.frames[0].labels["platform"] == "sentinel-2a"
    assert len({tuple(frame.labels) for frame in series.frames}) == 1
    whole, _ = read_scenes(items, bands=("B02",), mask="SCL", grid=GRID, mosaic=True)
    for number, frame in enumerate(series.frames):
        strips = np.concatenate([frame.read(slice(first, first + 17)) for first in range(0, SIZE, 17)], axis=1)
        assert strips.dtype == np.float32
        assert strips.shape == (2, *GRID.shape)
        np.testing.assert_array_equal(strips[0], whole["imagery"].values[number, 0])
        np.testing.assert_array_equal(strips[1], whole["scene_class"].values[number])

    masked = scene_series(items, name="place", bands=("B02",), mask="SCL", grid=GRID, masked=True)
    assert (masked.bands, masked.quantities) == (("B02",), ("reflectance",))
    pixels = masked.frames[0].read(slice(None))
    cloudy = whole["scene_class"].values[0] == 9
    assert np.isnan(pixels[0][cloudy]).all()
    np.testing.assert_array_equal(pixels[0][~cloudy], whole["imagery"].values[0, 0][~cloudy])


def test_warped_strips_equal_the_whole(tmp_path: Path) -> None:
    items = [scene(tmp_path, "a", drawn(Ground()))]
    bounds = transform_bounds(CRS, "EPSG:32644", *Ground().bounds())
    grid = Grid.covering(bounds, crs="EPSG:32644", resolution=10.0)
    (frame,) = scene_series(items, name="place", bands=("B02",), grid=grid).frames
    whole = frame.read(slice(None))
    strips = np.concatenate([frame.read(slice(first, first + 16)) for first in range(0, grid.height, 16)], axis=1)
    np.testing.assert_array_equal(np.isnan(strips), np.isnan(whole))
    np.testing.assert_allclose(strips, whole, atol=2e-4)


def test_a_series_tells_what_it_leaves_out(tmp_path: Path) -> None:
    items = [
        scene(tmp_path, "west", numbers(1, SIZE)),
        scene(tmp_path, "east", numbers(2, SIZE), ground=EAST),
        scene(tmp_path, "alone", numbers(3, SIZE), day="2020-08-05"),
        scene(tmp_path, "away", numbers(3, SIZE), ground=Ground((LEFT + 100_000, TOP)), day="2020-08-06"),
        scene(tmp_path, "again", numbers(3, SIZE), day="2020-08-05", fields={"s2:processing_baseline": "05.00"}),
    ]
    (tmp_path / "east/B02.tif").write_bytes(b"")
    (tmp_path / "again/B02.tif").unlink()
    told: list[SceneTrouble] = []
    series = scene_series(items, name="place", bands=("B02",), grid=GRID, on_trouble=told.append)
    assert {trouble.scene: trouble.reason for trouble in series.troubles} == {
        "away": "it has no data in the window",
        "alone": "a newer processing replaces it",
    }
    first, second = series.frames
    for rows in (slice(0, 10), slice(10, 20)):
        assert np.isfinite(first.read(rows)[0, :, :SIZE]).all()
    assert [trouble.scene for trouble in told] == ["east"], "told once"
    with pytest.raises(SceneError, match="again: B02"):
        second.read(slice(0, 10))


def test_a_service_that_is_silent_is_no_trouble_of_the_scene(tmp_path: Path) -> None:
    item = scene(tmp_path, "west", numbers(1, SIZE))
    item["assets"]["B02"]["href"] = "http://127.0.0.1:9/B02.tif"
    (frame,) = scene_series([item], name="place", bands=("B02",), grid=GRID, retries=0).frames
    with pytest.raises(ServiceUnavailableError, match=r"127\.0\.0\.1:9"):
        frame.read(slice(0, 10))


def test_strips_beside_a_scene_show_nothing(tmp_path: Path) -> None:
    half = Ground((LEFT, TOP - 10 * (SIZE // 2)), SIZE)
    (frame,) = scene_series(
        [scene(tmp_path, "low", numbers(1, SIZE), ground=half)], name="place", bands=("B02",), mask="SCL", grid=GRID
    ).frames
    assert np.isnan(frame.read(slice(0, 10))).all(), "unknown, of the classification too"
    assert np.isfinite(frame.read(slice(60, 70))[0, :, :SIZE]).all()


def test_one_band_cannot_measure_two_things(tmp_path: Path) -> None:
    items = [scene(tmp_path, "a", numbers(1, SIZE)), scene(tmp_path, "b", numbers(1, SIZE), day="2020-08-02")]
    items[1]["properties"]["platform"] = "x"
    del items[1]["properties"]["s2:processing_baseline"]
    with pytest.raises(ConfigurationError, match="digital_number in b, reflectance in a"):
        scene_series(items, name="place", bands=("B02",), grid=GRID)
    with pytest.raises(ConfigurationError, match="'B77'"):
        scene_series(items, name="place", bands=("B77",), grid=GRID)


def test_memory_holds_a_few_scenes_beyond_the_result(tmp_path: Path) -> None:
    side = 512
    ground = Ground(size=side)
    pixels = numbers(1, side)
    items = []
    for number in range(16):
        item = scene(tmp_path, f"s{number:02d}", pixels, ground=ground, day=f"2020-08-{number + 1:02d}")
        items.append(item)
    grid = Grid(CRS, (10.0, 0.0, LEFT, 0.0, -10.0, TOP), side, side)
    read(items[:2], grid=grid)
    tracemalloc.start()
    found, _ = read_scenes(items, bands=("B02",), mask="", grid=grid, mosaic=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    one = 4 * side * side
    assert peak < found["imagery"].nbytes + 12 * one
