"""Writes a cube as a Zarr v3 group in one pass: few objects, each written once, the group's metadata last.

The chunks are encoded here and not through zarr-python, whose bookkeeping for each array takes longer than the pixels
of a cube the size of a glacier (60 ms against 10 ms): a region has hundreds of thousands of such cubes. What is written
follows the Zarr v3 core specification, the codecs `bytes`, `blosc`, `vlen-utf8` and `sharding_indexed`
(https://zarr-specs.readthedocs.io) and zarr-python's consolidated metadata; the tests read it through zarr-python.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube.schema import GRID_MAPPING, integer_limits
from glacier_core.errors import DataError

if TYPE_CHECKING:
    import xarray as xr

CHUNK = 256
WHOLE_BELOW = 512
MANY_TIMES = 16
SHARD_TIMES = 64
_BATCH_BYTES = 64 * 2**20
# "." keeps the chunks of an array in one folder: making folders costs as much as writing files
_CHUNK_KEYS = {"name": "default", "configuration": {"separator": "."}}
_BYTES_CODEC = {"name": "bytes", "configuration": {"endian": "little"}}
_UNITS_OF_TIME = (
    ("seconds", 10**9),
    ("milliseconds", 10**6),
    ("microseconds", 10**3),
    ("nanoseconds", 1),
)


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
        OSError: the place cannot be written; stores translate it.
    """
    arrays = [_array_of(str(name), variable, dataset) for name, variable in dataset.variables.items()]
    documents = {array.name: array.metadata() for array in arrays}
    group = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": _jsonable(dataset.attrs),
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": documents},
    }
    put = _sink(path)
    put(itertools.chain.from_iterable(array.objects(documents[array.name]) for array in arrays))
    put([("zarr.json", _dumped(group))])


