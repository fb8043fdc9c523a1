"""Prediction in constant memory."""

from __future__ import annotations

from glacier_core.inference.tiled import predict_image, predict_tiled

__all__ = ["predict_image", "predict_tiled"]
