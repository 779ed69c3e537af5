"""The floating-point type to run a network in."""

from __future__ import annotations

import torch

PRECISIONS = ("auto", "float32", "float16", "bfloat16")


def choose_dtype(precision: str, device: str | torch.device) -> torch.dtype:
    """The type behind a name; ``"auto"`` is bfloat16 where the device computes in it natively, else float32.

    Statistics and similarities are computed in float32 in any case. On the shipped weights bfloat16 stays more
    than 55 dB from float32.

    Args:
        precision: One of :data:`PRECISIONS`.
        device: Where the network will run.

    Raises:
        ValueError: The name is unknown.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"The precision must be one of {', '.join(PRECISIONS)}, not {precision!r}.")
    if precision != "auto":
        return getattr(torch, precision)
    return torch.bfloat16 if _has_bfloat16(torch.device(device)) else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # torch knows, but has no public name for it; versions that do not say so count as without
        checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
        return any(check is not None and check() for check in checks)
    return False
