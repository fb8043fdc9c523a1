"""Cubes written block by block: what is read is what was written, whoever writes which shard."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glacier_core.cube import (
    PACKINGS,
    REFLECTANCE,
    CubeWriter,
    create_cube,
    encoding,
    grid_of,
    join_cube,
    open_cube,
    open_pixels,
    packing_of,
    read_mask,
    read_window,
)
from glacier_core.errors import ConfigurationError, DataError, StoreError
from glacier_core.grids import Grid
from tests.object_storage import BUCKET


def grid(height: int, width: int) -> Grid:
    return Grid("EPSG:32645", (10.0, 0.0, 478_000.0, 0.0, -10.0, 3_100_020.0), width, height)


def instants(count: int) -> NDArray[np.datetime64]:
    return np.datetime64("2020-08-01", "ns") + np.arange(count) * np.timedelta64(5, "D")


def begun(place: str, shape: tuple[int, int, int, int], **more: Any) -> CubeWriter:
    times, bands, height, width = shape
    return create_cube(
        place,
        **{
            "grid": grid(height, width),
            "times": instants(times),
            "bands": [f"B{number:02}" for number in range(bands)],
            "packing": REFLECTANCE,
            **more,
        },
    )


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32)
    found[..., :1, :] = np.nan
    return found


def blocks(writer: CubeWriter) -> Iterator[tuple[slice, slice, slice]]:
    times, _, height, width = writer.shape
    steps = writer.block
    for time in range(0, times, steps[0]):
        for row in range(0, height, steps[1]):
            for column in range(0, width, steps[2]):
                yield (
                    slice(time, min(time + steps[0], times)),
                    slice(row, min(row + steps[1], height)),
                    slice(column, min(column + steps[2], width)),
                )


def write_block(writer: CubeWriter, block: tuple[slice, slice, slice], pixels: NDArray[np.float32]) -> None:
    times, rows, columns = block
    writer.write(times, rows, columns, pixels[times, :, rows, columns])


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 8 pixels, so that small cubes have many of them."""
    from glacier_core.cube import streaming

    for module in (encoding, streaming):
        monkeypatch.setattr(module, "CHUNK", 8)
        monkeypatch.setattr(module, "WHOLE_BELOW", 12)


@pytest.mark.usefixtures("small_chunks")
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 3), st.integers(1, 30), st.integers(1, 30)),
    quantity=st.sampled_from(sorted(PACKINGS)),
    strip_bytes=st.none() | st.integers(1, 200_000),
    data=st.data(),
)
@settings(max_examples=15, deadline=None)
def test_any_shape_comes_back_through_blocks_and_windows(
    shape: tuple[int, int, int, int], quantity: str, strip_bytes: int | None, data: st.DataObject
) -> None:
    packing = PACKINGS[quantity]
    low, high = (min(max(limit, -1000), 1000) for limit in packing.limits)
    pixels = np.random.default_rng(1).uniform(low, high, shape).astype(np.float32)
    pixels[..., ::5, ::3] = np.nan
    place = f"memory://{uuid.uuid4().hex}"
    with begun(place, shape, packing=packing, strip_bytes=strip_bytes) as writer:
        for block in data.draw(st.permutations(list(blocks(writer)))):
            write_block(writer, block, pixels)
    tolerance = packing.scale * 0.51 + 1e-4 if packing.is_packed else 0
    np.testing.assert_allclose(read_window(place), pixels, atol=tolerance, rtol=0)
    np.testing.assert_array_equal(open_cube(place)["imagery"].values, read_window(place))
    window = [
        slice(start := data.draw(st.integers(0, length - 1)), data.draw(st.integers(start + 1, length)))
        for length in shape
    ]
    times, bands, rows, columns = window
    names = [f"B{number:02}" for number in range(shape[1])][bands]
    found = read_window(place, times=times, bands=names, rows=rows, columns=columns)
    np.testing.assert_array_equal(found, read_window(place)[tuple(window)])


