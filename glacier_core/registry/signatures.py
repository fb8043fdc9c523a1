"""What a registered network takes and gives behind MLflow's interface, and an example of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.recipes import NETWORKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAST, KNOWN = "past", "known"
EXAMPLE_SIZE = 64


def is_forecast(spec: Mapping[str, Any]) -> bool:
    """Whether a network, described by its `model.json`, forecasts; the others segment."""
    return NETWORKS.get(spec["name"]) == "forecast"


def signature_of(spec: Mapping[str, Any]) -> Any:
    """MLflow's signature: images to probabilities; or sequences `past` and `known` to the change of the base forecast.

    Images are (batch, channel, y, x), physical values, and probabilities (batch, class, y, x). A sequence is (batch,
    time, channel, y, x), normalised as the network's training data were.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    kind = np.dtype(np.float32)
    if is_forecast(spec):
        sizes = spec["sizes"]
        return ModelSignature(
            inputs=Schema(
                [
                    TensorSpec(kind, (-1, -1, sizes["channels"], -1, -1), PAST),
                    TensorSpec(kind, (-1, -1, sizes["known"], -1, -1), KNOWN),
                ]
            ),
            outputs=Schema([TensorSpec(kind, (-1, -1, sizes.get("outputs", 1), -1, -1))]),
        )
    return ModelSignature(
        inputs=Schema([TensorSpec(kind, (-1, _channels(spec), -1, -1))]),
        outputs=Schema([TensorSpec(kind, (-1, len(spec["classes"]), -1, -1))]),
    )


def example_of(spec: Mapping[str, Any]) -> NDArray[np.float32] | dict[str, NDArray[np.float32]]:
    """One input: an image of the training data's mean values, or two frames and one lead of nothing."""
    square = (EXAMPLE_SIZE, EXAMPLE_SIZE)
    if is_forecast(spec):
        sizes = spec["sizes"]
        return {
            PAST: np.zeros((1, 2, sizes["channels"], *square), np.float32),
            KNOWN: np.zeros((1, 1, sizes["known"], *square), np.float32),
        }
    image = np.zeros((1, _channels(spec), *square), np.float32)
    means = (spec.get("normalisation") or {}).get("mean", ())
    if len(means) == image.shape[1]:
        image += np.asarray(means, np.float32)[None, :, None, None]
    return image


def _channels(spec: Mapping[str, Any]) -> int:
    sizes = spec.get("sizes", {})
    return int(sizes.get("bands", len(spec["bands"])) * sizes.get("dates", 1))
