"""Training of the networks of both families: losses, the loop, several processes, checkpoints, networks on disk."""

from __future__ import annotations

from glacier_core.training.batches import ChipSource
from glacier_core.training.groups import launched
from glacier_core.training.hardware import Precision, best_device, choose_precision, tune_allocator
from glacier_core.training.loop import train, train_sequences
from glacier_core.training.losses import IGNORE
from glacier_core.training.saved import ModelSpec, load_model, save_model
from glacier_core.training.tasks import Trained

__all__ = [
    "IGNORE",
    "ChipSource",
    "ModelSpec",
    "Precision",
    "Trained",
    "best_device",
    "choose_precision",
    "launched",
    "load_model",
    "save_model",
    "train",
    "train_sequences",
    "tune_allocator",
]
