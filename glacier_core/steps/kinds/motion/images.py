"""The images of a unit's cube in order of time, what is taken of them, and where glacier and stable ground are."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError
from glacier_core.steps.cubing import CUBE
from glacier_core.steps.running import Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.cube import CubePixels
    from glacier_core.recipes import MotionRecipe
    from glacier_core.samples.frame_sequences import Shown
    from glacier_core.units import SeriesUnit

OUTSIDE = "outside"
SECONDS_A_DAY = 86400.0


@dataclass(frozen=True)
class Images:
    """The images of one unit's cube."""

    path: str
    """Path or URL of the cube."""
    times: tuple[datetime, ...]
    """Time of each image (UTC), in order."""
    ids: tuple[str, ...]
    """Id of each image."""
    sensors: tuple[str, ...]
    """Sensor of each image; empty where it is not known."""
    shown: Shown
    """What is taken of them."""

    @functools.cached_property
    def pixels(self) -> CubePixels:
        """The opened cube."""
        from glacier_core.cube import open_pixels

        return open_pixels(self.path)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        from glacier_core.cube import IMAGERY

        rows, columns = self.pixels.layout(IMAGERY).shape[2:]
        return int(rows), int(columns)

    def read(
        self, first: int, last: int, *, rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Images [first, last), (T, H, W), NaN where nothing was seen."""
        return self.shown.read(self.pixels, times=slice(first, last), rows=rows, columns=columns)

    def days(self, first: int, last: int, *, after: int) -> tuple[float, ...]:
        """Times of images [first, last) in days after the image `after`."""
        start = self.times[after]
        return tuple((time - start).total_seconds() / SECONDS_A_DAY for time in self.times[first:last])


def shown_of(recipe: MotionRecipe, bands: tuple[str, ...]) -> Shown:
    """What a recipe takes of images with these bands.

    Raises:
        ConfigurationError: they lack a band.
    """
    from glacier_core.samples.frame_sequences import Shown

    shows = recipe.shows
    wanted = shows.ndsi or ((shows.band,) if shows.band else bands[:1])
    missing = [band for band in wanted if band not in bands]
    if missing:
        raise ConfigurationError(
            f"recipe '{recipe.name}' shows band {', '.join(missing)}, which the images lack",
            expected=f"bands among {', '.join(bands)}",
            do="correct shows.band or shows.ndsi",
        )
    return Shown(bands=tuple(wanted), floor=shows.floor, unseen_below=shows.unseen_below)


def images_of(step: Step, recipe: MotionRecipe, entry: Mapping[str, Any]) -> Images:
    """The images of a unit that has been ingested.

    Args:
        step: the running stage.
        recipe: the recipe.
        entry: how the unit stands.
    """
    from glacier_core.cube import open_cube

    path = step.read(entry["refs"]["ingest"]).path(CUBE)
    cube = open_cube(path)
    moments = cube["time"].to_numpy().astype("datetime64[us]").tolist()

    def texts(name: str) -> tuple[str, ...]:
        told = cube[name].to_numpy().tolist() if name in cube.coords else [""] * len(moments)
        return tuple(map(str, told))

    return Images(
        path=path,
        times=tuple(moment.replace(tzinfo=UTC) for moment in moments),
        ids=texts("frame"),
        sensors=texts("sensor"),
        shown=shown_of(recipe, tuple(map(str, cube["band"].to_numpy().tolist()))),
    )


@dataclass(frozen=True)
class Grounds:
    """Where what is, (y, x) each."""

    glacier: NDArray[np.bool_] | None
    """The glacier; None: it may be anywhere."""
    stable: NDArray[np.bool_] | None
    """Ground that does not move; None: unknown."""


def grounds_of(recipe: MotionRecipe, unit: SeriesUnit, images: Images) -> Grounds:
    """Glacier and stable ground of a unit.

    Raises:
        ConfigurationError: the recipe names neither a mask of the series nor a file.
    """
    import numpy as np

    told = recipe.ground
    glacier = _mask(recipe, unit, images, told.glacier) if told.glacier else None
    if not told.stable:
        return Grounds(glacier, None)
    stable = np.ones(images.shape, dtype=bool)
    if told.stable != OUTSIDE:
        stable = _mask(recipe, unit, images, told.stable)
    return Grounds(glacier, stable if glacier is None else stable & ~_widened(glacier, told.margin_px))


def _mask(recipe: MotionRecipe, unit: SeriesUnit, images: Images, name: str) -> NDArray[np.bool_]:
    if name in images.pixels:
        found: NDArray[np.bool_] = images.pixels.read(name) == 1
        return found
    path = recipe.path(name)
    if "://" not in path and not Path(path).is_file():
        known = [mask for mask, layout in images.pixels.layouts.items() if layout.dims == ("y", "x")]
        raise ConfigurationError(
            f"'{name}' is neither a mask of {unit.name} nor a file ({path})",
            expected=f"a mask ({', '.join(known) or 'it has none'}) or a vector file",
            do="correct ground.glacier or ground.stable",
        )
    import geopandas

    from glacier_core.labels import rasterize

    return rasterize(geopandas.read_file(path), unit.grid)


def _widened(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    import cv2
    import numpy as np

    if not pixels:
        return mask
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), brush) > 0)
