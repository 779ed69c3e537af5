"""The device to run a network on."""

from __future__ import annotations

import torch


def choose_device(name: str | None = None) -> str:
    """The device of that name; CUDA where there is one, else the CPU, where none is named.

    Raises:
        ValueError: If the device cannot be used here.
    """
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"The device {name!r} cannot be used here: {str(error).partition('. ')[0]}.") from error
    return name
