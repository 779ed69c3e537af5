"""Resizing to the working resolution."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

STRIDE = 8


def working_size(size: tuple[int, int], resolution: int) -> tuple[int, int]:
    """The size of about ``resolution``² pixels with the picture's proportions, sides multiples of 8.

    A picture that has no more pixels than that keeps its own size.
    """
    height, width = size
    scale = resolution / math.sqrt(height * width)
    if scale >= 1:
        return size
    return tuple(max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in size)


def shrink(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Averages ``[H, W, C]`` over areas to ``[C, h, w]``; whole pixels first, so no large copy is made."""
    height, width = picture.shape[:2]
    factor = max(1, min(height // size[0], width // size[1]))
    if factor > 1:
        picture = _average(_average(picture, 0, factor), 1, factor)
    planes = picture.permute(2, 0, 1)[None]
    return F.interpolate(planes, size=size, mode="area")[0] if planes.shape[-2:] != size else planes[0].contiguous()


def _average(picture: Tensor, side: int, factor: int) -> Tensor:
    """Averages runs of ``factor`` along a side; what is left over at the end is averaged among itself."""
    whole = picture.shape[side] // factor * factor
    parts = [picture.narrow(side, 0, whole).unflatten(side, (-1, factor)).mean(side + 1)]
    if whole < picture.shape[side]:
        parts.append(picture.narrow(side, whole, picture.shape[side] - whole).mean(side, keepdim=True))
    return torch.cat(parts, side)
