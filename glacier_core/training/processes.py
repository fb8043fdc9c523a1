"""Several training processes on one machine that compute exactly what one process computes with the same batch.

Distributed data parallel (Li et al. 2020, arXiv:2006.15704): gradients are averaged by PyTorch; batch statistics and
the sums that losses are made of are added up here, with gradients. The caller is process 0; the others die with it.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.context import SpawnProcess
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the name by which everybody knows it
from torch import Tensor, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from glacier_core.errors import DataError, GlacierError
from glacier_core.lifetimes import die_with_parent
from glacier_core.training.hardware import best_device, tune_allocator

log = logging.getLogger(__name__)

_LOOPBACK = "127.0.0.1"
_TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True)
class Group:
    """The processes that train one network together."""

    rank: int = 0
    """Which of them this is."""
    world: int = 1
    """How many there are."""

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return best_device(self.rank)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of every process's tensor, in each of them; gradients flow through it."""
        if self.world == 1:
            return value
        total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
        return total

    def parallel(self, network: nn.Module) -> nn.Module:
        """The network, wrapped so that its gradients and batch statistics are those of the global batch."""
        if self.world == 1:
            return network
        for module in list(network.modules()):
            for name, child in module.named_children():
                if type(child) is nn.BatchNorm2d:
                    setattr(module, name, _SharedBatchNorm(child, self))
        return nn.parallel.DistributedDataParallel(network)


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


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the global batch (torch's own needs CUDA)."""

    def __init__(self, of: nn.BatchNorm2d, group: Group) -> None:
        super().__init__(of.num_features, eps=of.eps, momentum=of.momentum)
        self.load_state_dict(of.state_dict())
        self.to(of.weight.device)
        self._group = group

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        values = x.float()
        n = torch.full((1,), values.numel() / values.shape[1], device=x.device)
        variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
        total = self._group.sum(torch.cat([n, n * mean, n * (variance + mean**2)]))
        number, (mean, square) = total[0], (total[1:] / total[0]).chunk(2)
        variance = square - mean**2
        self._remember(mean.detach(), variance.detach(), number.item())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (values * scale[:, None, None] + shift[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, number: float) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        momentum = 0.1 if self.momentum is None else self.momentum
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (number / max(number - 1, 1)), momentum)


@contextmanager
def training_group(
    processes: int, *, threads: int, follow: Callable[..., object], arguments: tuple[Any, ...]
) -> Iterator[Group]:
    """This process and `processes` - 1 new ones, as one group; the new ones call `follow(group, *arguments)`.

    Args:
        processes: how many, with this one.
        threads: of this machine, shared among them.
        follow: a function of a module.
        arguments: what it is given; pickled.

    Raises:
        GlacierError: a process ended before its work was done. Its own GlacierError is raised here.
    """
    each = max(1, threads // processes)
    before = torch.get_num_threads()
    _prepare(each)
    try:
        if processes == 1:
            yield Group()
            return
        with _started(processes, threads=each, follow=follow, arguments=arguments) as group:
            yield group
    finally:
        torch.set_num_threads(before)


@contextmanager
def _started(processes: int, *, threads: int, follow: Callable[..., object], arguments: Any) -> Iterator[Group]:
    import torch.multiprocessing as mp

    rendezvous = TCPStore(_LOOPBACK, 0, processes, is_master=True, wait_for_workers=False, timeout=_TIMEOUT)
    context = mp.get_context("spawn")
    followers = [
        context.Process(
            target=_follower,
            args=(Group(rank, processes), os.getpid(), rendezvous.port, threads, follow, arguments),
            daemon=True,
            name=f"training-{rank}",
        )
        for rank in range(1, processes)
    ]
    try:
        for follower in followers:
            follower.start()
        _await_ready(rendezvous, followers)
        _join_group(Group(0, processes), rendezvous)
        yield Group(0, processes)
        for follower in followers:
            follower.join(_TIMEOUT.total_seconds())
    except RuntimeError as error:
        # what gloo says of a lost peer does not say which or why
        raise _reason(rendezvous, followers) or error from error
    finally:
        for follower in followers:
            if follower.is_alive():
                follower.kill()
        if dist.is_initialized():
            dist.destroy_process_group()


def _follower(
    group: Group,
    parent: int,
    port: int,
    threads: int,
    follow: Callable[..., object],
    arguments: tuple[Any, ...],
) -> None:
    """The life of a process other than the first."""
    die_with_parent(parent)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # process 0 decides when training stops
    _prepare(threads)
    rendezvous = TCPStore(_LOOPBACK, port, group.world, is_master=False, timeout=_TIMEOUT)
    rendezvous.set(f"ready{group.rank}", "")
    _join_group(group, rendezvous)
    try:
        follow(group, *arguments)
    except GlacierError as error:
        rendezvous.set(f"error{group.rank}", str(error))
        raise SystemExit(error.exit_code) from None
    dist.destroy_process_group()


def _prepare(threads: int) -> None:
    tune_allocator()
    torch.set_num_threads(threads)


def _join_group(group: Group, rendezvous: TCPStore) -> None:
    if group.device.type == "cuda":
        dist.init_process_group(
            "nccl",
            store=rendezvous,
            rank=group.rank,
            world_size=group.world,
            timeout=_TIMEOUT,
            device_id=group.device,
        )
        return
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", store=rendezvous, rank=group.rank, world_size=group.world, timeout=_TIMEOUT)


def _await_ready(rendezvous: TCPStore, followers: list[SpawnProcess]) -> None:
    """Wait until each follower has come up, and no longer than until one has died."""
    for rank, follower in enumerate(followers, start=1):
        while not rendezvous.check([f"ready{rank}"]):
            if not follower.is_alive():
                raise _ended(follower)
            time.sleep(0.02)


def _reason(rendezvous: TCPStore, followers: list[SpawnProcess]) -> GlacierError | None:
    """What a follower said, or how it ended; None if all of them live."""
    for follower in followers:
        follower.join(2)
    for rank, follower in enumerate(followers, start=1):
        if rendezvous.check([f"error{rank}"]):
            return DataError(rendezvous.get(f"error{rank}").decode())
        if follower.exitcode not in (None, 0):
            return _ended(follower)
    return None


def _ended(follower: SpawnProcess) -> GlacierError:
    return GlacierError(
        f"{follower.name} ended with exit code {follower.exitcode}",
        expected="every training process to go on to the end",
        do="see its messages above; with -9 the machine may have run out of memory: lower training.batch",
    )
