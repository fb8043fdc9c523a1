"""How good a network is on the validation set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from glacier_core.errors import DataError
from glacier_core.training.batches import Batch
from glacier_core.training.groups import Group
from glacier_core.training.hardware import Precision
from glacier_core.training.tasks import Task


@torch.inference_mode()
def validate(
    network: nn.Module, batches: Iterable[Batch], *, task: Task, group: Group, precision: Precision, step: int
) -> dict[str, float]:
    """The task's figures over all batches of all processes.

    Args:
        network: as it is now.
        batches: this process's share.
        task: makes the figures.
        group: the processes.
        precision: how it is computed, and where.
        step: steps done, for the message.

    Raises:
        DataError: nothing counts, or the loss is not finite.
    """
    network.eval()
    parts = []
    for batch in batches:
        with precision.autocast():
            parts.append(task.judged(network, precision.moved(batch)))
    found = task.figures(group.total(parts))
    if not np.isfinite(found["validation_loss"]):
        raise DataError(
            f"after step {step} the validation loss is {found['validation_loss']:g}",
            expected="a finite number",
            do="lower training.learning_rate; the last checkpoint before it is kept",
        )
    return found
