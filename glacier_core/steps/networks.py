"""A trained network that a stage applies: its weights are read when the first unit needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glacier_core.steps.running import Step, threads

if TYPE_CHECKING:
    from torch import nn

    from glacier_core.training import ModelSpec


class Network:
    """A network of the store.

    Args:
        step: the running stage.
        weights: reference of the output that holds `weights.safetensors` and `model.json`.
    """

    def __init__(self, step: Step, weights: str) -> None:
        self.reference = weights
        """What predictions are made from, beside their unit."""
        self._output = step.read(weights)
        self._loaded: tuple[nn.Module, ModelSpec] | None = None

    def load(self) -> tuple[nn.Module, ModelSpec]:
        """The network, ready to predict on this process's threads, and its description.

        Raises:
            DataError: the files are damaged, or the weights are those of another network.
        """
        if self._loaded is None:
            import torch

            from glacier_core.training import load_model

            torch.set_num_threads(threads())
            self._loaded = load_model(self._output.path(""))
        return self._loaded

    def read_bytes(self, name: str) -> bytes:
        """Another file that was kept beside the weights.

        Raises:
            NotPublishedError: there is none of that name.
        """
        return self._output.read_bytes(name)
