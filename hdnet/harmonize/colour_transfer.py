"""Colour transfer: a change known at a low resolution, applied at any other.

The change is described by one affine map of colours for the whole foreground and by offsets in a bilateral grid
(Chen, Paris and Durand, 2007), which may differ from place to place and from dark to bright. Only the map has gains,
and it is fitted to all of the foreground at once; what is local is an offset, shrunk to zero where little is known. So
no gain can run away on a flat or noisy place, nothing is extrapolated, and edges and texture come from the full-size
picture itself.

Statistics of several pictures of one size may be added up, to fit one transfer to all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .masks import Box, bounding_box
from .rim import Rim

CELL = 4  # pixels of the working resolution along a side of a grid cell
BINS = 12  # of luma, 0..1
LEVELS = (None, 8, 4, 2, 1, 1)  # cells along a side that share an offset, None for all of them; each fits what is left
OFFSET_VARIANCE = 0.006**2  # expected of a cell's offset; the more noise, the more pixels it takes to believe another
OFFSET_VARIANCES = (0.001**2, 0.1**2)  # between these where it is measured
DOUBT = 0.3  # pixels of "no offset" added to every cell, however little noise there is
SMALLEST_RIDGE = 1e-6  # pull of "no gain" on the map, as a variance of colour
MAX_GAIN = 2.0  # of the map: largest change along any direction of colour
MAX_GROWTH = 6 / 255  # of the distance of a pixel on the rim to its neighbours' median
EXPLAINED = 0.01  # standard deviation of what the map leaves over, below which the rim may follow it further
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
TILE = 256  # a side at most, in pixels, of what is mapped at a time: it stays in the processor's cache
DEVICE_TILE = 2048  # elsewhere: every tile waits for the device


@dataclass
class ColourStatistics:
    """What a fit needs to know of a change.

    Attributes:
        moments: ``[7, 7]`` float64 on the processor, sums of (1, r, g, b, dr, dg, db) times themselves over the
            foreground, where d is the change.
        grid: ``[7, BINS, gh, gw]``, sums of (1, r, g, b, dr, dg, db) over cells of place and luma.
        extent: The picture's height and width in cells; the last ones may be cut.
    """

    moments: Tensor
    grid: Tensor
    extent: tuple[float, float]

    @property
    def mean_square(self) -> float:
        """Of the change over the foreground, on the scale 0..255."""
        count = float(self.moments[0, 0])
        return 255**2 * float(self.moments[4:, 4:].trace()) / (3 * count) if count else 0.0

    def __mul__(self, weight: float) -> ColourStatistics:
        return ColourStatistics(self.moments * weight, self.grid * weight, self.extent)

    def add_(self, other: ColourStatistics, weight: float = 1.0) -> ColourStatistics:
        """Adds others of the same size, in place."""
        self.moments.add_(other.moments, alpha=weight)
        self.grid.add_(other.grid, alpha=weight)
        return self


@dataclass
class ColourChange:
    """A change to apply: ``colour + matrix @ (colour, 1) + offset(place, luma)``.

    Attributes:
        matrix: ``[3, 4]``, zero for no change.
        offsets: ``[3, BINS, gh, gw]``, or ``[3, BINS, 1, 1]`` where they are the same everywhere.
        extent: The picture's height and width in cells.
        left_over: Standard deviation, 0..1, of what the matrix alone did not explain; 0 where the change is affine.
    """

    matrix: Tensor
    offsets: Tensor
    extent: tuple[float, float]
    left_over: float = 0.0

    @property
    def gain_of_luma(self) -> float:
        """What the map adds to the change of luma for each step of it, the colours' differences being the same."""
        return float(self.matrix[:, :3].sum(1) @ self.matrix.new_tensor(LUMA))

    @classmethod
    def everywhere(cls, matrix: Tensor) -> ColourChange:
        """The same affine change at every place."""
        return cls(matrix, matrix.new_zeros(3, BINS, 1, 1), (1, 1))

    def scaled(self, factor: float) -> ColourChange:
        """The change, so many times."""
        return ColourChange(self.matrix * factor, self.offsets * factor, self.extent, self.left_over * factor)

    def plus(self, other: ColourChange) -> ColourChange:
        """Both changes of the same colours; one of them at least is the same everywhere or of the same size."""
        local = self if self.offsets.shape[-1] >= other.offsets.shape[-1] else other
        left_over = math.hypot(self.left_over, other.left_over)
        return ColourChange(self.matrix + other.matrix, self.offsets + other.offsets, local.extent, left_over)

    def without_colour(self) -> ColourChange:
        """The change of lightness alone, which leaves greys grey."""
        matrix, offsets = (each.mean(0, keepdim=True).expand_as(each) for each in (self.matrix, self.offsets))
        return ColourChange(matrix, offsets, self.extent, self.left_over)


