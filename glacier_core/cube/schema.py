"""What a cube holds: dims (time, band, y, x), CF attributes, a georeference, and how values are packed into integers.

Follows the CF conventions 1.11 (packed data, grid mappings, flags; https://cfconventions.org) and the Zarr conventions
`spatial` and `proj` that GeoZarr is made of (https://github.com/zarr-conventions).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError
from glacier_core.grids import Grid

if TYPE_CHECKING:
    import xarray as xr

GRID_MAPPING = "spatial_ref"
SPATIAL = ("y", "x")
IGNORED = 255

LOCAL_CRS = (
    'ENGCRS["Local pixel grid",EDATUM["Unknown engineering datum"],CS[Cartesian,2],'
    'AXIS["easting (X)",east,ORDER[1]],AXIS["northing (Y)",north,ORDER[2]],LENGTHUNIT["pixel",1]]'
)
"""The CRS of imagery that has none: a plane whose unit is the pixel. It cannot be related to any other CRS."""

_CONVENTIONS = [
    {
        "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/spatial/refs/tags/v1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/spatial/blob/v1/README.md",
        "name": "spatial:",
        "description": "Spatial coordinate information",
    },
    {
        "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/geo-proj/refs/tags/v1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/geo-proj/blob/v1/README.md",
        "name": "proj:",
        "description": "Coordinate reference system information for geospatial data",
    },
]


@dataclass(frozen=True)
class Packing:
    """How physical values become integers: value = integer * scale + offset, and `fill` stands for NaN."""

    dtype: str
    """Integer type on disk, such as uint16."""
    scale: float
    """Physical value of one step."""
    offset: float
    """Physical value of the integer 0."""
    fill: int
    """The integer that stands for "nothing was seen"."""
    units: str
    """CF units; "1" where there is none."""
    long_name: str
    """What a person calls it."""
    standard_name: str = ""
    """The CF standard name; empty where there is none."""

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest physical value that fit; values beyond are clipped to them."""
        low, high = integer_limits(np.dtype(self.dtype), self.fill)
        return low * self.scale + self.offset, high * self.scale + self.offset

    def attributes(self) -> dict[str, str]:
        """The CF attributes of a variable that is packed so."""
        named = {"units": self.units, "long_name": self.long_name, "standard_name": self.standard_name}
        return {name: value for name, value in named.items() if value}

    def encoding(self) -> dict[str, Any]:
        """The packing as xarray's encoding."""
        return {
            "dtype": np.dtype(self.dtype),
            "scale_factor": self.scale,
            "add_offset": self.offset,
            "_FillValue": self.fill,
        }


REFLECTANCE = Packing(
    dtype="uint16",
    scale=1e-4,
    offset=-0.1,
    fill=65535,
    units="1",
    long_name="surface reflectance",
    standard_name="surface_bidirectional_reflectance",
)
"""Reflectance from -0.1 to 6.4534 in steps of 1e-4, which is Sentinel-2's own resolution."""

DIGITAL_NUMBER = Packing(dtype="uint16", scale=1.0, offset=0.0, fill=65535, units="1", long_name="digital number")
"""Uncalibrated numbers from 0 to 65534."""

PROBABILITY = Packing(dtype="uint16", scale=2.0**-15, offset=0.0, fill=65535, units="1", long_name="probability")
"""Probabilities in steps of 2^-15, so that 0, 0.5 and 1 are kept exactly."""


def integer_limits(dtype: np.dtype[Any], fill: int) -> tuple[int, int]:
    """The least and the greatest integer of `dtype` that may hold a value; `fill` at either end is taken off."""
    info = np.iinfo(dtype)
    low, high = int(info.min), int(info.max)
    return low + (fill == low), high - (fill == high)


