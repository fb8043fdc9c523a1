"""Which blocks a window needs, and how few requests fetch them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from glacier_core.sources.geotiff.layout import Level

GAP = 2**16
"""Bytes between two blocks that are rather fetched than asked around."""
LONGEST = 2**23
"""Bytes of one request, unless a single block is longer."""

Window = tuple[slice, slice]
"""Rows and columns of a level."""


@dataclass(frozen=True)
class Block:
    """A block of a level that a window needs."""

    number: int
    """Its place in the level's lists."""
    row: int
    """Block row."""
    rows: slice
    """Rows of the level that it covers."""
    columns: slice
    """Columns of the level that it covers."""


@dataclass(frozen=True)
class Run:
    """Blocks that are fetched by one request."""

    offset: int
    """First byte."""
    length: int
    """Bytes."""
    numbers: tuple[int, ...]
    """The blocks."""


def blocks_of(level: Level, window: Window, band: int) -> Iterator[Block]:
    """The blocks that hold a window's pixels of one band (from 0), row by row."""
    rows, columns = window
    height, width = level.block_height, level.block_width
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return
    for row in range(rows.start // height, -(-rows.stop // height)):
        for column in range(columns.start // width, -(-columns.stop // width)):
            yield Block(
                number=level.number_of(row, column, band),
                row=row,
                rows=slice(row * height, min((row + 1) * height, level.height)),
                columns=slice(column * width, min((column + 1) * width, level.width)),
            )


def runs_of(level: Level, numbers: Iterable[int]) -> list[Run]:
    """The requests that fetch blocks: neighbours in the file come by one, and blocks never written by none."""
    extents = sorted((int(level.offsets[n]), int(level.sizes[n]), n) for n in numbers if is_written(level, n))
    runs: list[Run] = []
    for offset, size, number in extents:
        if runs:
            last = runs[-1]
            end = max(last.offset + last.length, offset + size)
            if offset - (last.offset + last.length) <= GAP and end - last.offset <= LONGEST:
                runs[-1] = Run(last.offset, end - last.offset, (*last.numbers, number))
                continue
        runs.append(Run(offset, size, (number,)))
    return runs


def is_written(level: Level, number: int) -> bool:
    """Whether a block is in the file; a block that is not has no data (GDAL's sparse files)."""
    return bool(level.offsets[number]) and bool(level.sizes[number])
