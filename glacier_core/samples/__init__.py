"""Chips and sequences read straight from cubes, and splits that do not leak."""

from __future__ import annotations

from glacier_core.samples.augmentation import augment, augment_sequence
from glacier_core.samples.chips import Chip, ChipReader, chips_of
from glacier_core.samples.sequence_windows import issues_of, tiles_of
from glacier_core.samples.sequences import SequenceSample, SequenceSource
from glacier_core.samples.splits import SplitFile, assign_places, check_no_leak, split_by_axis, split_by_place

__all__ = [
    "Chip",
    "ChipReader",
    "SequenceSample",
    "SequenceSource",
    "SplitFile",
    "assign_places",
    "augment",
    "augment_sequence",
    "check_no_leak",
    "chips_of",
    "issues_of",
    "split_by_axis",
    "split_by_place",
    "tiles_of",
]
