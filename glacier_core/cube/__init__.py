"""The cube: a georeferenced Zarr v3 group with dims (time, band, y, x)."""

from __future__ import annotations

from glacier_core.cube.pixels import CubePixels, open_pixels, unpacked
from glacier_core.cube.reading import open_arrays, open_cube, read_image, read_mask, read_window
from glacier_core.cube.schema import (
    DIGITAL_NUMBER,
    IGNORED,
    IMAGERY,
    LOCAL_CRS,
    MIXED,
    PACKINGS,
    PROBABILITY,
    REFLECTANCE,
    Packing,
    grid_of,
    make_cube,
    make_mask_cube,
    packing_of,
)
from glacier_core.cube.streaming import CubeWriter, create_cube, join_cube
from glacier_core.cube.writing import write_cube

__all__ = [
    "DIGITAL_NUMBER",
    "IGNORED",
    "IMAGERY",
    "LOCAL_CRS",
    "MIXED",
    "PACKINGS",
    "PROBABILITY",
    "REFLECTANCE",
    "CubePixels",
    "CubeWriter",
    "Packing",
    "create_cube",
    "grid_of",
    "join_cube",
    "make_cube",
    "make_mask_cube",
    "open_arrays",
    "open_cube",
    "open_pixels",
    "packing_of",
    "read_image",
    "read_mask",
    "read_window",
    "unpacked",
    "write_cube",
]
