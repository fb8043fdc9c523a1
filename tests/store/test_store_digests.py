"""Digests name content: equal values alike, other values otherwise."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from glacier_core.errors import ConfigurationError
from glacier_core.store import Store, canonical_json, digest_of, plain, stage_digest

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
parts = st.text("abc_-.9", min_size=1, max_size=6).filter(lambda part: part.strip("."))
names = st.lists(parts, min_size=1, max_size=3)


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    width: int = 16
    day: date = date(2020, 8, 1)


@dataclass(frozen=True)
class Point:
    x: float
    y: tuple[int, ...]


@given(values)
@settings(max_examples=60, deadline=None)
def test_canonical_json_is_json_and_keeps_the_value(value: Any) -> None:
    data = canonical_json(value)
    assert json.loads(data.decode("utf-8", "surrogatepass")) == value
    assert canonical_json(json.loads(data.decode("utf-8", "surrogatepass"))) == data


@given(st.dictionaries(st.text(), scalars, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_order_of_keys_does_not_matter(value: dict[str, Any], random: Any) -> None:
    shuffled = list(value.items())
    random.shuffle(shuffled)
    assert digest_of(dict(shuffled)) == digest_of(value)


@given(st.dictionaries(names.map("/".join), st.binary(max_size=50), max_size=5))
@settings(max_examples=30, deadline=None)
def test_content_comes_back_as_it_was(files: dict[str, bytes]) -> None:
    folders = {"/".join(name.split("/")[:depth]) for name in files for depth in range(1, name.count("/") + 1)}
    files = {name: data for name, data in files.items() if name not in folders}
    store = Store(f"memory://{uuid.uuid4().hex}")
    output = store.publish_content("stage", files)
    assert {name: output.read_bytes(name) for name in output.files()} == files
    assert store.publish_content("stage", files).record == output.record


def test_digest_is_what_was_written_down() -> None:
    """A change here would make everybody's stores start anew."""
    assert digest_of({"b": 1, "a": [1.5, None, "é"]}) == "10c71012fb391fead6e4"
    assert stage_digest("ingest", version=1, part={"bands": ("B02",)}, inputs=["x"]) == "f478153b066ce17e7297"


def test_each_ingredient_of_a_stage_changes_its_digest() -> None:
    digests = {
        stage_digest("ingest", version=1, part={"k": 1}, inputs=["x", "y"]),
        stage_digest("prepare", version=1, part={"k": 1}, inputs=["x", "y"]),
        stage_digest("ingest", version=2, part={"k": 1}, inputs=["x", "y"]),
        stage_digest("ingest", version=1, part={"k": 2}, inputs=["x", "y"]),
        stage_digest("ingest", version=1, part={"k": 1}, inputs=["y", "x"]),
        stage_digest("ingest", version=1, part={"k": 1.0}, inputs=["x", "y"]),
    }
    assert len(digests) == 6
    assert all(len(digest) == 20 for digest in digests)


def test_values_of_the_libraries_have_a_json_form() -> None:
    value = {
        "day": date(2020, 1, 2),
        "time": datetime(2020, 1, 2, 3, tzinfo=UTC),
        "path": Path("a/b"),
        "model": Model(),
        "point": Point(0.1, (1, 2)),
        "set": {3, 1, 2},
        "colour": Colour.RED,
        "number": np.float32(0.5),
        "array": np.arange(3),
        2016: True,
    }
    assert plain(value) == {
        "day": "2020-01-02",
        "time": "2020-01-02T03:00:00+00:00",
        "path": "a/b",
        "model": {"width": 16, "day": "2020-08-01"},
        "point": {"x": 0.1, "y": [1, 2]},
        "set": [1, 2, 3],
        "colour": "red",
        "number": 0.5,
        "array": [0, 1, 2],
        "2016": True,
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: "a", "1": "b"}, b"bytes", int])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="JSON"):
        digest_of({"k": value})
