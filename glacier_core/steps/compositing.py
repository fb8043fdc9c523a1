"""Composites of a series: one frame a month or year, made when it is read, in memory that does not grow with them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from glacier_core.errors import SceneError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.sources.series import Frame, Series

LeftOut = Callable[[str, str], None]
"""Is told a frame and the reason."""
BESIDE = 8
"""Counts, places and halves of the median take as much memory as so many images."""


def composited(series: Series, every: str, *, allowance: int, left_out: LeftOut) -> Series:
    """A series with one frame a month or year: the median of what was seen in it.

    A frame that cannot be read is left out of its whole period, and told once.

    Args:
        series: the frames.
        every: monthly, yearly, or none for the series as it is.
        allowance: bytes of pixels that one composite may hold while it is read.
        left_out: is told each frame that is left out of its period, and why.
    """
    if every == "none" or not series.dated:
        return series
    groups: dict[Any, list[Frame]] = {}
    for frame in series.frames:
        start = frame.time.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        groups.setdefault(start if every == "monthly" else start.replace(month=1), []).append(frame)
    label = "%Y-%m" if every == "monthly" else "%Y"
    row_bytes = 4 * len(series.bands) * series.grid.width
    frames = []
    for start, members in sorted(groups.items()):
        name = start.strftime(label)
        rows = max(1, allowance // ((len(members) + BESIDE) * row_bytes))
        frames.append(_frame(start, Composite(name, members, series.grid.height, rows, left_out)))
    return replace(series, frames=tuple(frames), attrs={**series.attrs, "composite": f"{every} median"})


@dataclass
class Composite:
    """Reads the median of several frames; the same frames for every row."""

    name: str
    """The period."""
    frames: Sequence[Frame]
    """All frames of it."""
    height: int
    """Rows of the whole."""
    rows: int
    """So many rows of all frames are held at a time."""
    left_out: LeftOut
    """Is told of frames that cannot be read."""
    failed: dict[int, str] = field(default_factory=dict)
    """Positions of frames that could not be read, and why."""
    torn: bool = False
    """Whether rows were given away with a frame in them that failed later."""
    _given: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, rows: slice) -> NDArray[np.float32]:
        """See `Frame.read`."""
        with self._lock:
            while True:
                known = len(self.failed)
                image = self._median(rows)
                if image is not None and len(self.failed) == known:
                    self._given = True
                    return image
                # rows above the failure hold the frame: they are read again without it
                if len(self.failed) == len(self.frames):
                    reasons = [f"{self.frames[number].id}: {reason}" for number, reason in self.failed.items()]
                    raise SceneError(
                        f"none of {len(self.frames)} frames of {self.name} can be read ({'; '.join(reasons[:2])})"
                    )

    def mended(self) -> bool:
        """Whether what was read before is to be read again, without a frame that has failed since; asked once."""
        torn, self.torn = self.torn, False
        return torn

    def _median(self, rows: slice) -> NDArray[np.float32] | None:
        """The median of the frames that have not failed; None where one fails, or all have."""
        import numpy as np

        top, bottom, _ = rows.indices(self.height)
        parts = []
        for first in range(top, max(bottom, top + 1), self.rows):
            part = self._part(slice(first, min(first + self.rows, bottom)))
            if part is None:
                return None
            parts.append(part)
        return np.concatenate(parts, axis=1)

    def _part(self, rows: slice) -> NDArray[np.float32] | None:
        import numpy as np

        usable = [number for number in range(len(self.frames)) if number not in self.failed]
        stack: NDArray[np.float32] | None = None
        complete = True
        for position, number in enumerate(usable):
            try:
                image = self.frames[number].read(rows)
            except SceneError as error:
                self._leave_out(number, str(error))
                complete = False
                continue
            if stack is None:
                stack = np.empty((len(usable), *image.shape), np.float32)
            stack[position] = image
        return _middle(stack) if complete and stack is not None else None

    def _leave_out(self, number: int, reason: str) -> None:
        self.failed[number] = reason
        self.torn |= self._given
        self.left_out(self.frames[number].id, f"left out of {self.name}: {reason}")


def _middle(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    """The median along the first axis without NaN, which is also what no image shows; `stack` is sorted in place.

    NumPy's nanmedian holds the images several times over.
    """
    import numpy as np

    stack.sort(axis=0)  # NaN come last
    seen = _seen(stack)
    low = np.take_along_axis(stack, np.maximum(seen - 1, 0)[None] // 2, axis=0)[0]
    high = np.take_along_axis(stack, (seen // 2)[None], axis=0)[0]
    return np.asarray(np.where(seen % 2 == 1, high, (low + high) / 2), np.float32)


def _seen(stack: NDArray[np.float32]) -> NDArray[np.intp]:
    """How many images show each pixel; one after the other, so that no mask of all is held."""
    import numpy as np

    seen = np.zeros(stack.shape[1:], np.intp)
    for image in stack:
        seen += ~np.isnan(image)
    return seen


def _frame(start: Any, composite: Composite) -> Frame:
    from glacier_core.sources.series import Frame
    from glacier_core.store import digest_of

    frames = composite.frames
    labels = {"frames": str(len(frames))}
    for key in frames[0].labels:
        labels[key] = ", ".join(dict.fromkeys(frame.labels[key] for frame in frames if frame.labels[key]))
    version = digest_of([(frame.id, frame.time.isoformat(), frame.version) for frame in frames])
    return Frame(id=composite.name, time=start, read=composite, labels=labels, version=version)
