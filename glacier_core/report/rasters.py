"""Masks of ice as Cloud Optimized GeoTIFFs (https://docs.ogc.org/is/21-026/21-026.html)."""

from __future__ import annotations

from pathlib import Path

from glacier_core.report.inputs import YearImage
from glacier_core.report.naming import file_name
from glacier_core.report.overview import YearRow

NODATA = 255
COLOURS = {0: (214, 204, 190, 255), 1: (0, 114, 178, 255), NODATA: (0, 0, 0, 0)}


def mask_path(glacier_id: str, year: int) -> str:
    """Where the mask of a unit lies below the products' folder."""
    return f"masks/{file_name(glacier_id)}/{year}.tif"


def write_mask(folder: Path, *, row: YearRow, glacier_id: str, image: YearImage, model: str) -> str:
    """Write one mask: 1 ice, 0 no ice, 255 outside the glacier's domain or not seen.

    Args:
        folder: the products' folder.
        row: the unit's measurement.
        glacier_id: RGI id.
        image: what was predicted.
        model: name and version.

    Returns:
        The file's path below `folder`.
    """
    import numpy as np
    import rasterio
    from rasterio.enums import ColorInterp

    known = image.domain & image.observed
    values = np.where(known, image.ice, NODATA).astype(np.uint8)
    relative = mask_path(glacier_id, row.year)
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="COG",
        width=image.grid.width,
        height=image.grid.height,
        count=1,
        dtype="uint8",
        crs=image.grid.crs,
        transform=image.grid.affine(),
        nodata=NODATA,
        compress="DEFLATE",
        blocksize=256,
        overview_resampling="NEAREST",
    ) as file:
        file.write(values, 1)
        file.write_colormap(1, COLOURS)
        file.colorinterp = [ColorInterp.palette]
        file.set_band_description(1, "ice: 0 no, 1 yes")
        file.update_tags(
            glacier_id=glacier_id,
            year=str(row.year),
            scenes=";".join(row.scenes),
            model=model,
            flags=";".join(row.flags),
        )
    return relative
