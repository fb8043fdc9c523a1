"""How good a network is on the validation set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from glacier_core.errors import DataError
from glacier_core.training.hardware import Precision
from glacier_core.training.losses import confusion, loss_of, pixel_sums
from glacier_core.training.processes import Group
from glacier_core.training.tasks import Task


@torch.inference_mode()
def validate(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    task: Task,
    group: Group,
    precision: Precision,
) -> tuple[float, NDArray[np.float64]]:
    """Loss and confusion matrix (true classes in rows, predicted in columns) over all batches of all processes.

    Raises:
        DataError: no pixel counts, or the loss is not finite.
    """
    network.eval()
    device = precision.device
    sums = torch.zeros(3 * task.classes + 2, dtype=torch.float64, device=device)
    matrix = torch.zeros(task.classes, task.classes, dtype=torch.float64, device=device)
    for images, targets in batches:
        with precision.autocast():
            logits = network(precision.image(images))
        targets_on_device = targets.to(device)
        sums += pixel_sums(logits, targets_on_device)
        matrix += confusion(logits, targets_on_device)
    sums, matrix = group.sum(sums), group.sum(matrix)
    loss = float(loss_of(sums, loss=task.training.loss))
    if not float(sums[-1]):
        raise DataError("no pixel of the validation set counts", expected="labelled pixels that were seen")
    if not np.isfinite(loss):
        raise DataError(f"the validation loss is {loss:g}", expected="a finite number")
    return loss, matrix.cpu().numpy()
