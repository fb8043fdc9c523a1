"""A store that fails: full, not writable, denied, absent, out of reach. Each is one line that says what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glacier_core.errors import EXIT_INVALID, EXIT_UNREACHABLE, GlacierError, ServiceUnavailableError, StoreError
from glacier_core.store import Store, backends

if TYPE_CHECKING:
    from tests.store.conftest import Endpoint


def one_line(error: GlacierError) -> str:
    assert "\n" not in str(error)
    return str(error)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """s3fs reads the environment when it first connects: forget the connections that other tests made."""
    import s3fs

    forget: Callable[[], None] = s3fs.S3FileSystem.clear_instance_cache
    forget()
    monkeypatch.setattr(backends, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield
    forget()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk_names_the_free_space_and_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match=r"is full: \d+ MiB are free in /.*; free some space") as caught:
        fill(store, by_path=False)
    assert caught.value.exit_code == EXIT_INVALID
    one_line(caught.value)
    with pytest.raises(StoreError, match=r"is full: \d+ MiB are free"):
        fill(store, by_path=True)
    assert store.find("stage", "d1") is None
    assert not list(tmp_path.rglob("*.bin"))


def fill(store: Store, *, by_path: bool) -> None:
    with store.attempt("stage", "d1") as attempt:
        place = Path(attempt.path("a.bin"))
        place.symlink_to("/dev/full")
        if by_path:
            place.write_bytes(b"1")
        attempt.write_bytes("a.bin", b"1")


def test_disk_that_fills_up_at_the_record_publishes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="is full"):
            store.publish_json("stage", 1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert store.publish_json("stage", 1).read_json() == 1


def test_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file/store", Path("/proc/glacier/store")):
        with pytest.raises(StoreError) as caught:
            Store(place).check_writable()
        assert str(place) in one_line(caught.value)
    with pytest.raises(StoreError), Store("/proc/glacier").attempt("stage", "d1") as attempt:
        attempt.write_bytes("a.bin", b"1")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="refuses access"):
        Store(tmp_path / "store").check_writable()


def test_read_only_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match=r"refuses access to .*Read-only file system") as caught:
        Store(tmp_path / "store").check_writable()
    one_line(caught.value)


def test_error_of_other_code_passes_unchanged(store: Store) -> None:
    with pytest.raises(FileNotFoundError, match="a catalog"), store.attempt("stage", "d1"):
        raise FileNotFoundError("a catalog")


def test_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    store = Store(tmp_path)
    store.check_writable()
    with store.attempt("stage", "d1") as first, store.attempt("stage", "d1") as second:
        first.write_bytes("a.bin", b"first")
        second.write_bytes("a.bin", b"second")
        first.publish()
        assert second.publish().read_bytes("a.bin") == b"first"


def test_unknown_protocols() -> None:
    with pytest.raises(StoreError, match=r"Protocol not known: nowhere"):
        Store("nowhere://bucket")
    with pytest.raises(StoreError, match="is empty"):
        Store("")


def test_denied(s3: Endpoint) -> None:
    store = Store("s3://glacier/denied")
    s3.fail("PUT", "/", status=403, code="AccessDenied", times=1)
    with pytest.raises(StoreError, match=r"refuses access to s3://glacier/denied.*AccessDenied.*credentials") as caught:
        store.check_writable()
    one_line(caught.value)
    s3.fail("GET", "/", status=403, code="AccessDenied", times=1)
    with pytest.raises(StoreError, match="refuses access"):
        store.find("stage", "d1")


def test_bucket_that_is_not_there(s3: Endpoint) -> None:
    store = Store("s3://absent/store")
    with pytest.raises(StoreError, match="the bucket of the store s3://absent/store does not exist") as caught:
        store.check_writable()
    one_line(caught.value)
    with pytest.raises(StoreError, match="the bucket of the store s3://absent/store does not exist"):
        store.find("stage", "d1")


def test_busy_service_is_asked_again(s3: Endpoint) -> None:
    store = Store("s3://glacier/busy")
    s3.fail("PUT", "a.bin", status=503, code="SlowDown", times=1)
    s3.fail("PUT", "_published", status=500, code="InternalError", times=1)
    s3.fail("PUT", "_published", status=409, code="ConditionalRequestConflict", times=1)
    s3.fail("GET", "_published", status=503, code="ServiceUnavailable", times=1)
    with store.attempt("stage", "d1") as attempt:
        attempt.write_bytes("a.bin", b"1")
        attempt.publish()
    assert store.read("stage", "d1").read_bytes("a.bin") == b"1"
    assert not s3.faults


def test_lost_answer_is_no_second_publisher(s3: Endpoint) -> None:
    store = Store("s3://glacier/lost")
    with store.attempt("stage", "d1") as attempt:
        attempt.write_bytes("a.bin", b"1")
        s3.lost_answers = 1  # the record is there, yet the service says 500
        output = attempt.publish()
    assert output.record["attempt"] == attempt.name
    assert store.read("stage", "d1").read_bytes("a.bin") == b"1"
    pointer = store.pointer("p")
    assert pointer.swap(None, 1)
    s3.lost_answers = 1
    assert pointer.swap(1, 2)
    assert pointer.read() == 2


def test_service_that_keeps_failing(s3: Endpoint) -> None:
    s3.fail("PUT", "/", status=500, code="InternalError", times=50)
    with pytest.raises(ServiceUnavailableError, match=rf"{s3.url} .*keeps failing") as caught:
        Store("s3://glacier/failing").check_writable()
    assert caught.value.exit_code == EXIT_UNREACHABLE


def test_interrupted_delivery_to_s3(s3: Endpoint) -> None:
    store = Store("s3://glacier/deliver")
    output = store.publish_content("stage", {"a": b"1", "b": b"2"})
    s3.fail("PUT", "products/p/b", status=403, code="AccessDenied", times=1)
    with pytest.raises(StoreError, match="refuses access"):
        store.deliver(output, "products/p")
    store.deliver(output, "products/p")
    assert not s3.faults
    assert store.collect(older_than_s=-60).outputs == ()


def test_service_that_ignores_conditions(s3: Endpoint) -> None:
    s3.careless = True
    with pytest.raises(StoreError, match=r"ignores conditional writes; expected .*If-None-Match"):
        Store("s3://glacier/careless").check_writable()


@pytest.mark.usefixtures("elsewhere")
def test_endpoint_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ServiceUnavailableError, match=r"http://127\.0\.0\.1:9 .*cannot be reached") as caught:
        Store("s3://glacier/down").find("stage", "d1")
    assert caught.value.exit_code == EXIT_UNREACHABLE
    one_line(caught.value)


@pytest.mark.usefixtures("elsewhere")
def test_credentials_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match=r"no credentials .*set AWS_ACCESS_KEY_ID"):
        Store("s3://glacier/anonymous").find("stage", "d1")


def test_importing_the_store_loads_no_client() -> None:
    heavy = "s3fs botocore aiohttp tenacity torch"
    code = f"import sys, glacier_core.store; print([name for name in '{heavy}'.split() if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
