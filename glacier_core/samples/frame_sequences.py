"""Sequences of frames, read straight from a cube: some images of one place, and those that came next.

What a network sees of each image are three channels: its value (normalised, 0 where nothing was seen), whether it was
seen, and how long before the last image in it was taken. Of an image to come it knows how much later that is. The base
forecast is "no change": the last image, with its gaps filled from the ones before.

Shapes: T images in, L images out, B bands, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import CubePixels, open_pixels
from glacier_core.errors import DataError
from glacier_core.samples.sequences import SequenceSample

DAYS = 30.0
"""Times are counted in so many days, so that they are numbers about 1."""
CHANNELS = 3
"""Channels of an image in: value, seen, age."""
KNOWN = 1
"""Channels of what is known of an image out: how much later it is."""
LEAST_SHARED = 64
"""Pixels that two images have to share for one to get the light of the other."""
MOST_GAIN = 3.0
"""Contrast is raised or lowered by this factor at most."""
LEAST_SUM = 1e-3
"""Below this, two bands are too dark for their normalised difference to mean anything."""


@dataclass(frozen=True)
class Shown:
    """What is taken of an image: a band, or the normalised difference (a - b) / (a + b) of two."""

    bands: tuple[str, ...]
    """One band or two."""
    floor: float | None = None
    """Values below become it."""
    unseen_below: float | None = None
    """Values below were not seen: the black border of pictures."""

    def of(self, images_TBHW: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: N803 - shape suffixes
        """(T, H, W), NaN where nothing was seen.

        Args:
            images_TBHW: physical values of the bands, in their order.
        """
        values = images_TBHW[:, 0]
        if len(self.bands) == 2:
            one, two = images_TBHW[:, 0], images_TBHW[:, 1]
            total = one + two
            with np.errstate(invalid="ignore", divide="ignore"):
                values = np.where(total > LEAST_SUM, (one - two) / total, np.float32(np.nan))
        if self.unseen_below is not None:
            values = np.where(values >= self.unseen_below, values, np.float32(np.nan))
        if self.floor is not None:
            values = np.maximum(values, np.float32(self.floor))
        return np.asarray(values, dtype=np.float32)

    def read(
        self, cube: CubePixels, *, times: slice, rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.float32]:
        """The same of a cube's window, (T, H, W)."""
        return self.of(cube.physical(times=times, bands=self.bands, rows=rows, columns=columns))


@dataclass(frozen=True)
class FrameWindow:
    """One sequence: consecutive images of a cube, and a square of them."""

    cube: str
    """Path or URL of the cube."""
    first: int
    """Number of the first image in."""
    row: int
    """First row."""
    column: int
    """First column."""
    days: tuple[float, ...]
    """Time of each image in and out, in days after the last one in."""

    def to_json(self) -> list[Any]:
        """A short plain list that `from_json` takes back."""
        return [self.cube, self.first, self.row, self.column, list(self.days)]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> FrameWindow:
        """The inverse of `to_json`."""
        cube, first, row, column, days = value
        return cls(cube, first, row, column, tuple(days))


@dataclass(frozen=True)
class FrameScale:
    """Normalised value = (value - centre) / spread."""

    centre: float
    """Mean of the training set."""
    spread: float
    """Its standard deviation."""
    equal_light: bool = False
    """Whether each image first gets the brightness and contrast of the last one in: what is left is structure."""

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised values."""
        return (values - np.float32(self.centre)) / np.float32(self.spread)

    def undo(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Physical values."""
        return values * np.float32(self.spread) + np.float32(self.centre)


