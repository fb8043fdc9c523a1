"""Velocity fields that others have made, at the places of our vectors, and how far they move ground that is still."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError
from glacier_core.grids import Grid
from glacier_core.sources.remote import first_line
from glacier_core.sources.series import file_version
from glacier_core.sources.velocity import open_velocity

NODATA_M_PER_YR = 1e5
"""No ice moves as fast: such numbers are nodata that a file did not declare."""


@dataclass(frozen=True)
class GivenField:
    """One velocity field in metres a year along the axes of its map."""

    east: NDArray[np.float32]
    """(y, x), m/yr towards the right of the map; NaN where unknown."""
    north: NDArray[np.float32]
    """(y, x), m/yr towards its top."""
    grid: Grid
    """Its pixels."""

    def at(
        self, x: NDArray[np.float64], y: NDArray[np.float64], *, crs: str
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """East and north components at places, from the nearest pixel; NaN beyond the field.

        Vectors keep the directions of the field's map: both CRS should be of one zone.

        Args:
            x: of the places, of any shape.
            y: likewise.
            crs: CRS of x and y.
        """
        if crs != self.grid.crs:
            from pyproj import Transformer

            x, y = Transformer.from_crs(crs, self.grid.crs, always_xy=True).transform(x, y)
        a, _, left, _, e, top = self.grid.transform
        column, row = np.floor((x - left) / a).astype(int), np.floor((y - top) / e).astype(int)
        inside = (row >= 0) & (row < self.grid.height) & (column >= 0) & (column < self.grid.width)
        row, column = row.clip(0, self.grid.height - 1), column.clip(0, self.grid.width - 1)
        east, north = (np.where(inside, part[row, column], np.float32(np.nan)) for part in (self.east, self.north))
        return east, north


def given_version(location: str | Path, *, files: str = "*") -> list[list[str]]:
    """What tells that a given field is another than before: the state of its files; at a URL, a datacube's metadata.

    Args:
        location: as for `read_given`.
        files: likewise.

    Raises:
        ConfigurationError: a URL cannot be read.
    """
    text = str(location).rstrip("/")
    if "://" in text:
        return [[text, _metadata_digest(text)]]
    path = Path(text)
    if not path.is_dir():
        return [[path.name, file_version(path)]]
    found = path.rglob("*") if path.suffix == ".zarr" else path.glob(files)
    return [[str(each.relative_to(path)), file_version(each)] for each in sorted(found) if each.is_file()]


def _metadata_digest(url: str) -> str:
    """Digest of the metadata of a Zarr group: pairs that are added change its shape."""
    import fsspec

    reason = "it holds no Zarr metadata"
    for name in ("zarr.json", ".zmetadata"):
        try:
            with fsspec.open(f"{url}/{name}", "rb") as file:
                return hashlib.sha256(file.read()).hexdigest()
        except FileNotFoundError:
            continue
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            reason = first_line(error)
            break
    raise ConfigurationError(f"{url} cannot be opened ({reason})", expected="a Zarr datacube")


def read_given(
    location: str | Path,
    *,
    files: str = "*",
    units: str = "",
    bands: Sequence[str] = ("vx", "vy"),
    day: date | None = None,
) -> GivenField:
    """The mean of all fields of a file, folder or datacube, each counted equally.

    Args:
        location: ITS_LIVE NetCDF or datacube, or a folder of GeoTIFFs; see `glacier_core.sources.velocity`.
        files: of a folder, those that are meant.
        units: `m/yr` or `m/day`, where the files do not tell.
        bands: the components.
        day: first day of what tells no date.

    Raises:
        ConfigurationError: nothing usable is there.
    """
    series = open_velocity(location, files=files, bands=bands, units=units, day=day)
    total = np.zeros((2, *series.grid.shape))
    count = np.zeros(series.grid.shape, dtype=int)
    for frame in series.frames:
        values = frame.read(slice(None))[:2]
        known = np.isfinite(values).all(axis=0) & (np.abs(values).max(axis=0) < NODATA_M_PER_YR)
        total += np.where(known, values, 0)
        count += known
    with np.errstate(invalid="ignore"):
        east, north = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return GivenField(east=east, north=north, grid=series.grid)
