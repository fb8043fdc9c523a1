"""What training goes on from after it was stopped: two safetensors files, written in turn, never pickle.

Each is replaced as a whole, and the one that was written last stays while the other is: a damaged file costs the steps
since the one before it, and no more.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import torch
from fsspec.implementations.local import LocalFileSystem
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

log = logging.getLogger(__name__)

CHECKPOINTS = ("checkpoint-0.safetensors", "checkpoint-1.safetensors")
"""Names of the two files."""


@dataclass
class Progress:
    """How far training has come. With the weights and the optimizer's state it says all: the rest follows from seed
    and step."""

    step: int = 0
    """Steps done."""
    losses: list[float] = field(default_factory=list)
    """Losses of the steps of the epoch that is under way."""
    history: list[dict[str, float]] = field(default_factory=list)
    """What was found after each epoch."""
    best_epoch: int = 0
    """Epoch (from 1) with the least validation loss so far; 0 before the first has ended."""
    best_loss: float | None = None
    """Its validation loss."""
    seconds: float = 0.0
    """Time spent, in earlier runs too."""
    finished: bool = False
    """Whether nothing remains to be done."""

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    def enter(self, found: dict[str, float], *, patience: int, epochs: int) -> bool:
        """Close an epoch with what was found in it.

        Args:
            found: among others its validation_loss.
            patience: epochs without a better one after which training is finished.
            epochs: the most.

        Returns:
            Whether its validation loss is the least so far.
        """
        self.history.append(found)
        self.losses.clear()
        better = self.best_loss is None or found["validation_loss"] < self.best_loss
        if better:
            self.best_epoch, self.best_loss = self.epoch, found["validation_loss"]
        self.finished = self.epoch >= epochs or self.epoch - self.best_epoch >= patience
        return better


class Checkpoints:
    """Keeps and restores the state of one training.

    Args:
        folder: path or fsspec URL.
        fingerprint: names what is trained; a checkpoint of anything else is not gone on from.
        describes: the same in words, for messages.
    """

    def __init__(self, folder: str, *, fingerprint: str, describes: str = "") -> None:
        self._fs, root = fsspec.core.url_to_fs(str(folder))
        self._paths = tuple(f"{root.rstrip('/')}/{name}" for name in CHECKPOINTS)
        self._header = {"fingerprint": fingerprint, "describes": describes}
        self._next = 0

    def save(
        self,
        progress: Progress,
        *,
        network: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        best: dict[str, Tensor],
    ) -> None:
        """Replace the older of the two checkpoints by the present state, at once or not at all."""
        tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        for name, parameter in network.named_parameters():
            for optimizer in optimizers:
                for key, value in optimizer.state.get(parameter, {}).items():
                    tensors[f"optimizer.{key}.{name}"] = value
        header = self._header | {"progress": json.dumps(asdict(progress))}
        data = save({name: value.cpu().contiguous() for name, value in tensors.items()}, metadata=header)
        self._replace(self._paths[self._next], data)
        self._next = 1 - self._next

    def restore(
        self, *, network: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
    ) -> tuple[Progress, dict[str, Tensor]]:
        """Put the state that was saved last into network and optimizers.

        Returns:
            The progress and the best weights; a fresh start where nothing usable was saved.
        """
        found = [(*read, number) for number, path in enumerate(self._paths) if (read := self._read(path))]
        if not found:
            return Progress(), {}
        progress, tensors, number = max(found, key=lambda read: (read[0].step, read[0].epoch, read[0].finished))
        self._next = 1 - number
        network.load_state_dict(_below("network.", tensors))
        owner = {id(value): one for one in optimizers for group in one.param_groups for value in group["params"]}
        for key_and_name, value in _below("optimizer.", tensors).items():
            key, _, name = key_and_name.partition(".")
            parameter = network.get_parameter(name)
            like = parameter if value.shape == parameter.shape else value
            state = owner[id(parameter)].state[parameter]
            state[key] = torch.empty_like(like, dtype=value.dtype).copy_(value)
        return progress, _below("best.", tensors)

    def _read(self, path: str) -> tuple[Progress, dict[str, Tensor]] | None:
        try:
            data = self._fs.cat_file(path)
            header = _header(data)
            if header.get("fingerprint") != self._header["fingerprint"]:
                log.warning(
                    "%s belongs to another training (%s); starting afresh with %s",
                    path,
                    header.get("describes"),
                    self._header["describes"],
                )
                return None
            return Progress(**json.loads(header["progress"])), load(data)
        except FileNotFoundError:
            return None
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read (%s); going on from the one before it", path, error)
            return None

    def _replace(self, name: str, data: bytes) -> None:
        if not isinstance(self._fs, LocalFileSystem):
            self._fs.pipe_file(name, data)  # object stores show an object when it is complete
            return
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            with new.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _header(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file (8 bytes of length, then JSON)."""
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    return dict(header["__metadata__"])
