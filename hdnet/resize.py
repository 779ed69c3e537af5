"""Resizing to the working resolution."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

STRIDE = 8
STRIP = 1 << 20  # values reduced at a time


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
    """Averages ``[H, W, C]`` over areas to ``[C, h, w]``.

    Whole pixels are averaged first, strip by strip, so that no copy of a large picture is made.
    """
    height, width = picture.shape[:2]
    factor = max(1, min(height // size[0], width // size[1]))
    if factor > 1:
        rows = max(1, STRIP // (factor * width)) * factor
        strips = [_average(picture[top : top + rows], factor) for top in range(0, height, rows)]
        picture = torch.cat(strips)
    planes = picture.permute(2, 0, 1)[None]
    return F.interpolate(planes, size=size, mode="area")[0] if planes.shape[-2:] != size else planes[0].contiguous()


def _average(rows: Tensor, factor: int) -> Tensor:
    planes = rows.permute(2, 0, 1)[None].contiguous()
    # ceil_mode: pixels left over at the edges are averaged among themselves
    return F.avg_pool2d(planes, factor, ceil_mode=True, count_include_pad=False)[0].permute(1, 2, 0)
