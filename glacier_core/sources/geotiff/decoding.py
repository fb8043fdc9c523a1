"""Packed bytes of a block to numbers. imagecodecs lets other threads work meanwhile."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from glacier_core.sources.geotiff.layout import Level


class DamagedBlockError(Exception):
    """A block that cannot be decoded."""


def decode_block(level: Level, row: int, data: bytes) -> NDArray[Any]:
    """The numbers (y, x, band) of one block, in this machine's byte order.

    Args:
        level: what the block belongs to.
        row: its block row: the last strip is shorter.
        data: its bytes in the file.

    Raises:
        DamagedBlockError: the bytes are not those of such a block.
    """
    shape = level.block_rows(row), level.block_width, level.block_samples
    dtype = np.dtype(level.dtype)
    length = shape[0] * shape[1] * shape[2] * dtype.itemsize
    try:
        content = _unpacked(level, data, length)
    except (imagecodecs.DelayedImportError, ImportError):
        raise
    except Exception as error:  # every codec has errors of its own
        raise DamagedBlockError(f"{type(error).__name__}: {error}") from error
    if len(content) < length:
        raise DamagedBlockError(f"it holds {len(content)} of {length} bytes")
    if level.predictor == 3:
        return _from_float_bytes(content, shape, length)
    numbers = np.frombuffer(content, dtype, count=length // dtype.itemsize).reshape(shape)
    if not dtype.isnative:
        numbers = numbers.astype(dtype.newbyteorder("="))
    if level.predictor == 2:
        # differences are between whole numbers, whatever the bits stand for
        whole = numbers.view(np.uint32) if dtype.kind == "f" else numbers
        whole = imagecodecs.delta_decode(whole, axis=1, out=whole if whole.flags.writeable else None)
        numbers = whole.view(numbers.dtype)
    return numbers


def _unpacked(level: Level, data: bytes, length: int) -> Any:
    if level.compression == "none":
        return data
    out = bytearray(length)
    if level.compression == "deflate":
        return imagecodecs.deflate_decode(data, out=out)
    if level.compression == "lzw":
        return imagecodecs.lzw_decode(data, out=out)
    return imagecodecs.zstd_decode(data, out=out)


def _from_float_bytes(content: Any, shape: tuple[int, int, int], length: int) -> NDArray[Any]:
    """Undo predictor 3 (Adobe Photoshop TIFF Technical Note 3): rows of bytes, the most significant ones first."""
    rows, columns, samples = shape
    packed = np.frombuffer(content, np.uint8, count=length).reshape(rows, columns * samples * 4)
    # the sum runs over the bytes of a row, band by band
    summed = np.cumsum(packed.reshape(rows, -1, samples), axis=1, dtype=np.uint8).reshape(rows, 4, columns * samples)
    big_endian = np.ascontiguousarray(np.moveaxis(summed, 1, 2))
    return big_endian.view(">f4")[..., 0].reshape(shape).astype(np.float32)