@pytest.mark.parametrize("protocol", ["file", "memory", "s3"])
@pytest.mark.usefixtures("small_chunks")
def test_threads_write_different_shards_on_every_protocol(
    protocol: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if protocol == "s3":
        request.getfixturevalue("s3")
    place = {"file": str(tmp_path / "c"), "memory": "memory://shards", "s3": f"s3://{BUCKET}/{uuid.uuid4().hex}"}
    pixels = noise(20, 2, 30, 20)
    writer = begun(place[protocol], pixels.shape)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda block: write_block(writer, block, pixels), blocks(writer)))
    with pytest.raises(DataError, match="no cube"):
        open_cube(place[protocol])
    writer.close()
    np.testing.assert_allclose(open_cube(place[protocol])["imagery"].values, pixels, atol=0.51e-4)
    np.testing.assert_allclose(read_window(place[protocol]), pixels, atol=0.51e-4)


def test_processes_join_a_cube(tmp_path: Path) -> None:
    place = str(tmp_path / "c")
    writer = begun(place, (3, 1, 600, 300))
    program = textwrap.dedent(
        """
        import sys, numpy as np
        from glacier_core.cube import join_cube
        row = int(sys.argv[2])
        writer = join_cube(sys.argv[1])
        height = min(256, 600 - row)
        pixels = np.full((3, 1, height, 300), row / 1000, dtype=np.float32)
        writer.write(slice(None), slice(row, row + height), slice(None), pixels)
        """
    )
    others = [subprocess.Popen([sys.executable, "-c", program, place, row]) for row in ("0", "256")]
    write_block(writer, (slice(0, 3), slice(512, 600), slice(0, 300)), np.full((3, 1, 600, 300), 0.512, np.float32))
    assert [other.wait() for other in others] == [0, 0]
    writer.close()
    read = read_window(place)
    assert [round(float(read[0, 0, row, 0]), 4) for row in (0, 255, 256, 511, 512, 599)] == [
        *(0.0, 0.0, 0.256, 0.256, 0.512, 0.512)
    ]
    with pytest.raises(DataError, match="no unfinished cube"):
        join_cube(place)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("window", "told"),
    [
        ((slice(0, 20), slice(1, 9), slice(0, 8)), "misaligned: rows 1:9"),
        ((slice(0, 20), slice(0, 9), slice(0, 8)), "misaligned: rows 0:9"),
        ((slice(0, 19), slice(0, 8), slice(0, 8)), "misaligned: times 0:19"),
        ((slice(0, 20), slice(0, 8), slice(12, 20)), "misaligned: columns 12:20"),
        ((slice(0, 20), slice(24, 32), slice(0, 8)), "rows 24:32"),
        ((slice(0, 20), slice(8, 8), slice(0, 8)), "rows 8:8"),
        ((slice(0, 20, 2), slice(0, 8), slice(0, 8)), "times 0:20"),
    ],
)
def test_a_misaligned_write_fails_and_writes_nothing(
    window: tuple[slice, slice, slice], told: str, tmp_path: Path
) -> None:
    writer = begun(str(tmp_path / "c"), (20, 1, 30, 20))
    shape = (window[0].stop - window[0].start, 1, *(axis.stop - axis.start for axis in window[1:]))
    before = sorted((tmp_path / "c").rglob("*"))
    with pytest.raises(DataError, match=told):
        writer.write(*window, np.zeros(shape, dtype=np.float32))
    with pytest.raises(DataError, match="shape"):
        writer.write(slice(0, 20), slice(0, 8), slice(0, 8), np.zeros((20, 2, 8, 8), dtype=np.float32))
    assert sorted((tmp_path / "c").rglob("*")) == before


@pytest.mark.parametrize("times", [1, 20])
def test_a_shard_written_twice_holds_what_came_last_and_one_unwritten_is_nan(tmp_path: Path, times: int) -> None:
    first = slice(None), slice(0, 256), slice(None)
    with begun(str(tmp_path / "c"), (times, 1, 600, 300)) as writer:
        for value in (0.25, 0.75):
            writer.write(*first, np.full((times, 1, 256, 300), value, dtype=np.float32))
    for read in (read_window(str(tmp_path / "c")), open_cube(str(tmp_path / "c"))["imagery"].values):
        np.testing.assert_allclose(read[:, 0, :256], 0.75, atol=1e-4)
        assert np.isnan(read[:, 0, 256:]).all()
    with pytest.raises(DataError, match="closed"):
        writer.write(*first, np.zeros((times, 1, 256, 300), dtype=np.float32))


