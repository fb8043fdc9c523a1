"""The networks: one file each, one registry by name."""

from __future__ import annotations

from glacier_core.models.families import (
    MODELS,
    ModelFamily,
    Segmenter,
    build_model,
    device_of,
    parameter_count,
    tiling_of,
)

__all__ = ["MODELS", "ModelFamily", "Segmenter", "build_model", "device_of", "parameter_count", "tiling_of"]
