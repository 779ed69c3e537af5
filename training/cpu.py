"""Training on a CPU: the same numbers every time, and no time lost on what does not matter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact_on_cpu() -> Iterator[None]:
    """Sums in a fixed order whatever the number of threads, and denormal numbers count as zero.

    The latter are harmless but slow. Does nothing where there is a GPU.
    """
    if torch.cuda.is_available():
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.utils.deterministic.fill_uninitialized_memory = before[1]
        torch.set_flush_denormal(False)
