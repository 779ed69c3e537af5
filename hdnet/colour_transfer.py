"""Colour transfer: a change known at a low resolution, applied at any other.

The change is described by affine colour maps that vary slowly over the picture: a guided filter (He et al.,
2013; its fast form, 2015) whose guide is the composite in colour, whose statistics count the foreground
only, and whose local maps are drawn towards the one map that fits the whole foreground. Edges and texture
come from the full-size picture itself, so nothing is blurred.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CELL = 2  # pixels of the working resolution along a side of a grid cell
LOCAL_RIDGE = 3e-5  # pull of the whole foreground's map on a local one, as a variance of colour
WHOLE_RIDGE = 1e-6  # pull of the identity on the whole foreground's map
TILE = 192  # a side, in pixels, of what is mapped at a time: maps and colours stay in the processor's cache


def colour_moments(source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Sums, over grid cells, what a least-squares fit of affine colour maps needs to know.

    Moments of several pictures of one size may be added up, to fit one transfer to all of them.

    Args:
        source: ``[B, 3, h, w]`` colours before the change.
        target: ``[B, 3, h, w]`` colours after it.
        weight: ``[B, 1, h, w]``, not negative; where 0 the target does not count.

    Returns:
        ``[B, 28, h / CELL, w / CELL]``, rounded up: (r, g, b, 1) times (r, g, b, 1, R, G, B).
    """
    ones = torch.ones_like(weight)
    left = torch.cat((source, ones), 1)[:, :, None]
    right = (torch.cat((source, ones, target), 1) * weight)[:, None]
    return F.avg_pool2d((left * right).flatten(1, 2), CELL, ceil_mode=True, divisor_override=1)


def solve_colour_maps(moments: Tensor, local: bool = True) -> Tensor:
    """Fits affine colour maps to moments.

    Args:
        moments: ``[B, 28, gh, gw]`` of :func:`colour_moments`.
        local: One map for each cell, of the cell and its neighbours; otherwise one for the whole picture.

    Returns:
        ``[B, 12, gh, gw]`` or ``[B, 12, 1, 1]``: three rows of four, such that
        ``R = map[0] * r + map[1] * g + map[2] * b + map[3]`` and so on for G and B.
    """
    whole = _ridge_regression(_as_matrices(moments.sum((2, 3), keepdim=True)), None, WHOLE_RIDGE)
    if local:
        whole = _ridge_regression(_as_matrices(_blur(moments)), whole, LOCAL_RIDGE)
    return whole.flatten(3).permute(0, 3, 1, 2).to(moments)


def _as_matrices(moments: Tensor) -> Tensor:
    """``[B, 28, gh, gw]`` to ``[B, gh, gw, 4, 7]``."""
    return moments.permute(0, 2, 3, 1).unflatten(-1, (4, 7))


def _blur(cells: Tensor) -> Tensor:
    """Adds a quarter of the neighbouring cells on either side, down and across."""
    kernel = cells.new_tensor((0.5, 1.0, 0.5)).expand(cells.shape[1], 1, 1, 3)
    cells = F.conv2d(cells, kernel, padding=(0, 1), groups=cells.shape[1])
    return F.conv2d(cells, kernel.mT, padding=(1, 0), groups=cells.shape[1])


def _ridge_regression(moments: Tensor, prior: Tensor | None, ridge: float) -> Tensor:
    """Least squares drawn to a prior map (the identity if None): ``[..., 4, 7]`` to ``[..., 3, 4]``."""
    moments = moments.to("cpu", torch.float64)  # tiny, and not every device has float64
    count = moments[..., 3:4, 3:4]
    known = count > 1e-6
    mean = moments / count.clamp(min=1e-6)
    colour, change = mean[..., 3, :3], mean[..., 3, 4:]
    covariance = mean[..., :3, :3] - colour[..., :, None] * colour[..., None, :]
    cross = mean[..., :3, 4:] - colour[..., :, None] * change[..., None, :]
    identity = torch.eye(3, dtype=mean.dtype, device=mean.device)
    if prior is None:
        prior = torch.cat((identity, identity.new_zeros(3, 1)), 1)
    gain, offset = prior[..., :3].mT, prior[..., 3]
    fitted = torch.linalg.solve(covariance + ridge * identity, cross + ridge * gain)
    shift = change - (colour[..., None, :] @ fitted)[..., 0, :]
    fitted, shift = torch.where(known, fitted, gain), torch.where(known[..., 0], shift, offset)
    return torch.cat((fitted.mT, shift[..., None]), -1)


def apply_colour_maps(
    maps: Tensor,
    picture: Tensor,
    weight: Tensor,
    box: tuple[int, int, int, int],
    grid_size: tuple[float, float] = (1, 1),
    strength: float = 1.0,
) -> None:
    """Maps the colours of a picture in place, inside a box.

    Args:
        maps: ``[12, gh, gw]`` of :func:`solve_colour_maps`.
        picture: ``[H, W, 3 or more]``, overwritten inside the box.
        weight: ``[H, W]``, 0 keeps a pixel bit for bit, 1 gives the mapped colour.
        box: ``(top, bottom, left, right)`` in pixels.
        grid_size: The picture's height and width in grid cells.
        strength: Multiplies the weight.
    """
    top, bottom, left, right = box
    height, width = weight.shape
    scratch = maps.new_empty(12 * TILE, TILE)  # new memory for every tile would take longer than the arithmetic
    for row in range(top, bottom, TILE):
        rows = slice(row, min(row + TILE, bottom))
        down, cells_down = _interpolation(rows, height, grid_size[0], maps.shape[1], maps)
        for column in range(left, right, TILE):
            columns = slice(column, min(column + TILE, right))
            across, cells_across = _interpolation(columns, width, grid_size[1], maps.shape[2], maps)
            # [12, rows, columns], linear interpolation as two small matrix products
            halfway = (down.mT @ maps[:, cells_down, cells_across]).flatten(0, 1)
            local = torch.mm(halfway, across, out=scratch[: len(halfway), : across.shape[1]])
            red, green, blue, offset = local.view(3, 4, -1, across.shape[1]).unbind(1)
            colours = picture[rows, columns, :3].permute(2, 0, 1)
            before = colours.contiguous()
            mapped = offset.addcmul_(red, before[0]).addcmul_(green, before[1]).addcmul_(blue, before[2])
            colours.addcmul_(mapped.clamp_(0, 1).sub_(before), weight[rows, columns], value=strength)


def _interpolation(place: slice, pixels: int, cells: float, count: int, like: Tensor) -> tuple[Tensor, slice]:
    """Linear interpolation between the centres of cells: weights ``[n, pixels of the place]`` and which n cells."""
    position = (torch.arange(place.start, place.stop, dtype=torch.float64) + 0.5) * (cells / pixels) - 0.5
    position = position.clamp(0, count - 1)
    first, last = int(position[0]), min(int(position[-1]) + 2, count)
    distance = position - torch.arange(first, last)[:, None]
    return (1 - distance.abs()).clamp(min=0).to(like), slice(first, last)
