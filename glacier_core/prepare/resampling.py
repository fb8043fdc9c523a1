"""From one grid to another: what is not known is never blended into what is.

Averages between grids of one CRS are exact sums of overlaps. All else is done by GDAL's warper
(https://gdal.org/en/stable/api/gdalwarp_cpp.html), band by band: it drops unknown pixels from an interpolation and
shares their weight among the others; given several bands at once it would do so only where all of them are unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import IGNORED, LOCAL_CRS, grid_of, make_cube
from glacier_core.errors import DataError
from glacier_core.prepare.carrying import CubeVariable, as_given, own_attributes, packing_like

if TYPE_CHECKING:
    import xarray as xr

    from glacier_core.grids import Grid

Method: TypeAlias = Literal["nearest", "bilinear", "average", "mode"]
"""nearest: the pixel below the centre. bilinear: between the four around it. average: the mean of the ground that the
pixel covers, by area. mode: the class that covers most of it."""

SPATIAL = ("y", "x")
GRID_MAPPING = "spatial_ref"

COARSER = 1.5
"""A target whose pixels are this many times larger is averaged: bilinear would see a part of the ground alone."""
WARP_MEMORY_MB = 64


def resample(
    pixels: NDArray[np.float32], *, source: Grid, target: Grid, method: Method | None = None
) -> NDArray[np.float32]:
    """Continuous values on another grid.

    Args:
        pixels: (..., y, x) float32 on `source`, NaN where unknown.
        source: where the pixels lie.
        target: where they are wanted. Either both grids have a CRS, or neither has.
        method: how; None for the average where the target's pixels are `COARSER` times larger, else bilinear.

    Returns:
        (..., y, x) float32 on `target`; NaN where `source` has nothing known.

    Raises:
        DataError: the pixels do not fit `source`, or the grids cannot be related.
    """
    chosen = method or method_for(source, target)
    return _warped(np.asarray(pixels, dtype=np.float32), source, target, chosen, float("nan"))


def resample_classes(
    codes: NDArray[np.uint8],
    *,
    source: Grid,
    target: Grid,
    method: Literal["nearest", "mode"] = "nearest",
    unknown: int = IGNORED,
) -> NDArray[np.uint8]:
    """Masks or classes on another grid; codes are never mixed.

    Args:
        codes: (..., y, x) uint8 on `source`.
        source: where they lie.
        target: where they are wanted.
        method: the code below each pixel's centre, or the one that covers most of it.
        unknown: the code that stands for "not known" there and here.

    Raises:
        DataError: as `resample`.
    """
    return _warped(np.asarray(codes, dtype=np.uint8), source, target, method, unknown)


def resample_cube(
    cube: xr.Dataset, target: Grid, *, method: Method | None = None, class_fill: Mapping[str, int] | None = None
) -> xr.Dataset:
    """Every variable of a cube on another grid: continuous ones by `resample`, integers by `resample_classes`.

    Args:
        cube: a cube; its pixels are read one image at a time.
        target: where the pixels are wanted.
        method: how continuous values are found; see `resample`.
        class_fill: for integer variables by name, the code that stands for "not known": 0 for `scene_class`, else
            `IGNORED`.

    Returns:
        The cube in memory, with the same times, bands, attributes and packing.

    Raises:
        DataError: as `resample`; the dataset has no georeference.
    """
    if "imagery" not in cube:
        raise DataError("the dataset has no imagery", expected="a cube")
    source = grid_of(cube)
    fills = {"scene_class": 0, **(class_fill or {})}
    made: dict[str, CubeVariable] = {}
    for name, variable in cube.variables.items():
        dims = tuple(str(dim) for dim in variable.dims)
        if dims[-2:] != SPATIAL:
            if name not in cube.dims and name != GRID_MAPPING:
                made[str(name)] = as_given(variable)
            continue
        fill = fills.get(str(name), IGNORED) if variable.dtype.kind in "ui" else None
        made[str(name)] = (dims, _images(variable, source, target, method, fill), variable.attrs)
    imagery = made.pop("imagery")[1]
    return make_cube(
        grid=target,
        times=cube["time"].values,
        bands=[str(band) for band in cube["band"].values],
        imagery=imagery,
        packing=packing_like(cube["imagery"], peak=lambda: float(np.nanmax(imagery))),
        extra=made,
        attrs=own_attributes(cube),
    )


def _images(variable: xr.Variable, source: Grid, target: Grid, method: Method | None, fill: int | None) -> NDArray[Any]:
    """A variable's images on the target, read one after the other: classes where they have a fill."""
    values = np.empty((*variable.shape[:-2], *target.shape), np.float32 if fill is None else np.uint8)
    for index in np.ndindex(variable.shape[:-2][:1]):
        image = variable[index].values
        values[index] = (
            resample(image, source=source, target=target, method=method)
            if fill is None
            else resample_classes(image, source=source, target=target, unknown=fill)
        )
    return values


