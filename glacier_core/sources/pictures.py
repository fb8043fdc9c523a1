"""Single image files of any kind: PNG, JPEG, GeoTIFF, NumPy arrays and GMT grids, read by rows."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import SceneError
from glacier_core.sources.gmt import GmtGrid, open_gmt_grid, read_gmt_rows
from glacier_core.sources.remote import first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Affine6 = tuple[float, float, float, float, float, float]

GMT_ENDINGS = frozenset({".grd", ".nc", ".nc4"})
IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy"}) | GMT_ENDINGS
"""Files that are taken for images where a pattern names none."""
FEW_BANDS = 16
"""An array's last axis may be that of the bands if it is not longer."""
UNREFERENCED: Affine6 = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Picture:
    """One image file, its header read."""

    path: Path
    """The file."""
    height: int
    """Number of rows."""
    width: int
    """Number of columns."""
    names: tuple[str, ...]
    """Its bands: as the file describes them, else red, green, blue for colour pictures, grey, or B1, B2, ..."""
    transform: Affine6 | None
    """Where its pixels lie; None where the file does not tell."""
    crs: str
    """Its CRS; empty where the file tells none."""
    read: Callable[[slice], NDArray[np.float32]] = field(repr=False, compare=False)
    """Rows [start, stop): (band, y, x) float32, NaN where the file has no data or is transparent. SceneError where it
    cannot be decoded."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.height, self.width


def open_picture(path: Path) -> Picture:
    """An image file by its header; alpha is no band but tells where there is no data.

    Raises:
        SceneError: it is missing, empty or damaged, or of a kind that cannot be read.
    """
    try:
        if path.stat().st_size == 0:
            raise SceneError(f"{path.name} is empty")
    except OSError as error:
        raise SceneError(f"{path.name} cannot be read ({error.strerror})") from error
    ending = path.suffix.lower()
    if ending == ".npy":
        return _open_array(path)
    if ending in GMT_ENDINGS:
        return _open_gmt(path)
    return _open_raster(path)


def _open_gmt(path: Path) -> Picture:
    grid = open_gmt_grid(path)
    return Picture(
        path=path,
        height=grid.height,
        width=grid.width,
        names=("grey",),
        transform=grid.transform,
        crs=grid.crs,
        read=functools.partial(_read_gmt, grid),
    )


def _read_gmt(grid: GmtGrid, rows: slice) -> NDArray[np.float32]:
    return read_gmt_rows(grid, rows)[None]


# --- arrays -----------------------------------------------------------------------------------------------------


def _open_array(path: Path) -> Picture:
    layers = _layers(path)
    count, height, width = layers.shape
    return Picture(
        path=path,
        height=height,
        width=width,
        names=("grey",) if count == 1 else tuple(f"B{number}" for number in range(1, count + 1)),
        transform=None,
        crs="",
        read=functools.partial(_read_array, path),
    )


def _layers(path: Path) -> NDArray[Any]:
    """The array as (band, y, x), mapped and not read."""
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SceneError(f"{path.name} cannot be read ({first_line(error)})") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise SceneError(f"{path.name} holds no array of numbers")
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3:
        raise SceneError(f"{path.name} has the shape {array.shape}", expected="(y, x), (band, y, x) or (y, x, band)")
    last_is_band = array.shape[2] < array.shape[0] and array.shape[2] <= FEW_BANDS
    return np.moveaxis(array, 2, 0) if last_is_band else array


def _read_array(path: Path, rows: slice) -> NDArray[np.float32]:
    return _finite(_layers(path)[:, rows])


# --- rasters ----------------------------------------------------------------------------------------------------


def _open_raster(path: Path) -> Picture:
    with _dataset(path) as dataset:
        a, b, c, d, e, f = tuple(dataset.transform)[:6]
        is_placed = dataset.crs is not None or (a, b, c, d, e, f) != UNREFERENCED
        if is_placed and (b or d or a <= 0 or e >= 0):
            raise SceneError(f"{path.name} is not north up", do="warp it, for example with gdalwarp")
        return Picture(
            path=path,
            height=dataset.height,
            width=dataset.width,
            names=_band_names(dataset),
            transform=(a, b, c, d, e, f) if is_placed else None,
            crs=dataset.crs.to_string() if dataset.crs else "",
            read=functools.partial(_read_raster, path),
        )


@contextmanager
def _dataset(path: Path) -> Iterator[Any]:
    import rasterio
    import rasterio.errors

    _accept_pictures()
    try:
        # libjpeg paints what is missing grey, and only warns
        with rasterio.Env(GDAL_ERROR_ON_LIBJPEG_WARNING=True), rasterio.open(path) as dataset:
            yield dataset
    except (rasterio.errors.RasterioError, OSError) as error:
        raise SceneError(f"{path.name} cannot be read ({first_line(error)})") from error


@functools.cache
def _accept_pictures() -> None:
    """Keep rasterio from warning, once a file, that a picture has no georeference: that is no surprise here."""
    import warnings

    import rasterio.errors

    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)


def _band_names(dataset: Any) -> tuple[str, ...]:
    from rasterio.enums import ColorInterp

    numbers = _data_bands(dataset)
    if _has_palette(dataset):
        return ("red", "green", "blue")
    described = [(dataset.descriptions[number - 1] or "").strip() for number in numbers]
    if all(described) and len(set(described)) == len(described):
        return tuple(described)
    if len(numbers) == 1:
        return ("grey",)
    colours = [dataset.colorinterp[number - 1] for number in numbers]
    if colours == [ColorInterp.red, ColorInterp.green, ColorInterp.blue]:
        return ("red", "green", "blue")
    return tuple(f"B{number}" for number in numbers)


def _data_bands(dataset: Any) -> list[int]:
    from rasterio.enums import ColorInterp

    return [number for number, kind in enumerate(dataset.colorinterp, start=1) if kind != ColorInterp.alpha]


def _has_palette(dataset: Any) -> bool:
    """Whether the numbers of a picture mean colours of a table; a GeoTIFF's are codes, whatever it paints them with."""
    from rasterio.enums import ColorInterp

    return dataset.driver in {"PNG", "GIF", "BMP"} and dataset.colorinterp[0] == ColorInterp.palette


