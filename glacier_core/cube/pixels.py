"""Windows of a cube's pixels, read and decoded in threads: only the chunks that are needed, each straight into place.

Reads what this package has written, without zarr-python's cost for each window: for chips, images and other windows,
on every protocol. Anything else that opens Zarr reads the same cubes.
"""

from __future__ import annotations

import itertools
import json
import operator
import os
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube.encoding import GROUP, Layout, text_decoded
from glacier_core.cube.objects import Objects, open_objects
from glacier_core.cube.schema import IMAGERY
from glacier_core.errors import DataError, NotPublishedError, StoreError
from glacier_core.settings import Settings

# blosc's header: four bytes of versions and flags, the size unpacked, that of a block, the size packed
_BLOSC = struct.Struct("<4xI4xI")
_NEVER_WRITTEN = np.iinfo(np.uint64).max


@dataclass(frozen=True)
class _Piece:
    """Some chunks of one object, stored one after the other, and where they belong."""

    key: str
    """The object's path below the cube."""
    start: int
    """The first byte."""
    length: int | None
    """How many bytes; None: all."""
    parts: tuple[tuple[int, int | None, tuple[int, ...]], ...]
    """Offset from `start`, length (None: all), and the chunk's index in the array."""
    is_absent: bool = False
    """Nobody wrote these chunks."""


