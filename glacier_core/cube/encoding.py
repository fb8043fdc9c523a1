"""One variable of a cube as Zarr v3 objects: its chunks and shards, its metadata, and its blocks encoded.

The chunks are encoded here and not through zarr-python, whose bookkeeping for each array takes longer than the pixels
of a cube the size of a glacier (60 ms against 10 ms): a region has hundreds of thousands of such cubes. What is written
follows the Zarr v3 core specification, the codecs `bytes`, `blosc`, `vlen-utf8` and `sharding_indexed`
(https://zarr-specs.readthedocs.io) and zarr-python's consolidated metadata; the tests read it through zarr-python.
"""

from __future__ import annotations

import itertools
import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube.schema import GRID_MAPPING, integer_limits
from glacier_core.errors import DataError

if TYPE_CHECKING:
    import xarray as xr

GROUP = "zarr.json"
CHUNK = 256
WHOLE_BELOW = 512
MANY_TIMES = 16
SHARD_TIMES = 64
# "." keeps the chunks of an array in one folder: making folders costs as much as writing files
_CHUNK_KEYS = {"name": "default", "configuration": {"separator": "."}}
_BYTES_CODEC = {"name": "bytes", "configuration": {"endian": "little"}}
_UINT32 = struct.Struct("<I")
_UNITS_OF_TIME = (
    ("seconds", 10**9),
    ("milliseconds", 10**6),
    ("microseconds", 10**3),
    ("nanoseconds", 1),
)