def _check_png(path: Path) -> None:
    """Whether a PNG is whole: GDAL gives what it could decode of a damaged one, and black for the rest.

    A PNG is a signature and chunks of length, type, data and checksum, up to IEND (ISO/IEC 15948, 5.3).
    """
    with path.open("rb") as file:
        file.seek(8)
        while True:
            head = file.read(8)
            length = int.from_bytes(head[:4], "big")
            body = file.read(length) if len(head) == 8 else b""
            checksum = file.read(4)
            if len(body) != length or len(checksum) != 4:
                raise SceneError(f"{path.name} is truncated")
            if zlib.crc32(head[4:] + body) != int.from_bytes(checksum, "big"):
                raise SceneError(f"{path.name} is damaged (checksum of {head[4:]!r})")
            if head[4:] == b"IEND":
                return


def _read_raster(path: Path, rows: slice) -> NDArray[np.float32]:
    import numpy as np
    from rasterio.enums import MaskFlags

    with _dataset(path) as dataset:
        if dataset.driver == "PNG":
            _check_png(path)
        numbers = _data_bands(dataset)
        start, stop, _ = rows.indices(dataset.height)
        window = ((start, stop), (0, dataset.width))
        if _has_palette(dataset):
            table = np.zeros((256, 4), np.float32)
            for code, colour in dataset.colormap(1).items():
                table[code] = colour
            coloured = table[dataset.read(1, window=window)]
            coloured[coloured[..., 3] == 0] = np.nan
            return np.ascontiguousarray(np.moveaxis(coloured[..., :3], -1, 0))
        pixels = _finite(dataset.read(numbers, window=window))
        for layer, number in enumerate(numbers):
            if MaskFlags.all_valid not in dataset.mask_flag_enums[number - 1]:
                pixels[layer][dataset.read_masks(number, window=window) == 0] = np.nan
            scale, offset = dataset.scales[number - 1], dataset.offsets[number - 1]
            if (scale, offset) != (1.0, 0.0):
                pixels[layer] = pixels[layer] * scale + offset
        return pixels


def _finite(numbers: NDArray[Any]) -> NDArray[np.float32]:
    """A float32 copy, NaN for whatever is not finite."""
    import numpy as np

    with np.errstate(over="ignore"):
        pixels = np.array(numbers, dtype=np.float32)
    pixels[~np.isfinite(pixels)] = np.nan
    return pixels
