"""Cubes on S3 that is busy, resets, dawdles, cuts bodies short, refuses or is not there: right pixels or one error."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from glacier_core.cube import (
    REFLECTANCE,
    create_cube,
    make_cube,
    objects,
    open_arrays,
    open_cube,
    open_pixels,
    read_window,
    write_cube,
)
from glacier_core.errors import DataError, GlacierError, ServiceUnavailableError, StoreError
from glacier_core.grids import Grid
from tests.object_storage import BUCKET, Endpoint

GRID = Grid("EPSG:32645", (10.0, 0.0, 478_000.0, 0.0, -10.0, 3_100_020.0), 40, 600)
READERS: dict[str, Callable[[str], NDArray[Any]]] = {
    "window": read_window,
    "xarray": lambda place: open_cube(place)["imagery"].values,
    "zarr": lambda place: np.asarray(open_arrays(place)["imagery"][...]) * np.float32(1e-4) - np.float32(0.1),
}


def pixels(times: int) -> NDArray[np.float32]:
    return np.random.default_rng(times).uniform(0, 1, (times, 2, 600, 40)).astype(np.float32)


def written(place: str, times: int) -> NDArray[np.float32]:
    found = pixels(times)
    with create_cube(
        place,
        grid=GRID,
        times=np.datetime64("2020-08-01", "ns") + np.arange(times) * np.timedelta64(1, "D"),
        bands=["a", "b"],
        packing=REFLECTANCE,
    ) as writer:
        writer.write(slice(None), slice(None), slice(None), found)
    return found


@pytest.fixture
def place(s3: Endpoint) -> str:
    return f"s3://{BUCKET}/{uuid.uuid4().hex}/c"


@pytest.fixture
def impatient(s3: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after moments."""
    monkeypatch.setattr(objects, "RETRIES", 2)
    monkeypatch.setattr(objects, "STALLED_S", 0.3)
    objects.forget_connections()


def disturb(s3: Endpoint, method: str, containing: str, how: str, *, times: int) -> None:
    if how == "busy":
        s3.fail(method, containing, status=503, code="SlowDown", times=times)
    else:
        kind: dict[str, Literal["reset", "cut", "slow"]] = {"reset": "reset", "cut": "cut", "slow": "slow"}
        s3.disturb(method, containing, kind[how], times=times, pause_s=0.05)


@pytest.mark.parametrize("how", ["busy", "reset", "slow"])
def test_writing_goes_on_through_passing_faults(s3: Endpoint, place: str, how: str) -> None:
    disturb(s3, "PUT", "imagery/c.", how, times=2)
    disturb(s3, "PUT", "zarr.json", how, times=2)
    expected = written(place, 2)
    assert not s3.faults
    np.testing.assert_allclose(read_window(place), expected, atol=0.51e-4)


@pytest.mark.parametrize("times", [2, 20])
@pytest.mark.parametrize("how", ["busy", "reset", "slow", "cut"])
@pytest.mark.parametrize("reader", list(READERS))
def test_reading_gives_the_right_pixels_through_passing_faults(
    s3: Endpoint, place: str, how: str, times: int, reader: str
) -> None:
    expected = written(place, times)
    disturb(s3, "GET", "imagery/c.", how, times=2)
    np.testing.assert_allclose(READERS[reader](place), expected, atol=0.51e-4)
    assert not s3.faults


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["busy", "reset", "cut"])
@pytest.mark.parametrize("reader", list(READERS))
def test_reading_ends_in_one_error_when_a_fault_stays(s3: Endpoint, place: str, how: str, reader: str) -> None:
    written(place, 2)
    disturb(s3, "GET", "imagery/c.", how, times=200)
    with pytest.raises(ServiceUnavailableError, match=s3.url) as caught:
        READERS[reader](place)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    assert "Rust" not in str(caught.value)
    assert "<" not in str(caught.value)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["busy", "reset"])
