"""Prediction in constant memory."""

from __future__ import annotations

from glacier_core.inference.sequences import Beginning, predict_sequences
from glacier_core.inference.tiled import predict_image, predict_tiled

__all__ = ["Beginning", "predict_image", "predict_sequences", "predict_tiled"]