def sequence_of(
    values_THW: NDArray[np.float32],  # noqa: N803 - shape suffixes
    *,
    inputs: int,
    days: Sequence[float],
    scale: FrameScale,
) -> SequenceSample:
    """What a network sees of a sequence, and what came.

    Args:
        values_THW: the images in and out, physical, NaN where nothing was seen.
        inputs: how many of them are in.
        days: time of each, in days after the last one in.
        scale: how values are normalised.

    Raises:
        DataError: there is no image out, or not one time for each.
    """
    if not 0 < inputs < len(values_THW) or len(days) != len(values_THW):
        raise DataError(
            f"{len(values_THW)} images, {len(days)} times, {inputs} images in", expected="a time each, and images out"
        )
    seen = np.isfinite(values_THW)
    last = latest(values_THW[:inputs])
    if scale.equal_light:
        values_THW = in_light_of(values_THW, last)  # noqa: N806 - shape suffixes
    normal = np.where(seen, scale.apply(values_THW), np.float32(0))
    ages = np.broadcast_to(np.array(days, dtype=np.float32)[:, None, None] / np.float32(DAYS), normal.shape)
    past = np.stack([normal[:inputs], seen[:inputs].astype(np.float32), ages[:inputs]], axis=1)
    base = np.where(np.isfinite(last), scale.apply(last), np.float32(0))
    future = normal[inputs:]
    return SequenceSample(
        past=np.ascontiguousarray(past, dtype=np.float32),
        known=np.ascontiguousarray(ages[inputs:, None], dtype=np.float32),
        base=np.ascontiguousarray(np.broadcast_to(base, future.shape)[:, None], dtype=np.float32),
        future=np.ascontiguousarray(future[:, None], dtype=np.float32),
        # where no image in shows anything, nothing can be foretold
        weight=(seen[inputs:] & np.isfinite(last))[:, None].astype(np.float32),
    )


def in_light_of(values_THW: NDArray[np.float32], model_HW: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: N803
    """Images (T, H, W), each with the mean and the spread that a model image has where both were seen.

    Args:
        values_THW: the images; NaN where nothing was seen.
        model_HW: the image whose light they get.
    """
    found = values_THW.copy()
    for image in found:
        both = np.isfinite(image) & np.isfinite(model_HW)
        if both.sum() >= LEAST_SHARED:
            own, wanted = image[both], model_HW[both]
            # an image without contrast, such as one of a cloud, gets none by noise
            gain = np.clip(wanted.std() / max(float(own.std()), 1e-9), 1 / MOST_GAIN, MOST_GAIN)
            image[:] = (image - own.mean()) * gain + wanted.mean()
    return found


def latest(values_THW: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: N803 - shape suffixes
    """(H, W) of images in order of time: each pixel as it was last seen; NaN where it never was."""
    found = values_THW[-1]
    for values in values_THW[-2::-1]:
        found = np.where(np.isfinite(found), found, values)
    return np.asarray(found, dtype=np.float32)


class FrameSequences:
    """Sequences by number, as `SequenceSource`; cubes are opened when they are first needed, anew in each process.

    Args:
        windows: which sequences.
        shown: what is taken of the images.
        inputs: images in.
        size: rows and columns.
        scale: how values are normalised.
    """

    def __init__(
        self, windows: Sequence[FrameWindow], *, shown: Shown, inputs: int, size: int, scale: FrameScale
    ) -> None:
        self.windows = tuple(windows)
        self.shown = shown
        self.inputs = inputs
        self.size = size
        self.scale = scale
        self._opened: dict[str, CubePixels] = {}

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> SequenceSample:
        window = self.windows[index]
        return sequence_of(self.values(window), inputs=self.inputs, days=window.days, scale=self.scale)

    def __getstate__(self) -> dict[str, Any]:
        """Open cubes stay behind: they do not survive a fork."""
        return {**self.__dict__, "_opened": {}}

    def values(self, window: FrameWindow) -> NDArray[np.float32]:
        """The images in and out (T + L, H, W), physical, NaN where nothing was seen and beyond the cube's edge."""
        if window.cube not in self._opened:
            self._opened[window.cube] = open_pixels(window.cube)
        found = self.shown.read(
            self._opened[window.cube],
            times=slice(window.first, window.first + len(window.days)),
            rows=slice(window.row, window.row + self.size),
            columns=slice(window.column, window.column + self.size),
        )
        if found.shape[1:] == (self.size, self.size):
            return found
        whole = np.full((len(found), self.size, self.size), np.nan, dtype=np.float32)
        whole[:, : found.shape[1], : found.shape[2]] = found
        return whole
