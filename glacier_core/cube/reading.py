"""Reads cubes: as an xarray dataset, or one variable's window as an array."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError, NotPublishedError
from glacier_core.store.backends import open_backend

if TYPE_CHECKING:
    import xarray as xr
    import zarr

_PACKING = ("scale_factor", "add_offset")


def open_cube(path: str) -> xr.Dataset:
    """Open a cube; pixels are read when they are asked for.

    Packed integers come as float32 with NaN, times as datetime64[ns], masks and classes as the integers that they are;
    `spatial_ref` and other auxiliary variables as coordinates.

    Args:
        path: folder or fsspec URL of the Zarr group.

    Raises:
        DataError: no cube is there, or it was not written to its end.
        ServiceUnavailableError, StoreError: the store cannot be reached, or refuses.
    """
    import xarray as xr

    with _a_cube_at(path):
        raw = xr.open_zarr(_store(path), chunks=None, consolidated=True, decode_cf=False, zarr_format=3)
    packed: dict[Any, dict[str, float]] = {}
    for name, variable in raw.variables.items():
        # xarray takes the type to unpack to from the type of these numbers; JSON has double precision only, which
        # would double the memory and the time for no digit more
        if variable.dtype.itemsize <= 2:
            packed[name] = {key: variable.attrs[key] for key in _PACKING if key in variable.attrs}
            variable.attrs.update({key: np.float32(number) for key, number in packed[name].items()})
    cube = xr.decode_cf(raw, decode_coords="all")
    for name, numbers in packed.items():
        cube[name].encoding.update(numbers)
    return cube


def read_image(path: str, *, bands: Sequence[str] = ()) -> NDArray[np.float32]:
    """The first time of a cube's imagery, (band, y, x), physical values with NaN, without xarray's cost.

    Args:
        path: folder or fsspec URL of the Zarr group.
        bands: names of the bands wanted, in this order; empty: all of the cube, in its order.

    Raises:
        DataError: no cube is there, or it lacks a band.
    """
    group = open_arrays(path)
    imagery: Any = group["imagery"]
    names: Any = group["band"]
    there = [str(band) for band in names[...]]
    missing = [band for band in bands if band not in there]
    if missing:
        raise DataError(f"the cube {path} has no band {', '.join(missing)}", expected=f"bands among {', '.join(there)}")
    packed = np.asarray(imagery[0])
    if bands:
        packed = packed[[there.index(band) for band in bands]]
    attributes = imagery.attrs
    scale, offset = (np.float32(attributes.get(name, neutral)) for name, neutral in zip(_PACKING, (1, 0), strict=True))
    values: NDArray[np.float32] = packed.astype(np.float32) * scale + offset
    if "_FillValue" in attributes:
        values[packed == attributes["_FillValue"]] = np.nan
    return values


def read_mask(path: str, name: str) -> NDArray[np.bool_]:
    """Where a mask of a cube is 1, (y, x); neither 0 nor unknown count.

    Raises:
        DataError: no cube is there.
    """
    mask: Any = open_arrays(path)[name]
    return np.asarray(np.asarray(mask[...]) == 1)


def open_arrays(path: str) -> zarr.Group:
    """Open a cube as a Zarr group of packed arrays, without xarray's cost: for readers of many small windows.

    Raises:
        DataError: no cube is there, or it was not written to its end.
        ServiceUnavailableError, StoreError: the store cannot be reached, or refuses.
    """
    import zarr

    with _a_cube_at(path):
        return zarr.open_group(_store(path), mode="r", use_consolidated=True, zarr_format=3)


def _store(path: str) -> Any:
    from zarr.storage import FsspecStore, LocalStore

    if "://" not in path or path.startswith("file://"):
        return LocalStore(path.removeprefix("file://"), read_only=True)
    # one GET an object: with more than one connection for each, s3fs asks for the size of every object first
    options = {"max_concurrency": 1, "use_listings_cache": False} if path.startswith("s3://") else {}
    return FsspecStore.from_url(path, storage_options=options, read_only=True)


@contextlib.contextmanager
def _a_cube_at(path: str) -> Iterator[None]:
    try:
        with open_backend(path).guard(""):
            yield
    except NotPublishedError as error:
        raise DataError(f"no cube lies at {path}", do="run the stage that makes it again") from error
    except (KeyError, ValueError) as error:
        raise DataError(
            f"no cube can be opened at {path} ({type(error).__name__})",
            expected="a Zarr v3 group with consolidated metadata",
            do="run the stage that makes it again",
        ) from error
