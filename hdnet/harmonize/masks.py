"""Masks at full size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor
from torch.nn import functional as F

MAX_FEATHER = 1024
MAX_GROWTH = 256
SQUARES = math.sqrt(2) - 1  # share of squares among crosses that makes an octagon regular
CELLS = 16  # in the reach of a feather; a Gaussian is smooth at an eighth of its standard deviation

Box = tuple[int, int, int, int]
"""``(top, bottom, left, right)`` in pixels, ends excluded."""


def fit_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
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


def grow_mask(mask: Tensor, pixels: int) -> Tensor:
    """Grows masks, or shrinks them where ``pixels`` is negative, by an octagon of that radius.

    Soft edges move as they are. What lies outside the picture is neither foreground nor background, so a mask that the
    picture's edge cuts does not shrink from there.

    Args:
        mask: ``[B, H, W]`` in 0..1.
        pixels: -256 to 256.

    Returns:
        ``[B, H, W]``.

    Raises:
        ValueError: The number of pixels is out of range.
    """
    if not isinstance(pixels, int) or abs(pixels) > MAX_GROWTH:
        raise ValueError(f"A mask can grow by a whole number of -{MAX_GROWTH} to {MAX_GROWTH} pixels, not {pixels!r}.")
    if pixels < 0:
        return 1 - grow_mask(1 - mask.float(), -pixels)
    grown = torch.zeros_like(mask, dtype=torch.float32)
    for single, result in zip(mask, grown):
        box = bounding_box(single)
        if box is not None:
            rows, columns = (slice(max(0, first - pixels), last + pixels) for first, last in (box[:2], box[2:]))
            result[rows, columns] = _dilated(single[rows, columns].float(), pixels)
    return grown


def _dilated(mask: Tensor, steps: int) -> Tensor:
    """``[h, w]``, a pixel a step, by crosses and squares in turn."""
    for step in range(steps):
        is_square = int((step + 1) * SQUARES + 0.5) > int(step * SQUARES + 0.5)
        wider = mask
        for axis in (0, 1):
            before, length = (wider if is_square else mask), mask.shape[axis] - 1
            wider = wider.clone()
            for start, other in ((0, 1), (1, 0)):
                part = wider.narrow(axis, start, length)
                torch.maximum(part, before.narrow(axis, other, length), out=part)
        mask = wider
    return mask


def shape_mask(mask: Tensor, grow: int, feather: float) -> Tensor:
    """Grows or shrinks masks ``[B, H, W]``, then softens their edges."""
    return feather_mask(grow_mask(mask, grow) if grow else mask, feather)


def feather_mask(mask: Tensor, radius: float) -> Tensor:
    """Softens the edges of masks by a Gaussian.

    A wide one is computed on cells of the mask and interpolated, so that the time hardly depends on the radius; it
    stays within 0.05 of the Gaussian.

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
    soft = torch.zeros_like(mask, dtype=torch.float32)
    for single, result in zip(mask, soft):
        box = bounding_box(single)
        if box is not None:  # beyond the reach of the box all is 0
            rows, columns = (slice(max(0, first - reach), last + reach) for first, last in (box[:2], box[2:]))
            result[rows, columns] = _blurred(single[rows, columns].float(), reach)
    return soft


def _blurred(mask: Tensor, reach: int) -> Tensor:
    """A Gaussian of two standard deviations' reach over ``[h, w]``, whose edge is repeated."""
    height, width = mask.shape
    cell = max(1, reach // CELLS)
    border = 0 if cell == 1 else 1  # the interpolation looks at one cell further
    # the mean over a cell and the interpolation reach one and a half cells, and blur a little themselves
    taps = reach if cell == 1 else int(reach / cell - 1.5)
    variance = (reach / cell / 2) ** 2 - 0.25 * border
    gaussian = torch.exp(-torch.arange(taps + 1, dtype=torch.float64).square() / (2 * variance))
    weights = (gaussian / (2 * gaussian.sum() - gaussian[0])).tolist()
    margin = (taps + border) * cell
    mask = F.pad(mask[None, None], (margin, margin + -width % cell, margin, margin + -height % cell), mode="replicate")
    mask = F.avg_pool2d(mask, cell) if cell > 1 else mask
    for axis in (2, 3):
        mask = _filtered(mask, weights, axis)
    if cell > 1:
        mask = F.interpolate(mask, scale_factor=cell, mode="bilinear")
    mask = mask[0, 0, border * cell :, border * cell :][:height, :width]
    # the weights add up to one only nearly
    return torch.where(mask > 1 - 1e-5, 1.0, torch.where(mask < 1e-5, 0.0, mask))


def _filtered(values: Tensor, weights: list[float], axis: int) -> Tensor:
    """Filters along an axis by weights that are the same to either side, the middle one first; no padding.

    Shifted copies added up take a fifth of the time of a convolution of one channel.
    """
    reach = len(weights) - 1
    length = values.shape[axis] - 2 * reach
    result = values.narrow(axis, reach, length) * weights[0]
    for offset, weight in enumerate(weights[1:], 1):
        result.add_(values.narrow(axis, reach - offset, length), alpha=weight)
        result.add_(values.narrow(axis, reach + offset, length), alpha=weight)
    return result


def bounding_box(mask: Tensor) -> Box | None:
    """The box of what is above 0 in ``[H, W]``; None if nothing is."""
    rows = (mask.amax(1) != 0).tolist()
    if True not in rows:
        return None
    top, bottom = rows.index(True), len(rows) - rows[::-1].index(True)
    columns = (mask[top:bottom].amax(0) != 0).tolist()
    return top, bottom, columns.index(True), len(columns) - columns[::-1].index(True)
