"""The processes that train one network together, and what they compute as one.

Distributed data parallel (Li et al. 2020, arXiv:2006.15704): gradients are averaged by PyTorch; batch statistics and
the sums that losses are made of are added up here, with gradients.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the name by which everybody knows it
from torch import Tensor, nn

from glacier_core.errors import DataError
from glacier_core.training.hardware import best_device

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Group:
    """The processes that train one network together."""

    rank: int = 0
    """Which of them this is."""
    world: int = 1
    """How many there are."""
    local_rank: int = -1
    """Which of those on this machine; the rank where not given."""

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return best_device(self.local_rank if self.local_rank >= 0 else self.rank)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of every process's tensor, in each of them; gradients flow through it."""
        if self.world == 1:
            return value
        total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
        return total

    def total(self, parts: Sequence[Tensor]) -> Tensor:
        """The sum of every process's vectors, in each of them; a process may have none as long as another has some."""
        own = torch.stack(list(parts)).sum(0) if parts else torch.zeros(0, dtype=torch.float64, device=self.device)
        if self.world == 1:
            return own
        length = torch.tensor(len(own), device=self.device)
        dist.all_reduce(length, op=dist.ReduceOp.MAX)
        whole = own if len(own) else torch.zeros(int(length), dtype=torch.float64, device=self.device)
        dist.all_reduce(whole)
        return whole

    def any(self, asked: bool) -> bool:  # noqa: FBT001 - the one thing that it is about
        """Whether it is so in any process: what all do alike must be decided alike."""
        if self.world == 1:
            return asked
        flag = torch.tensor(float(asked), device=self.device)
        dist.all_reduce(flag)
        return bool(flag.item())

    def check_together(self, step: int) -> None:
        """Raises DataError where the processes would go on from different steps."""
        if self.world == 1:
            return
        steps = torch.tensor([float(step), -float(step)], device=self.device)
        dist.all_reduce(steps, op=dist.ReduceOp.MAX)
        if int(steps[0]) != -int(steps[1]):
            raise DataError(
                f"training processes found checkpoints of the steps {-int(steps[1])} and {int(steps[0])}",
                expected="one folder of checkpoints that all of them read",
                do="keep the store where every machine reaches it, such as s3://",
            )

    def share_statistics(self, network: nn.Module) -> None:
        """Have the network's batch normalisation use the statistics of the global batch, in place."""
        if self.world == 1:
            return
        for module in list(network.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.modules.batchnorm._BatchNorm) and type(child) in _BATCH_NORMS:  # noqa: SLF001
                    setattr(module, name, _SharedBatchNorm(child, self))

    def parallel(self, objective: nn.Module) -> nn.Module:
        """The module, wrapped so that gradients are those of the global batch."""
        return objective if self.world == 1 else nn.parallel.DistributedDataParallel(objective)


def alone(objective: nn.Module) -> AbstractContextManager[object]:
    """Within it gradients add up in each process, and are not yet averaged."""
    if isinstance(objective, nn.parallel.DistributedDataParallel):
        return objective.no_sync()
    return nullcontext()


def launched() -> Group | None:
    """This process's place among those that torchrun started; None where it was not started by it.

    Its environment: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT.
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return None
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return Group(rank=rank, world=world, local_rank=int(os.environ.get("LOCAL_RANK", str(rank))))


class _Sum(torch.autograd.Function):
    """Sum over the processes, forwards and backwards."""

    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class _SharedBatchNorm(nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - the base of all three kinds
    """Batch normalisation by the statistics of the global batch (torch's own needs CUDA)."""

    def __init__(self, of: nn.modules.batchnorm._BatchNorm, group: Group) -> None:
        super().__init__(of.num_features, eps=of.eps, momentum=of.momentum)
        self.load_state_dict(of.state_dict())
        self.to(of.weight.device)
        self._group = group

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        values = x.float()
        n = torch.full((1,), values.numel() / values.shape[1], device=x.device)
        variance, mean = torch.var_mean(values, dim=[0, *range(2, x.ndim)], correction=0)
        total = self._group.sum(torch.cat([n, n * mean, n * (variance + mean**2)]))
        number, (mean, square) = total[0], (total[1:] / total[0]).chunk(2)
        variance = square - mean**2
        self._remember(mean.detach(), variance.detach(), number.item())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        channel = (-1, *[1] * (x.ndim - 2))
        return (values * scale.view(channel) + shift.view(channel)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, number: float) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        momentum = 0.1 if self.momentum is None else self.momentum
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (number / max(number - 1, 1)), momentum)
