"""Masks at full size."""

from __future__ import annotations

from numbers import Real

import torch
from torch import Tensor
from torch.nn import functional as F

MAX_FEATHER = 1024


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
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-2 * (offsets / reach) ** 2)
    kernel = (kernel / kernel.sum()).to(mask.device, torch.float32).view(1, 1, 1, -1)
    soft = mask[:, None].float()
    for across in (True, False):
        pad = (reach, reach, 0, 0) if across else (0, 0, reach, reach)
        soft = F.conv2d(F.pad(soft, pad, mode="replicate"), kernel if across else kernel.mT)
    soft = soft[:, 0].clamp(0, 1)
    # a Gaussian's weights add up to one only nearly
    return torch.where(soft > 1 - 1e-5, 1.0, torch.where(soft < 1e-5, 0.0, soft))


def bounding_box(mask: Tensor) -> tuple[int, int, int, int] | None:
    """``(top, bottom, left, right)`` of what is above 0 in ``[H, W]``, ends excluded; None if nothing is."""
    rows = mask.amax(1).nonzero()
    if len(rows) == 0:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = mask[top:bottom].amax(0).nonzero()
    return top, bottom, int(columns[0]), int(columns[-1]) + 1
