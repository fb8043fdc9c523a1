"""Bands of GeoTIFFs on grids: ranges are fetched ahead, blocks decoded once each, and tiles made of them, in threads.

Work is queued in one order: for each tile of a grid, for each file on it, first its new blocks, and a few places later
the tile. A task waits only for tasks that were queued before it, so that nothing can lock up, and a block is let go
after the last tile that needs it, so that memory holds about one row of tiles for each file of a group, however large
the grid is.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import SceneError
from glacier_core.grids import Grid
from glacier_core.sources.assets import NotNowError
from glacier_core.sources.geotiff.blocks import Block, Run, Window, blocks_of, is_written, runs_of
from glacier_core.sources.geotiff.decoding import DamagedBlockError, decode_block
from glacier_core.sources.geotiff.fetching import RangeSource
from glacier_core.sources.geotiff.geometry import Geometry, Tile
from glacier_core.sources.geotiff.layout import Layout, Level
from glacier_core.sources.geotiff.warping import own_threads, remap_bilinear, remap_nearest

BATCH_BYTES = 2**20
"""Bytes decoded by one task, unless a single block has more."""
AHEAD_BYTES = 2**26
"""Bytes fetched from a network and not yet decoded."""
TILES_BEHIND = 8
"""How many tiles are queued after the blocks of later ones: one whose block is not yet decoded would idle a thread."""
GROUP_BYTES = 2**28
"""Decoded bytes that the files of one group may keep between two rows of tiles."""


@dataclass(eq=False)
class OpenFile:
    """A GeoTIFF that bands are read from."""

    href: str
    """Its link or path."""
    name: str
    """The asset's name, for messages."""
    source: RangeSource
    """Its bytes."""
    layout: Layout
    """What is where in it."""
    failed: SceneError | NotNowError | None = None
    """Why no more is read of it."""


@dataclass(eq=False)
class Wanted:
    """A band of a file on a grid."""

    file: OpenFile
    """The file."""
    band: int
    """Its band, from 0."""
    grid: Grid
    """The grid."""
    geometry: Geometry
    """How the grid is filled; files with the same one are read together."""
    nodata: float | None
    """Number that stands for no data."""
    out: NDArray[Any]
    """(y, x), float32 (NaN where there is no data) or the file's own type (the nodata number, or else 0)."""
    error: SceneError | NotNowError | None = field(default=None, init=False)
    """Why `out` is not complete."""


def read_wanted(wanted: Sequence[Wanted], *, workers: ThreadPoolExecutor, fetchers: ThreadPoolExecutor) -> None:
    """Fill every `out`, or set `error`.

    Args:
        wanted: bands on grids.
        workers: threads that decode and warp.
        fetchers: threads that wait for the network.

    Raises:
        StoreError, ServiceUnavailableError: object storage refuses or does not answer.
    """
    budget = _Budget(AHEAD_BYTES)
    made: list[tuple[Wanted, Future[None]]] = []
    with own_threads():
        try:
            for group in _groups(wanted):
                made += _queue(group, workers=workers, fetchers=fetchers, budget=budget)
            for item, future in made:
                try:
                    future.result()
                except (SceneError, NotNowError) as error:
                    item.error = item.error or error
        except BaseException:
            for item in wanted:
                item.file.failed = NotNowError("reading was given up")
            raise
        finally:
            budget.stop()


