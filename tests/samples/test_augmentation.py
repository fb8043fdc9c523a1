"""Each change of augmentation alone, and sequences that turn as one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from glacier_core.cube import IGNORED
from glacier_core.samples import SequenceSample, augment, augment_sequence


def chip() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, (2, 32, 32)).astype(np.float32)
    image[:, 4, 5] = np.nan
    return image, (rng.random((32, 32)) > 0.5).astype(np.uint8)


def test_without_changes_nothing_changes() -> None:
    image, target = chip()
    found, label = augment(image, target, np.random.default_rng(1), changes=())
    np.testing.assert_array_equal(found, image)
    np.testing.assert_array_equal(label, target)
    assert found is not image


@pytest.mark.parametrize(("change", "symmetries"), [("flip", 2), ("rotate", 4)])
def test_turning_alone_gives_its_symmetries(change: str, symmetries: int) -> None:
    image, target = chip()
    rng = np.random.default_rng(1)
    assert len({augment(image, target, rng, changes=(change,))[1].tobytes() for _ in range(60)}) == symmetries


def test_noise_is_a_twentieth_of_the_spread() -> None:
    image, target = chip()
    found, label = augment(image, target, np.random.default_rng(1), changes=("noise",))
    assert np.nanstd(found - image) == pytest.approx(0.05 * np.nanstd(image), rel=0.1)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(image))
    np.testing.assert_array_equal(label, target)


def test_a_shift_brings_in_what_was_not_seen() -> None:
    image, target = chip()
    rng = np.random.default_rng(2)
    shifts: set[tuple[int, int]] = set()
    for _ in range(80):
        found, label = augment(image, target, rng, changes=("shift",))
        rows, columns = (np.flatnonzero((label != IGNORED).any(axis=axis)) for axis in (1, 0))
        assert min(len(rows), len(columns)) >= 32 - 4
        down = rows[0] if rows[0] else len(rows) - 32
        right = columns[0] if columns[0] else len(columns) - 32
        expected = np.roll(image, (down, right), axis=(1, 2))[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        np.testing.assert_array_equal(found[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], expected)
        assert np.isnan(found[:, label == IGNORED]).all()
        shifts.add((int(down), int(right)))
    assert len(shifts) > 30


@pytest.mark.parametrize("width", [6, 8])
def test_a_sequence_turns_as_one(width: int) -> None:
    rng = np.random.default_rng(3)

    def field(*shape: int) -> NDArray[np.float32]:
        return rng.random((*shape, 6, width), dtype=np.float32)

    base = field(2, 1)
    sample = SequenceSample(
        past=np.repeat(base, 2, axis=1), known=np.repeat(base, 3, axis=1), base=base, future=base, weight=base
    )
    seen = set()
    for _ in range(60):
        found = augment_sequence(sample, rng, changes=("flip", "rotate"))
        for name in ("past", "known", "future", "weight"):
            for channel in range(getattr(found, name).shape[1]):
                np.testing.assert_array_equal(getattr(found, name)[:, channel], found.base[:, 0])
        seen.add(found.base.tobytes())
    assert len(seen) == (8 if width == 6 else 4)
