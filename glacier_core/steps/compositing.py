"""Composites of a series: one frame a month or year, made when it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from glacier_core.errors import SceneError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.sources.series import Frame, Series


def composited(series: Series, every: str) -> Series:
    """A series with one frame a month or year: the median of what was seen in it.

    Args:
        series: the frames.
        every: monthly, yearly, or none for the series as it is.
    """
    if every == "none" or not series.dated:
        return series
    groups: dict[Any, list[Frame]] = {}
    for frame in series.frames:
        start = frame.time.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        groups.setdefault(start if every == "monthly" else start.replace(month=1), []).append(frame)
    label = "%Y-%m" if every == "monthly" else "%Y"
    frames = tuple(_composite(start.strftime(label), start, frames) for start, frames in sorted(groups.items()))
    return replace(series, frames=frames, attrs={**series.attrs, "composite": f"{every} median"})


def _composite(name: str, start: Any, frames: Sequence[Frame]) -> Frame:
    from glacier_core.sources.series import Frame

    def read(rows: slice) -> NDArray[np.float32]:
        import warnings

        import numpy as np

        images, reasons = [], []
        for frame in frames:
            try:
                images.append(frame.read(rows))
            except SceneError as error:
                reasons.append(f"{frame.id}: {error}")
        if not images:
            raise SceneError(f"none of {len(frames)} frames of {name} can be read ({'; '.join(reasons[:2])})")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # pixels that no frame shows
            return np.asarray(np.nanmedian(np.stack(images), axis=0), dtype=np.float32)

    labels = {"frames": str(len(frames))}
    for key in frames[0].labels:
        labels[key] = ", ".join(dict.fromkeys(frame.labels[key] for frame in frames if frame.labels[key]))
    return Frame(id=name, time=start, read=read, labels=labels)
