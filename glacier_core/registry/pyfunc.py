"""The MLflow pyfunc of a registered network: MLflow keeps this file as it is and runs it to load the model.

A network that segments: input (batch, channel, y, x) float32, physical values, NaN where nothing was seen; output
(batch, class, y, x) float32 probabilities. A network that forecasts: input `past` (batch, time, channel, y, x) and
`known` (batch, lead, channel, y, x), normalised; output the change of the base forecast, (batch, lead, channel, y, x).
Nothing is pickled: weights are safetensors, the rest is JSON.
"""

from __future__ import annotations

from typing import Any

import mlflow
import numpy as np


class GlacierNetwork(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """A network of Glacierflow behind MLflow's interface."""

    def load_context(self, context: Any) -> None:
        """Read the network from the version's artifacts."""
        from glacier_core.training import load_model

        self.network, self.spec = load_model(context.artifacts["network"])

    # MLflow knows the plain type and leaves the input to the signature; any other hint, even Any, makes it warn
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> np.ndarray:  # noqa: ARG002
        """Probabilities of each class for a batch of images, or the change that is forecast for sequences."""
        if isinstance(model_input, dict):
            return self._forecast(model_input)
        from glacier_core.inference import predict_image

        images = np.asarray(model_input, dtype=np.float32)
        return np.stack([predict_image(self.network, self.spec, image) for image in images])

    def _forecast(self, sequences: dict[str, np.ndarray]) -> np.ndarray:
        import torch

        past, known = (torch.from_numpy(np.asarray(sequences[name], np.float32)) for name in ("past", "known"))
        with torch.inference_mode():
            change: np.ndarray = self.network(past, known).float().numpy()
        return change


mlflow.models.set_model(GlacierNetwork())
