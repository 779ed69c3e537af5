"""Feature maps as rows of features; a view, not a copy, when the memory is channels-last."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor


def to_tokens(features: Tensor) -> Tensor:
    """``[B, C, H, W]`` to ``[B, H*W, C]``."""
    return rearrange(features, "b c h w -> b (h w) c")


def to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """``[B, H*W, C]`` to ``[B, C, H, W]``, the inverse of :func:`to_tokens`."""
    return rearrange(tokens, "b (h w) c -> b c h w", h=size[0])
