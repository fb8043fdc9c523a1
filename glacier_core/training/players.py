"""One optimizer and what it strives for: forward, backward, and one step down."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from glacier_core import recipes
from glacier_core.training.batches import Batch
from glacier_core.training.groups import Group, alone
from glacier_core.training.hardware import Precision
from glacier_core.training.optimizing import check_finite, clip_gradient, make_optimizer, set_learning_rate
from glacier_core.training.tasks import Aim


class Player:
    """Improves a part of the network's weights, step by step.

    Args:
        aim: what it strives for.
        network: the whole network; what is not the aim's stays as it is.
        plan: how it is trained.
        group: the processes that do it together.
        precision: how it is computed, and where.
    """

    def __init__(
        self, aim: Aim, network: nn.Module, *, plan: recipes.Training, group: Group, precision: Precision
    ) -> None:
        self._aim, self._network, self._plan, self._group = aim, network, plan, group
        self._take_turn()
        self.optimizer = make_optimizer(aim.parameters, plan)
        self._objective = group.parallel(_Objective(aim, network, precision))

    def improve(self, parts: Sequence[Batch], *, step: int) -> float:
        """One step on a batch that comes in parts; gradients of parts add up to those of the batch.

        That is exact for losses that are means over pixels. Ratios of sums (Dice, Tversky) and batch statistics are
        those of each part.

        Returns:
            The loss before the step.

        Raises:
            DataError: the loss is not finite; the weights are left as they were.
        """
        self._take_turn()
        set_learning_rate(self.optimizer, step=step, plan=self._plan)
        self.optimizer.zero_grad()
        found = [self._descend(batch, alone_yet=batch is not parts[-1], many=len(parts) > 1) for batch in parts]
        amount = torch.stack([amount for _, amount in found]).sum().clamp(min=1e-6)
        loss = (torch.stack([loss * share for loss, share in found]).sum() / amount).item()
        if len(parts) > 1:
            for parameter in self._aim.parameters:
                if parameter.grad is not None:
                    parameter.grad /= amount
        gradient = clip_gradient(self._aim.parameters, largest=self._plan.clip)
        check_finite(step, loss=loss, gradient=gradient)
        self.optimizer.step()
        return loss

    def _descend(self, batch: Batch, *, alone_yet: bool, many: bool) -> tuple[Tensor, Tensor]:
        """Loss and amount of one part, its gradient added to the others'."""
        with alone(self._objective) if alone_yet else nullcontext():
            sums = self._group.sum(self._objective(*batch))
            loss, amount = self._aim.loss(sums), self._aim.amount(sums).detach()
            (loss * amount if many else loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach(), amount

    def _take_turn(self) -> None:
        mine = {id(parameter) for parameter in self._aim.parameters}
        for parameter in self._network.parameters():
            parameter.requires_grad_(id(parameter) in mine)


class _Objective(nn.Module):
    """A batch goes in, the sums that the loss is made of come out: what data parallelism wraps."""

    def __init__(self, aim: Aim, network: nn.Module, precision: Precision) -> None:
        super().__init__()
        self.network = network
        self._sums, self._precision = aim.sums, precision

    def forward(self, *batch: Tensor) -> Tensor:
        with self._precision.autocast():
            return self._sums(self._precision.moved(batch))