@dataclass(frozen=True)
class _Array:
    """One variable, ready to be written."""

    name: str
    """Name in the group."""
    dims: tuple[str, ...]
    """Names of the dimensions."""
    values: NDArray[Any]
    """Unpacked values; text as objects, times as integers."""
    dtype: np.dtype[Any]
    """Type on disk; object for text."""
    fill: Any
    """What stands for absent values, on disk."""
    packing: Mapping[str, float]
    """scale_factor, add_offset and _FillValue, where values are packed."""
    attributes: Mapping[str, Any]
    """Attributes as they are written."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of what is compressed together."""
        lengths = dict(zip(self.dims, self.values.shape, strict=True))
        if lengths.get("time", 0) > MANY_TIMES and "y" in lengths:
            lengths["time"] = 1
        for name in ("y", "x"):
            if lengths.get(name, 0) > WHOLE_BELOW and self.values.ndim > 1:
                lengths[name] = CHUNK
        return tuple(max(length, 1) for length in lengths.values())

    @property
    def shards(self) -> tuple[int, ...]:
        """The shape of what is stored as one object."""
        return tuple(
            min(length, SHARD_TIMES) if name == "time" and chunk == 1 and length > 1 else chunk
            for name, length, chunk in zip(self.dims, self.values.shape, self.chunks, strict=True)
        )

    def metadata(self) -> dict[str, Any]:
        """The array's `zarr.json`."""
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.values.shape),
            "data_type": "string" if self.dtype.kind == "O" else self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(self.shards)}},
            "chunk_key_encoding": _CHUNK_KEYS,
            "fill_value": _fill_value(self.fill),
            "codecs": self._codecs(),
            "attributes": dict(self.attributes),
            "dimension_names": list(self.dims),
            "storage_transformers": [],
        }

    def objects(self, metadata: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
        """The array's objects, by path below the group."""
        yield f"{self.name}/zarr.json", _dumped(metadata)
        if not self.dims:
            if self.values != self.fill:
                yield f"{self.name}/c", self._encoded(self.values)
            return
        for index in _positions(self.values.shape, self.shards):
            window = tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, self.shards, strict=True))
            encoded = self._encoded if self.shards == self.chunks else self._sharded
            yield f"{self.name}/c.{'.'.join(map(str, index))}", encoded(self.values[window])

    def _codecs(self) -> list[dict[str, Any]]:
        if self.dtype.kind == "O":
            return [{"name": "vlen-utf8", "configuration": {}}]
        inner: list[dict[str, Any]] = [_BYTES_CODEC] if self.dtype.itemsize > 1 else [{"name": "bytes"}]
        if self._is_compressed:
            configuration = {"typesize": self.dtype.itemsize, "cname": "lz4", "clevel": 5}
            configuration |= {"shuffle": "bitshuffle", "blocksize": 0}
            inner.append({"name": "blosc", "configuration": configuration})
        if self.shards == self.chunks:
            return inner
        configuration = {
            "chunk_shape": list(self.chunks),
            "codecs": inner,
            "index_codecs": [_BYTES_CODEC, {"name": "crc32c"}],
            "index_location": "end",
        }
        return [{"name": "sharding_indexed", "configuration": configuration}]

    @property
    def _is_compressed(self) -> bool:
        # coordinates are smaller than what a codec adds to them
        return len(self.dims) > 1

    def _encoded(self, block: NDArray[Any]) -> bytes:
        if self.dtype.kind == "O":
            from numcodecs import VLenUTF8

            return bytes(VLenUTF8().encode(_padded(block, self.chunks, "")))
        packed = _padded(self._packed(block), self.chunks, self.fill)
        if not self._is_compressed:
            return packed.tobytes()
        from numcodecs import blosc

        return bytes(blosc.compress(packed, b"lz4", 5, blosc.BITSHUFFLE, 0))

    def _sharded(self, block: NDArray[Any]) -> bytes:
        """One shard: the chunks that hold something, then the index of offsets and sizes with its checksum."""
        import google_crc32c

        counts = tuple(whole // part for whole, part in zip(self.shards, self.chunks, strict=True))
        index = np.full((*counts, 2), np.iinfo(np.uint64).max, dtype="<u8")
        parts = []
        offset = 0
        for position in _positions(block.shape, self.chunks):
            window = tuple(slice(i * n, (i + 1) * n) for i, n in zip(position, self.chunks, strict=True))
            parts.append(self._encoded(block[window]))
            index[position] = offset, len(parts[-1])
            offset += len(parts[-1])
        listed = index.tobytes()
        return b"".join((*parts, listed, int(google_crc32c.value(listed)).to_bytes(4, "little")))

    def _packed(self, block: NDArray[Any]) -> NDArray[Any]:
        if not self.packing:
            return np.ascontiguousarray(block, dtype=self.dtype)
        low, high = integer_limits(self.dtype, int(self.fill))
        # float32 carries 16-bit integers exactly; wider ones need float64
        working = np.float32 if self.dtype.itemsize <= 2 else np.float64
        offset, steps = self.packing["add_offset"], working(1 / self.packing["scale_factor"])
        packed = np.empty(block.shape, dtype=self.dtype)
        # one image at a time stays in the processor's cache: twice as fast as all at once
        for index in np.ndindex(block.shape[:-2]):
            with np.errstate(over="ignore"):
                scaled = np.subtract(block[index], offset, dtype=working) * steps
            absent = ~np.isfinite(block[index])
            np.rint(scaled, out=scaled)
            np.clip(scaled, low, high, out=scaled)
            scaled[absent] = self.fill
            packed[index] = scaled
        return packed


def _array_of(name: str, variable: xr.Variable, dataset: xr.Dataset) -> _Array:
    dims = tuple(str(dim) for dim in variable.dims)
    values = np.asarray(variable.values)
    attributes = {key: value for key, value in variable.attrs.items() if key != "coordinates"}
    packing: dict[str, float] = {}
    dtype: np.dtype[Any]
    fill: Any
    if values.dtype.kind in "OUT":
        values, dtype, fill = values.astype(str).astype(object), np.dtype(object), ""
    elif values.dtype.kind == "M":
        values, attributes["units"] = _counted(values)
        attributes["calendar"] = "proleptic_gregorian"
        dtype, fill = np.dtype(np.int64), 0
    elif values.dtype.kind == "b":
        values, dtype, fill = values.astype(np.uint8), np.dtype(np.uint8), 0
    elif "scale_factor" in variable.encoding:
        packing = {key: variable.encoding[key] for key in ("scale_factor", "add_offset", "_FillValue")}
        attributes |= packing
        dtype, fill = np.dtype(variable.encoding["dtype"]), packing["_FillValue"]
    elif values.dtype.kind in "iuf":
        dtype, fill = values.dtype.newbyteorder("="), (float("nan") if values.dtype.kind == "f" else 0)
    else:
        raise DataError(f"variable {name} is of type {values.dtype}", expected="numbers, text or times")
    if set(dims) >= {"y", "x"}:
        attributes["grid_mapping"] = GRID_MAPPING
    attributes |= _auxiliary(name, dims, dataset)
    return _Array(
        name=name,
        dims=dims,
        values=values,
        dtype=dtype,
        fill=fill,
        packing=packing,
        attributes=_jsonable(attributes),
    )


def _auxiliary(name: str, dims: tuple[str, ...], dataset: xr.Dataset) -> dict[str, str]:
    """CF's `coordinates`: those that are not dimensions, named by each data variable that they belong to."""
    if name in dataset.coords:
        return {}
    beside = [
        str(key)
        for key, coordinate in dataset.coords.items()
        if key not in dataset.dims and key != GRID_MAPPING and set(coordinate.dims) <= set(dims)
    ]
    return {"coordinates": " ".join(sorted(beside))} if beside else {}


def _counted(times: NDArray[np.datetime64]) -> tuple[NDArray[np.int64], str]:
    """Times as counts since 1970, in the coarsest unit that keeps them exactly."""
    if np.isnat(times).any():
        raise DataError("a time of the cube is missing", expected="a date for every image")
    counts = times.astype("datetime64[ns]").astype(np.int64)
    name, size = next(unit for unit in _UNITS_OF_TIME if not (counts % unit[1]).any())
    return counts // size, f"{name} since 1970-01-01T00:00:00"


def _positions(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterable[tuple[int, ...]]:
    return itertools.product(*(range(math.ceil(length / size)) for length, size in zip(shape, chunks, strict=True)))


def _padded(block: NDArray[Any], shape: tuple[int, ...], fill: Any) -> NDArray[Any]:
    """The block filled up to a whole chunk, as every chunk of a regular grid must be."""
    if block.shape == shape or not shape:
        return np.ascontiguousarray(block)
    whole = np.full(shape, fill, dtype=block.dtype)
    whole[tuple(slice(length) for length in block.shape)] = block
    return whole


def _fill_value(fill: Any) -> Any:
    return "NaN" if isinstance(fill, float) and math.isnan(fill) else fill


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, np.generic | np.ndarray):
        return _jsonable(value.tolist())
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    raise DataError(f"an attribute of the cube is a {type(value).__name__}", expected="text, numbers or lists of them")


def _dumped(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()


def _sink(path: str) -> Any:
    """A function that writes objects below `path`."""
    if "://" not in path or path.startswith("file://"):
        folder = Path(path.removeprefix("file://"))

        def put_files(objects: Iterable[tuple[str, bytes]]) -> None:
            made: set[Path] = set()
            for name, data in objects:
                target = folder / name
                if target.parent not in made:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    made.add(target.parent)
                target.write_bytes(data)

        return put_files
    import fsspec

    system, root = fsspec.core.url_to_fs(path)

    def put_objects(objects: Iterable[tuple[str, bytes]]) -> None:
        # several at a time: a cube's objects are small, and each costs a round trip
        batch: dict[str, bytes] = {}
        for name, data in objects:
            batch[f"{root}/{name}"] = data
            if sum(map(len, batch.values())) >= _BATCH_BYTES:
                system.pipe(batch)
                batch = {}
        if batch:
            system.pipe(batch)

    return put_objects
