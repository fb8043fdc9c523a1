"""The cube: a georeferenced Zarr v3 group with dims (time, band, y, x)."""

from __future__ import annotations

from glacier_core.cube.reading import open_arrays, open_cube, read_image, read_mask
from glacier_core.cube.schema import (
    DIGITAL_NUMBER,
    IGNORED,
    LOCAL_CRS,
    PROBABILITY,
    REFLECTANCE,
    Packing,
    grid_of,
    make_cube,
    make_mask_cube,
)
from glacier_core.cube.writing import write_cube

__all__ = [
    "DIGITAL_NUMBER",
    "IGNORED",
    "LOCAL_CRS",
    "PROBABILITY",
    "REFLECTANCE",
    "Packing",
    "grid_of",
    "make_cube",
    "make_mask_cube",
    "open_arrays",
    "open_cube",
    "read_image",
    "read_mask",
    "write_cube",
]