def test_a_new_cube_at_an_old_place_keeps_nothing_of_the_old(tmp_path: Path) -> None:
    place = str(tmp_path / "c")
    with begun(place, (1, 1, 600, 300)) as writer:
        writer.write(slice(None), slice(None), slice(None), np.full((1, 1, 600, 300), 0.5, dtype=np.float32))
    kept = tmp_path / "c.txt"
    kept.write_text("beside it")
    for _ in range(2):  # over a finished cube, then over an unfinished one
        writer = begun(place, (1, 1, 600, 300))
        with pytest.raises(DataError, match="no cube"):
            read_window(place)
    writer.close()
    assert np.isnan(read_window(place)).all()
    assert kept.exists()


def test_a_killed_writer_leaves_no_cube(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import os, signal, sys, numpy as np
        from glacier_core.cube import REFLECTANCE, create_cube
        from glacier_core.grids import Grid
        grid = Grid("EPSG:32645", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), 300, 600)
        times = [np.datetime64("2020-08-01")]
        writer = create_cube(sys.argv[1], grid=grid, times=times, bands=["a"], packing=REFLECTANCE)
        writer.write(slice(None), slice(None), slice(None), np.zeros((1, 1, 600, 300), dtype=np.float32))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    place = str(tmp_path / "c")
    done = subprocess.run([sys.executable, "-c", program, place], check=False)
    assert done.returncode == -9
    for opening in (open_cube, open_pixels):
        with pytest.raises(DataError, match="no cube"):
            opening(place)
    join_cube(place).close()  # what was written whole can be gone on from
    np.testing.assert_allclose(read_window(place), 0, atol=1e-6)


def test_a_full_disk_is_one_error_and_no_cube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = begun(str(tmp_path / "c"), (1, 1, 20, 30))

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match="is full"), writer:
        writer.write(slice(None), slice(None), slice(None), noise(1, 1, 20, 30))
    with pytest.raises(DataError, match="no cube"):
        open_cube(str(tmp_path / "c"))


def test_what_lies_beside_the_imagery(tmp_path: Path) -> None:
    land = np.array([[0, 1, 255]], dtype=np.uint8)
    with begun(
        str(tmp_path / "c"),
        (2, 2, 1, 3),
        packing=None,
        band_units=("1", "K"),
        labels={"scene": ["a", "ä"]},
        numbers={"dx": ([0.5, -1.25], {"units": "m"})},
        masks={"land": land},
        attrs={"source": "made up"},
    ) as writer:
        writer.write(slice(None), slice(None), slice(None), np.full((2, 2, 1, 3), 273.15, dtype=np.float32))
    read = xr.open_zarr(str(tmp_path / "c"), decode_coords="all", chunks=None)
    assert read["imagery"].dtype == np.float32
    assert (read["imagery"].values == np.float32(273.15)).all()
    assert [str(unit) for unit in read["band_units"].values] == ["1", "K"]
    assert [str(name) for name in read["scene"].values] == ["a", "ä"]
    assert read["dx"].values.tolist() == [0.5, -1.25]
    assert read["dx"].attrs["units"] == "m"
    assert read["land"].values.tolist() == [[0, 1, 255]]
    assert read_mask(str(tmp_path / "c"), "land").tolist() == [[False, True, False]]
    assert read.attrs["source"] == "made up"
    assert grid_of(read) == grid(1, 3)
    plain: Any = zarr.open_group(str(tmp_path / "c"), mode="r")["imagery"]
    assert (plain[...] == np.float32(273.15)).all()


def test_one_quantity_is_packed_and_several_are_floats_with_units() -> None:
    assert packing_of(["reflectance", "reflectance"]) == (REFLECTANCE, ("1", "1"))
    mixed, units = packing_of(["reflectance", "temperature"])
    assert mixed.dtype == "float32"
    assert units == ("1", "K")
    with pytest.raises(ConfigurationError, match="tempersture"):
        packing_of(["tempersture"])


def test_steps_keep_what_the_sources_give() -> None:
    landsat = np.float32(0.00341802 * np.array([1, 35_000, 65_000]) + 149.0).reshape(1, 1, 1, 3)
    percent = (np.arange(1001) / 1000).astype(np.float32).reshape(1, 1, 1, 1001)
    for quantity, pixels, step in (("temperature", landsat, 5e-5), ("ice_fraction", percent, 1e-6)):
        with begun("memory://steps", pixels.shape, packing=PACKINGS[quantity]) as writer:
            writer.write(slice(None), slice(None), slice(None), pixels)
        np.testing.assert_allclose(read_window("memory://steps"), pixels, atol=step)


