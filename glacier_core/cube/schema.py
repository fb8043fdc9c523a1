"""What a cube holds: dims (time, band, y, x), CF attributes, a georeference, and how values are stored.

Follows the CF conventions 1.11 (packed data, grid mappings, flags; https://cfconventions.org) and the Zarr conventions
`spatial` and `proj` that GeoZarr is made of (https://github.com/zarr-conventions).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.grids import Grid

if TYPE_CHECKING:
    import xarray as xr

GRID_MAPPING = "spatial_ref"
IMAGERY = "imagery"
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
    """How physical values are stored: value = integer * scale + offset, and `fill` stands for NaN; floats as they are.

    Floats (dtype float32) have scale 1, offset 0 and fill NaN: for quantities whose range is too wide for 16 bits.
    """

    dtype: str
    """Type on disk: an integer such as uint16, or float32."""
    scale: float
    """Physical value of one step."""
    offset: float
    """Physical value of the integer 0."""
    fill: float
    """The number that stands for "nothing was seen"."""
    units: str
    """CF units; "1" where there is none."""
    long_name: str
    """What a person calls it."""
    standard_name: str = ""
    """The CF standard name; empty where there is none."""

    @property
    def is_packed(self) -> bool:
        """Whether values become integers."""
        return np.dtype(self.dtype).kind in "iu"

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest physical value that fit; values beyond are clipped to them."""
        if not self.is_packed:
            return float(np.finfo(self.dtype).min), float(np.finfo(self.dtype).max)
        low, high = integer_limits(np.dtype(self.dtype), int(self.fill))
        return low * self.scale + self.offset, high * self.scale + self.offset

    def attributes(self) -> dict[str, str]:
        """The CF attributes of a variable that is stored so."""
        named = {"units": self.units, "long_name": self.long_name, "standard_name": self.standard_name}
        return {name: value for name, value in named.items() if value}

    def encoding(self) -> dict[str, Any]:
        """The packing as xarray's encoding; empty for floats."""
        if not self.is_packed:
            return {}
        return {
            "dtype": np.dtype(self.dtype),
            "scale_factor": self.scale,
            "add_offset": self.offset,
            "_FillValue": int(self.fill),
        }


def _uint16(scale: float, offset: float, units: str, long_name: str, standard_name: str = "") -> Packing:
    return Packing("uint16", scale, offset, 65535, units, long_name, standard_name)


def _float32(units: str, long_name: str, standard_name: str = "") -> Packing:
    return Packing("float32", 1.0, 0.0, math.nan, units, long_name, standard_name)


REFLECTANCE = _uint16(1e-4, -0.1, "1", "surface reflectance", "surface_bidirectional_reflectance")
"""Reflectance from -0.1 to 6.4534 in steps of 1e-4, which is Sentinel-2's own resolution."""

DIGITAL_NUMBER = _uint16(1.0, 0.0, "1", "digital number")
"""Uncalibrated numbers from 0 to 65534."""

PROBABILITY = _uint16(2.0**-15, 0.0, "1", "probability")
"""Probabilities in steps of 2^-15, so that 0, 0.5 and 1 are kept exactly."""

MIXED = _float32("1", "imagery")
"""Bands of several quantities: floats as they are; the units of each band stand in the coordinate `band_units`."""

PACKINGS: Mapping[str, Packing] = {
    "reflectance": REFLECTANCE,
    "digital_number": DIGITAL_NUMBER,
    "probability": PROBABILITY,
    # the steps of Landsat Collection 2 surface temperature, whose numbers are so kept as they are: 149 to 373 K
    "temperature": _uint16(0.00341802, 149.0, "K", "temperature"),
    # the Sea Ice Index counts tenths of a percent, the climate data record hundredths of one
    "ice_fraction": _uint16(1e-4, 0.0, "1", "sea ice concentration", "sea_ice_area_fraction"),
    "melt_fraction": _uint16(1e-4, 0.0, "1", "fraction of days with surface melt"),
    # from -30 dB over calm water to above 10 dB on bright slopes
    "backscatter": _float32("1", "radar backscatter, gamma nought, linear power"),
    "height": _float32("m", "height of the surface", "surface_altitude"),
    "velocity": _float32("m yr-1", "ice surface velocity"),
    "index": Packing("int16", 1e-4, 0.0, -(2**15), "1", "normalised difference index"),
    # floats, and numbers with a scale of their own, of which their source says no more: emissivity, ready-made chips
    "scaled": _float32("1", "imagery"),
    "class": Packing("uint8", 1.0, 0.0, IGNORED, "1", "class code"),
}
"""How each quantity is stored, by the name that a source gives it."""


def packing_of(quantities: Sequence[str]) -> tuple[Packing, tuple[str, ...]]:
    """How bands are stored together, and the units of each of them.

    Args:
        quantities: what each band measures, a name of `PACKINGS`.

    Returns:
        The quantity's own packing where all bands have one, else `MIXED`; and one unit a band.

    Raises:
        ConfigurationError: a quantity has no such name.
    """
    unknown = sorted(set(quantities) - set(PACKINGS))
    if unknown or not quantities:
        raise ConfigurationError(
            f"no quantity is called {', '.join(unknown) or 'nothing'}", expected=f"one of {', '.join(PACKINGS)}"
        )
    packing = PACKINGS[quantities[0]] if len(set(quantities)) == 1 else MIXED
    return packing, tuple(PACKINGS[quantity].units for quantity in quantities)


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
        packing: how `imagery` is stored when the cube is written.
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
    broken = np.flatnonzero(np.diff(instants) < np.timedelta64(0))
    if broken.size:
        later, earlier = (str(instants[broken[0] + step])[:19] for step in (0, 1))
        raise DataError(f"the times of a cube do not ascend: {earlier} follows {later}", do="sort the scenes by time")
    cube = xr.Dataset(
        {IMAGERY: (("time", "band", *SPATIAL), imagery, packing.attributes(), packing.encoding())},
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
