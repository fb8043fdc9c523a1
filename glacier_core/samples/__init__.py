"""Chips read straight from cubes, and splits that do not leak."""

from __future__ import annotations

from glacier_core.samples.augmentation import augment
from glacier_core.samples.chips import Chip, ChipReader, chips_of
from glacier_core.samples.splits import SplitFile, assign_places, check_no_leak, split_by_axis, split_by_place

__all__ = [
    "Chip",
    "ChipReader",
    "SplitFile",
    "assign_places",
    "augment",
    "check_no_leak",
    "chips_of",
    "split_by_axis",
    "split_by_place",
]
