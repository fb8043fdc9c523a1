"""What a cube made of another one takes over from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import DIGITAL_NUMBER, REFLECTANCE, Packing

if TYPE_CHECKING:
    import xarray as xr

CubeVariable: TypeAlias = tuple[tuple[str, ...], NDArray[Any], Mapping[str, Any]]
"""Dimensions, values and attributes."""

GREATEST_REFLECTANCE = 5.0
"""Imagery of unknown quantity that stays below is reflectance; beyond are digital numbers."""

_GEOREFERENCE = ("Conventions", "zarr_conventions", "spatial:", "proj:")


def packing_like(imagery: xr.DataArray, *, peak: Callable[[], float]) -> Packing:
    """The packing that imagery was stored with, so that what is made of it is stored alike.

    Args:
        imagery: a cube's `imagery`.
        peak: finds its greatest value; asked only where nothing else tells what the numbers are.
    """
    encoding, attributes = imagery.encoding, imagery.attrs
    described = {
        "units": str(attributes.get("units", "1")),
        "long_name": str(attributes.get("long_name", "")),
        "standard_name": str(attributes.get("standard_name", "")),
    }
    if "scale_factor" in encoding:
        return Packing(
            dtype=np.dtype(encoding["dtype"]).name,
            scale=float(encoding["scale_factor"]),
            offset=float(encoding["add_offset"]),
            fill=int(encoding["_FillValue"]),
            **described,
        )
    if "units" in attributes:
        return Packing(dtype="float32", scale=1.0, offset=0.0, fill=float("nan"), **described)
    return REFLECTANCE if peak() < GREATEST_REFLECTANCE else DIGITAL_NUMBER


def own_attributes(cube: xr.Dataset) -> dict[str, Any]:
    """A cube's attributes but those that its grid gives it."""
    return {str(name): value for name, value in cube.attrs.items() if not str(name).startswith(_GEOREFERENCE)}


def band_labels(cube: xr.Dataset) -> dict[str, CubeVariable]:
    """What a cube says of its bands beside their names (units)."""
    return {
        str(name): as_given(variable)
        for name, variable in cube.variables.items()
        if variable.dims == ("band",) and name != "band"
    }


def as_given(variable: xr.Variable) -> CubeVariable:
    """A variable in the form that `make_cube` takes; text of variable length, as read from disk, as objects."""
    values = variable.values
    return (
        tuple(str(dim) for dim in variable.dims),
        values.astype(object) if values.dtype.kind == "T" else values,
        variable.attrs,
    )
