"""Training on a CPU: the same numbers every time, and no time lost on what does not matter."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def trains_on_cpu(device: str) -> bool:
    """Whether `options.device` comes down to the CPU on this machine.

    Accelerate must be told: left to find out for itself, it does not join processes that were launched together
    without a GPU, and each would train alone.
    """
    devices = getattr(torch, "accelerator", torch.cuda)  # torch before 2.6 knows only CUDA
    return device == "cpu" or not devices.is_available()


@contextmanager
def exact_on_cpu() -> Iterator[None]:
    """Sums in a fixed order, whatever the number of threads; denormal numbers, slow and harmless, count as zero.

    And memory once used stays with the process. Does nothing where there is a GPU.
    """
    if torch.cuda.is_available():
        yield
        return
    _keep_memory()
    # MKL's products depend on where in memory the factors lie, unless it is told otherwise before its first one
    os.environ.setdefault("MKL_CBWR", "AUTO")
    settings: Any = torch.utils.deterministic  # a module whose attributes no type checker sees
    before = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    settings.fill_uninitialized_memory = False
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        settings.fill_uninitialized_memory = before[1]
        torch.set_flush_denormal(False)


def _keep_memory() -> None:
    """Keeps large temporaries from going back to the system: they would come again page by page, each step."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl does not
        if mallopt:
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
