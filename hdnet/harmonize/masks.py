"""Masks at full size."""

from __future__ import annotations

from numbers import Real

import torch
from torch import Tensor
from torch.nn import functional as F

MAX_FEATHER = 1024
FINE_REACH = 8  # pixels; a wider transition is made at as many of a lower resolution


def fit_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes masks, bilinear, to an image's size.

    Args:
        mask: ``[h, w]``, ``[B, h, w]`` or ``[B, 1, h, w]`` in 0..1.
        size: ``(H, W)``.

    Returns:
        float32 ``[B, H, W]``; a view of the mask where nothing had to be done.
    """
    mask = mask.reshape(-1, *mask.shape[-2:]).float()
    if tuple(mask.shape[-2:]) == tuple(size):
        return mask
    return F.interpolate(mask[:, None], size=tuple(size), mode="bilinear")[:, 0]


def feather_mask(mask: Tensor, radius: float) -> Tensor:
    """Softens the edges of masks by a Gaussian.

    Args:
        mask: ``[B, H, W]`` in 0..1.
        radius: Reach of the transition in pixels, to either side, 0 to 1024; two standard deviations.

    Returns:
        ``[B, H, W]`` in 0..1, exactly 0 and 1 further than ``radius`` from an edge.

    Raises:
        ValueError: The radius is out of range.
    """
    if not isinstance(radius, Real) or not 0 <= radius <= MAX_FEATHER:
        raise ValueError(f"The feather must be 0 to {MAX_FEATHER} pixels, not {radius!r}.")
    reach = round(radius)
    if reach == 0:
        return mask
    return torch.stack([_feather(each.float(), reach) for each in mask])


def _feather(mask: Tensor, reach: int) -> Tensor:
    """One mask ``[H, W]``; a wide transition is made at a lower resolution, where it is as smooth."""
    box = bounding_box(mask)
    if box is None or mask.amin() == 1:
        return mask
    top, bottom, left, right = box
    here = slice(max(0, top - reach), bottom + reach), slice(max(0, left - reach), right + reach)
    part = mask[here][None, None]
    size, factor = part.shape[-2:], max(1, reach // FINE_REACH)
    # averaging and interpolation spread by a block each: the Gaussian gets what is left
    soft = F.avg_pool2d(_padded(part, factor), factor) if factor > 1 else part
    inner = round(reach / factor) - (2 if factor > 1 else 0)
    offsets = torch.arange(-inner, inner + 1, dtype=torch.float64)
    kernel = torch.exp(-2 * (offsets * factor / reach) ** 2)
    kernel = (kernel / kernel.sum()).to(mask.device, torch.float32).view(1, 1, 1, -1)
    for across in (True, False):
        pad = (inner, inner, 0, 0) if across else (0, 0, inner, inner)
        soft = F.conv2d(F.pad(soft, pad, mode="replicate"), kernel if across else kernel.mT)
    if factor > 1:
        soft = F.interpolate(soft, scale_factor=factor, mode="bilinear")[..., : size[0], : size[1]]
    soft = soft[0, 0].clamp(0, 1)
    result = torch.zeros_like(mask)
    # a Gaussian's weights add up to one only nearly
    result[here] = torch.where(soft > 1 - 1e-5, 1.0, torch.where(soft < 1e-5, 0.0, soft))
    return result


def _padded(part: Tensor, factor: int) -> Tensor:
    """Repeats the last row and column, so that the sides are multiples of a factor."""
    return F.pad(part, (0, -part.shape[-1] % factor, 0, -part.shape[-2] % factor), mode="replicate")


def bounding_box(mask: Tensor) -> tuple[int, int, int, int] | None:
    """``(top, bottom, left, right)`` of what is above 0 in ``[H, W]``, ends excluded; None if nothing is."""
    rows = mask.amax(1).nonzero()
    if len(rows) == 0:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = mask[top:bottom].amax(0).nonzero()
    return top, bottom, int(columns[0]), int(columns[-1]) + 1
