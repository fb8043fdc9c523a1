"""What every protocol must hold: file, memory, and S3 on loopback."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from glacier_core.errors import NotPublishedError, StoreError
from glacier_core.store import Output, Store

if TYPE_CHECKING:
    from tests.store.conftest import Endpoint

ACTORS = Path(__file__).with_name("store_actors.py")
FILES = {"a.bin": b"first", "folder/b.bin": b"second", "empty": b""}


def publish(store: Store, *, digest: str = "d1", stage: str = "stage", inputs: tuple[str, ...] = ()) -> Output:
    with store.attempt(stage, digest) as attempt:
        for name, data in FILES.items():
            attempt.write_bytes(name, data)
        return attempt.publish(part={"width": 16}, inputs=inputs, version=3)


def act(*arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, str(ACTORS), *arguments], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def overwrite(path: str, data: bytes | None) -> None:
    """Damage an object behind the store's back; None: delete it."""
    system, name = fsspec.core.url_to_fs(path)
    if data is None:
        system.rm_file(name)
    else:
        system.pipe_file(name, data)


def listed(store: Store, folder: str) -> list[str]:
    system, root = fsspec.core.url_to_fs(f"{store.url}/{folder}", use_listings_cache=False)
    return sorted(str(name).removeprefix(root).strip("/") for name in system.find(root))


def together(count: int, action: Callable[[int], Any]) -> list[Any]:
    barrier = threading.Barrier(count)

    def act_at_once(number: int) -> Any:
        barrier.wait()
        return action(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(act_at_once, range(count)))


def test_what_is_published_can_be_read(store: Store) -> None:
    assert store.find("stage", "d1") is None
    with pytest.raises(NotPublishedError, match="stage d1 is not published"):
        store.read("stage", "d1")
    publish(store, inputs=("x", "y"))
    output = Store(store.url).read("stage", "d1")
    output.verify()
    assert output.files() == sorted(FILES)
    assert {name: output.read_bytes(name) for name in FILES} == FILES
    assert output.exists("a.bin")
    assert not output.exists("c.bin")
    assert output.inputs == ("x", "y")
    record = output.record
    assert (record["part"], record["version"], record["stage"], record["digest"]) == ({"width": 16}, 3, "stage", "d1")
    assert record["packages"]["fsspec"] == fsspec.__version__
    assert record["threads"] >= 1
    assert {"image", "created"} <= record.keys()
    with fsspec.open(output.path("folder/b.bin"), "rb") as stream:
        assert stream.read() == b"second"
    with output.local() as folder:
        assert {name: (folder / name).read_bytes() for name in FILES} == FILES