def method_for(source: Grid, target: Grid) -> Literal["bilinear", "average"]:
    """How continuous values are found by default: by how large the target's pixels are at its centre."""
    from rasterio.errors import CRSError, RasterioError
    from rasterio.warp import transform_bounds

    _relate(source, target)
    width, height = abs(target.transform[0]), abs(target.transform[4])
    if _crs(source) != _crs(target):
        left, bottom, right, top = target.bounds
        x, y = (left + right) / 2, (bottom + top) / 2
        try:
            left, bottom, right, top = transform_bounds(
                target.crs, source.crs, x - width / 2, y - height / 2, x + width / 2, y + height / 2
            )
        except (CRSError, RasterioError) as error:
            raise _unrelated(source, target, error) from None
        width, height = right - left, top - bottom
    ratio = (width * height / abs(source.transform[0] * source.transform[4])) ** 0.5
    return "average" if ratio >= COARSER else "bilinear"


def _warped(pixels: NDArray[Any], source: Grid, target: Grid, method: Method, unknown: float) -> NDArray[Any]:
    if pixels.shape[-2:] != source.shape:
        raise DataError(f"the pixels have the shape {pixels.shape}", expected=f"{source.shape} rows and columns last")
    _relate(source, target)
    layers = pixels.reshape(-1, *source.shape)
    out = np.full((len(layers), *target.shape), unknown, pixels.dtype)
    if source == target:
        out[:] = layers
    elif method == "average" and _crs(source) == _crs(target):
        _average(layers, out, source, target)
    else:
        for layer, warped in zip(layers, out, strict=True):
            _warp_one(layer, warped, source, target, method, unknown)
    return out.reshape(*pixels.shape[:-2], *target.shape)


def _average(layers: NDArray[Any], out: NDArray[Any], source: Grid, target: Grid) -> None:
    """Means over the overlaps of two lattices: along rows, then along columns.

    GDAL's average gives pixels that only touch the source's edge its outermost values.
    """
    rows = _overlaps(target, source, axis=1)
    columns = _overlaps(target, source, axis=0)
    for layer, averaged in zip(layers, out, strict=True):
        known = np.isfinite(layer)
        total = (columns @ (rows @ np.where(known, layer, 0)).T).T
        weight = (columns @ (rows @ known.astype(np.float64)).T).T
        # an overlap by less than a millionth of the source's pixel is rounding
        np.divide(total, weight, out=averaged, where=weight > 1e-6, casting="same_kind")


def _overlaps(target: Grid, source: Grid, *, axis: int) -> Any:
    """Sparse (target's rows or columns, source's): the overlap of each two, in parts of the source's pixel."""
    from scipy.sparse import csr_array

    step, start = (source.transform[0], source.transform[2]) if axis == 0 else source.transform[4:]
    wanted_step, wanted_start = (target.transform[0], target.transform[2]) if axis == 0 else target.transform[4:]
    size, wanted = (source.width, target.width) if axis == 0 else source.shape[:1] + target.shape[:1]
    edges = (wanted_start + wanted_step * np.arange(wanted + 1) - start) / step
    low, high = np.clip(edges[:-1], 0, size), np.clip(edges[1:], 0, size)
    first = np.floor(low).astype(np.int64)
    reach = int(np.ceil(np.max(high - low, initial=0))) + 1
    index = first[:, None] + np.arange(reach)
    share = np.clip(np.minimum(index + 1, high[:, None]) - np.maximum(index, low[:, None]), 0, 1)
    position, there = np.broadcast_to(np.arange(wanted)[:, None], index.shape), share > 0
    return csr_array((share[there], (position[there], index[there])), shape=(wanted, size))


def _warp_one(
    layer: NDArray[Any], warped: NDArray[Any], source: Grid, target: Grid, method: Method, unknown: float
) -> None:
    from rasterio.enums import Resampling
    from rasterio.errors import CRSError, RasterioError
    from rasterio.warp import reproject

    # else GDAL widens the kernel by the ratio of pixel sizes, which it guesses wrongly where the grids are turned
    options = {"XSCALE": 1, "YSCALE": 1} if method == "bilinear" else {}
    try:
        reproject(
            np.ascontiguousarray(layer),
            warped,
            src_transform=source.affine(),
            src_crs=_crs(source),
            src_nodata=unknown,
            dst_transform=target.affine(),
            dst_crs=_crs(target),
            dst_nodata=unknown,
            resampling=Resampling[method],
            warp_mem_limit=WARP_MEMORY_MB,
            **options,
        )
    except (CRSError, RasterioError) as error:
        raise _unrelated(source, target, error) from None


def _relate(source: Grid, target: Grid) -> None:
    if _is_plane(source) != _is_plane(target):
        raise DataError(
            "one of the grids has no CRS, the other one has",
            expected="two grids of the Earth, or two of one plane",
        )


def _unrelated(source: Grid, target: Grid, error: Exception) -> DataError:
    return DataError(f"pixels cannot go from the CRS {source.crs[:40]!r} to {target.crs[:40]!r} ({error})")


def _is_plane(grid: Grid) -> bool:
    return not grid.crs or grid.crs == LOCAL_CRS


def _crs(grid: Grid) -> str:
    """The grid's CRS; for those without one any will do, as long as it is the same: GDAL then converts nothing."""
    return "EPSG:3857" if _is_plane(grid) else grid.crs
