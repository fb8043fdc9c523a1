"""Writes a cube block by block, so that it may be larger than memory, from several threads and processes at once.

Each shard belongs to one writer; shards are objects of their own, so writers of different shards need no lock. The
group's metadata are written last: until then there is nothing that can be opened.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube.encoding import (
    CHUNK,
    GROUP,
    SHARD_TIMES,
    WHOLE_BELOW,
    Layout,
    dumped,
    group_document,
    laid_out,
    positions,
)
from glacier_core.cube.objects import Objects, open_objects
from glacier_core.cube.schema import IGNORED, IMAGERY, MIXED, SPATIAL, Packing, make_cube
from glacier_core.errors import DataError, NotPublishedError
from glacier_core.grids import Grid
from glacier_core.settings import Settings

UNFINISHED = "_unfinished.json"


class CubeWriter:
    """Writes the imagery of a cube that `create_cube` has begun.

    As a context manager it closes the cube when its block ends well, and leaves it unfinished when it does not. Methods
    may be called from several threads; other processes open the same cube with `join_cube`.
    """

    def __init__(self, objects: Objects, document: Mapping[str, Any]) -> None:
        self.path = objects.path
        self._objects = objects
        self._document = document
        self._layout = Layout.from_metadata(IMAGERY, document["consolidated_metadata"]["metadata"][IMAGERY])
        self._threads = Settings().thread_count()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and not self._closed:
            self.close()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(time, band, y, x) of the whole."""
        times, bands, rows, columns = self._layout.shape
        return times, bands, rows, columns

    @property
    def block(self) -> tuple[int, int, int]:
        """(times, rows, columns) of one shard; a shard holds all bands."""
        times, _, rows, columns = self._layout.shards
        return times, rows, columns

    def write(self, times: slice, rows: slice, columns: slice, pixels: NDArray[np.float32]) -> None:
        """Write whole shards; what they held before is replaced.

        Args:
            times: the images; starts at a multiple of `block` and stops at one, or at the cube's end.
            rows: the rows, likewise.
            columns: the columns, likewise.
            pixels: (time, band, y, x) physical values, NaN where nothing was seen.

        Raises:
            DataError: the window is misaligned, reaches beyond the cube or is not of the pixels' shape; nothing is
                written then. Or the cube is closed already.
            StoreError: the place cannot be written.
            ServiceUnavailableError: the store cannot be reached.
        """
        if self._closed:
            raise DataError(f"the cube {self.path} is closed", do="create a new one")
        starts = self._checked(times, rows, columns, pixels)
        pending = list(self._shards(starts, pixels))
        if len(pending) == 1 or self._threads == 1:
            for key, block in pending:
                self._put(key, block)
            return
        with ThreadPoolExecutor(min(self._threads, len(pending)), thread_name_prefix="cube") as pool:
            for done in [pool.submit(self._put, key, block) for key, block in pending]:
                done.result()

    def close(self) -> None:
        """Make the cube readable. Shards that nobody wrote read as NaN.

        Raises:
            StoreError: the place cannot be written.
            ServiceUnavailableError: the store cannot be reached.
        """
        self._objects.write(GROUP, dumped(self._document))
        self._closed = True
        self._objects.remove([UNFINISHED])

    def _put(self, key: str, block: NDArray[np.float32]) -> None:
        self._objects.write(key, self._layout.shard(block))

    def _shards(self, starts: Sequence[int], pixels: NDArray[np.float32]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        shards = self._layout.shards
        first = [start // size for start, size in zip(starts, shards, strict=True)]
        for index in positions(pixels.shape, shards):
            window = tuple(slice(i * size, (i + 1) * size) for i, size in zip(index, shards, strict=True))
            yield self._layout.key([start + i for start, i in zip(first, index, strict=True)]), pixels[window]

    def _checked(self, times: slice, rows: slice, columns: slice, pixels: NDArray[np.float32]) -> list[int]:
        """First element of the window along each dimension."""
        named = {"times": times, "rows": rows, "columns": columns}
        lengths = [self.shape[0], *self.shape[2:]]
        found = []
        for (name, window), length, size in zip(named.items(), lengths, self.block, strict=True):
            start, stop = window.start or 0, length if window.stop is None else window.stop
            if window.step not in (None, 1) or not 0 <= start < stop <= length:
                raise DataError(f"{name} {start}:{stop} of a cube", expected=f"a window of 0:{length}")
            if start % size or (stop % size and stop != length):
                raise DataError(
                    f"misaligned: {name} {start}:{stop} of a cube whose shards hold {size}",
                    expected=f"a start that is a multiple of {size}, and a stop that is one or {length}",
                )
            found.append((start, stop - start))
        (time, n_times), (row, n_rows), (column, n_columns) = found
        expected = (n_times, self.shape[1], n_rows, n_columns)
        if pixels.shape != expected:
            raise DataError(f"pixels have the shape {pixels.shape}", expected=f"{expected} (time, band, y, x)")
        return [time, 0, row, column]


def create_cube(  # noqa: PLR0913 (each is a part of what a cube holds)
    path: str,
    *,
    grid: Grid,
    times: Sequence[Any] | NDArray[np.datetime64],
    bands: Sequence[str],
    packing: Packing | None,
    band_units: Sequence[str] = (),
    labels: Mapping[str, Sequence[str]] | None = None,
    numbers: Mapping[str, tuple[Sequence[float], Mapping[str, Any]]] | None = None,
    masks: Mapping[str, NDArray[np.uint8]] | None = None,
    attrs: Mapping[str, Any] | None = None,
    strip_bytes: int | None = None,
) -> CubeWriter:
    """Begin a cube whose imagery is written block by block; all else is written at once.

    A cube that lies there already, finished or not, is deleted.

    Args:
        path: folder or fsspec URL of the Zarr group.
        grid: the pixels; an empty CRS stands for a local one.
        times: one datetime64 (UTC) for each image, in ascending order.
        bands: name of each band.
        packing: how values are stored, one of `PACKINGS`; None: floats as they are.
        band_units: units of each band, kept as the coordinate `band_units`; empty: those of the packing.
        labels: text along time, by name.
        numbers: (float64 along time, attributes), by name.
        masks: (y, x) uint8 by name: 1 yes, 0 no, 255 unknown.
        attrs: attributes of the whole; values that JSON knows.
        strip_bytes: a row of blocks across the cube shall be no more float32 pixels than this, if it can: long series
            then get shards of fewer times. None: up to 64 times a shard.

    Returns:
        The writer, to be closed when all is written.

    Raises:
        DataError: something does not fit the grid, the times or the bands, or the times do not ascend.
        StoreError: the place cannot be written.
        ServiceUnavailableError: the store cannot be reached.
    """
    shape = (len(times), len(bands), *grid.shape)
    if not all(shape):
        raise DataError(f"a cube of the shape {shape}", expected="at least one time, band, row and column")
    dataset = make_cube(
        grid=grid,
        times=times,
        bands=bands,
        # stands for the pixels, and takes the memory of one
        imagery=np.broadcast_to(np.float32(np.nan), shape),
        packing=packing or MIXED,
        extra=_beside(grid, len(times), bands, band_units, labels or {}, numbers or {}, masks or {}),
        attrs=attrs,
    )
    shard_times = 0 if strip_bytes is None else _shard_times(shape, strip_bytes)
    arrays = [laid_out(str(name), array, dataset, shard_times=shard_times) for name, array in dataset.variables.items()]
    document = group_document(dataset.attrs, [layout for layout, _ in arrays])
    objects = open_objects(path)
    if any(_found(objects, name) is not None for name in (GROUP, UNFINISHED)):
        objects.remove()
    objects.write(UNFINISHED, dumped(document))
    for layout, values in arrays:
        if layout.name == IMAGERY:
            objects.write(f"{IMAGERY}/{GROUP}", dumped(layout.metadata()))
        else:
            objects.write_all(layout.objects(values))
    return CubeWriter(objects, document)


def join_cube(path: str) -> CubeWriter:
    """Open a cube that another thread or process has begun and not closed.

    One of the writers calls `close`, when all have written.

    Raises:
        DataError: no unfinished cube lies there.
        StoreError, ServiceUnavailableError: the store refuses, or cannot be reached.
    """
    objects = open_objects(path)
    found = _found(objects, UNFINISHED)
    try:
        if found is None or _found(objects, GROUP) is not None:
            raise DataError(f"no unfinished cube lies at {path}", do="begin one with create_cube")
        return CubeWriter(objects, json.loads(found))
    except (ValueError, KeyError) as error:
        raise DataError(f"what create_cube left at {path} is damaged", do="begin the cube again") from error


def _found(objects: Objects, name: str) -> bytes | None:
    try:
        return bytes(objects.read(name))
    except NotPublishedError:
        return None


def _shard_times(shape: Sequence[int], strip_bytes: int) -> int:
    times, bands, height, width = shape
    rows = height if height <= WHOLE_BELOW else CHUNK
    fitting = max(strip_bytes // (4 * bands * rows * width), 1)
    if fitting >= times:
        return min(times, SHARD_TIMES)
    # shards of equal length, so that the last one is no remainder
    return math.ceil(times / math.ceil(times / min(fitting, SHARD_TIMES)))


def _beside(
    grid: Grid,
    count: int,
    bands: Sequence[str],
    band_units: Sequence[str],
    labels: Mapping[str, Sequence[str]],
    numbers: Mapping[str, tuple[Sequence[float], Mapping[str, Any]]],
    masks: Mapping[str, NDArray[np.uint8]],
) -> dict[str, tuple[Sequence[str], NDArray[Any], Mapping[str, Any]]]:
    """Everything but the imagery."""
    extra: dict[str, tuple[Sequence[str], NDArray[Any], Mapping[str, Any]]] = {}
    if band_units:
        extra["band_units"] = (("band",), np.asarray(band_units, dtype=object), {"long_name": "units of the band"})
    for name, text in labels.items():
        extra[name] = (("time",), np.asarray(text, dtype=object), {"long_name": name.replace("_", " ")})
    for name, (series, attributes) in numbers.items():
        extra[name] = (("time",), np.asarray(series, dtype=np.float64), attributes)
    flags = {"flag_values": [0, 1, IGNORED], "flag_meanings": "no yes unknown"}
    for name, mask in masks.items():
        extra[name] = (SPATIAL, np.asarray(mask, dtype=np.uint8), {"long_name": name.replace("_", " "), **flags})
    for name, (dims, values, _) in extra.items():
        lengths = {"time": (count,), "band": (len(bands),), "y": grid.shape}[dims[0]]
        if values.shape != lengths:
            raise DataError(f"{name} has the shape {values.shape}", expected=f"{lengths} ({', '.join(dims)})")
    return extra
