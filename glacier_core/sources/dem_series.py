"""Elevation models of a folder as series: one a file, on the file's own pixels."""

from __future__ import annotations

import functools
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from glacier_core.errors import ConfigurationError, SceneError
from glacier_core.sources.dem import HIGHEST_M, LOWEST_M
from glacier_core.sources.frames import FIRST_DAY, grid_of
from glacier_core.sources.pictures import Picture, open_picture
from glacier_core.sources.reading import SceneTrouble
from glacier_core.sources.series import Frame, Series

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def open_dems(folder: Path, *, files: str, day: date | None = None) -> list[Series]:
    """A series with one frame for each file, in order of the names.

    Args:
        folder: where the files are.
        files: glob below the folder.
        day: when the heights were measured; None: unknown, and the series is undated.

    Raises:
        ConfigurationError: no file matches, or none can be opened.
    """
    paths = sorted(path for path in folder.glob(files) if path.is_file())
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) if day else FIRST_DAY
    found: list[Series] = []
    troubles: list[SceneTrouble] = []
    for path in paths:
        try:
            picture = open_picture(path)
        except SceneError as error:
            troubles.append(SceneTrouble(path.name, str(error)))
            continue
        found.append(
            Series(
                name=re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem),
                grid=grid_of(picture),
                bands=("height",),
                quantities=("height",),
                frames=(Frame(path.stem, moment, functools.partial(_heights, picture), labels={"file": path.name}),),
                dated=day is not None,
            )
        )
    if not found:
        reasons = "; ".join(f"{trouble.scene}: {trouble.reason}" for trouble in troubles[:3])
        raise ConfigurationError(
            f"folder {folder} holds no usable DEM ({reasons or f'no file matches {files}'})",
            expected="rasters of heights in metres",
            do="check imagery.files and data",
        )
    first, *others = found
    return [Series(**{**vars(first), "troubles": tuple(troubles)}), *others]


def _heights(picture: Picture, rows: slice) -> NDArray[np.float32]:
    import numpy as np

    heights = picture.read(rows)[:1]
    if not np.nan_to_num(heights).any() and not np.nan_to_num(picture.read(slice(0, picture.height))[0]).any():
        # the filling of a download that failed would make a plane of any mountain
        raise SceneError(f"DEM {picture.path.name} is zero everywhere", expected="heights", do="fetch it again")
    return np.where((heights > LOWEST_M) & (heights < HIGHEST_M), heights, np.float32(np.nan))
