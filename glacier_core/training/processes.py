"""How several training processes come together, and what happens when one of them dies.

They are started here on one machine (the caller is process 0; the others die with it), or by torchrun on one or more:
then each of them calls `run_together` itself, and torchrun restarts them.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from glacier_core.errors import DataError, GlacierError
from glacier_core.lifetimes import die_with_parent
from glacier_core.training.groups import Group, launched
from glacier_core.training.hardware import tune_allocator

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_LOOPBACK = "127.0.0.1"
_TIMEOUT = timedelta(minutes=10)
MOST_RESTARTS = 3
_JOINED = itertools.count()


class _KilledError(GlacierError):
    """A follower was killed: its work can be done again from the last checkpoint."""


def run_together(
    processes: int,
    *,
    threads: int,
    lead: Callable[[Group], Result],
    follow: Callable[..., Result],
    arguments: tuple[Any, ...],
) -> Result:
    """Do the same work in several processes, as one group, and once more when one of them was killed.

    Args:
        processes: how many, with this one; torchrun's number where it started this one.
        threads: of this machine, shared among them.
        lead: what the first of them does.
        follow: what the others do: a function of a module, called with the group and the arguments.
        arguments: what it is given; pickled.

    Returns:
        What this process's function returned.

    Raises:
        GlacierError: a process ended before its work was done (its own GlacierError where it had one), or was killed
            more than three times.
    """
    before = torch.get_num_threads()
    tune_allocator()
    try:
        place = launched()
        if place is not None:
            with _joined(place, processes=processes, threads=threads):
                return lead(place) if place.rank == 0 else follow(place, *arguments)
        torch.set_num_threads(max(1, threads // processes))
        if processes == 1:
            return lead(Group())
        return _lead_on(processes, lead=lead, follow=follow, arguments=arguments)
    finally:
        torch.set_num_threads(before)


def _lead_on(
    processes: int, *, lead: Callable[[Group], Result], follow: Callable[..., Result], arguments: tuple[Any, ...]
) -> Result:
    for restart in range(1, MOST_RESTARTS + 1):
        try:
            with _started(processes, follow=follow, arguments=arguments) as group:
                return lead(group)
        except _KilledError as error:
            log.warning(
                "%s; going on from the last checkpoint with new processes (restart %d of %d)",
                error.got,
                restart,
                MOST_RESTARTS,
            )
    with _started(processes, follow=follow, arguments=arguments) as group:
        return lead(group)


@contextmanager
def _joined(place: Group, *, processes: int, threads: int) -> Iterator[None]:
    """Within it this process is one of those that torchrun started; it ends them together."""
    if processes not in (1, place.world):
        log.info("torchrun started %d processes; training.processes is %d and not used", place.world, processes)
    torch.set_num_threads(max(1, threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    if place.world == 1:
        yield
        return
    on_gpu = place.device.type == "cuda"
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        # names that neither an earlier training of this process nor one before a restart has left in the store
        store=PrefixStore(f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}-{next(_JOINED)}", _launcher()),
        rank=place.rank,
        world_size=place.world,
        timeout=_TIMEOUT,
        device_id=place.device if on_gpu else None,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


@cache
def _launcher() -> Store:
    """Where the processes that torchrun started find each other."""
    found: Store = next(rendezvous("env://"))[0]
    return found


@contextmanager
def _started(processes: int, *, follow: Callable[..., object], arguments: tuple[Any, ...]) -> Iterator[Group]:
    import torch.multiprocessing as mp

    meeting = TCPStore(_LOOPBACK, 0, processes, is_master=True, wait_for_workers=False, timeout=_TIMEOUT)
    context = mp.get_context("spawn")
    threads = torch.get_num_threads()
    followers = [
        context.Process(
            target=_follower,
            args=(Group(rank, processes), os.getpid(), meeting.port, threads, follow, arguments),
            daemon=True,
            name=f"training-{rank}",
        )
        for rank in range(1, processes)
    ]
    try:
        for follower in followers:
            follower.start()
        _await_ready(meeting, followers)
        _join_group(Group(0, processes), meeting)
        yield Group(0, processes)
        for follower in followers:
            follower.join(_TIMEOUT.total_seconds())
    except RuntimeError as error:
        # what gloo says of a lost peer does not say which or why
        raise _reason(meeting, followers) or error from error
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
    tune_allocator()
    torch.set_num_threads(threads)
    meeting = TCPStore(_LOOPBACK, port, group.world, is_master=False, timeout=_TIMEOUT)
    meeting.set(f"ready{group.rank}", "")
    _join_group(group, meeting)
    try:
        follow(group, *arguments)
    except KeyboardInterrupt:
        return  # process 0 was asked to stop, and all of them do
    except GlacierError as error:
        meeting.set(f"error{group.rank}", str(error))
        raise SystemExit(error.exit_code) from None
    dist.destroy_process_group()


def _join_group(group: Group, meeting: TCPStore) -> None:
    if group.device.type == "cuda":
        dist.init_process_group(
            "nccl",
            store=meeting,
            rank=group.rank,
            world_size=group.world,
            timeout=_TIMEOUT,
            device_id=group.device,
        )
        return
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", store=meeting, rank=group.rank, world_size=group.world, timeout=_TIMEOUT)


def _await_ready(meeting: TCPStore, followers: list[SpawnProcess]) -> None:
    """Wait until each follower has come up, and no longer than until one has died."""
    for rank, follower in enumerate(followers, start=1):
        while not meeting.check([f"ready{rank}"]):
            if not follower.is_alive():
                raise _ended(follower)
            time.sleep(0.02)


def _reason(meeting: TCPStore, followers: list[SpawnProcess]) -> GlacierError | None:
    """What a follower said, or how it ended; None if all of them live."""
    for follower in followers:
        follower.join(2)
    for rank in range(1, len(followers) + 1):
        if meeting.check([f"error{rank}"]):
            return DataError(meeting.get(f"error{rank}").decode())
    for killed in (True, False):  # the others end because they lost the one that was killed
        for follower in followers:
            if follower.exitcode not in (None, 0) and (follower.exitcode < 0) == killed:
                return _ended(follower)
    return None


def _ended(follower: SpawnProcess) -> GlacierError:
    code = follower.exitcode
    return (_KilledError if code is not None and code < 0 else GlacierError)(
        f"{follower.name} ended with exit code {code}",
        expected="every training process to go on to the end",
        do="see its messages above; with -9 the machine may have run out of memory: lower training.batch",
    )