def test_wrong_parts_are_refused(tmp_path: Path) -> None:
    place = str(tmp_path / "c")
    for wrong, told in (
        ({"labels": {"scene": ["a"]}}, "scene has the shape"),
        ({"numbers": {"dx": ([1.0], {})}}, "dx has the shape"),
        ({"masks": {"land": np.zeros((2, 2), np.uint8)}}, "land has the shape"),
        ({"band_units": ["1"]}, "band_units has the shape"),
        ({"times": instants(2)[::-1]}, "do not ascend: 2020-08-01T00:00:00 follows 2020-08-06"),
        ({"bands": []}, "at least one"),
    ):
        with pytest.raises(DataError, match=told):
            begun(place, (2, 2, 4, 4), **wrong)
    assert not (tmp_path / "c").exists()
    begun(place, (2, 2, 4, 4), times=[instants(1)[0]] * 2).close()  # two scenes of one instant are no disorder
    (tmp_path / "c/zarr.json").unlink()
    (tmp_path / "c/_unfinished.json").write_text('{"consolidated_metadata"')
    with pytest.raises(DataError, match="damaged"):
        join_cube(place)


def test_long_series_get_shards_that_fit_the_memory(tmp_path: Path) -> None:
    strip = 4 * 3 * 256 * 1000
    assert begun(str(tmp_path / "a"), (100, 3, 600, 1000)).block == (64, 256, 256)
    assert begun(str(tmp_path / "b"), (100, 3, 600, 1000), strip_bytes=30 * strip).block == (25, 256, 256)
    assert begun(str(tmp_path / "c"), (100, 3, 600, 1000), strip_bytes=1).block == (1, 256, 256)
    assert begun(str(tmp_path / "d"), (12, 3, 600, 1000), strip_bytes=12 * strip).block == (12, 256, 256)
    assert begun(str(tmp_path / "e"), (12, 3, 600, 1000), strip_bytes=6 * strip).block == (6, 256, 256)


@pytest.mark.parametrize("missing", [1, 7, 400])
@pytest.mark.parametrize("times", [2, 20])
def test_a_chunk_cut_short_or_changed_is_no_data(tmp_path: Path, missing: int, times: int) -> None:
    place = str(tmp_path / "c")
    with begun(place, (times, 1, 40, 40)) as writer:
        writer.write(slice(None), slice(None), slice(None), noise(times, 1, 40, 40))
    shard = tmp_path / "c/imagery/c.0.0.0.0"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-missing])
    with pytest.raises(StoreError, match="damaged"):
        read_window(place)
    shard.write_bytes(b"")
    with pytest.raises(StoreError, match="damaged"):
        read_window(place)


def test_a_cube_of_other_codecs_is_told(tmp_path: Path) -> None:
    place = str(tmp_path / "c")
    begun(place, (1, 1, 4, 4)).close()
    document = json.loads((tmp_path / "c/zarr.json").read_text())
    codecs = document["consolidated_metadata"]["metadata"]["imagery"]["codecs"]
    codecs[1] = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
    (tmp_path / "c/zarr.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="encoded otherwise"):
        read_window(place)
    shutil.rmtree(place)


@pytest.mark.slow
def test_a_cube_twenty_times_larger_than_the_memory_it_may_take(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import resource, sys, numpy as np
        from glacier_core.cube import create_cube, REFLECTANCE, read_window
        from glacier_core.grids import Grid
        allowance, side = 40 * 2**20, 4096
        grid = Grid("EPSG:32645", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), side, side)
        times = np.arange(12).astype("datetime64[D]")

        def build(rows):
            writer = create_cube(sys.argv[1], grid=grid, times=times, bands=["a"], packing=REFLECTANCE,
                                 strip_bytes=allowance // 4)
            for time in range(0, 12, writer.block[0]):
                count = min(writer.block[0], 12 - time)
                for row in range(0, rows, 256):
                    strip = np.full((count, 1, 256, side), row / side, dtype=np.float32)
                    writer.write(slice(time, time + count), slice(row, row + 256), slice(None), strip)
            writer.close()

        build(256)
        read_window(sys.argv[1], times=slice(1), rows=slice(256))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        build(side)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(side * side * 12 * 4 / allowance, grown * 1024 / allowance)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "c")], check=True, capture_output=True, text=True
    )
    times_larger, grown = (float(number) for number in done.stdout.split())
    assert times_larger > 19
    assert grown < 1
