"""The fast reader against rasterio: any layout of a GeoTIFF, any window."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.warp import reproject, transform_bounds

from glacier_core.errors import SceneError
from glacier_core.grids import Grid
from glacier_core.sources.bands import BandSource
from glacier_core.sources.geotiff.layout import UnfamiliarLayoutError, parse_layout
from glacier_core.sources.pixels import PixelRequest, read_pixels
from tests.sources.scene_files import CORNER, CRS

FRESH = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
DTYPES = ("uint8", "uint16", "int16", "float32")


@st.composite
def layouts(draw: st.DrawFn) -> dict[str, Any]:
    """Creation options of GDAL's GTiff driver, and the pixels."""
    dtype = draw(st.sampled_from(DTYPES))
    compress = draw(st.sampled_from(["none", "deflate", "lzw", "zstd"]))
    predictors = [1, 2, 3] if dtype == "float32" else [1, 2]
    options: dict[str, Any] = {"compress": compress, "interleave": draw(st.sampled_from(["pixel", "band"]))}
    if compress != "none":
        options["predictor"] = draw(st.sampled_from(predictors))
    if draw(st.booleans()):
        options |= {
            "tiled": True,
            "blockxsize": 16 * draw(st.integers(1, 6)),
            "blockysize": 16 * draw(st.integers(1, 6)),
        }
    else:
        options["blockysize"] = draw(st.integers(1, 90))
    options["ENDIANNESS"] = draw(st.sampled_from(["LITTLE", "BIG"]))
    options["BIGTIFF"] = draw(st.sampled_from(["YES", "NO"]))
    options["SPARSE_OK"] = draw(st.booleans())
    return {
        "options": options,
        "dtype": dtype,
        "count": draw(st.integers(1, 3)),
        "height": draw(st.integers(1, 150)),
        "width": draw(st.integers(1, 150)),
        "nodata": draw(st.sampled_from([None, 0, 7])),
        "seed": draw(st.integers(0, 2**31)),
    }


def write(path: Path, drawn: dict[str, Any], *, overviews: tuple[int, ...] = ()) -> NDArray[Any]:
    rng = np.random.default_rng(drawn["seed"])
    shape = drawn["count"], drawn["height"], drawn["width"]
    pixels = rng.integers(0, 250, shape).astype(drawn["dtype"])
    if drawn["dtype"] == "float32":
        pixels += rng.random(shape, np.float32)
    pixels[rng.random(shape) < 0.1] = drawn["nodata"] or 0
    pixels[:, : shape[1] // 2, : shape[2] // 2] = drawn["nodata"] or 0  # whole blocks may be left out
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=drawn["dtype"],
        count=shape[0],
        height=shape[1],
        width=shape[2],
        crs=CRS,
        transform=from_origin(*CORNER, 10, 10),
        nodata=drawn["nodata"],
        photometric="MINISBLACK",
        **drawn["options"],
    ) as file:
        file.write(pixels)
        if overviews:
            file.build_overviews(overviews, Resampling.nearest)
    return pixels


def source(path: Path, *, index: int = 1, nodata: float | None = None) -> BandSource:
    return BandSource(asset=path.stem, href=str(path), index=index, scale=1.0, offset=0.0, nodata=nodata)


def grid_at(row: float, column: float, height: int, width: int, *, resolution: float = 10.0, crs: str = CRS) -> Grid:
    """A grid whose corner lies `row` and `column` pixels of 10 m from the files' corner."""
    transform = (resolution, 0.0, CORNER[0] + 10 * column, 0.0, -resolution, CORNER[1] - 10 * row)
    return Grid(crs, transform, width, height)


def read_one(
    path: Path, grid: Grid, *, resampling: Literal["nearest", "bilinear"] = "bilinear", **changes: Any
) -> NDArray[Any]:
    index = changes.pop("index", 1)
    (found,) = read_pixels([PixelRequest(source(path, index=index), grid, resampling)], **changes)
    assert isinstance(found, np.ndarray), found
    return found


