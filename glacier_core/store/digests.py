"""Digests: what names an output. Equal content has equal bytes, whatever order its keys came in."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime
from enum import Enum
from pathlib import PurePath
from typing import Any

from glacier_core.errors import ConfigurationError

DIGEST_LENGTH = 20


def digest_of(value: object) -> str:
    """The name of a value: SHA-256 of its canonical JSON, the first 20 hexadecimal digits (80 bits).

    Raises:
        ConfigurationError: the value holds something that has no JSON form, or a number that is not finite.
    """
    return hashlib.sha256(canonical_json(value)).hexdigest()[:DIGEST_LENGTH]


def stage_digest(stage: str, *, version: int, part: Mapping[str, Any] | object, inputs: Sequence[str]) -> str:
    """The name of a stage's output: what it is made from.

    Args:
        stage: the stage's name.
        version: the stage's version, raised whenever its code makes something else of the same inputs.
        part: the recipe part (mapping, pydantic model or dataclass) that the output depends on.
        inputs: digests of the outputs it is made from, in their order.

    Raises:
        ConfigurationError: `part` has no JSON form.
    """
    return digest_of({"stage": stage, "version": version, "part": part, "inputs": list(inputs)})


def canonical_json(value: object) -> bytes:
    """A value as JSON with sorted keys, no spaces, floats as `repr` and dates in ISO 8601; UTF-8.

    Raises:
        ConfigurationError: the value holds something that has no JSON form, or a number that is not finite.
    """
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def plain(value: object) -> Any:
    """A value in JSON's own types: mappings, lists, strings, numbers, true, false and null.

    Raises:
        ConfigurationError: something in it has no JSON form, or is not finite, or two keys of a mapping have one name.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, int | float | str):
        return _scalar(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, PurePath):
        return value.as_posix()
    return _collection(value)


def _scalar(value: int | float | str) -> int | float | str:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigurationError(
                f"the number {value} has no JSON form", expected="a finite number", do="use null for what is unknown"
            )
        return float(value)
    return int(value) if isinstance(value, int) else str(value)


def _collection(value: object) -> Any:
    if isinstance(value, Mapping):
        named = {str(plain(key)): plain(item) for key, item in value.items()}
        if len(named) != len(value):
            raise ConfigurationError(
                f"two of the keys {sorted(map(str, value))} have one name in JSON", expected="keys that stay distinct"
            )
        return named
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Set):
        return sorted((plain(item) for item in value), key=canonical_json)
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return plain(value.tolist())
    raise ConfigurationError(
        f"a {type(value).__name__} has no JSON form", expected="mappings, sequences, strings, numbers, dates"
    )
