"""What this machine does well: allocator, device, precision and compilation.

Measured for the U-Net of width 16 and depth 3 on one core of a processor with avx512_bf16, seconds for a step of 16
chips of 128 x 128: fp32 as it comes 1.13, with the allocator tuned 0.85, with channels_last too 0.67, with bf16 too
0.40; of these 0.33 are convolutions, at 120 to 200 GFLOP/s, which is what such a core can do. Compiled on top of all it
took 0.69, after 40 to 90 seconds of compilation: nothing is compiled unless the recipe asks for it.
"""

from __future__ import annotations

import ctypes
import logging
import platform
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from glacier_core.errors import ConfigurationError

log = logging.getLogger(__name__)

# mallopt(3): sizes below M_MMAP_THRESHOLD come from the heap, and the heap is given back above M_TRIM_THRESHOLD
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
_KEPT_BYTES = 2**30


@dataclass(frozen=True)
class Precision:
    """How a network's convolutions are computed. Weights, losses and statistics are always float32."""

    name: str
    """fp32 or bf16."""
    device: torch.device
    """Where it runs."""

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which the network is applied."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.name == "bf16")

    def placed(self, network: nn.Module) -> nn.Module:
        """The network on the device, in the memory layout that its convolutions like best."""
        network.to(device=self.device)
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return network

    def image(self, image_BCHW: Tensor) -> Tensor:  # noqa: N803 - shape suffixes
        """The images on the device, in the same layout."""
        return image_BCHW.to(device=self.device, memory_format=torch.channels_last, non_blocking=True)

    def moved(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """A batch on the device, images among it in that layout."""
        return tuple(
            self.image(tensor) if tensor.ndim == 4 else tensor.to(device=self.device, non_blocking=True)
            for tensor in batch
        )


def choose_precision(wanted: str, *, device: torch.device) -> Precision:
    """The precision that a recipe's `precision` means on this device.

    Args:
        wanted: auto (bf16 where the device computes with it, else fp32), fp32 or bf16.
        device: where it shall run.

    Raises:
        ConfigurationError: another word.
    """
    if wanted not in ("auto", "fp32", "bf16"):
        raise ConfigurationError(f"precision is '{wanted}'", expected="one of auto, fp32, bf16")
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bf16()
    if wanted == "bf16" and not has_bf16:
        log.warning("precision bf16 is emulated on this machine and slow; fp32 is faster")
    return Precision(name=("bf16" if has_bf16 else "fp32") if wanted == "auto" else wanted, device=device)


def best_device(rank: int = 0) -> torch.device:
    """The accelerator of the process `rank` of this machine, or the CPU where there is none for it."""
    if torch.cuda.is_available() and rank < torch.cuda.device_count():
        return torch.device("cuda", rank)
    return torch.device("cpu")


def compile_in_place(network: nn.Module) -> bool:
    """Have torch compile the network's training pass (Ansel et al. 2024, doi:10.1145/3620665.3640366).

    Evaluation goes through `network.forward`, as it is.

    Returns:
        Whether it will be; False, with a warning, where this machine lacks a compiler.
    """
    if not _can_compile(next(network.parameters()).device.type):
        return False
    network.compile()
    return True


def tune_allocator() -> bool:
    """Keep freed memory for the next step instead of handing each large tensor back to the kernel (glibc).

    Without it the kernel zeroes every page of every activation anew.

    Returns:
        Whether it was set; False where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD) and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))


@cache
def _can_compile(device: str) -> bool:
    try:
        torch.compile(lambda value: value * 2 + 1)(torch.ones(8, device=device))
    except Exception as error:  # noqa: BLE001 - whatever a missing or broken tool chain raises
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        log.warning("training.compile: this machine cannot compile (%s); going on without", problem)
        return False
    return True


@cache
def _cpu_has_bf16() -> bool:
    """Whether the processor multiplies bf16 itself (x86: avx512_bf16 or AMX; Arm: bf16)."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    flags = {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})