def warped(path: Path, grid: Grid, *, resampling: str = "bilinear", index: int = 1) -> NDArray[np.float32]:
    """What GDAL makes of it, with exact coordinates."""
    expected = np.full(grid.shape, np.nan, np.float32)
    with rasterio.open(path) as file:
        reproject(
            rasterio.band(file, index),
            expected,
            dst_transform=grid.affine(),
            dst_crs=grid.crs,
            dst_nodata=np.nan,
            resampling=Resampling[resampling],
            tolerance=0,
        )
    return expected


def is_fast(path: Path) -> bool:
    content = path.read_bytes()
    try:
        parse_layout(lambda offset, length: content[offset : offset + length])
    except UnfamiliarLayoutError:
        return False
    return True


@FRESH
@given(
    drawn=layouts(),
    row=st.integers(-30, 120),
    column=st.integers(-30, 120),
    height=st.integers(1, 150),
    width=st.integers(1, 150),
)
def test_any_layout_and_window_holds_the_files_own_pixels(
    tmp_path: Path, drawn: dict[str, Any], row: int, column: int, height: int, width: int
) -> None:
    path = tmp_path / "any.tif"
    path.unlink(missing_ok=True)
    write(path, drawn)
    assert is_fast(path)
    with rasterio.open(path) as file:
        read: NDArray[np.float32] = file.read(out_dtype=np.float32)
    if drawn["nodata"] is not None:
        read[read == drawn["nodata"]] = np.nan
    padded = np.pad(read, [(0, 0), (150, 300), (150, 300)], constant_values=np.nan)
    expected = padded[:, 150 + row : 150 + row + height, 150 + column : 150 + column + width]
    grid = grid_at(row, column, height, width)
    requests = [PixelRequest(source(path, index=index + 1), grid) for index in range(drawn["count"])]
    found = read_pixels(requests, threads=2)
    np.testing.assert_array_equal(np.stack(found), expected)  # type: ignore[arg-type]


@FRESH
@given(
    drawn=layouts(),
    shift=st.tuples(st.floats(-20, 90), st.floats(-20, 90)),
    resolution=st.sampled_from([4.7, 7.3, 9.9, 10.0]),
    resampling=st.sampled_from(["nearest", "bilinear"]),
    crs=st.sampled_from([CRS, "EPSG:32644", "EPSG:3857"]),
)
def test_any_layout_is_warped_as_gdal_warps_it(
    tmp_path: Path,
    drawn: dict[str, Any],
    shift: tuple[float, float],
    resolution: float,
    resampling: Literal["nearest", "bilinear"],
    crs: str,
) -> None:
    assume(min(drawn["height"], drawn["width"]) > 3)  # GDAL interpolates no single rows
    path = tmp_path / "any.tif"
    path.unlink(missing_ok=True)
    write(path, drawn)
    grid = grid_at(shift[0], shift[1], 60, 70, resolution=resolution)
    if crs != CRS:
        bounds = transform_bounds(CRS, crs, *grid.bounds)
        grid = Grid(crs, (resolution, 0.0, bounds[0], 0.0, -resolution, bounds[3]), 60, 70)
    found, expected = read_one(path, grid, resampling=resampling), warped(path, grid, resampling=resampling)
    between = between_pixels(path, grid)
    assert_alike(np.where(between, np.nan, found), np.where(between, np.nan, expected))


def between_pixels(path: Path, grid: Grid) -> NDArray[np.bool_]:
    """Where the grid's pixel centres lie so near to a border of two of the file's pixels that either is the nearest."""
    with rasterio.open(path) as file:
        to_file, crs = ~file.transform, file.crs
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    x, y = grid.affine() * (columns.ravel(), rows.ravel())
    x, y = Transformer.from_crs(grid.crs, crs, always_xy=True).transform(x, y)
    places = np.stack(to_file * (x, y))
    near = np.abs(places - np.round(places)) < 0.01
    return np.asarray(near.any(axis=0).reshape(grid.shape))


def assert_alike(found: NDArray[Any], expected: NDArray[Any], *, span: float = 250.0) -> None:
    """Equal within what coordinates of a thousandth of a pixel make of noise; where pixels end, a few may differ."""
    apart = np.isnan(found) != np.isnan(expected)
    assert apart.sum() <= 4 + 0.003 * apart.size
    off = np.abs(found - expected)[~np.isnan(found) & ~np.isnan(expected)]
    assert (off > 0.004 * span).sum() <= 4 + 0.003 * off.size, np.sort(off)[-10:]