@pytest.mark.parametrize("containing", ["imagery/c.", "imagery/zarr.json", "/c/zarr.json"])
def test_a_cube_that_cannot_be_written_to_its_end_cannot_be_opened(
    s3: Endpoint, place: str, how: str, containing: str
) -> None:
    disturb(s3, "PUT", containing, how, times=200)
    with pytest.raises(ServiceUnavailableError, match=s3.url):
        written(place, 2)
    s3.clear()
    for reader in READERS.values():
        with pytest.raises(DataError, match="no cube"):
            reader(place)


@pytest.mark.usefixtures("impatient")
def test_a_line_that_says_nothing_is_given_up(s3: Endpoint, place: str) -> None:
    written(place, 2)
    s3.disturb("GET", "imagery/c.", "slow", times=200, pause_s=1.0)
    with pytest.raises(ServiceUnavailableError, match="keeps failing"):
        read_window(place)


def test_an_object_that_is_shorter_than_it_was_is_damaged(s3: Endpoint, place: str) -> None:
    expected = written(place, 2)
    part = objects.open_objects(place)
    whole = bytes(part.read("imagery/c.0.0.1.0"))
    for cut in (1, len(whole) // 2, len(whole)):
        part.write("imagery/c.0.0.1.0", whole[:-cut])
        with pytest.raises(StoreError, match=r"c\.0\.0\.1\.0 is damaged"):
            read_window(place)
        # what does not touch it can still be read
        np.testing.assert_allclose(read_window(place, rows=slice(256)), expected[:, :, :256], atol=0.51e-4)


@pytest.mark.parametrize(
    "do",
    [
        *READERS.values(),
        lambda place: written(place, 2),
        lambda place: write_cube(place, small()),
    ],
)
def test_a_bucket_that_is_absent_or_refuses_is_one_line(s3: Endpoint, do: Callable[[str], object]) -> None:
    with pytest.raises(StoreError, match="bucket of the store s3://no-such-bucket/c does not exist") as caught:
        do("s3://no-such-bucket/c")
    assert caught.value.exit_code == 2
    for method in ("GET", "PUT"):
        s3.fail(method, "/refused/", status=403, code="AccessDenied", times=200)
    with pytest.raises(StoreError, match="refuses access") as caught:
        do(f"s3://{BUCKET}/refused/c")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def small() -> Any:
    return make_cube(
        grid=Grid("", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), 3, 2),
        times=[np.datetime64("2020-01-01")],
        bands=["a"],
        imagery=np.zeros((1, 1, 2, 3), dtype=np.float32),
        packing=REFLECTANCE,
    )


def test_a_bucket_that_goes_while_pixels_are_read_is_no_missing_chunk(s3: Endpoint, place: str) -> None:
    written(place, 2)
    opened, arrays, windows = open_cube(place), open_arrays(place), open_pixels(place)
    reading: list[Callable[[], object]] = [
        lambda: opened["imagery"].values,
        lambda: arrays["imagery"][...],
        windows.physical,
    ]
    for read in reading:
        s3.fail("GET", "imagery/c.", status=404, code="NoSuchBucket", times=200)
        with pytest.raises(GlacierError, match="does not exist"):
            read()
        s3.clear()


def test_opened_cubes_travel_to_other_processes(s3: Endpoint, place: str) -> None:
    expected = written(place, 2)
    for opened in (open_pixels(place).physical, open_cube(place)["imagery"].load):
        copy = pickle.loads(pickle.dumps(opened))  # noqa: S301 (ours, a moment old)
        np.testing.assert_allclose(np.asarray(copy()), expected, atol=0.51e-4)


def test_public_buckets_need_no_credentials(s3: Endpoint, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec
    import s3fs

    expected = written(place, 2)
    system = s3fs.S3FileSystem()
    for name in system.find(place):
        system.chmod(name, acl="public-read")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    try:
        s3fs.S3FileSystem.clear_instance_cache()
        objects.forget_connections()
        with pytest.raises(StoreError, match="no credentials"):
            read_window(place)
        monkeypatch.setitem(fsspec.config.conf, "s3", {"anon": True})
        s3fs.S3FileSystem.clear_instance_cache()
        objects.forget_connections()
        np.testing.assert_allclose(read_window(place), expected, atol=0.51e-4)
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
