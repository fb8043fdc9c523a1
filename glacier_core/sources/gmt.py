"""Grids of the Generic Mapping Tools (`.grd`) and other NetCDF files that hold one grid.

Two layouts are known: COARDS/CF (coordinate variables of pixel centres; GMT 4 and later) and the older one of GMT 3, in
which `x_range`, `y_range`, `spacing` and `dimension` describe a flat array `z`, northernmost row first (GMT Technical
Reference, "File formats": https://docs.generic-mapping-tools.org/latest/reference/file-formats.html).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError, SceneError
from glacier_core.sources.remote import first_line

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

Affine6 = tuple[float, float, float, float, float, float]

GMT3_VARIABLES = frozenset({"x_range", "y_range", "spacing", "dimension", "z"})
EVEN = 0.01
"""Part of a pixel by which coordinates may be off an even spacing."""


@dataclass(frozen=True)
class GmtGrid:
    """One grid of a file, north up."""

    path: Path
    """The file."""
    variable: str
    """Name of the variable."""
    width: int
    """Number of columns."""
    height: int
    """Number of rows."""
    transform: Affine6
    """Affine coefficients, as in `Grid`."""
    crs: str
    """CRS that the file tells; empty where it tells none."""
    is_flat: bool
    """Whether it has the layout of GMT 3."""
    south_first: bool
    """Whether the file begins with the southernmost row."""


@contextmanager
def open_netcdf(path: Path) -> Iterator[xr.Dataset]:
    """A NetCDF file of either format (classic or HDF5), times left as numbers.

    Raises:
        SceneError: it is missing, empty, or neither.
        ConfigurationError: it is HDF5, and no package that reads that is installed.
    """
    import xarray as xr

    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise SceneError(f"{path.name} cannot be read ({error.strerror})") from error
    engine = "scipy" if start[:3] == b"CDF" else "h5netcdf" if start[1:4] == b"HDF" else ""
    if not engine:
        raise SceneError(f"{path.name} is {'no NetCDF file' if start else 'empty'}")
    if engine == "h5netcdf" and not any(find_spec(name) for name in ("h5py", "pyfive")):
        raise ConfigurationError("NetCDF-4 files cannot be read: h5netcdf finds no HDF5", do="pip install h5py")
    try:
        dataset = xr.open_dataset(path, engine=engine, decode_times=False)
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError) as error:
        raise SceneError(f"{path.name} cannot be read ({first_line(error)})") from error
    with dataset:
        yield dataset


def open_gmt_grid(path: Path) -> GmtGrid:
    """The grid that a file holds, from its header.

    Raises:
        SceneError: the file cannot be read, or holds no grid of two dimensions, or an uneven one.
    """
    with open_netcdf(path) as dataset:
        if set(dataset.variables) >= GMT3_VARIABLES:
            return _gmt3(path, dataset)
        return _coards(path, dataset)


def read_gmt_rows(grid: GmtGrid, rows: slice) -> NDArray[np.float32]:
    """Rows [start, stop) from the north, (y, x) float32; NaN where the grid has no value.

    Raises:
        SceneError: the file cannot be decoded.
    """
    import numpy as np

    with open_netcdf(grid.path) as dataset:
        start, stop, _ = rows.indices(grid.height)
        try:
            if grid.is_flat:
                numbers = dataset["z"][start * grid.width : stop * grid.width].to_numpy()
                return numbers.reshape(stop - start, grid.width).astype(np.float32)
            if grid.south_first:
                flipped = dataset[grid.variable][grid.height - stop : grid.height - start].to_numpy()
                return np.ascontiguousarray(flipped[::-1], dtype=np.float32)
            return np.asarray(dataset[grid.variable][start:stop].to_numpy(), np.float32)
        except (OSError, ValueError, EOFError, RuntimeError) as error:
            raise SceneError(f"{grid.path.name} cannot be read ({first_line(error)})") from error


def crs_of_variable(dataset: xr.Dataset, variable: str) -> str:
    """CRS of a variable as its grid mapping tells it (CF 1.11, chapter 5.6): an EPSG code or WKT; empty if unknown."""
    field = dataset[variable]
    name = str(field.attrs.get("grid_mapping") or field.encoding.get("grid_mapping") or "")
    mapping = dataset.variables.get(name)
    attributes: dict[str, Any] = dict(mapping.attrs) if mapping is not None else {}
    for key in ("spatial_epsg", "epsg_code"):
        code = str(attributes.get(key, "")).upper().removeprefix("EPSG:")
        if code.isdigit():
            return f"EPSG:{code}"
    return str(attributes.get("crs_wkt") or attributes.get("spatial_ref") or "")


def even_transform(x: NDArray[Any], y: NDArray[Any], *, name: str) -> Affine6:
    """The transform of evenly spaced pixel centres; y may run either way, the transform is north up.

    Raises:
        SceneError: there are fewer than two of either, or they are unevenly spaced.
    """
    import numpy as np

    if len(x) < 2 or len(y) < 2:
        raise SceneError(f"{name} has {len(x)} x {len(y)} coordinates", expected="at least two of each")
    width, height = (float(values[-1] - values[0]) / (len(values) - 1) for values in (x, y))
    for values, step in ((x, width), (y, height)):
        even = float(values[0]) + step * np.arange(len(values))
        if step == 0 or np.abs(values - even).max() > EVEN * abs(step):
            raise SceneError(f"{name} has unevenly spaced coordinates")
    if width < 0:
        raise SceneError(f"{name} runs from east to west")
    top = max(float(y[0]), float(y[-1])) + abs(height) / 2
    return (width, 0.0, float(x[0]) - width / 2, 0.0, -abs(height), top)


def _gmt3(path: Path, dataset: xr.Dataset) -> GmtGrid:
    width, height = (int(size) for size in dataset["dimension"].to_numpy())
    (left, right), (bottom, top) = (dataset[name].to_numpy() for name in ("x_range", "y_range"))
    if width < 1 or height < 1 or dataset["z"].size != width * height:
        raise SceneError(f"{path.name} has {dataset['z'].size} values", expected=f"{height} x {width}")
    # node_offset 1: the ranges are the outer edges; 0: they are the centres of the outer pixels
    pixels_between = 0 if int(dataset["z"].attrs.get("node_offset", 0)) == 1 else 1
    if min(width, height) <= pixels_between:
        raise SceneError(f"{path.name} has {height} x {width} nodes", expected="at least two of each")
    step_x = float(right - left) / (width - pixels_between)
    step_y = float(top - bottom) / (height - pixels_between)
    margin = pixels_between / 2
    return GmtGrid(
        path=path,
        variable="z",
        width=width,
        height=height,
        transform=(step_x, 0.0, float(left) - margin * step_x, 0.0, -step_y, float(top) + margin * step_y),
        crs="",
        is_flat=True,
        south_first=False,
    )


def _coards(path: Path, dataset: xr.Dataset) -> GmtGrid:
    grids = [str(name) for name, field in dataset.data_vars.items() if field.ndim == 2]
    if len(grids) != 1:
        raise SceneError(f"{path.name} holds {len(grids)} grids ({', '.join(grids) or 'none'})", expected="one")
    field = dataset[grids[0]]
    down, across = (str(name) for name in field.dims)
    if down not in dataset.coords or across not in dataset.coords:
        raise SceneError(f"{path.name} has no coordinates")
    x, y = dataset[across], dataset[down]
    geographic = "degrees_east" in str(x.attrs.get("units", ""))
    return GmtGrid(
        path=path,
        variable=grids[0],
        width=x.size,
        height=y.size,
        transform=even_transform(x.to_numpy(), y.to_numpy(), name=path.name),
        crs=crs_of_variable(dataset, grids[0]) or ("EPSG:4326" if geographic else ""),
        is_flat=False,
        south_first=bool(y[0] < y[-1]),
    )
