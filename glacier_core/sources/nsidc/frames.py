"""What the monthly products have in common: one file a month and version, the better one kept, masks of a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from glacier_core.errors import DataError, SceneError
from glacier_core.grids import Grid
from glacier_core.sources.nsidc.locations import FoundFile
from glacier_core.sources.nsidc.months import Month
from glacier_core.sources.reading import SceneTrouble
from glacier_core.sources.series import Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNKNOWN_MASK = 255

Opened = TypeVar("Opened")


@dataclass(frozen=True)
class MonthlyGrid:
    """A month's field and what hides parts of it."""

    fraction: NDArray[np.float32]
    """(y, x), 0 to 1; NaN where nothing is known."""
    land: NDArray[np.uint8]
    """1 land, coast or lake, 0 none, 255 unknown."""
    pole_hole: NDArray[np.bool_]
    """Where the sensor saw nothing around the pole."""


@dataclass(frozen=True)
class MonthlyFile:
    """A month in a file, not yet read."""

    month: Month
    name: str
    """The file's name."""
    rank: tuple[int, str]
    """Of two files of one month, the one of higher rank stays."""
    labels: Mapping[str, str]
    """The frame's labels."""
    load: Callable[[], MonthlyGrid] = field(repr=False, compare=False)
    """Reads it; raises SceneError."""


def on_one_grid(
    here: Iterable[tuple[FoundFile, Path]],
    opened: Callable[[FoundFile, Path], tuple[Grid, Opened]],
    troubles: list[SceneTrouble],
) -> tuple[Grid | None, list[tuple[FoundFile, Path, Opened]]]:
    """The first usable file's grid, and what was opened of each file on it.

    Args:
        here: files, and where they lie.
        opened: a file's grid and what it holds; raises SceneError if it cannot be used.
        troubles: takes the files that cannot be used or lie on another grid.
    """
    grid: Grid | None = None
    alike: list[tuple[FoundFile, Path, Opened]] = []
    for file, path in here:
        try:
            own, content = opened(file, path)
        except SceneError as error:
            troubles.append(SceneTrouble(file.name, str(error)))
            continue
        grid = grid or own
        if own != grid:
            troubles.append(SceneTrouble(file.name, "it lies on another grid than the files before it"))
            continue
        alike.append((file, path, content))
    return grid, alike


def best_of_each_month(files: Iterable[MonthlyFile]) -> tuple[list[MonthlyFile], list[MonthlyFile]]:
    """The files that stay, in order of time, and those that a better one of their month replaces."""
    kept: dict[Month, MonthlyFile] = {}
    replaced: list[MonthlyFile] = []
    for file in sorted(files, key=lambda file: (file.month, file.rank, file.name)):
        if file.month in kept:
            replaced.append(kept[file.month])
        kept[file.month] = file
    return [kept[month] for month in sorted(kept)], replaced


def replaced_troubles(kept: Sequence[MonthlyFile], replaced: Sequence[MonthlyFile]) -> list[SceneTrouble]:
    """One trouble for each file that a better one of its month replaces."""
    better = {file.month: file.name for file in kept}
    return [SceneTrouble(file.name, f"{better[file.month]} of the same month replaces it") for file in replaced]


def frame_of(file: MonthlyFile) -> Frame:
    """A frame that reads its file when asked: one band."""

    def read(rows: slice) -> NDArray[np.float32]:
        return file.load().fraction[None, rows]

    return Frame(id=file.name, time=file.month.start, read=read, labels=file.labels)


def sample(files: Sequence[MonthlyFile], *, each: int) -> list[MonthlyFile]:
    """Up to `each` files of every sensor, spread over its time."""
    by_sensor: dict[str, list[MonthlyFile]] = {}
    for file in files:
        by_sensor.setdefault(file.labels.get("sensor", ""), []).append(file)
    chosen: list[MonthlyFile] = []
    for own in by_sensor.values():
        count = min(each, len(own))
        chosen += [own[(2 * place + 1) * len(own) // (2 * count)] for place in range(count)]
    return chosen


def masks_of(files: Sequence[MonthlyFile], *, shape: tuple[int, int], each: int = 3) -> dict[str, NDArray[np.uint8]]:
    """`land`: what most of a sample call so; `pole_hole`: what any sensor's hole covers at any time.

    Months differ in their hole (SMMR's ends at 84.5° N, SSM/I's at 87.2° N, SSMIS's at 89.2° N); in a frame only its
    own hole is without values.
    """
    import numpy as np

    votes = np.zeros(shape, np.int32)
    known = np.zeros(shape, np.int32)
    hole = np.zeros(shape, bool)
    for file in sample(files, each=each):
        try:
            grid = file.load()
        except (SceneError, DataError):
            continue  # its frame tells when it is read
        votes += grid.land == 1
        known += grid.land != UNKNOWN_MASK
        hole |= grid.pole_hole
    land = np.where(known == 0, UNKNOWN_MASK, 2 * votes > known).astype(np.uint8)
    return {"land": land, "pole_hole": hole.astype(np.uint8)}