def smooth(size: int, *, seed: int = 0) -> NDArray[np.uint16]:
    """Pixels with structure at many scales, as imagery has."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    layers = [gaussian_filter(rng.normal(size=(size, size)), width) * width for width in (1, 4, 16)]
    return np.asarray((sum(layers) * 400 + 3000).clip(1, 10000), np.uint16)


def write_smooth(path: Path, size: int = 600, *, hole: bool = False, **options: Any) -> NDArray[np.uint16]:
    pixels = smooth(size)
    if hole:
        pixels[size // 3 : size // 2, size // 4 : size // 2] = 0
    profile = {"dtype": "uint16", "count": 1, "height": size, "width": size, "crs": CRS, "nodata": 0}
    profile |= {"driver": "COG", "blocksize": 128, "compress": "deflate", "predictor": "2", **options}
    with rasterio.open(path, "w", transform=from_origin(*CORNER, 10, 10), **profile) as file:
        file.write(pixels, 1)
    return pixels


def by_odc(path: Path, grid: Grid, *, resampling: str = "bilinear") -> NDArray[np.float32]:
    """What odc-stac makes of it."""
    from odc.loader import RasterLoadParams, RasterSource
    from odc.loader._rio import rio_read

    whole = np.full(grid.shape, np.nan, np.float32)
    how = RasterLoadParams(dtype="float32", resampling=resampling, use_overviews=True)
    part, pixels = rio_read(RasterSource(str(path)), how, grid.geobox())
    whole[part] = pixels
    return whole


@pytest.mark.parametrize("resolution", [10.0, 12.0, 14.9, 20.0, 23.0, 40.0, 47.0, 80.0, 200.0])
@pytest.mark.parametrize("crs", [CRS, "EPSG:32644"])
def test_coarser_grids_equal_odc_stac(tmp_path: Path, resolution: float, crs: str) -> None:
    path = tmp_path / "smooth.tif"
    write_smooth(path, 700, hole=True)
    bounds = transform_bounds(CRS, crs, CORNER[0] + 503, CORNER[1] - 6100, CORNER[0] + 6100, CORNER[1] - 507)
    size = int(5600 / resolution)
    grid = Grid(crs, (resolution, 0.0, bounds[0], 0.0, -resolution, bounds[3]), size, size)
    found, expected = read_one(path, grid), by_odc(path, grid)
    assert np.isfinite(found).mean() > 0.5
    apart = np.isnan(found) != np.isnan(expected)
    assert apart.mean() < 0.01
    off = np.abs(found - expected)[np.isfinite(found) & np.isfinite(expected)]
    # GDAL's coordinates are good to an eighth of a pixel; these pixels differ by up to 400 from one to the next
    assert np.quantile(off, 0.5) < 8
    assert np.quantile(off, 0.99) < 50


@pytest.mark.parametrize("resolution", [20.0, 40.0])
def test_overviews_on_the_grids_lattice_are_copied(tmp_path: Path, resolution: float) -> None:
    path = tmp_path / "smooth.tif"
    write_smooth(path, 640)
    level = {20.0: 0, 40.0: 1}[resolution]
    with rasterio.open(path, overview_level=level) as file:
        expected = file.read(1)[5:60, 7:70]
    grid = grid_at(5 * resolution / 10, 7 * resolution / 10, 55, 63, resolution=resolution)
    np.testing.assert_array_equal(read_one(path, grid), expected)


@pytest.mark.parametrize("hole", [False, True])
def test_native_numbers_are_the_files_type(tmp_path: Path, *, hole: bool) -> None:
    path = tmp_path / "smooth.tif"
    write_smooth(path, 300, hole=hole)
    grid = grid_at(-5.3, -7.7, 280, 320)
    found, single = read_one(path, grid, dtype="native"), read_one(path, grid)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found == 0, np.isnan(single))
    np.testing.assert_allclose(found[found > 0], single[found > 0], atol=0.51)


def test_interpolation_does_not_make_nodata_of_data(tmp_path: Path) -> None:
    path = tmp_path / "signed.tif"
    pixels = np.tile(np.array([-1, 1], np.int16), (40, 20))
    pixels[20] = 0
    with rasterio.open(
        path, "w", driver="GTiff", dtype="int16", count=1, height=40, width=40, crs=CRS, nodata=0,
        transform=from_origin(*CORNER, 10, 10),
    ) as file:  # fmt: skip
        file.write(pixels, 1)
    found = read_one(path, grid_at(2, 2.5, 10, 30), dtype="native")
    assert (found != 0).all()


def test_many_tiles_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "smooth.tif"
    write_smooth(path, 700, hole=True)
    bounds = transform_bounds(CRS, "EPSG:32644", CORNER[0], CORNER[1] - 7000, CORNER[0] + 7000, CORNER[1])
    grid = Grid("EPSG:32644", (10.0, 0.0, bounds[0], 0.0, -10.0, bounds[3]), 760, 740)
    whole = read_one(path, grid, threads=1)
    monkeypatch.setattr("glacier_core.sources.geotiff.geometry.TILE", 97)
    tiled = read_one(path, grid, threads=3)
    np.testing.assert_allclose(tiled, whole, atol=0.2)
    assert_alike(whole, warped(path, grid), span=10000)


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "jpeg", "nodata": None},
        {"compress": "lzma"},
        {"crs": "+proj=laea +lat_0=80 +lon_0=10"},
        {"transform": rasterio.Affine(8.0, 2.0, CORNER[0], 2.0, -8.0, CORNER[1])},
    ],
)
def test_other_layouts_go_to_gdal(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "other.tif"
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": 90, "width": 90, "crs": CRS, "nodata": 0}
    profile |= {"transform": from_origin(*CORNER, 10, 10), **options}
    with rasterio.open(path, "w", **profile) as file:
        file.write((smooth(90) // 40).astype(np.uint8), 1)
    assert not is_fast(path)
    bounds = transform_bounds(profile["crs"], CRS, *rasterio.open(path).bounds)
    grid = Grid(CRS, (10.0, 0.0, bounds[0], 0.0, -10.0, bounds[3]), 80, 80)
    found = read_one(path, grid)
    assert np.isfinite(found).any()
    assert_alike(found, warped(path, grid))
    assert read_one(path, grid, dtype="native").dtype == np.uint8


def test_gdal_reads_overviews_too(tmp_path: Path) -> None:
    path = tmp_path / "other.tif"
    write_smooth(path, 640, compress="lzma")
    assert not is_fast(path)
    grid = grid_at(3, 5, 90, 100, resolution=47.0)
    found, expected = read_one(path, grid), by_odc(path, grid)
    off = np.abs(found - expected)[np.isfinite(found) & np.isfinite(expected)]
    assert off.size > 0.9 * found.size
    assert np.quantile(off, 0.99) < 50


def test_masks_inside_the_file_hide_pixels(tmp_path: Path) -> None:
    path = tmp_path / "masked.tif"
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": 60, "width": 60, "crs": CRS}
    mask = np.ones((60, 60), bool)
    mask[10:20, 30:40] = False
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", transform=from_origin(*CORNER, 10, 10), **profile) as file,
    ):
        file.write(np.full((60, 60), 9, np.uint8), 1)
        file.write_mask(mask)
    np.testing.assert_array_equal(np.isnan(read_one(path, grid_at(0, 0, 60, 60))), ~mask)


@pytest.mark.parametrize("area", ["AREA", "POINT"])
def test_pixels_that_are_points_lie_half_a_pixel_off(tmp_path: Path, area: str) -> None:
    path = tmp_path / "point.tif"
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": 60, "width": 60, "crs": CRS}
    with rasterio.open(path, "w", transform=from_origin(*CORNER, 10, 10), **profile) as file:
        file.update_tags(AREA_OR_POINT=area)
        file.write((smooth(60) // 40).astype(np.uint8), 1)
    assert is_fast(path)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(read_one(path, grid_at(3, 4, 20, 30)), file.read(1)[3:23, 4:34])


def test_a_file_beside_it_changes_what_gdal_makes_of_it(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    write_smooth(path, 60, nodata=None)
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        first = int(file.read(1)[0, 0])
    (tmp_path / "plain.tif.aux.xml").write_text(
        f'<PAMDataset><PAMRasterBand band="1"><NoDataValue>{first}</NoDataValue></PAMRasterBand></PAMDataset>'
    )
    with rasterio.open(path) as file:
        assert file.nodata == first
    assert np.isnan(read_one(path, grid_at(0, 0, 60, 60))[0, 0])


# --- damage -----------------------------------------------------------------------------------------------------


def error_of(path: Path, grid: Grid | None = None) -> str:
    (found,) = read_pixels([PixelRequest(source(path), grid or grid_at(0, 0, 60, 60))], retries=0)
    assert isinstance(found, SceneError), found
    assert "\n" not in str(found)
    return str(found)


@pytest.mark.parametrize(
    "content",
    [b"", b"II*\0", b"<html>not found</html>", b"II*\0\x08\0\0\0\xff\xff" + b"\0" * 40, b"MM\0+" + b"\xff" * 60],
)
def test_bytes_that_are_no_tiff(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bytes.tif"
    path.write_bytes(content)
    assert error_of(path).startswith("bytes ")
    assert "does not exist" in error_of(tmp_path / "none.tif") or "No such file" in error_of(tmp_path / "none.tif")


def test_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "cut.tif"
    write_smooth(path, 400)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "damaged" in error_of(path, grid_at(0, 0, 400, 400))
    assert "damaged" in error_of(path, grid_at(0.5, 0.5, 390, 390))


def test_block_that_cannot_be_decoded_spoils_only_what_needs_it(tmp_path: Path) -> None:
    path = tmp_path / "spoilt.tif"
    pixels = write_smooth(path, 384, driver="GTiff", tiled=True, blockxsize=128, blockysize=128)
    content = bytearray(path.read_bytes())
    layout = parse_layout(lambda offset, length: bytes(content[offset : offset + length]))
    first = int(layout.levels[0].offsets[4])
    content[first : first + 64] = b"\xff" * 64
    path.write_bytes(content)
    assert "block 4" in error_of(path, grid_at(0, 0, 384, 384))
    np.testing.assert_array_equal(read_one(path, grid_at(0, 0, 100, 100)), pixels[:100, :100])


def patched(path: Path, tag: int, value: int) -> None:
    """Overwrite the value of a tag in the first directory of a little-endian classic TIFF."""
    content = bytearray(path.read_bytes())
    start = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[start : start + 2], "little")
    for number in range(count):
        entry = start + 2 + 12 * number
        if int.from_bytes(content[entry : entry + 2], "little") == tag:
            content[entry + 8 : entry + 12] = value.to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("tag", "value"),
    [(256, 2**31), (257, 2**31), (322, 2**30), (323, 2**30), (324, 2**31), (325, 2**31), (277, 3), (33550, 2**31)],
)
def test_absurd_tags_are_refused_without_much_memory(tmp_path: Path, tag: int, value: int) -> None:
    import tracemalloc

    path = tmp_path / "absurd.tif"
    write_smooth(path, 256, driver="GTiff", tiled=True, blockxsize=128, blockysize=128)
    patched(path, tag, value)
    tracemalloc.start()
    error_of(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26


def test_offsets_beyond_the_file(tmp_path: Path) -> None:
    path = tmp_path / "beyond.tif"
    write_smooth(path, 128, driver="GTiff", tiled=True, blockxsize=128, blockysize=128)
    patched(path, 324, 2**30)
    assert "damaged" in error_of(path)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400))
def test_any_bytes_are_a_layout_or_an_unfamiliar_one(noise: bytes, at: int) -> None:
    content = bytearray(_small_file())
    content[at : at + len(noise)] = noise
    with contextlib.suppress(UnfamiliarLayoutError, EOFError):
        parse_layout(lambda offset, length: _exactly(bytes(content), offset, length))


def _exactly(content: bytes, offset: int, length: int) -> bytes:
    if offset + length > len(content):
        raise EOFError
    return content[offset : offset + length]


def _small_file() -> bytes:
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", dtype="uint8", count=1, height=8, width=8, crs=CRS, transform=from_origin(*CORNER, 10, 10)
        ) as file:
            file.write(np.arange(64, dtype=np.uint8).reshape(1, 8, 8))
        return bytes(memory.read())
