"""Writes a cube that lies in memory as a Zarr v3 group: few objects, each written once, the group's metadata last."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from glacier_core.cube.encoding import GROUP, dumped, group_document, laid_out
from glacier_core.cube.objects import open_objects

if TYPE_CHECKING:
    import xarray as xr


def write_cube(path: str, dataset: xr.Dataset) -> None:
    """Write a dataset as a Zarr v3 group with consolidated metadata; what lies there already is written over.

    Pixels are compressed with blosc (lz4, bitshuffle). Rows and columns up to 512 make one chunk, longer ones chunks of
    256; up to 16 times share a chunk, more have a chunk each and share a shard. Text is UTF-8, times count from 1970.
    The group's own metadata are written last: at a new place, a cube that can be opened is whole.

    Args:
        path: folder or fsspec URL of the group.
        dataset: as `make_cube` makes it; variables are packed as their encoding says.

    Raises:
        DataError: a variable or attribute is of a kind that a cube does not hold.
        StoreError: the place cannot be written.
        ServiceUnavailableError: the store cannot be reached.
    """
    arrays = [laid_out(str(name), variable, dataset) for name, variable in dataset.variables.items()]
    document = group_document(dataset.attrs, [layout for layout, _ in arrays])
    objects = open_objects(path)
    objects.write_all(itertools.chain.from_iterable(layout.objects(values) for layout, values in arrays))
    objects.write(GROUP, dumped(document))
