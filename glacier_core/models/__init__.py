"""The networks: one file each, one registry by name."""

from __future__ import annotations

from glacier_core.models.families import (
    FORECAST,
    MODELS,
    SEGMENTATION,
    Forecaster,
    ModelFamily,
    Segmenter,
    build_model,
    device_of,
    family_of,
    parameter_count,
    tiling_of,
)
from glacier_core.models.weights import WeightsReport, load_weights

__all__ = [
    "FORECAST",
    "MODELS",
    "SEGMENTATION",
    "Forecaster",
    "ModelFamily",
    "Segmenter",
    "WeightsReport",
    "build_model",
    "device_of",
    "family_of",
    "load_weights",
    "parameter_count",
    "tiling_of",
]
