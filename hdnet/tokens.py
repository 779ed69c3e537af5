"""Feature maps as rows of features; a view, not a copy, when the memory is channels-last."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from .regions import Regions


def to_tokens(features: Tensor) -> Tensor:
    """``[B, C, H, W]`` to ``[B, H*W, C]``."""
    return rearrange(features, "b c h w -> b (h w) c")


def to_map(tokens: Tensor, regions: Regions) -> Tensor:
    """``[B, H*W, C]`` to ``[B, C, H, W]``, the inverse of :func:`to_tokens`.

    Padding repeats the last row and column of the picture: its own values took no part in any statistics,
    and dividing them by the deviation of a small or flat region, layer after layer, would blow them up.
    """
    height, width = regions.size
    features = rearrange(tokens, "b (h w) c -> b c h w", h=height)
    h, w = regions.valid_size
    if (h, w) == (height, width):
        return features
    return F.pad(features[..., :h, :w], (0, width - w, 0, height - h), mode="replicate")
