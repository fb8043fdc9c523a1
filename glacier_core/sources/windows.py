"""One band of any file that GDAL opens, on a given grid, reading no more of the file than the window needs.

The geometry and the choice of the overview are odc-geo's and odc-stac's, which the tests hold this against. Where the
file's lattice and the grid's agree, pixels are copied; else they are warped by GDAL. odc-stac's own reader knows no
masks beside nodata numbers, takes no open file, and logs the links that it cannot read with their signatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.grids import Grid

Resampling = Literal["nearest", "bilinear"]

SHIFT_PX = 0.05
"""Lattices that are less than this part of a pixel apart agree."""
NO_OVERVIEW = -1
"""The file itself."""
MARGIN_PX = 4
"""Pixels read beyond the window, so that interpolation at its edge sees its neighbours."""


def read_band(
    dataset: Any, *, index: int, grid: Grid, resampling: Resampling, nodata: float | None
) -> NDArray[np.float32]:
    """Numbers (y, x) of one band on `grid` as float32; NaN where the file has none.

    Args:
        dataset: open `rasterio.DatasetReader` with a CRS.
        index: number of the band, from 1.
        grid: where the pixels are wanted.
        resampling: how values between pixels are found, where the lattices do not agree.
        nodata: number that stands for no data where the file names none.

    Raises:
        rasterio.errors.RasterioError: the file cannot be decoded there.
    """
    import numpy as np
    import rasterio
    from odc.geo.converters import rio_geobox
    from odc.geo.overlap import compute_reproject_roi
    from odc.geo.roi import roi_is_empty

    target = grid.geobox()
    overlap = compute_reproject_roi(rio_geobox(dataset), target, ttol=SHIFT_PX)
    level = picked_overview(overlap.read_shrink, dataset.overviews(index)) if overlap.read_shrink > 1 else NO_OVERVIEW
    if level != NO_OVERVIEW:
        with rasterio.open(dataset.name, overview_level=level, sharing=False) as overview:
            # an overview knows no nodata number of its own
            missing = dataset.nodatavals[index - 1]
            return read_band(
                overview, index=index, grid=grid, resampling=resampling, nodata=nodata if missing is None else missing
            )
    pixels = np.full(grid.shape, np.nan, np.float32)
    if roi_is_empty(overlap.roi_src) or roi_is_empty(overlap.roi_dst):
        return pixels
    if overlap.paste_ok and overlap.read_shrink == 1:
        pixels[_slices(overlap.roi_dst)] = _read(dataset, index, _slices(overlap.roi_src), nodata)
        return pixels
    window = _widened(_slices(overlap.roi_src), dataset.shape)
    _warp(dataset, index, window, nodata, pixels=pixels, grid=grid, how=resampling)
    return pixels


def picked_overview(shrink: int, overviews: Sequence[int]) -> int:
    """The overview to read where a grid is `shrink` times coarser than the file: as odc-stac picks it.

    Args:
        shrink: file pixels for each pixel of the grid.
        overviews: how much coarser than the file each of its overviews is, in order.

    Returns:
        Its place in `overviews`; NO_OVERVIEW where the file itself serves.
    """
    if not overviews or shrink < overviews[0]:
        return NO_OVERVIEW
    picked = 0
    for place, factor in enumerate(overviews):
        if factor > shrink:
            break
        picked = place
    return picked


def _warp(
    dataset: Any,
    index: int,
    window: tuple[slice, slice],
    nodata: float | None,
    *,
    pixels: NDArray[np.float32],
    grid: Grid,
    how: Resampling,
) -> None:
    import numpy as np
    from rasterio.enums import Resampling as Methods
    from rasterio.warp import reproject

    rows, columns = window
    reproject(
        _read(dataset, index, window, nodata),
        pixels,
        src_transform=dataset.window_transform(((rows.start, rows.stop), (columns.start, columns.stop))),
        src_crs=dataset.crs,
        src_nodata=np.nan,
        dst_transform=grid.affine(),
        dst_crs=grid.crs,
        dst_nodata=np.nan,
        resampling=Methods[how],
    )


def _read(dataset: Any, index: int, window: tuple[slice, slice], nodata: float | None) -> NDArray[np.float32]:
    """A window of the file as float32, NaN where it has no data."""
    import numpy as np
    from rasterio.enums import MaskFlags

    from_slices = tuple((part.start, part.stop) for part in window)
    numbers: NDArray[np.float32] = dataset.read(index, window=from_slices, out_dtype=np.float32)
    own = dataset.nodatavals[index - 1]
    missing = own if own is not None else nodata
    if missing is not None:
        numbers[numbers == np.float32(missing)] = np.nan
    if own is None and MaskFlags.all_valid not in dataset.mask_flag_enums[index - 1]:
        numbers[dataset.read_masks(index, window=from_slices) == 0] = np.nan
    return numbers


def _slices(window: Any) -> tuple[slice, slice]:
    """odc-geo's own kind of slices as plain ones."""
    rows, columns = window
    return slice(rows.start, rows.stop), slice(columns.start, columns.stop)


def _widened(window: tuple[slice, slice], shape: tuple[int, int]) -> tuple[slice, slice]:
    rows, columns = (
        slice(max(part.start - MARGIN_PX, 0), min(part.stop + MARGIN_PX, size))
        for part, size in zip(window, shape, strict=True)
    )
    return rows, columns