class CubePixels:
    """An opened cube: `read` gives any window of any array, packed; `physical` the imagery's values.

    It may be used from several threads, and is opened anew by a copy in another process. Made by `open_pixels`.
    """

    def __init__(self, objects: Objects, document: Mapping[str, Any]) -> None:
        self.path = objects.path
        self.attributes: Mapping[str, Any] = document["attributes"]
        self.layouts = {
            name: Layout.from_metadata(name, array)
            for name, array in document["consolidated_metadata"]["metadata"].items()
        }
        self._documents = document["consolidated_metadata"]["metadata"]
        self._objects = objects
        self._indexes: dict[str, NDArray[np.uint64] | None] = {}
        self._bands: tuple[str, ...] | None = None

    def __contains__(self, name: str) -> bool:
        return name in self.layouts

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands."""
        if self._bands is None:
            key = self.layout("band").key([0])
            try:
                self._bands = tuple(text_decoded(bytes(self._objects.read(key))))
            except (NotPublishedError, ValueError) as error:
                raise _damaged(self.path, key, "it does not name the bands") from error
        return self._bands

    def layout(self, name: str) -> Layout:
        """How an array lies in the cube.

        Raises:
            DataError: the cube has no such array.
        """
        if name not in self.layouts:
            raise DataError(f"the cube {self.path} has no variable {name}", expected=", ".join(sorted(self.layouts)))
        return self.layouts[name]

    def band_numbers(self, bands: Sequence[str]) -> list[int]:
        """Where bands lie; all of them in their order where none is named.

        Raises:
            DataError: the cube lacks one.
        """
        missing = [band for band in bands if band not in self.bands]
        if missing:
            raise DataError(
                f"the cube {self.path} has no band {', '.join(missing)}",
                expected=f"bands among {', '.join(self.bands)}",
            )
        return [self.bands.index(band) for band in bands] if bands else list(range(len(self.bands)))

    def read(self, name: str, window: Sequence[slice] = (), *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """A window of an array as it is stored (packed integers, masks, floats).

        Args:
            name: the array: imagery, or a mask.
            window: one slice for each dimension, without steps; dimensions that are left out come whole.
            out: where it goes; of the window's shape and the array's type.

        Raises:
            DataError: there is no such array, or this package has not written it.
            StoreError: a chunk is damaged or cut short, or the store refuses.
            ServiceUnavailableError: the store cannot be reached.
        """
        found: NDArray[Any] = self.read_many(name, [window], out=None if out is None else out[None])[0]
        return found

    def read_many(
        self, name: str, windows: Sequence[Sequence[slice]], *, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Several windows of one shape, one after the other along a new first dimension; as `read` otherwise."""
        layout = self._numbers(name)
        bounds = [_bounds(layout, window) for window in windows]
        shapes = {tuple(stop - start for start, stop in bound) for bound in bounds}
        if len(shapes) != 1:
            raise DataError(f"windows of the shapes {sorted(shapes)} of {name}", expected="one shape")
        shape = (len(windows), *shapes.pop())
        if out is None:
            out = np.empty(shape, dtype=layout.dtype)
        elif out.shape != shape or out.dtype != layout.dtype:
            raise DataError(f"room for {out.shape} {out.dtype}", expected=f"{shape} {layout.dtype}")
        self._read_indexes(layout, bounds)
        tasks = [
            (piece, bound, out[number]) for number, bound in enumerate(bounds) for piece in self._pieces(layout, bound)
        ]
        self._each(lambda task: self._fill(layout, *task), tasks)
        return out

    def _each(self, do: Callable[[Any], object], things: Sequence[Any]) -> None:
        # the settings are asked only where there is something to share: that takes longer than a small cube
        workers = max(Settings().thread_count(), self._objects.connections) if len(things) > 1 else 1
        # every thread takes the next thing itself: handing over each of hundreds takes longer than reading it
        left = iter(things)

        def take() -> None:
            try:
                for thing in left:
                    do(thing)
            except BaseException:
                for _ in left:  # nobody begins another
                    pass
                raise

        if workers == 1:
            take()
            return
        pool = _pool(workers, os.getpid())
        begun = [pool.submit(take) for _ in range(min(workers, len(things)))]
        wait(begun)
        for one in begun:
            one.result()

    def physical(
        self,
        *,
        times: slice = slice(None),
        bands: Sequence[str] = (),
        rows: slice = slice(None),
        columns: slice = slice(None),
    ) -> NDArray[np.float32]:
        """A window of the imagery, (time, band, y, x) float32, physical values, NaN where nothing was seen.

        Args:
            times: which images.
            bands: names of the bands wanted, in this order; empty: all.
            rows: which rows.
            columns: which columns.

        Raises:
            DataError, StoreError, ServiceUnavailableError: as `read`, and where the cube lacks a band.
        """
        numbers = self.band_numbers(bands)
        packed = self.read(IMAGERY, (times, slice(min(numbers), max(numbers) + 1), rows, columns))
        chosen = [number - min(numbers) for number in numbers]
        if chosen != list(range(packed.shape[1])):
            packed = packed[:, chosen]
        return unpacked(packed, self.layout(IMAGERY).attributes)

    def _numbers(self, name: str) -> Layout:
        layout = self.layout(name)
        if layout.dtype.kind == "O" or json.dumps(layout.metadata()["codecs"]) != json.dumps(
            self._documents[name]["codecs"]
        ):
            raise DataError(f"{name} of the cube {self.path} is encoded otherwise", expected="numbers, in our codecs")
        return layout

    def _pieces(self, layout: Layout, bound: Sequence[tuple[int, int]]) -> Iterator[_Piece]:
        for shard in _touched(bound, layout.shards):
            key = layout.key(shard)
            if layout.shards == layout.chunks:
                yield _Piece(key, 0, None, ((0, None, shard),))
                continue
            index = self._index(layout, key)
            inside = [
                (max(start, i * size) - i * size, min(stop, (i + 1) * size) - i * size)
                for i, size, (start, stop) in zip(shard, layout.shards, bound, strict=True)
            ]
            first = [i * (size // part) for i, size, part in zip(shard, layout.shards, layout.chunks, strict=True)]
            stored, absent = [], []
            for chunk in _touched(inside, layout.chunks):
                whole = tuple(map(operator.add, first, chunk))
                offset, length = (_NEVER_WRITTEN, 0) if index is None else index[chunk].tolist()
                if offset == _NEVER_WRITTEN:
                    absent.append((0, 0, whole))
                else:
                    stored.append((offset, length, whole))
            yield from _runs(key, sorted(stored), most=self._objects.run_bytes)
            if absent:
                yield _Piece(key, 0, 0, tuple(absent), is_absent=True)

    def _read_indexes(self, layout: Layout, bounds: Sequence[Sequence[tuple[int, int]]]) -> None:
        """Have the index of every shard that is touched, for each costs a request."""
        if layout.shards != layout.chunks:
            keys = {layout.key(shard) for bound in bounds for shard in _touched(bound, layout.shards)}
            self._each(lambda key: self._index(layout, key), sorted(keys - self._indexes.keys()))

    def _index(self, layout: Layout, key: str) -> NDArray[np.uint64] | None:
        """Offset and length of each chunk of a shard; None where nobody wrote it."""
        if key not in self._indexes:
            self._indexes[key] = self._read_index(layout, key)
        return self._indexes[key]

    def _read_index(self, layout: Layout, key: str) -> NDArray[np.uint64] | None:
        import google_crc32c

        counts = [whole // part for whole, part in zip(layout.shards, layout.chunks, strict=True)]
        size = 16 * int(np.prod(counts)) + 4
        try:
            tail = self._objects.read_range(key, -size, size)
        except NotPublishedError:
            return None
        if len(tail) != size or int(google_crc32c.value(bytes(tail[:-4]))).to_bytes(4, "little") != tail[-4:]:
            raise _damaged(self.path, key, "the checksum of its index differs")
        return np.frombuffer(tail[:-4], dtype="<u8").reshape(*counts, 2)

    def _fill(self, layout: Layout, piece: _Piece, bound: Sequence[tuple[int, int]], out: NDArray[Any]) -> None:
        """Read a piece and put its chunks into `out`, which holds `bound`."""
        data = self._stored(piece)
        for offset, length, chunk in piece.parts:
            target, source = _overlap(chunk, layout.chunks, bound)
            room = out[target]
            if data is None:
                room[...] = layout.fill
                continue
            encoded = data if length is None else data[offset : offset + length]
            if room.shape == layout.chunks and room.flags.c_contiguous:
                self._decode(layout, piece.key, encoded, room.reshape(-1).view(np.uint8))
                continue
            block, room_of_block = _rooms.of(layout)
            self._decode(layout, piece.key, encoded, room_of_block)
            room[...] = block[source]

    def _stored(self, piece: _Piece) -> memoryview | None:
        if piece.is_absent:
            return None
        try:
            return self._objects.borrow(piece.key, piece.start, piece.length)
        except NotPublishedError:
            return None

    def _decode(self, layout: Layout, key: str, encoded: memoryview, room: NDArray[np.uint8]) -> None:
        if len(layout.dims) <= 1:
            if len(encoded) != room.nbytes:
                raise _damaged(self.path, key, f"it has {len(encoded)} bytes instead of {room.nbytes}")
            room[:] = np.frombuffer(encoded, dtype=np.uint8)
            return
        from imagecodecs import BloscError, blosc_decode

        # blosc itself does not see that its last bytes are missing
        if len(encoded) < _BLOSC.size or _BLOSC.unpack_from(encoded) != (room.nbytes, len(encoded)):
            raise _damaged(self.path, key, f"{len(encoded)} bytes are not a whole chunk")
        try:
            # any buffer will do, which its annotations do not say
            cast("Any", blosc_decode)(encoded, numthreads=1, out=room)
        except BloscError as error:
            raise _damaged(self.path, key, "it cannot be decompressed") from error


def open_pixels(path: str) -> CubePixels:
    """Open a cube for its pixels alone, which takes one request.

    Args:
        path: folder or fsspec URL of the Zarr group.

    Raises:
        DataError: no cube is there, or it was not written to its end.
        ServiceUnavailableError, StoreError: the store cannot be reached, or refuses.
    """
    objects = open_objects(path)
    try:
        return CubePixels(objects, json.loads(bytes(objects.read(GROUP))))
    except NotPublishedError as error:
        raise DataError(f"no cube lies at {path}", do="run the stage that makes it again") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"no cube can be opened at {path} ({type(error).__name__})",
            expected="a Zarr v3 group with consolidated metadata",
            do="run the stage that makes it again",
        ) from error


def unpacked(packed: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[np.float32]:
    """Physical values of packed imagery: float32, NaN where nothing was seen.

    Args:
        packed: as it is stored, of any shape.
        attributes: the array's attributes, which hold scale, offset and fill.
    """
    if "scale_factor" not in attributes:
        return np.asarray(packed, dtype=np.float32)
    scale, offset = np.float32(attributes["scale_factor"]), np.float32(attributes["add_offset"])
    values: NDArray[np.float32] = packed.astype(np.float32)
    values *= scale
    values += offset
    values[packed == attributes["_FillValue"]] = np.nan
    return values


def _bounds(layout: Layout, window: Sequence[slice]) -> list[tuple[int, int]]:
    whole = [*window, *itertools.repeat(slice(None), len(layout.shape) - len(window))]
    found = []
    for wanted, length in zip(whole, layout.shape, strict=True):
        start, stop, step = wanted.indices(length)
        if step != 1:
            raise DataError(f"a window of {layout.name} has steps of {step}", expected="neighbouring elements")
        found.append((start, max(start, stop)))
    return found


def _touched(bound: Sequence[tuple[int, int]], sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Index of each chunk that a window touches; none where the window is empty."""
    ranges = [
        range(start // size, -(-stop // size) if stop > start else start // size)
        for (start, stop), size in zip(bound, sizes, strict=True)
    ]
    return itertools.product(*ranges)


def _overlap(
    chunk: Sequence[int], sizes: Sequence[int], bound: Sequence[tuple[int, int]]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a chunk and a window meet: counted from the window's first element, and from the chunk's."""
    target, source = [], []
    for index, size, (start, stop) in zip(chunk, sizes, bound, strict=True):
        low, high = max(index * size, start), min((index + 1) * size, stop)
        target.append(slice(low - start, high - start))
        source.append(slice(low - index * size, high - index * size))
    return tuple(target), tuple(source)


def _runs(key: str, parts: Sequence[tuple[int, int, tuple[int, ...]]], *, most: int) -> Iterator[_Piece]:
    """Chunks that are neighbours in their object, together up to so many bytes: each request has its cost."""
    runs: list[list[tuple[int, int, tuple[int, ...]]]] = []
    for part in parts:
        if runs and runs[-1][-1][0] + runs[-1][-1][1] == part[0] and part[0] + part[1] - runs[-1][0][0] <= most:
            runs[-1].append(part)
        else:
            runs.append([part])
    for run in runs:
        start = run[0][0]
        length = run[-1][0] + run[-1][1] - start
        yield _Piece(key, start, length, tuple((offset - start, size, chunk) for offset, size, chunk in run))


class _Rooms(threading.local):
    """Room for one chunk in each thread: fresh memory costs as much as decoding into it."""

    def __init__(self) -> None:
        self._key: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        self._block: NDArray[Any] = np.empty(0)
        self._bytes: NDArray[np.uint8] = np.empty(0, dtype=np.uint8)

    def of(self, layout: Layout) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """A chunk, and its bytes."""
        if self._key != (layout.chunks, layout.dtype):
            self._key = layout.chunks, layout.dtype
            self._block = np.empty(layout.chunks, dtype=layout.dtype)
            self._bytes = self._block.reshape(-1).view(np.uint8)
        return self._block, self._bytes


_rooms = _Rooms()


@lru_cache(maxsize=8)
def _pool(threads: int, _process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="cube")


def _damaged(path: str, key: str, how: str) -> StoreError:
    return StoreError(f"{path}/{key} is damaged: {how}", do="make the cube again")