def test_objects_of_every_way_of_writing_are_published(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    with store.attempt("stage", "d1") as attempt:
        with fsspec.open(attempt.path("by/writer.bin"), "wb") as stream:
            stream.write(b"written elsewhere")
        attempt.put("put/mine.txt", mine)
        attempt.write_json("value.json", {"b": 1.5, "a": [1]})
        (attempt.local_folder() / "deep/er").mkdir(parents=True)
        (attempt.local_folder() / "deep/er/local.txt").write_text("local")
        attempt.publish()
    output = store.read("stage", "d1")
    assert output.files() == ["by/writer.bin", "deep/er/local.txt", "put/mine.txt", "value.json"]
    output.verify()
    assert output.read_bytes("value.json") == b'{"a":[1],"b":1.5}\n'
    assert output.read_json() == {"a": [1], "b": 1.5}
    assert output.read_bytes("by/writer.bin") == b"written elsewhere"


def test_many_objects_are_listed_beside_the_record(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.attempt("stage", "d1") as attempt:
        for number in range(1001):
            (attempt.local_folder() / f"{number}").write_bytes(str(number).encode())
        attempt.publish()
    output = store.read("stage", "d1")
    assert output.record["objects"]["count"] == len(output.files()) == 1001
    assert output.read_bytes("77") == b"77"
    output.verify()
    overwrite(output.path("_objects.json"), b"[]")
    with pytest.raises(StoreError, match="damaged"):
        store.read("stage", "d1").files()


def test_what_is_not_published_goes_away(store: Store) -> None:
    with store.attempt("stage", "d1") as attempt:
        attempt.write_bytes("a.bin", b"1")

    def fail() -> None:
        with store.attempt("stage", "d1") as attempt:
            attempt.write_bytes("a.bin", b"1")
            raise KeyError("a")

    with pytest.raises(KeyError):
        fail()
    assert store.find("stage", "d1") is None
    assert listed(store, "stages") == []


def test_second_to_publish_yields_to_the_first(store: Store) -> None:
    first = store.attempt("stage", "d1")
    second = store.attempt("stage", "d1")
    with first, second:
        first.write_bytes("a.bin", b"first")
        second.write_bytes("a.bin", b"second")
        won = first.publish()
        given = second.publish()
    assert given.record == won.record
    assert given.read_bytes("a.bin") == b"first"
    assert [name.split("/")[3] for name in listed(store, "stages") if "attempts" in name] == [won.record["attempt"]]
    with pytest.raises(StoreError, match="is published"):
        first.write_bytes("a.bin", b"changed")


def test_threads_that_publish_at_once_get_one_output(store: Store) -> None:
    def race(number: int) -> Output:
        with store.attempt("stage", "d1") as attempt:
            attempt.write_bytes("who.txt", str(number).encode())
            return attempt.publish()

    outputs = together(4, race)
    assert len({output.record["attempt"] for output in outputs}) == 1
    assert len({output.read_bytes("who.txt") for output in outputs}) == 1
    assert len(listed(store, "stages")) == 2  # the record and one object: the losers' went away


@pytest.mark.parametrize("protocol", ["file", "s3"])
def test_processes_that_publish_at_once_get_one_output(
    protocol: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if protocol == "s3":
        request.getfixturevalue("s3")
    url = str(tmp_path) if protocol == "file" else f"s3://glacier/{tmp_path.name}-processes"
    reports = act("publish", url, "3")
    assert len(reports) == 3
    winner = {report["got"] for report in reports}
    assert len(winner) == 1
    assert winner < {report["own"] for report in reports}
    assert len({report["who"] for report in reports}) == 1
    assert len(listed(Store(url), "stages")) == 2


def test_reader_sees_nothing_or_everything(store: Store) -> None:
    digests = [f"d{number}" for number in range(8)]
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set() or len(seen) < len(digests):
            for digest in digests:
                output = Store(store.url).find("stage", digest)
                if output is not None:
                    assert {name: output.read_bytes(name) for name in output.files()} == FILES
                    seen.add(digest)

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        for digest in digests:
            publish(store, digest=digest)
        done.set()
        reader.result(timeout=60)
    assert seen == set(digests)


def test_crash_at_each_step_leaves_nothing_half_done(tmp_path: Path) -> None:
    reports = act("crash", str(tmp_path))
    assert reports[-1]["status"] == 0
    assert len(reports) > 12
    assert all(report["status"] == -9 for report in reports[:-1])
    assert {(report["published"], report["delivered"]) for report in reports} == {
        (False, False),
        (True, False),
        (True, True),
    }
    for report in reports:
        assert report["again"] == 0
        assert report["kept"], "what was published before the crash is what is published after it"
        attempt = f"stages/stage/digest/attempts/{report['attempt']}"
        products = ["products/p/_published.json", "products/p/a.bin", "products/p/b.bin"]
        stages = ["stages/stage/digest/_published.json", f"{attempt}/a.bin", f"{attempt}/b.bin"]
        assert report["left"] == products + stages, "gc takes what the crash left, and only that"


def test_crash_at_each_write_to_s3_leaves_nothing_half_done(s3: Endpoint, tmp_path: Path) -> None:
    writes = 6  # two objects, the record, two copies, their record
    base = f"s3://glacier/{tmp_path.name}-crash"
    assert act("crash-s3", base, str(writes + 1)) == [{"status": -9}] * writes + [{"status": 0}]
    for step in range(1, writes + 2):
        store = Store(f"{base}/{step}")
        found = store.find("stage", "digest")
        assert (found is not None) == (step > 3)
        with store.attempt("stage", "digest") as attempt:
            attempt.write_bytes("a.bin", b"a" * 1000)
            attempt.write_bytes("b.bin", b"b" * 1000)
            output = attempt.publish()
        assert found is None or output.record == found.record
        output.verify()
        store.deliver(output, "products/p")
        assert listed(store, "products") == ["p/_published.json", "p/a.bin", "p/b.bin"]
    store = Store(f"{base}/2")
    assert len(store.collect(older_than_s=-60).attempts) == 1
    assert len(listed(store, "stages")) == 3


def test_damage_is_found(store: Store) -> None:
    output = publish(store)
    overwrite(output.path("a.bin"), b"frist")
    with pytest.raises(StoreError, match=r"a\.bin is damaged: its checksum differs"):
        output.read_bytes("a.bin")
    with pytest.raises(StoreError, match=r"a\.bin is damaged"):
        output.verify()
    overwrite(output.path("a.bin"), b"longer than it was")
    with pytest.raises(StoreError, match=r"a\.bin is damaged: it has 18 bytes instead of 5"):
        output.verify()
    overwrite(output.path("a.bin"), None)
    with pytest.raises(StoreError, match=r"a\.bin is damaged: .* gone"):
        output.read_bytes("a.bin")
    with pytest.raises(StoreError, match=r"a\.bin is damaged: it is gone"):
        output.verify()
    with pytest.raises(StoreError, match="damaged: what its record lists is gone"):
        store.deliver(output, "products/p")
    assert "p/_published.json" not in listed(store, "products")
    with pytest.raises(NotPublishedError, match=r"holds no 'c\.bin'"):
        output.read_bytes("c.bin")
    overwrite(f"{store.url}/stages/stage/d1/_published.json", b'{"attempt": ')
    with pytest.raises(StoreError, match="damaged: it is no JSON"):
        store.find("stage", "d1")


def test_same_content_is_one_output(store: Store) -> None:
    first = store.publish_json("plan", {"b": 1, "a": [2.5]}, inputs=["x"])
    again = store.publish_json("plan", {"a": [2.5], "b": 1}, inputs=["x"])
    other = store.publish_json("plan", {"a": [2.5], "b": 2})
    assert again.record == first.record
    assert other.digest != first.digest
    assert again.read_json() == {"a": [2.5], "b": 1}
    content = store.publish_content("c", {"x": b"1", "y": b""})
    assert store.publish_content("c", {"y": b"", "x": b"1"}).record == content.record
    assert store.publish_content("c", {"x": b"1"}).digest != content.digest


def test_delivery_is_whole_and_repeatable(store: Store) -> None:
    output = publish(store)
    place = store.deliver(output, "products/demo-1")
    assert place == store.deliver(output, "demo-1")
    assert listed(store, "products/demo-1") == sorted(["_published.json", *FILES])
    overwrite(f"{place}/a.bin", None)
    overwrite(f"{place}/folder/b.bin", b"cut")
    store.deliver(output, "products/demo-1")
    with fsspec.open(f"{place}/a.bin", "rb") as stream:
        assert stream.read() == b"first"
    with fsspec.open(f"{place}/folder/b.bin", "rb") as stream:
        assert stream.read() == b"second"
    with pytest.raises(StoreError, match="holds stage d1"):
        store.deliver(publish(store, digest="d2"), "products/demo-1")


def test_interrupted_delivery_is_finished_by_the_next(store: Store) -> None:
    output = publish(store)
    system, root = fsspec.core.url_to_fs(store.url)
    system.makedirs(f"{root}/products/demo-1", exist_ok=True)
    system.pipe_file(f"{root}/products/demo-1/a.bin", b"stale")  # the right size, from who knows when
    place = store.deliver(output, "products/demo-1")
    with fsspec.open(f"{place}/a.bin", "rb") as stream:
        assert stream.read() == b"first"
    assert listed(store, "products/demo-1") == sorted(["_published.json", *FILES])


def test_deliveries_at_once_are_one(store: Store) -> None:
    output = publish(store)
    assert len(set(together(3, lambda _: store.deliver(output, "products/demo-1")))) == 1
    assert listed(store, "products/demo-1") == sorted(["_published.json", *FILES])


def test_pointer_moves_only_from_what_is_expected(store: Store) -> None:
    pointer = store.pointer("latest/demo")
    assert pointer.read() is None
    assert not pointer.swap({"n": 1}, {"n": 2})
    assert pointer.swap(None, {"n": 1})
    assert not pointer.swap(None, {"n": 1})
    assert pointer.swap({"n": 1}, {"n": 2})
    assert not pointer.swap({"n": 1}, {"n": 3})
    assert pointer.read() == Store(store.url).pointer("latest/demo").read() == {"n": 2}


def test_no_move_of_a_pointer_is_lost(store: Store) -> None:
    pointer = store.pointer("count")

    def add(_: int) -> None:
        for _ in range(3):
            while not pointer.swap(value := pointer.read(), (value or 0) + 1):
                pass

    together(3, add)
    assert pointer.read() == 9


def test_writable_store_says_nothing(store: Store) -> None:
    store.check_writable()
    assert listed(store, "") == []


def test_store_travels_to_other_processes(store: Store) -> None:
    publish(store)
    arrived = pickle.loads(pickle.dumps(store))  # noqa: S301 (our own bytes)
    assert arrived.read("stage", "d1").files() == sorted(FILES)


OUTSIDE = ["", "/etc/passwd", "../up", "a/../b", "a//b", "./a", "s3://b/a", "a\\b", "*.tif", "a[1]"]


@pytest.mark.parametrize("relative", OUTSIDE)
def test_paths_stay_inside(relative: str) -> None:
    with Store("memory://paths").attempt("stage", "d1") as attempt, pytest.raises(StoreError, match="no path inside"):
        attempt.write_bytes(relative, b"")


def test_name_of_the_record_is_taken(store: Store) -> None:
    with store.attempt("stage", "d1") as attempt:
        attempt.write_bytes("_published.json", b"{}")
        with pytest.raises(StoreError, match=r"'_published\.json' is the store's own name"):
            attempt.publish()


@pytest.mark.parametrize(("stage", "digest"), [("a/b", "d"), ("..", "d"), ("a", "d/e"), ("", "d")])
def test_names_are_single_folders(stage: str, digest: str) -> None:
    store = Store("memory://names")
    with pytest.raises(StoreError, match="expected"):
        store.find(stage, digest)
    with pytest.raises(StoreError, match="expected"):
        store.attempt(stage, digest)
