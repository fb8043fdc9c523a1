"""Images whose front is known, read when they are wanted: what scores and baselines are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glacier_core.steps.cubing import CUBE
from glacier_core.steps.kinds.front.labelling import LABELS, box_of
from glacier_core.steps.kinds.front.parts import part_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.measure.fronts import FrontBaseline
    from glacier_core.steps.kinds.contract import Entry
    from glacier_core.steps.plans import Plan
    from glacier_core.steps.running import Step

TOLD = ("sensor", "resolution_m", "code", "quality")


@dataclass(frozen=True)
class KnownImage:
    """An image whose front is known."""

    frame: str
    """Its id."""
    told: dict[str, str]
    """What else is known of it: `time`, and what of `TOLD` there is."""
    label: dict[str, Any]
    """Its truth, see `labelling.labelled`."""
    shape: tuple[int, int]
    """Rows and columns."""
    read: Callable[[], NDArray[np.float32]]
    """Reads its first band (y, x)."""

    @property
    def line(self) -> NDArray[np.float64]:
        """The true front, row and column."""
        import numpy as np

        return np.array(self.label["line"], dtype=np.float64)


def known_images(step: Step, plan: Plan, entry: Entry, parts: Sequence[str]) -> Iterator[KnownImage]:
    """Images of these parts whose front is known; none is read yet."""
    from glacier_core.cube import open_cube, open_pixels

    path = step.read(entry["refs"]["prepare"]).path(CUBE)
    cube, pixels = open_cube(path), open_pixels(path)
    labels = step.read(entry["refs"]["label"]).read_json(LABELS)
    there = [name for name in TOLD if name in cube.coords]
    for number, frame in enumerate(str(name) for name in cube["frame"].values):
        if frame in labels and part_of(plan, entry["unit"], frame) in parts:
            yield KnownImage(
                frame=frame,
                told={
                    **{name: str(cube[name].values[number]) for name in there},
                    "time": str(cube["time"].values[number])[:19],
                },
                label=labels[frame],
                shape=plan.units[entry["unit"]].grid.shape,
                read=_reader(pixels, number),
            )


def fitted_baselines(step: Step, plan: Plan, entries: Sequence[Entry]) -> list[FrontBaseline]:
    """Baselines of the training images; where the recipe looks inside the front's box alone, so do they."""

    from glacier_core.measure.fronts import fit_front_baselines

    found = [image for entry in entries for image in known_images(step, plan, entry, ("train",))]
    windows = [window_of(plan, image) for image in found]

    def read(number: int) -> NDArray[np.float32]:
        return found[number].read()[windows[number]]

    fronts = [
        (image.line - corner_of(window), (rows.stop - rows.start, columns.stop - columns.start))
        for image, window in zip(found, windows, strict=True)
        for rows, columns in [window]
    ]
    return fit_front_baselines(fronts, read)


def drawn_by(baseline: FrontBaseline, image: NDArray[np.float32], window: tuple[slice, slice]) -> NDArray[np.float64]:
    """A baseline's front of an image, in pixels of the whole image.

    Args:
        baseline: the rule, fitted to such windows.
        image: (y, x), whole.
        window: where it is asked, see `window_of`.
    """
    line: NDArray[np.float64] = baseline.apply(image[window]) + corner_of(window)
    return line


def window_of(plan: Plan, image: KnownImage) -> tuple[slice, slice]:
    """Rows and columns that a front is looked for in: all, or the front's true box where the recipe says so."""
    rows, columns = (slice(0, length) for length in image.shape)
    if not (plan.recipe.line.within_box and image.label["box"]):
        return rows, columns
    found = box_of(image.label) or (rows, columns)
    return tuple(  # type: ignore[return-value]
        slice(max(0, part.start), min(length, part.stop)) for part, length in zip(found, image.shape, strict=True)
    )


def corner_of(window: tuple[slice, slice]) -> NDArray[np.float64]:
    """Row and column at which a window begins."""
    import numpy as np

    return np.array([part.start for part in window], dtype=np.float64)


def _reader(pixels: Any, number: int) -> Callable[[], NDArray[np.float32]]:
    def read() -> NDArray[np.float32]:
        image: NDArray[np.float32] = pixels.physical(times=slice(number, number + 1), bands=pixels.bands[:1])[0, 0]
        return image

    return read


def told_of(image: KnownImage) -> Mapping[str, str]:
    """What rows say of an image; empty where it is not known."""
    return {key: image.told.get(key, "") for key in ("time", *TOLD)}
