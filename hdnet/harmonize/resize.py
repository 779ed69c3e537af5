"""Resizing to the working resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

STRIDE = 8
BLOCK_PIXELS = 1 << 20  # of the rim, worked on at a time


def working_size(size: Sequence[int], resolution: int | str) -> tuple[int, int]:
    """The size of about ``resolution``² pixels with the picture's proportions, sides multiples of 8.

    A picture that has no more pixels than that keeps its own size, and so does every one at ``"native"``.
    """
    height, width = size
    if resolution == "native":
        return height, width
    resolution = int(resolution)
    scale = resolution / math.sqrt(height * width)
    if scale >= 1:
        return height, width
    height, width = (max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in size)
    return height, width


def shrink(picture: Tensor, size: Sequence[int]) -> Tensor:
    """Averages ``[H, W, C]`` over areas to ``[C, h, w]``; whole pixels first, so no large copy is made."""
    return _finish(_blocks(picture, _factor(picture, size)), size)


def shrink_separately(picture: Tensor, mask: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Averages a composite over areas, the colours of foreground and background apart.

    On the rim an area holds both. The network has learnt from composites whose rim is sharp at its own size, and
    mixed colours there would tell it that the foreground is nearly right already.

    Args:
        picture: ``[H, W, 3]``, 0..1.
        mask: ``[H, W]``, 0..1.
        size: ``(h, w)``.

    Returns:
        The mask ``[h, w]``, and pictures ``[3, h, w]`` of the foreground, meaningful where that is above 0, and of
        the background, where it is below 1.
    """
    factor = _factor(picture, size)
    colours, share = _blocks(picture, factor), _blocks(mask[..., None], factor)
    inside = colours * share  # exact where a block is of one kind; the blocks of both follow, some at a time
    both = ((share > 0) & (share < 1))[..., 0].nonzero()
    for rows, columns in (some.T for some in both.split(max(1, BLOCK_PIXELS // factor**2))):
        steps = torch.arange(factor, device=picture.device)
        y = (rows[:, None] * factor + steps).clamp(max=picture.shape[0] - 1)[:, :, None]
        x = (columns[:, None] * factor + steps).clamp(max=picture.shape[1] - 1)[:, None]
        weights = mask[y, x]
        weights = weights / weights.sum((1, 2), keepdim=True)
        inside[rows, columns] = torch.einsum("byxc,byx->bc", picture[y, x], weights) * share[rows, columns]
    colours, share, inside = (_finish(each, size) for each in (colours, share, inside))
    foreground = (inside / share.clamp(min=1e-6)).clamp_(0, 1)
    background = ((colours - inside) / (1 - share).clamp(min=1e-6)).clamp_(0, 1)
    return share[0], foreground, background


def _factor(picture: Tensor, size: Sequence[int]) -> int:
    return max(1, min(picture.shape[0] // size[0], picture.shape[1] // size[1]))


def _blocks(picture: Tensor, factor: int) -> Tensor:
    return _average(_average(picture, 0, factor), 1, factor) if factor > 1 else picture


def _finish(picture: Tensor, size: Sequence[int]) -> Tensor:
    planes, size = picture.permute(2, 0, 1)[None], tuple(size)
    return F.interpolate(planes, size=size, mode="area")[0] if planes.shape[-2:] != size else planes[0].contiguous()


def _average(picture: Tensor, side: int, factor: int) -> Tensor:
    """Averages runs of ``factor`` along a side; what is left over at the end is averaged among itself."""
    whole = picture.shape[side] // factor * factor
    first, *others = picture.narrow(side, 0, whole).unflatten(side, (-1, factor)).unbind(side + 1)
    total = first.clone()
    for each in others:  # several times faster than a mean over so short a side
        total.add_(each)
    parts = [total.div_(factor)]
    if whole < picture.shape[side]:
        parts.append(picture.narrow(side, whole, picture.shape[side] - whole).mean(side, keepdim=True))
    return torch.cat(parts, side)
