"""The optimizer, its schedule and what stops a training that has run away."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from glacier_core import recipes
from glacier_core.errors import DataError

_WARM_UP = 0.1


def make_optimizer(parameters: Iterable[nn.Parameter], plan: recipes.Training) -> torch.optim.Optimizer:
    """Adam (arXiv:1412.6980) or AdamW (arXiv:1711.05101); kernels decay, what scales and shifts does not."""
    every = list(parameters)
    kernels = [parameter for parameter in every if parameter.ndim > 1]
    others = [parameter for parameter in every if parameter.ndim <= 1]
    kind = torch.optim.AdamW if plan.optimizer == "adamw" else torch.optim.Adam
    groups = [{"params": kernels, "weight_decay": plan.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return kind(groups, lr=plan.learning_rate, fused=True)


def learning_rate(step: int, plan: recipes.Training) -> float:
    """The rate of a step.

    cosine: linear warm-up over the first tenth of the steps, then half a cosine towards 0 (arXiv:1608.03983).
    constant: always the same. step: a tenth after each third of the steps.

    Args:
        step: from 0.
        plan: the schedule, the largest rate, epochs and steps an epoch.
    """
    steps = plan.epochs * plan.steps_per_epoch
    if plan.schedule == "constant":
        return plan.learning_rate
    if plan.schedule == "step":
        return plan.learning_rate * 0.1 ** (3 * step // steps)
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return plan.learning_rate * (step + 1) / warm_up
    return plan.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def set_learning_rate(optimizer: torch.optim.Optimizer, *, step: int, plan: recipes.Training) -> None:
    """Set the rate of a step (from 0)."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, plan)


def clip_gradient(parameters: Iterable[nn.Parameter], *, largest: float) -> float:
    """Scale the gradient down to a norm of `largest` where it is longer (0: leave it), and return its norm before."""
    every = [parameter for parameter in parameters if parameter.grad is not None]
    return nn.utils.clip_grad_norm_(every, largest or math.inf).item()


def check_finite(step: int, *, loss: float, gradient: float) -> None:
    """Raises DataError that names the step (counted from 1) when the loss or its gradient is not finite."""
    if not (math.isfinite(loss) and math.isfinite(gradient)):
        raise DataError(
            f"at step {step + 1} the training loss is {loss:g} and the norm of its gradient {gradient:g}",
            expected="finite numbers",
            do="lower training.learning_rate, or look for values out of range in the imagery; "
            "the last checkpoint before it is kept",
        )