def _groups(wanted: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """Bands that share a geometry, as many as memory allows."""
    alike: dict[int, list[Wanted]] = defaultdict(list)
    for item in wanted:
        alike[id(item.geometry)].append(item)
    for items in alike.values():
        level = items[0].file.layout.levels[items[0].geometry.level]
        row_bytes = level.width * (level.block_height + 1024) * 4 * level.block_samples
        most = max(1, GROUP_BYTES // row_bytes)
        yield from (items[start : start + most] for start in range(0, len(items), most))


def _queue(
    group: Sequence[Wanted], *, workers: ThreadPoolExecutor, fetchers: ThreadPoolExecutor, budget: _Budget
) -> list[tuple[Wanted, Future[None]]]:
    geometry = group[0].geometry
    stores: dict[int, _Blocks] = {}
    for item in group:
        if id(item.file) not in stores:
            stores[id(item.file)] = _Blocks(item.file, geometry.level, workers, fetchers, budget)
        if geometry.covers < item.out.size:
            item.out[...] = _fill(item)
    needed = {
        (number, position): list(blocks_of(stores[id(item.file)].level, tile.window, item.band))
        for number, tile in enumerate(geometry.tiles)
        for position, item in enumerate(group)
    }
    for (_, position), blocks in needed.items():
        stores[id(group[position].file)].count(blocks)
    made: list[tuple[Wanted, Future[None]]] = []
    waiting: deque[tuple[Wanted, Tile, list[Block], _Blocks, _Once]] = deque()

    def submit(tiles: int) -> None:
        for _ in range(tiles):
            task = waiting.popleft()
            made.append((task[0], workers.submit(_make, *task)))

    for number, tile in enumerate(geometry.tiles):
        maps = _Once(lambda tile=tile: _maps(geometry, tile))  # type: ignore[misc]
        for position, item in enumerate(group):
            blocks = needed[number, position]
            store = stores[id(item.file)]
            store.start(blocks)
            waiting.append((item, tile, blocks, store, maps))
            submit(len(waiting) - TILES_BEHIND)
    submit(len(waiting))
    return made


@dataclass(frozen=True)
class _Maps:
    """Where a tile's pixels lie in its window."""

    places: tuple[NDArray[np.float32], NDArray[np.float32]]
    beyond: bool  # whether some lie beyond the window's outermost pixel centres


def _maps(geometry: Geometry, tile: Tile) -> _Maps | None:
    if geometry.lattice is None:
        return None
    rows, columns = tile.window
    x, y = geometry.lattice.maps(tile.part, tile.window)
    last = columns.stop - columns.start - 1, rows.stop - rows.start - 1
    return _Maps((x, y), bool(x.min() < 0 or y.min() < 0 or x.max() > last[0] or y.max() > last[1]))


def _make(item: Wanted, tile: Tile, blocks: Sequence[Block], store: _Blocks, maps: _Once) -> None:
    """Fill one tile of one band."""
    how = item.geometry.how
    try:
        if item.error is not None:
            raise item.error
        # interpolation is between float32 numbers
        kind = np.dtype(store.level.dtype if how == "copy" else np.float32).newbyteorder("=")
        numbers = store.window(blocks, tile.window, item.band, kind)
    except (SceneError, NotNowError) as error:
        item.error = error
        raise
    finally:
        store.release(blocks)
    out = item.out[tile.part]
    if numbers is None:
        out[...] = _fill(item)
        return
    valid = _valid(numbers, item.nodata)
    if how == "copy":
        _copy(numbers, valid, out)
        return
    own = out.dtype != np.float32
    warped = np.empty(out.shape, np.float32) if own else out
    if how == "gdal":
        _reduce(item, tile, numbers, valid, warped)
    else:
        found: _Maps = maps.get()
        if valid is None and found.beyond:
            valid = np.ones(numbers.shape, bool)
        (remap_nearest if how == "nearest" else remap_bilinear)(numbers, valid, found.places, warped)
    if own:
        _as_own(warped, item, out)


def _valid(numbers: NDArray[Any], nodata: float | None) -> NDArray[np.bool_] | None:
    """Which numbers are data; None: all of them."""
    missing = None
    if nodata is not None and not np.isnan(nodata) and _fits(nodata, numbers.dtype):
        missing = numbers == numbers.dtype.type(nodata)
    if numbers.dtype.kind == "f":
        empty = np.isnan(numbers)
        missing = empty if missing is None else missing | empty
    return ~missing if missing is not None and missing.any() else None


def _fits(value: float, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "f":
        return True
    return float(value).is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


def _fill(item: Wanted) -> Any:
    """What stands for no data in `out`."""
    if item.out.dtype == np.float32:
        return np.nan
    return item.nodata if item.nodata is not None and _fits(item.nodata, item.out.dtype) else 0


def _copy(numbers: NDArray[Any], valid: NDArray[np.bool_] | None, out: NDArray[Any]) -> None:
    out[...] = numbers
    if valid is not None and out.dtype == np.float32:
        out[~valid] = np.nan


def _as_own(warped: NDArray[np.float32], item: Wanted, out: NDArray[Any]) -> None:
    """Interpolated numbers in the file's own type; none of them becomes its nodata number by rounding."""
    missing = np.isnan(warped)
    whole = np.rint(np.where(missing, np.float32(0), warped)).astype(out.dtype)
    fill = _fill(item)
    if item.nodata is not None and _fits(item.nodata, out.dtype):
        clash = (whole == fill) & ~missing
        if clash.any():
            whole[clash] += 1 if fill < np.iinfo(out.dtype).max else -1
    whole[missing] = fill
    out[...] = whole


def _reduce(
    item: Wanted, tile: Tile, numbers: NDArray[Any], valid: NDArray[np.bool_] | None, out: NDArray[np.float32]
) -> None:
    """Let GDAL make a tile of a coarser grid: its kernel then weighs all the pixels below."""
    from affine import Affine
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    whole = numbers if valid is None else np.where(valid, numbers, np.float32(np.nan))
    target = np.full(out.shape, np.nan, np.float32)
    (rows, columns), (down, right) = tile.window, tile.part
    reproject(
        whole,
        target,
        src_transform=Affine(*item.geometry.transform) @ Affine.translation(columns.start, rows.start),
        src_crs=item.file.layout.crs,
        src_nodata=np.nan,
        dst_transform=item.grid.affine() @ Affine.translation(right.start, down.start),
        dst_crs=item.grid.crs,
        dst_nodata=np.nan,
        resampling=Resampling.bilinear,
        tolerance=0.02,
    )
    out[...] = target


class _Once:
    """A value that the first thread to ask makes, for all."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._value: Any = None

    def get(self) -> Any:
        with self._lock:
            if self._value is None:
                self._value = self._make()
            return self._value


class _Blocks:
    """Decoded blocks of one level of a file: each is decoded once, and let go after its last use."""

    def __init__(
        self,
        file: OpenFile,
        level: int,
        workers: ThreadPoolExecutor,
        fetchers: ThreadPoolExecutor,
        budget: _Budget,
    ) -> None:
        self.level: Level = file.layout.levels[level]
        self._file = file
        self._workers = workers
        self._fetchers = fetchers
        self._budget = budget
        self._uses: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._batches: dict[int, Future[dict[int, NDArray[Any]]]] = {}

    def count(self, blocks: Iterable[Block]) -> None:
        """Announce one use of each block."""
        self._uses.update(block.number for block in blocks)

    def start(self, blocks: Sequence[Block]) -> None:
        """Queue the decoding of those blocks that are not yet queued."""
        with self._lock:
            rows = {block.number: block.row for block in blocks if block.number not in self._batches}
        written = [number for number in rows if is_written(self.level, number)]
        if not written:
            return
        if not self._file.source.remote:
            for batch in self._batched(written):
                self._decode(batch, {number: self._file_bytes(number) for number in batch}, rows)
            return
        for run in runs_of(self.level, written):
            ticket = self._budget.ticket(run.length)
            fetched = self._fetchers.submit(self._fetch, run, ticket)
            batches = list(self._batched(run.numbers))
            last = _Countdown(len(batches), lambda ticket=ticket: self._budget.give_back(ticket))  # type: ignore[misc]
            for batch in batches:
                self._decode(batch, {number: self._run_bytes(number, run, fetched) for number in batch}, rows, last)

    def _batched(self, numbers: Iterable[int]) -> Iterator[list[int]]:
        level = self.level
        size = level.block_width * level.block_height * level.block_samples * np.dtype(level.dtype).itemsize
        most = max(1, BATCH_BYTES // size)
        listed = list(numbers)
        yield from (listed[start : start + most] for start in range(0, len(listed), most))

    def _decode(
        self,
        batch: Sequence[int],
        data: Mapping[int, Callable[[], bytes]],
        rows: Mapping[int, int],
        done: _Countdown | None = None,
    ) -> None:
        def decode() -> dict[int, NDArray[Any]]:
            try:
                if self._file.failed is not None:
                    raise self._file.failed
                return {number: self._decoded(number, rows[number], data[number]()) for number in batch}
            finally:
                if done is not None:
                    done.one()

        future = self._workers.submit(decode)
        with self._lock:
            self._batches.update(dict.fromkeys(batch, future))

    def _decoded(self, number: int, row: int, data: bytes) -> NDArray[Any]:
        try:
            return decode_block(self.level, row, data)
        except DamagedBlockError as error:
            raise SceneError(f"{self._file.name} is damaged (block {number}: {error})") from error

    def _file_bytes(self, number: int) -> Callable[[], bytes]:
        run = Run(int(self.level.offsets[number]), int(self.level.sizes[number]), (number,))
        return lambda: self._read(run)

    def _run_bytes(self, number: int, run: Run, fetched: Future[bytes]) -> Callable[[], bytes]:
        first = int(self.level.offsets[number]) - run.offset
        return lambda: fetched.result()[first : first + int(self.level.sizes[number])]

    def _fetch(self, run: Run, ticket: int) -> bytes:
        self._budget.wait(ticket)
        if self._file.failed is not None:
            raise self._file.failed
        try:
            return self._read(run)
        except (SceneError, NotNowError) as error:
            self._file.failed = error
            raise

    def _read(self, run: Run) -> bytes:
        content = self._file.source.read(run.offset, run.length)
        if len(content) < run.length:
            raise SceneError(f"{self._file.name} is damaged (it ends before its block {run.numbers[0]} does)")
        return content

    def window(self, blocks: Sequence[Block], window: Window, band: int, dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """The numbers (y, x) of a window of one band as `dtype`; None where the file has none at all."""
        rows, columns = window
        if not blocks:
            return None
        sample = 0 if self.level.planar else band
        pieces = [(block, self._block(block.number)) for block in blocks]
        block, numbers = pieces[0]
        if len(pieces) == 1 and numbers is not None:
            return numbers[_within(rows, block.rows), _within(columns, block.columns), sample].astype(dtype, copy=False)
        whole = np.empty((rows.stop - rows.start, columns.stop - columns.start), dtype)
        for block, numbers in pieces:
            shared = _shared(rows, block.rows), _shared(columns, block.columns)
            place = whole[_within(shared[0], rows), _within(shared[1], columns)]
            if numbers is None:
                place[...] = self._never_written()
            else:
                place[...] = numbers[_within(shared[0], block.rows), _within(shared[1], block.columns), sample]
        return whole

    def _block(self, number: int) -> NDArray[Any] | None:
        with self._lock:
            batch = self._batches.get(number)
        return None if batch is None else batch.result()[number]

    def _never_written(self) -> Any:
        nodata = self._file.layout.nodata
        return nodata if nodata is not None and _fits(nodata, np.dtype(self.level.dtype)) else 0

    def release(self, blocks: Iterable[Block]) -> None:
        """One use of each block is over."""
        with self._lock:
            for block in blocks:
                self._uses[block.number] -= 1
                if not self._uses[block.number]:
                    batch = self._batches.pop(block.number, None)
                    if batch is not None and batch.done() and not batch.cancelled() and batch.exception() is None:
                        batch.result().pop(block.number, None)


def _shared(one: slice, other: slice) -> slice:
    return slice(max(one.start, other.start), min(one.stop, other.stop))


def _within(part: slice, whole: slice) -> slice:
    """A part of `whole`, counted from its beginning."""
    return slice(part.start - whole.start, part.stop - whole.start)


class _Countdown:
    """Calls something when so many things are done."""

    def __init__(self, number: int, then: Callable[[], None]) -> None:
        self._left = number
        self._then = then
        self._lock = threading.Lock()

    def one(self) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._then()


class _Budget:
    """Bytes that may be under way; given out strictly in order, so that what is needed first comes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._turn = threading.Condition()
        self._numbers = count()
        self._sizes: dict[int, int] = {}
        self._next = 0
        self._taken = 0
        self._stopped = False

    def ticket(self, size: int) -> int:
        with self._turn:
            number = next(self._numbers)
            self._sizes[number] = size
            return number

    def wait(self, ticket: int) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._stopped or (ticket == self._next and self._has_room(ticket)))
            if self._stopped:
                raise NotNowError("reading was given up")
            self._taken += self._sizes[ticket]
            self._next += 1
            self._turn.notify_all()

    def _has_room(self, ticket: int) -> bool:
        return self._taken == 0 or self._taken + self._sizes[ticket] <= self._limit

    def give_back(self, ticket: int) -> None:
        with self._turn:
            if ticket < self._next:
                self._taken -= self._sizes.pop(ticket)
            else:  # given up before its turn came
                self._sizes[ticket] = 0
            self._turn.notify_all()

    def stop(self) -> None:
        with self._turn:
            self._stopped = True
            self._turn.notify_all()