def make_cube(
    *,
    grid: Grid,
    times: Sequence[Any] | NDArray[np.datetime64],
    bands: Sequence[str],
    imagery: NDArray[np.float32],
    packing: Packing,
    extra: Mapping[str, tuple[Sequence[str], NDArray[Any], Mapping[str, Any]]] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """A dataset that follows the schema, in memory.

    Args:
        grid: the pixels; an empty CRS stands for `LOCAL_CRS`.
        times: one datetime64 (UTC) for each image, in ascending order.
        bands: name of each band.
        imagery: (time, band, y, x) float32, physical values, NaN where nothing was seen.
        packing: how `imagery` is packed when the cube is written.
        extra: further variables by name: (dims, array, attributes). Text along time becomes a coordinate.
        attrs: attributes of the whole; values that JSON knows.

    Raises:
        DataError: the shapes do not fit each other, or the times do not ascend.
    """
    import xarray as xr

    instants = np.asarray(times).astype("datetime64[ns]")
    expected = (len(instants), len(bands), *grid.shape)
    if imagery.shape != expected:
        raise DataError(f"imagery has the shape {imagery.shape}", expected=f"{expected} (time, band, y, x)")
    if (np.diff(instants) < np.timedelta64(0)).any():
        raise DataError("the times of a cube do not ascend", do="sort the scenes by time")
    cube = xr.Dataset(
        {"imagery": (("time", "band", *SPATIAL), imagery, packing.attributes(), packing.encoding())},
        coords={
            "time": ("time", instants, {"standard_name": "time", "axis": "T"}),
            "band": ("band", np.asarray(bands, dtype=object), {"long_name": "spectral band"}),
        },
    )
    for name, (dims, values, attributes) in (extra or {}).items():
        variable = xr.Variable(tuple(dims), values, dict(attributes))
        is_text = variable.dtype.kind in "OUT"
        cube = cube.assign_coords({name: variable}) if is_text else cube.assign({name: variable})
    return _georeferenced(cube, grid, attrs or {})


def make_mask_cube(
    *, grid: Grid, masks: Mapping[str, NDArray[np.uint8]], attrs: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """A dataset of masks without time: uint8 (y, x), 1 = yes, 0 = no, 255 = not known.

    Args:
        grid: the pixels.
        masks: (y, x) by name.
        attrs: attributes of the whole; values that JSON knows.

    Raises:
        DataError: a mask does not fit the grid.
    """
    import xarray as xr

    for name, mask in masks.items():
        if mask.shape != grid.shape:
            raise DataError(f"mask {name} has the shape {mask.shape}", expected=f"{grid.shape} (y, x)")
    flags = {"flag_values": [0, 1, IGNORED], "flag_meanings": "no yes unknown"}
    cube = xr.Dataset(
        {
            name: (SPATIAL, np.asarray(mask, dtype=np.uint8), {"long_name": name.replace("_", " "), **flags})
            for name, mask in masks.items()
        }
    )
    return _georeferenced(cube, grid, attrs or {})


def grid_of(dataset: xr.Dataset) -> Grid:
    """The pixels of a cube, or of a rectangular window of it.

    Raises:
        DataError: the dataset has no georeference, or its rows and columns are not those of one window.
    """
    attributes = dataset[GRID_MAPPING].attrs if GRID_MAPPING in dataset.variables else {}
    try:
        c, a, b, f, d, e = (float(number) for number in str(attributes["GeoTransform"]).split())
        crs = str(dataset.attrs.get("proj:code") or dataset.attrs.get("proj:wkt2") or attributes["crs_wkt"])
        x, y = dataset["x"].values, dataset["y"].values
    except (KeyError, ValueError):
        raise DataError(
            "the dataset has no georeference",
            expected=f"variables x, y and {GRID_MAPPING} with crs_wkt and GeoTransform",
        ) from None
    column = _first_index(x, origin=c, step=a)
    row = _first_index(y, origin=f, step=e)
    return Grid(
        crs=crs,
        transform=(a, b, c + column * a, d, e, f + row * e),
        width=len(x),
        height=len(y),
    )


def _first_index(centres: NDArray[np.float64], *, origin: float, step: float) -> int:
    if not len(centres):
        raise DataError("the dataset has no pixels", expected="at least one row and one column")
    positions = (np.asarray(centres, dtype=np.float64) - origin) / step - 0.5
    first = round(float(positions[0]))
    if np.abs(positions - first - np.arange(len(centres))).max() > 0.01:
        raise DataError("rows or columns of the dataset were left out or reordered", expected="one window of its grid")
    return first


def _georeferenced(cube: xr.Dataset, grid: Grid, attrs: Mapping[str, Any]) -> xr.Dataset:
    import xarray as xr

    a, b, c, d, e, f = grid.transform
    if b or d:
        raise DataError("the grid is rotated", expected="rows that run south and columns that run east")
    crs = grid.crs or LOCAL_CRS
    cf, x_attributes, y_attributes = _cf_of(crs)
    for name, variable in cube.data_vars.items():
        if set(SPATIAL) <= set(variable.dims):
            cube[name].encoding["grid_mapping"] = GRID_MAPPING
    cube = cube.assign_coords(
        {
            "y": xr.Variable("y", f + e * (np.arange(grid.height) + 0.5), y_attributes),
            "x": xr.Variable("x", c + a * (np.arange(grid.width) + 0.5), x_attributes),
            GRID_MAPPING: xr.Variable(
                (),
                np.int32(0),
                {**cf, "spatial_ref": cf["crs_wkt"], "GeoTransform": f"{c!r} {a!r} {b!r} {f!r} {d!r} {e!r}"},
            ),
        }
    )
    cube.attrs = {
        "Conventions": "CF-1.11",
        "zarr_conventions": _CONVENTIONS,
        "spatial:dimensions": list(SPATIAL),
        "spatial:transform_type": "affine",
        "spatial:transform": list(grid.transform),
        "spatial:shape": list(grid.shape),
        "spatial:bbox": list(grid.bounds),
        "spatial:registration": "pixel",
        "proj:code" if _is_code(crs) else "proj:wkt2": crs,
        **attrs,
    }
    return cube


def _is_code(crs: str) -> bool:
    authority, _, code = crs.partition(":")
    return authority.isalpha() and code.isalnum()


@functools.lru_cache(maxsize=32)
def _cf_of(crs: str) -> tuple[Mapping[str, Any], Mapping[str, str], Mapping[str, str]]:
    """The grid mapping's attributes and those of x and y; reading a CRS takes as long as writing a cube."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        parsed = CRS.from_user_input(crs)
    except CRSError as error:
        raise DataError(f"the CRS {crs[:60]!r} is not known ({error})", expected="an authority code or WKT") from None
    if crs == LOCAL_CRS or not (parsed.is_geographic or parsed.is_projected):
        plain = {"crs_wkt": parsed.to_wkt()}
        return plain, {"long_name": "column", "axis": "X"}, {"long_name": "row, northward", "axis": "Y"}
    cf = {name: _plain(value) for name, value in parsed.to_cf().items()}
    if parsed.is_geographic:
        return (
            cf,
            {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
            {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
        )
    unit = parsed.axis_info[0].unit_name
    return (
        cf,
        {"standard_name": "projection_x_coordinate", "units": unit, "axis": "X"},
        {"standard_name": "projection_y_coordinate", "units": unit, "axis": "Y"},
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
