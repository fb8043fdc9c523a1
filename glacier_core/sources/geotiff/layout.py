"""What a GeoTIFF says of itself: its levels, where their blocks lie, how they are packed, and where on Earth it is.

Reads classic TIFF 6.0 (https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf), BigTIFF
(https://www.awaresystems.be/imaging/tiff/bigtiff.html) and GeoTIFF 1.1 (OGC 19-008r4) as satellite imagery uses them.
Whatever lies beyond that is refused with the reason, and left to GDAL, which knows it all.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Read = Callable[[int, int], bytes]
"""(offset, length) -> exactly that many bytes."""
Compression = Literal["none", "deflate", "lzw", "zstd"]

LARGEST_TAG = 2**26
"""Bytes of one tag's values; a larger count is taken for damage."""
LARGEST_BLOCK = 2**28
"""Bytes of one decoded block; larger ones are left to GDAL, which reads parts of them."""
LARGEST_SIDE = 2**24
"""Columns or rows of an image."""
MOST_LEVELS = 40
"""Directories in one file; more are taken for a chain without an end."""

_TYPES = {1: "u1", 2: "S1", 3: "u2", 4: "u4", 5: "2u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "2i4", 11: "f4"}
_TYPES |= {12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}
_COMPRESSIONS: dict[int, Compression] = {1: "none", 5: "lzw", 8: "deflate", 32946: "deflate", 50000: "zstd"}
_KINDS = {(1, 8): "u1", (1, 16): "u2", (2, 16): "i2", (3, 32): "f4"}
"""(sample format, bits) -> numpy kind."""

# tags
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES, _PLANAR = 273, 274, 277, 278, 279, 284
_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES, _SUB_IFDS = 317, 322, 323, 324, 325, 330
_EXTRA_SAMPLES, _SAMPLE_FORMAT, _PIXEL_SCALE, _TIEPOINTS, _TRANSFORM = 338, 339, 33550, 33922, 34264
_GEO_KEYS, _NODATA = 34735, 42113
# geo keys
_MODEL, _RASTER, _GEOGRAPHIC, _PROJECTED, _LINEAR_UNIT, _SHIFTED_DATUM = 1024, 1025, 2048, 3072, 3076, 2062
_METRE = 9001
_USER_DEFINED = 32767

Tags = Mapping[int, NDArray[Any]]


class UnfamiliarLayoutError(Exception):
    """A file that this reader leaves to GDAL: another format, a rare layout, or damage that GDAL can put a name to."""


@dataclass(frozen=True)
class Level:
    """One image of the file: full resolution or an overview."""

    width: int
    """Columns."""
    height: int
    """Rows."""
    block_width: int
    """Columns of a block; a strip is as wide as the image."""
    block_height: int
    """Rows of a block."""
    tiled: bool
    """Tiles are always whole; the last strip ends with the image."""
    samples: int
    """Bands."""
    planar: bool
    """Whether each band has blocks of its own; else a block holds all bands, pixel by pixel."""
    dtype: str
    """Numpy name of the numbers, in the file's byte order."""
    compression: Compression
    """How a block is packed."""
    predictor: int
    """1 none, 2 horizontal differences, 3 differences of floating-point bytes."""
    offsets: NDArray[np.uint64]
    """Where each block begins; 0 where it was never written."""
    sizes: NDArray[np.uint64]
    """Bytes of each block as it is packed; 0 where it was never written."""

    @property
    def across(self) -> int:
        """Blocks from left to right."""
        return -(-self.width // self.block_width)

    @property
    def down(self) -> int:
        """Blocks from top to bottom."""
        return -(-self.height // self.block_height)

    @property
    def block_samples(self) -> int:
        """Bands that one block holds."""
        return 1 if self.planar else self.samples

    def block_rows(self, row: int) -> int:
        """Rows that the blocks of block row `row` hold."""
        return self.block_height if self.tiled else min(self.block_height, self.height - row * self.block_height)

    def number_of(self, row: int, column: int, band: int) -> int:
        """The block in block row `row` and block column `column` that holds `band` (from 0)."""
        plane = band * self.across * self.down if self.planar else 0
        return plane + row * self.across + column


@dataclass(frozen=True)
class Layout:
    """A GeoTIFF."""

    levels: tuple[Level, ...]
    """Full resolution first, then the overviews in the file's order."""
    crs: str
    """The CRS as an EPSG code."""
    transform: tuple[float, float, float, float, float, float]
    """Affine coefficients a, b, c, d, e, f of the full resolution, as in `Grid`; north is up."""
    nodata: float | None
    """Number that stands for no data in all bands."""

    @property
    def overviews(self) -> list[int]:
        """How much coarser than full resolution each overview is, rounded as GDAL does."""
        return [round(self.levels[0].width / level.width) for level in self.levels[1:]]

    def transform_of(self, level: int) -> tuple[float, float, float, float, float, float]:
        """The transform of one of the levels: all cover the same ground."""
        a, b, c, d, e, f = self.transform
        whole, part = self.levels[0], self.levels[level]
        return a * whole.width / part.width, b, c, d, e * whole.height / part.height, f


def parse_layout(read: Read) -> Layout:
    """The layout of the file whose bytes `read` returns.

    Raises:
        UnfamiliarLayoutError: this reader does not know it.
    """
    try:
        directories = _directories(read)
        levels = [directories[0]]
        for tags in directories[1:]:
            kind = _one(tags, _SUBFILE, 0)
            if kind & 4:
                raise UnfamiliarLayoutError("it has a mask")
            if kind & 1:
                levels.append(tags)
        crs, transform = _georeference(directories[0])
        parsed = tuple(_level(tags) for tags in levels)
        if any((level.samples, level.dtype) != (parsed[0].samples, parsed[0].dtype) for level in parsed):
            raise UnfamiliarLayoutError("its levels differ in kind")
        return Layout(parsed, crs, transform, _nodata(directories[0]))
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise UnfamiliarLayoutError(f"its directory cannot be understood ({error})") from error


def _directories(read: Read) -> list[Tags]:
    """The tags of every directory in the chain."""
    start = read(0, 16)
    if start[:2] not in {b"II", b"MM"}:
        raise UnfamiliarLayoutError("it is no TIFF")
    order = "<" if start[:2] == b"II" else ">"
    version = struct.unpack(order + "H", start[2:4])[0]
    if version not in {42, 43}:
        raise UnfamiliarLayoutError("it is no TIFF")
    big = version == 43
    offset = struct.unpack(order + ("Q" if big else "I"), start[8:16] if big else start[4:8])[0]
    directories: list[Tags] = []
    seen: set[int] = set()
    while offset:
        if offset in seen or len(directories) == MOST_LEVELS:
            raise UnfamiliarLayoutError("its directories have no end")
        seen.add(offset)
        tags, offset = _directory(read, offset, order=order, big=big)
        directories.append(tags)
    if not directories:
        raise UnfamiliarLayoutError("it has no image")
    return directories


def _directory(read: Read, offset: int, *, order: str, big: bool) -> tuple[Tags, int]:
    counter, pointer, head = ("Q", "Q", 20) if big else ("H", "I", 12)
    length = struct.calcsize(order + counter)
    count = struct.unpack(order + counter, read(offset, length))[0]
    if count > 4096:
        raise UnfamiliarLayoutError("its directory is too long")
    width = struct.calcsize(order + pointer)
    table = read(offset + length, count * head + width)
    tags = {}
    for number in range(count):
        entry = table[number * head : (number + 1) * head]
        tag, kind = struct.unpack(order + "HH", entry[:4])
        values = struct.unpack(order + pointer, entry[4 : 4 + width])[0]
        if kind in _TYPES and tag not in {700, 34377, 42112}:  # XMP, Photoshop and GDAL's XML say nothing we need
            tags[tag] = _values(read, entry[4 + width :], kind=order + _TYPES[kind], count=values, pointer=pointer)
    following = struct.unpack(order + pointer, table[count * head :])[0]
    return tags, following


def _values(read: Read, inline: bytes, *, kind: str, count: int, pointer: str) -> NDArray[Any]:
    order = kind[0]
    dtype = np.dtype((np.dtype(order + kind[2:]), 2)) if kind[1] == "2" else np.dtype(kind)
    length = dtype.itemsize * count
    if length > LARGEST_TAG:
        raise UnfamiliarLayoutError("a tag is too long")
    content = inline[:length] if length <= len(inline) else read(struct.unpack(order + pointer, inline)[0], length)
    return np.frombuffer(content, dtype)


def _one(tags: Tags, tag: int, default: int | None = None) -> int:
    if tag not in tags:
        if default is None:
            raise UnfamiliarLayoutError(f"tag {tag} is missing")
        return default
    return int(tags[tag][0])


def _same(tags: Tags, tag: int, default: int) -> int:
    """A tag that has one value a band, which must be the same for all."""
    if tag not in tags:
        return default
    found = set(tags[tag].tolist())
    if len(found) != 1:
        raise UnfamiliarLayoutError("its bands differ in kind")
    return int(found.pop())


def _level(tags: Tags) -> Level:
    width, height, samples = _one(tags, _WIDTH), _one(tags, _HEIGHT), _one(tags, _SAMPLES, 1)
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE and 0 < samples <= 4096):
        raise UnfamiliarLayoutError(f"its size is {width} x {height} x {samples}")
    _check_plain(tags)
    kind = _KINDS.get((_same(tags, _SAMPLE_FORMAT, 1), _same(tags, _BITS, 1)))
    compression = _COMPRESSIONS.get(_one(tags, _COMPRESSION, 1))
    predictor = _one(tags, _PREDICTOR, 1)
    if kind is None or compression is None or predictor not in {1, 2, 3} or (predictor == 3 and kind != "f4"):
        raise UnfamiliarLayoutError("its numbers are packed in another way")
    tiled = _TILE_OFFSETS in tags
    block_width = _one(tags, _TILE_WIDTH) if tiled else width
    block_height = _one(tags, _TILE_HEIGHT) if tiled else min(_one(tags, _ROWS_PER_STRIP, height), height)
    offsets, sizes = (
        tags.get(tag) for tag in ((_TILE_OFFSETS, _TILE_SIZES) if tiled else (_STRIP_OFFSETS, _STRIP_SIZES))
    )
    if offsets is None or sizes is None or block_width < 1 or block_height < 1:
        raise UnfamiliarLayoutError("its blocks are not listed")
    level = Level(
        width=width,
        height=height,
        block_width=block_width,
        block_height=block_height,
        tiled=tiled,
        samples=samples,
        planar=_one(tags, _PLANAR, 1) == 2 and samples > 1,
        dtype=_order(tags) + kind,
        compression=compression,
        predictor=predictor if compression != "none" else 1,
        offsets=offsets.astype(np.uint64),
        sizes=sizes.astype(np.uint64),
    )
    if block_width * block_height * level.block_samples * int(kind[1]) > LARGEST_BLOCK:
        raise UnfamiliarLayoutError("its blocks are too large")
    if not len(offsets) == len(sizes) == level.across * level.down * (samples if level.planar else 1):
        raise UnfamiliarLayoutError("it lists another number of blocks than it has")
    return level


def _order(tags: Tags) -> str:
    """The file's byte order, which every tag of two bytes or more shows."""
    return ">" if tags[_WIDTH].dtype.str.startswith(">") else "<"


def _check_plain(tags: Tags) -> None:
    """Refuse what changes the meaning of the numbers, or hides some of them."""
    if _one(tags, _PHOTOMETRIC, 1) not in {1, 2}:
        raise UnfamiliarLayoutError("its numbers are no intensities")
    if _one(tags, _ORIENTATION, 1) != 1 or _one(tags, _FILL_ORDER, 1) != 1:
        raise UnfamiliarLayoutError("it is turned")
    if any(int(kind) != 0 for kind in tags.get(_EXTRA_SAMPLES, ())):
        raise UnfamiliarLayoutError("it has an alpha band")
    if _SUB_IFDS in tags:
        raise UnfamiliarLayoutError("it has directories below directories")


def _nodata(tags: Tags) -> float | None:
    if _NODATA not in tags:
        return None
    return float(tags[_NODATA].tobytes().split(b"\0")[0].decode("ascii", "replace").strip())


def _georeference(tags: Tags) -> tuple[str, tuple[float, float, float, float, float, float]]:
    keys = _geo_keys(tags)
    code = keys.get({1: _PROJECTED, 2: _GEOGRAPHIC}.get(keys.get(_MODEL, 0), -1), 0)
    if not 1024 <= code < _USER_DEFINED:
        raise UnfamiliarLayoutError("its CRS has no EPSG code")
    if keys.get(_LINEAR_UNIT, _METRE) != _METRE or _SHIFTED_DATUM in keys or any(3077 < key < 4096 for key in keys):
        raise UnfamiliarLayoutError("its CRS differs from its EPSG code")
    a, b, c, d, e, f = _affine(tags)
    if keys.get(_RASTER, 1) == 2:  # the tie point is the centre of a pixel (OGC 19-008r4, 7.1.2)
        c, f = c - a / 2, f - e / 2
    if b or d or not (a > 0 > e):
        raise UnfamiliarLayoutError("north is not up")
    if not np.isfinite([a, c, e, f]).all():
        raise UnfamiliarLayoutError("its place is not finite")
    return f"EPSG:{code}", (a, 0.0, c, 0.0, e, f)


def _affine(tags: Tags) -> tuple[float, float, float, float, float, float]:
    if _TRANSFORM in tags:
        m = [float(value) for value in tags[_TRANSFORM]]
        return m[0], m[1], m[3], m[4], m[5], m[7]
    scale, ties = tags.get(_PIXEL_SCALE), tags.get(_TIEPOINTS)
    if scale is None or ties is None or len(ties) != 6:
        raise UnfamiliarLayoutError("its place is not told by one tie point")
    column, row, _, x, y, _ = (float(value) for value in ties)
    across, down = float(scale[0]), float(scale[1])
    return across, 0.0, x - column * across, 0.0, -down, y + row * down


def _geo_keys(tags: Tags) -> dict[int, int]:
    """Geo keys with a short value of their own; others with -1."""
    if _GEO_KEYS not in tags:
        raise UnfamiliarLayoutError("it has no CRS")
    table = tags[_GEO_KEYS].astype(int)
    entries = table[4 : 4 + 4 * table[3]].reshape(-1, 4)
    return {int(key): int(value) if place == 0 else -1 for key, place, _, value in entries}
