"""Tables as Parquet, to bytes and back."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from geopandas import GeoDataFrame

# A thread of Arrow that still holds a Python file when the interpreter ends aborts the whole process (apache/arrow
# issue 34314): it is given memory of its own to read from, and no threads.
_QUIETLY: dict[str, Any] = {"use_threads": False, "pre_buffer": False}


def to_parquet(frame: pd.DataFrame | GeoDataFrame) -> bytes:
    """A table, with or without geometries, as a Parquet file; its index is left out."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def from_parquet(content: bytes) -> pd.DataFrame:
    """The inverse of `to_parquet`, without geometries."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table: pd.DataFrame = pq.read_table(pa.BufferReader(content), **_QUIETLY).to_pandas()
    return table


def from_geoparquet(content: bytes) -> GeoDataFrame:
    """The inverse of `to_parquet`, with geometries."""
    import geopandas
    import pyarrow as pa

    return geopandas.read_parquet(pa.BufferReader(content), **_QUIETLY)
