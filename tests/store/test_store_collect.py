"""Garbage collection takes what nobody published and what nothing refers to, and nothing else."""

from __future__ import annotations

import fsspec
import pytest

from glacier_core.errors import StoreError
from glacier_core.store import Output, Store

AT_ONCE = -60.0


def publish(store: Store, digest: str, *inputs: str, stage: str = "stage") -> Output:
    with store.attempt(stage, digest) as attempt:
        attempt.write_bytes("a.bin", digest.encode())
        return attempt.publish(inputs=inputs)


def abandon(store: Store, digest: str) -> str:
    """Write an attempt and vanish, as a process that was killed."""
    attempt = store.attempt("stage", digest)
    attempt.write_bytes("a.bin", b"12345")
    return f"stages/stage/{digest}/attempts/{attempt.name}"


def test_what_products_refer_to_stays(store: Store) -> None:
    publish(store, "scenes")
    publish(store, "cube", "scenes", "some-file-outside")
    publish(store, "areas", "stage/cube")
    product = publish(store, "product", "areas")
    publish(store, "stray", "scenes")
    store.deliver(product, "products/demo-product")
    wanted = [("stage", "stray")]
    dry = store.collect(older_than_s=AT_ONCE, dry_run=True)
    assert list(dry.outputs) == wanted
    assert store.find("stage", "stray") is not None
    collected = store.collect(older_than_s=AT_ONCE)
    assert collected == dry
    assert collected.size > len("stray")
    assert store.find("stage", "stray") is None
    for digest in ("scenes", "cube", "areas", "product"):
        store.read("stage", digest).verify()
    assert store.collect(older_than_s=AT_ONCE).outputs == ()


def test_what_is_to_be_kept_stays_with_its_inputs(store: Store) -> None:
    publish(store, "base")
    publish(store, "kept", "base")
    publish(store, "pointed")
    publish(store, "stray")
    store.pointer("latest").swap(None, {"stage": "stage", "digest": "pointed"})
    store.pointer("other").swap(None, ["anything"])
    collected = store.collect([("stage", "kept"), ("stage", "unknown")], older_than_s=AT_ONCE)
    assert list(collected.outputs) == [("stage", "stray")]


def test_young_things_stay(store: Store) -> None:
    publish(store, "stray")
    left = abandon(store, "never")
    assert store.collect(older_than_s=3600).outputs == ()
    collected = store.collect(older_than_s=AT_ONCE)
    assert collected.attempts == (left,)
    assert list(collected.outputs) == [("stage", "stray")]


def test_abandoned_attempts_go_and_the_published_one_stays(store: Store) -> None:
    output = publish(store, "d1")
    store.deliver(output, "products/p")
    left = [abandon(store, "d1"), abandon(store, "never")]
    collected = store.collect(older_than_s=AT_ONCE)
    assert sorted(collected.attempts) == sorted(left)
    assert collected.size == 10
    store.read("stage", "d1").verify()
    system, root = fsspec.core.url_to_fs(f"{store.url}/stages", use_listings_cache=False)
    assert len(system.find(root)) == 2


def test_old_notes_and_unpublished_work_go(store: Store) -> None:
    publish(store, "d1")
    store.leave_note("run-1", "a-ingest", {"seconds": 1.5})
    system, name = fsspec.core.url_to_fs(f"{store.work_folder('train/d1')}/checkpoint.bin")
    system.makedirs(name.rsplit("/", 1)[0], exist_ok=True)
    system.pipe_file(name, b"12345")
    assert store.collect(older_than_s=3600).leftovers == ()
    assert store.notes("run-1") == {"a-ingest": {"seconds": 1.5}}
    assert store.collect([("stage", "d1")], older_than_s=AT_ONCE).leftovers == ("runs/run-1", "work/train/d1")
    assert store.notes("run-1") == {}
    store.read("stage", "d1").verify()


def test_nothing_goes_where_references_are_unreadable(store: Store) -> None:
    product = publish(store, "product")
    publish(store, "stray")
    place = store.deliver(product, "products/p")
    system, name = fsspec.core.url_to_fs(f"{place}/_published.json")
    system.pipe_file(name, b"{")
    with pytest.raises(StoreError, match="what it refers to is unknown"):
        store.collect(older_than_s=AT_ONCE)
    store.read("stage", "stray").verify()


def test_empty_store_has_nothing_to_collect(store: Store) -> None:
    assert store.collect(older_than_s=AT_ONCE).size == 0
