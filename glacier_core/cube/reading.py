"""Reads cubes: as an xarray dataset, as Zarr arrays, or one variable's window as an array."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube.pixels import open_pixels
from glacier_core.errors import DataError, NotPublishedError
from glacier_core.store.backends import FileBackend, S3Backend, open_backend

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
        ServiceUnavailableError, StoreError: the store cannot be reached, or refuses; also when pixels are read.
            A damaged chunk of a local cube is a RuntimeError of its decoder then; `read_window` says which it is.
    """
    import xarray as xr

    with _a_cube_at(path), _codecs_for(path):
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


def read_window(
    path: str,
    *,
    times: slice = slice(None),
    bands: Sequence[str] = (),
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> NDArray[np.float32]:
    """A window of a cube's imagery, (time, band, y, x), physical values with NaN, without xarray's cost.

    Args:
        path: folder or fsspec URL of the Zarr group.
        times: which images.
        bands: names of the bands wanted, in this order; empty: all of the cube, in its order.
        rows: which rows.
        columns: which columns.

    Raises:
        DataError: no cube is there, or it lacks a band.
        StoreError: a chunk is damaged or cut short, or the store refuses.
        ServiceUnavailableError: the store cannot be reached.
    """
    return open_pixels(path).physical(times=times, bands=bands, rows=rows, columns=columns)


def read_image(path: str, *, bands: Sequence[str] = ()) -> NDArray[np.float32]:
    """The first time of a cube's imagery, (band, y, x), physical values with NaN, without xarray's cost.

    Args:
        path: folder or fsspec URL of the Zarr group.
        bands: names of the bands wanted, in this order; empty: all of the cube, in its order.

    Raises:
        DataError, StoreError, ServiceUnavailableError: as `read_window`.
    """
    image: NDArray[np.float32] = read_window(path, times=slice(1), bands=bands)[0]
    return image


def read_mask(path: str, name: str) -> NDArray[np.bool_]:
    """Where a mask of a cube is 1, (y, x); neither 0 nor unknown count.

    Raises:
        DataError, StoreError, ServiceUnavailableError: as `read_window`.
    """
    return np.asarray(open_pixels(path).read(name) == 1)


def open_arrays(path: str) -> Mapping[str, zarr.Array[Any]]:
    """Open a cube as Zarr arrays, by name, as they are stored: for what neither xarray nor `read_window` does.

    Raises:
        DataError: no cube is there, or it was not written to its end.
        ServiceUnavailableError, StoreError: the store cannot be reached, or refuses; also when pixels are read.
    """
    import zarr

    with _a_cube_at(path), _codecs_for(path):
        group = zarr.open_group(_store(path), mode="r", use_consolidated=True, zarr_format=3)
        return dict(group.arrays())


@contextlib.contextmanager
def _codecs_for(path: str) -> Iterator[None]:
    """Have arrays of local cubes that are opened meanwhile decoded by zarrs, which is written in Rust.

    An array keeps the pipeline that it was opened with, so nothing stays set for the arrays of others.
    """
    import zarr

    if not isinstance(open_backend(path), FileBackend):
        yield
        return
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}), warnings.catch_warnings():
        # text is left to zarr-python, and zarrs warns of it
        warnings.filterwarnings("ignore", message="Array is unsupported by ZarrsCodecPipeline")
        yield


def _store(path: str) -> Any:
    from zarr.storage import FsspecStore, LocalStore

    backend = open_backend(path)
    if isinstance(backend, FileBackend):
        return LocalStore(backend.root, read_only=True)
    if isinstance(backend, S3Backend):
        from glacier_core.cube.zarr_store import CubeStore

        return CubeStore(backend)
    return FsspecStore.from_url(path, read_only=True)


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