@dataclass(frozen=True)
class Layout:
    """How one variable lies in a cube."""

    name: str
    """Name in the group."""
    dims: tuple[str, ...]
    """Names of the dimensions."""
    shape: tuple[int, ...]
    """Length of each dimension."""
    chunks: tuple[int, ...]
    """The shape of what is compressed together."""
    shards: tuple[int, ...]
    """The shape of what is stored as one object."""
    dtype: np.dtype[Any]
    """Type on disk; object for text."""
    fill: Any
    """What stands for absent values, on disk."""
    attributes: Mapping[str, Any]
    """Attributes as they are written; scale_factor and add_offset among them where values are packed."""

    @classmethod
    def from_metadata(cls, name: str, document: Mapping[str, Any]) -> Layout:
        """The inverse of `metadata`."""
        shards = tuple(document["chunk_grid"]["configuration"]["chunk_shape"])
        first = document["codecs"][0]
        is_sharded = first["name"] == "sharding_indexed"
        fill, kind = document["fill_value"], document["data_type"]
        return cls(
            name=name,
            dims=tuple(document["dimension_names"]),
            shape=tuple(document["shape"]),
            chunks=tuple(first["configuration"]["chunk_shape"]) if is_sharded else shards,
            shards=shards,
            dtype=np.dtype(object if kind == "string" else kind),
            fill=math.nan if fill == "NaN" else fill,
            attributes=document["attributes"],
        )

    def metadata(self) -> dict[str, Any]:
        """The array's `zarr.json`."""
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": "string" if self.dtype.kind == "O" else self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(self.shards)}},
            "chunk_key_encoding": _CHUNK_KEYS,
            "fill_value": "NaN" if isinstance(self.fill, float) and math.isnan(self.fill) else self.fill,
            "codecs": self._codecs(),
            "attributes": dict(self.attributes),
            "dimension_names": list(self.dims),
            "storage_transformers": [],
        }

    def objects(self, values: NDArray[Any]) -> Iterator[tuple[str, bytes]]:
        """All objects of the array, metadata first, by path below the group."""
        yield f"{self.name}/{GROUP}", dumped(self.metadata())
        if not self.dims:
            if values != self.fill:
                yield f"{self.name}/c", self._encoded(values)
            return
        for index in positions(self.shape, self.shards):
            yield self.key(index), self.shard(values[window_of(index, self.shards)])

    def key(self, index: Sequence[int]) -> str:
        """The path below the group of the shard at `index`, counted in shards."""
        return f"{self.name}/c.{'.'.join(map(str, index))}"

    def shard(self, block: NDArray[Any]) -> bytes:
        """One object: `block` is its unpacked values, smaller than a shard only at the array's end."""
        return self._encoded(block) if self.shards == self.chunks else self._sharded(block)

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
            return text_encoded(_padded(block, self.chunks, "").reshape(-1).tolist())
        packed = _padded(self._packed(block), self.chunks, self.fill)
        if not self._is_compressed:
            return packed.tobytes()
        from imagecodecs import blosc_encode

        # one thread: with more, blosc stores its blocks in the order in which they happen to be done
        encode: Any = blosc_encode
        return bytes(encode(packed, 5, compressor="lz4", shuffle="bitshuffle", typesize=packed.itemsize, numthreads=1))

    def _sharded(self, block: NDArray[Any]) -> bytes:
        """One shard: its chunks, then the index of offsets and sizes with its checksum."""
        import google_crc32c

        counts = tuple(whole // part for whole, part in zip(self.shards, self.chunks, strict=True))
        index = np.full((*counts, 2), np.iinfo(np.uint64).max, dtype="<u8")
        parts = []
        offset = 0
        for position in positions(block.shape, self.chunks):
            parts.append(self._encoded(block[window_of(position, self.chunks)]))
            index[position] = offset, len(parts[-1])
            offset += len(parts[-1])
        listed = index.tobytes()
        return b"".join((*parts, listed, int(google_crc32c.value(listed)).to_bytes(4, "little")))

    def _packed(self, block: NDArray[Any]) -> NDArray[Any]:
        if "scale_factor" not in self.attributes:
            return np.ascontiguousarray(block, dtype=self.dtype)
        low, high = integer_limits(self.dtype, int(self.fill))
        # float32 carries 16-bit integers exactly; wider ones need float64
        working = np.float32 if self.dtype.itemsize <= 2 else np.float64
        offset, steps = self.attributes["add_offset"], working(1 / self.attributes["scale_factor"])
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


def laid_out(
    name: str, variable: xr.Variable, dataset: xr.Dataset, *, shard_times: int = 0
) -> tuple[Layout, NDArray[Any]]:
    """How a variable of a dataset will lie, and its values ready to be encoded: text as objects, times as integers.

    Args:
        name: its name in the dataset.
        variable: the variable; it is packed as its encoding says.
        dataset: where it belongs; names the coordinates beside it.
        shard_times: how many times a shard may hold where there are many; 0: the usual number.

    Raises:
        DataError: the variable is of a kind that a cube does not hold.
    """
    dims = tuple(str(dim) for dim in variable.dims)
    values = np.asarray(variable.values)
    attributes = {key: value for key, value in variable.attrs.items() if key != "coordinates"}
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
        attributes |= {key: variable.encoding[key] for key in ("scale_factor", "add_offset", "_FillValue")}
        dtype, fill = np.dtype(variable.encoding["dtype"]), variable.encoding["_FillValue"]
    elif values.dtype.kind in "iuf":
        dtype, fill = values.dtype.newbyteorder("="), (math.nan if values.dtype.kind == "f" else 0)
    else:
        raise DataError(f"variable {name} is of type {values.dtype}", expected="numbers, text or times")
    if set(dims) >= {"y", "x"}:
        attributes["grid_mapping"] = GRID_MAPPING
    attributes |= _auxiliary(name, dims, dataset)
    chunks, shards = _chunks_and_shards(dims, values.shape, shard_times)
    layout = Layout(
        name=name,
        dims=dims,
        shape=values.shape,
        chunks=chunks,
        shards=shards,
        dtype=dtype,
        fill=fill,
        attributes=jsonable(attributes),
    )
    return layout, values


def _chunks_and_shards(
    dims: Sequence[str], shape: Sequence[int], shard_times: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    lengths = dict(zip(dims, shape, strict=True))
    times = lengths.get("time", 0)
    is_sharded = "y" in lengths and times > (min(shard_times, MANY_TIMES) or MANY_TIMES)
    if is_sharded:
        lengths["time"] = 1
    for name in ("y", "x"):
        if lengths.get(name, 0) > WHOLE_BELOW and len(shape) > 1:
            lengths[name] = CHUNK
    chunks = {name: max(length, 1) for name, length in lengths.items()}
    shards = chunks | ({"time": min(times, shard_times or SHARD_TIMES)} if is_sharded else {})
    return tuple(chunks.values()), tuple(shards.values())


def group_document(attributes: Mapping[Any, Any], layouts: Iterable[Layout]) -> dict[str, Any]:
    """The group's `zarr.json`, with the metadata of all of its arrays."""
    metadata = {layout.name: layout.metadata() for layout in layouts}
    return {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": jsonable(attributes),
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": metadata},
    }


def positions(shape: Sequence[int], chunks: Sequence[int]) -> Iterable[tuple[int, ...]]:
    """The index of every chunk of an array, counted in chunks."""
    return itertools.product(*(range(math.ceil(length / size)) for length, size in zip(shape, chunks, strict=True)))


def window_of(index: Sequence[int], chunks: Sequence[int]) -> tuple[slice, ...]:
    """The elements of the chunk at `index`; the last ones may reach beyond the array."""
    return tuple(slice(i * size, (i + 1) * size) for i, size in zip(index, chunks, strict=True))


def text_encoded(texts: Sequence[str]) -> bytes:
    """Text as the codec `vlen-utf8` has it: how many, then each one's length and bytes."""
    encoded = [text.encode() for text in texts]
    return b"".join(
        itertools.chain([_UINT32.pack(len(encoded))], *((_UINT32.pack(len(text)), text) for text in encoded))
    )


def text_decoded(data: bytes) -> list[str]:
    """The inverse of `text_encoded`.

    Raises:
        ValueError: the bytes are no such text.
    """
    try:
        texts, place = [], 4
        for _ in range(_UINT32.unpack_from(data)[0]):
            start = place + 4
            place = start + _UINT32.unpack_from(data, place)[0]
            texts.append(data[start:place].decode())
    except struct.error as error:
        raise ValueError("text that is cut short") from error
    if place != len(data):
        raise ValueError(f"text of {len(data)} bytes", place)
    return texts


def jsonable(value: Any) -> Any:
    """Attributes as JSON knows them.

    Raises:
        DataError: one has no JSON form.
    """
    if isinstance(value, Mapping):
        return {str(key): jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(inner) for inner in value]
    if isinstance(value, np.generic | np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    raise DataError(f"an attribute of the cube is a {type(value).__name__}", expected="text, numbers or lists of them")


def dumped(document: Mapping[str, Any]) -> bytes:
    """A document as it is stored."""
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()


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


def _padded(block: NDArray[Any], shape: tuple[int, ...], fill: Any) -> NDArray[Any]:
    """The block filled up to a whole chunk, as every chunk of a regular grid must be."""
    if block.shape == shape or not shape:
        return np.ascontiguousarray(block)
    whole = np.full(shape, fill, dtype=block.dtype)
    whole[tuple(slice(length) for length in block.shape)] = block
    return whole