def colour_statistics(source: Tensor, target: Tensor, weight: Tensor) -> ColourStatistics:
    """Statistics of a change of colours.

    Args:
        source: ``[3, h, w]`` colours before the change, 0..1.
        target: ``[3, h, w]`` colours after it.
        weight: ``[h, w]``, not negative; where 0 the target does not count.
    """
    size = weight.shape
    grid = source.new_zeros(7, BINS, *(-(-side // CELL) for side in size))
    top, bottom, left, right = bounding_box(weight) or (0, 1, 0, 1)
    top, left = top // CELL, left // CELL
    inside = np.s_[..., CELL * top : bottom, CELL * left : right]  # most of a picture is background
    source, target, weight = source[inside], target[inside], weight[inside]
    change = (target - source).where(weight > 0, 0)
    values = torch.cat((torch.ones_like(weight)[None], source, change))
    planes = values * weight
    levels = _luma(source).clamp(0, 1) * (BINS - 1)
    for number in range(BINS):
        sums = _sums(planes * _hat(levels, number))
        grid[:, number, top : top + sums.shape[1], left : left + sums.shape[2]] = sums
    moments = (planes.flatten(1).double() @ values.flatten(1).double().T).cpu()
    return ColourStatistics(moments, grid, (size[0] / CELL, size[1] / CELL))


def fit_colour_change(statistics: ColourStatistics, local: bool = True, dense: bool = False) -> ColourChange:
    """Fits the map by ridge regression and the offsets from coarse to fine.

    Args:
        statistics: Of one picture, or a weighted sum over several.
        local: Whether offsets may differ from place to place.
        dense: For a change that is seen all over a picture. The variance expected of offsets is measured at every level
            (empirical Bayes), and each level first fits an offset for all tones of a place, so that tones which are
            not seen there change as the others do.
    """
    matrix, left_over = _fit_matrix(statistics.moments)
    matrix = matrix.to(statistics.grid)
    count, source, change = statistics.grid.split((1, 3, 3))
    left = change - torch.einsum("ij,j...->i...", matrix, torch.cat((source, count)))
    noise = _noise(count, left, left_over)
    size = left.shape[-2:]
    offsets = torch.zeros_like(left if local else left[..., :1, :1])
    for cells in LEVELS if local else LEVELS[:1]:
        for all_tones in (True, False) if dense and cells is not None else (False,):
            sums = torch.cat((count, left - count * offsets))
            here = _blur(_gather(sums.sum(1, keepdim=True) if all_tones else sums, cells))
            doubt = DOUBT + noise / (_offset_variance(here, noise) if dense else OFFSET_VARIANCE)
            fitted = here[1:] / (here[:1] + doubt)
            if cells is not None and cells > 1:
                fitted = F.interpolate(fitted, scale_factor=cells, mode="bilinear")[..., : size[0], : size[1]]
            offsets = offsets + fitted
    return ColourChange(matrix, offsets, statistics.extent, math.sqrt(left_over))


def apply_colour_change(
    change: ColourChange,
    picture: Tensor,
    weight: Tensor,
    box: Box,
    ceiling: float = 1.0,
) -> None:
    """Changes the colours of a picture in place, inside a box.

    Args:
        change: Of :func:`fit_colour_change`.
        picture: ``[H, W, 3 or more]``, overwritten inside the box.
        weight: ``[H, W]``: 0 keeps a pixel bit for bit, 1 makes the change, 2 twice the change.
        box: ``(top, bottom, left, right)`` in pixels.
        ceiling: No value rises above it, unless it was above before.
    """
    top, bottom, left, right = box
    height, width = weight.shape
    # what is known to be an affine change may raise the contrast of the rim as well
    limit = MAX_GROWTH * max(1.0, (EXPLAINED / max(change.left_over, 1e-6)) ** 2)
    rim = Rim(picture, weight, box) if limit < 1 else None
    # from dark to bright: the first bin's offset, then what each adds to the one before
    offsets = change.offsets.transpose(0, 1)
    offsets = offsets.diff(dim=0, prepend=torch.zeros_like(offsets[:1]))
    side = TILE if picture.device.type == "cpu" else DEVICE_TILE
    tall, wide = _evenly(bottom - top, side), _evenly(right - left, side)
    scratch = offsets.new_empty(3 * tall, wide)  # new memory for every tile would take longer than the arithmetic
    for row in range(top, bottom, tall):
        rows = slice(row, min(row + tall, bottom))
        down, cells_down = _interpolation(rows, height, change.extent[0], offsets.shape[2], offsets)
        for column in range(left, right, wide):
            columns = slice(column, min(column + wide, right))
            share = weight[rows, columns]
            if share.amax() == 0:
                continue
            across, cells_across = _interpolation(columns, width, change.extent[1], offsets.shape[3], offsets)
            colours = picture[rows, columns, :3].permute(2, 0, 1)
            before = colours.contiguous()
            levels = _luma(before).clamp_(0, 1).mul_(BINS - 1)
            dark, bright = (int(each) for each in torch.stack(levels.aminmax()).tolist())
            # linear interpolation between cells as two small matrix products, for the tile's range of luma only
            cells = offsets[: bright + 2, :, cells_down, cells_across]
            cells = down.mT @ torch.cat((cells[: dark + 1].sum(0, keepdim=True), cells[dark + 1 :]))
            moved = torch.addmm(change.matrix[:, 3:], change.matrix[:, :3], before.flatten(1)).view_as(before)
            for number, each in enumerate(cells.flatten(1, 2), dark - 1):
                plane = torch.mm(each, across, out=scratch[: len(each), : across.shape[1]]).view(3, *share.shape)
                if number < dark:
                    moved.add_(plane)
                else:
                    moved.addcmul_(plane, (levels - number).clamp_(0, 1))
            # never out of range, whatever the weight; half of it leads half the way
            lowest, highest = before.clamp(max=0), before.clamp(min=ceiling)
            after = torch.lerp(before, moved.add_(before).clamp_(lowest, highest), share)
            colours.copy_(after.clamp_(lowest, highest))
    if rim is not None:
        rim.restrain(picture, limit)


def _evenly(length: int, most: int) -> int:
    """The side of the fewest tiles, at most so long, that a length is cut into: no slivers."""
    return -(-length // -(-length // most))


def _luma(colours: Tensor) -> Tensor:
    """``[3, ...]`` to ``[...]``."""
    red, green, blue = colours
    return red.mul(LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def _hat(levels: Tensor, number: int) -> Tensor:
    """How much of each level, 0..BINS-1, belongs to a bin: 1 at its centre, 0 at its neighbours'."""
    return (levels - number).abs_().neg_().add_(1).clamp_(min=0)


def _sums(planes: Tensor) -> Tensor:
    return F.avg_pool2d(planes, CELL, ceil_mode=True, divisor_override=1)


def _gather(grid: Tensor, cells: int | None) -> Tensor:
    """Sums over squares of cells; over all of them if None."""
    if cells is None:
        return grid.sum((2, 3), keepdim=True)
    return F.avg_pool2d(grid, cells, ceil_mode=True, divisor_override=1) if cells > 1 else grid


def _blur(grid: Tensor) -> Tensor:
    """Adds half of the neighbours on either side, in luma and, where there are several, down and across."""
    for axis in (1, 2, 3):
        count = grid.shape[axis]
        if count > 1:
            blurred = grid.clone()
            blurred.narrow(axis, 1, count - 1).add_(grid.narrow(axis, 0, count - 1), alpha=0.5)
            blurred.narrow(axis, 0, count - 1).add_(grid.narrow(axis, 1, count - 1), alpha=0.5)
            grid = blurred
    return grid


def _fit_matrix(moments: Tensor) -> tuple[Tensor, float]:
    """Ridge regression of the change: the map ``[3, 4]``, and the variance that it leaves over, a channel.

    The ridge is that variance. A map that leaves much over is trusted less: on a flat foreground such a rest is noise,
    and so would be the gains.
    """
    count = moments[0, 0]
    if count < 1e-6:
        return moments.new_zeros(3, 4), 0.0
    mean = moments / count
    covariance = mean[1:, 1:] - torch.outer(mean[0, 1:], mean[0, 1:])
    of_colour, with_change = covariance[:3, :3], covariance[:3, 3:]
    identity = torch.eye(3, dtype=torch.float64)

    def fit(ridge: float) -> tuple[Tensor, float]:
        gain = torch.linalg.solve(of_colour + ridge * identity, with_change)
        rest = covariance[3:, 3:] - gain.mT @ (2 * with_change - of_colour @ gain)
        return gain, max(float(rest.trace()) / 3, 0.0)

    _, least = fit(SMALLEST_RIDGE)
    gain, left_over = fit(SMALLEST_RIDGE + least)
    left, size, right = torch.linalg.svd(gain)
    gain = left * size.clamp(max=MAX_GAIN) @ right
    return torch.cat((gain.mT, (mean[0, 4:] - mean[0, 1:4] @ gain)[:, None]), 1), left_over


def _noise(count: Tensor, left: Tensor, left_over: float) -> float:
    """Variance within the finest cells, which no offset explains.

    Args:
        count: ``[1, BINS, gh, gw]``, pixels in each cell.
        left: ``[3, BINS, gh, gw]``, sums of what the map leaves over.
        left_over: Its variance over the foreground, a channel.
    """
    between = (left.square() / count.clamp(min=0.5)).sum()
    pixels, cells, between = torch.stack((count.sum(), (count > 0.5).sum().to(between), between)).tolist()
    return max(left_over * pixels - between / 3, 0.0) / max(pixels - cells, 1.0)


def _offset_variance(sums: Tensor, noise: float) -> Tensor:
    """Of the offsets of a level's cells, a channel: their mean square less what noise adds to it.

    Args:
        sums: ``[4, BINS, h, w]``, pixels in each cell and sums of what is left over there.
        noise: Variance of a pixel.
    """
    count = sums[:1]
    square = (sums[1:].square() / count.clamp(min=0.5)).sum() / 3 - noise * (count > 0.5).sum()
    return (square / count.sum().clamp(min=1)).clamp(*OFFSET_VARIANCES)


def _interpolation(place: slice, pixels: int, cells: float, count: int, like: Tensor) -> tuple[Tensor, slice]:
    """Linear interpolation between the centres of cells: weights ``[n, pixels of the place]`` and which n cells."""
    position = (torch.arange(place.start, place.stop, dtype=torch.float64) + 0.5) * (cells / pixels) - 0.5
    position = position.clamp(0, count - 1)
    first, last = int(position[0]), min(int(position[-1]) + 2, count)
    distance = position - torch.arange(first, last)[:, None]
    return (1 - distance.abs()).clamp(min=0).to(like), slice(first, last)
