"""Memory that the network frees and wants again at once.

glibc's malloc gives large blocks back to the system as soon as they are free, and every feature map then costs page
faults anew: an eighth of the time of a forward pass. Once it has seen a large block freed, it keeps blocks up to that
size (mallopt(3), M_MMAP_THRESHOLD, "dynamic").
"""

from __future__ import annotations

import torch

LARGEST = (32 << 20) - (64 << 10)  # bytes: what malloc may learn to keep, DEFAULT_MMAP_THRESHOLD_MAX, less its own


def keep_freed_memory() -> None:
    """Lets malloc keep what is freed, up to 64 MB; elsewhere than with glibc nothing happens."""
    torch.empty(LARGEST, dtype=torch.uint8)
