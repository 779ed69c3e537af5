"""One table of colours (a 3D LUT) for a change that was made to a foreground.

A table knows colours, not places: of a change that differs from place to place it keeps the mean. It is fitted to pairs
of colours before and after, whatever made the change, as one affine map and, coarse to fine, what that leaves over.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from .colour_transfer import ColourStatistics, fit_colour_change
from .scene_linear import ABOVE_WHITE

SIZES = (33, 65)  # points along a side that colour grading programs expect
SPREADS = (0.5, 0.25, 0.125, 0.0625, 0.03)  # standard deviations, of the range 0..1; each fits what is left over
DOUBT = 1e-3  # of all pixels: so many more of "no change but the map" count at every point
MOST_PIXELS = 1 << 18  # of each picture
WHOLE = 0.98  # of the largest mask: further out, a change is made in part only


class LutFit:
    """Gathers pairs of colours of one picture or of a whole shot, and fits one table to them.

    Args:
        size: Points along a side, 2 to 65.
    """

    def __init__(self, size: int = SIZES[0]) -> None:
        if not 2 <= size <= SIZES[-1]:
            raise ValueError(f"The size of a LUT must be 2 to {SIZES[-1]} points, not {size!r}.")
        self.size = size
        self._moments = torch.zeros(7, 7, dtype=torch.float64)
        self._sums = torch.zeros(7, size**3)

    def add(self, before: Tensor, after: Tensor, mask: Tensor) -> LutFit:
        """Adds a picture.

        Args:
            before: ``[H, W, 3 or 4]`` in 0..1.
            after: ``[H, W, 3 or 4]``.
            mask: ``[H, W]`` in 0..1; counted is where it is nearly at its largest.

        Returns:
            Itself.
        """
        if before.shape[:2] != after.shape[:2] or before.shape[:2] != mask.shape:
            sizes = " and ".join(f"{each.shape[1]}×{each.shape[0]}" for each in (before, after, mask))
            raise ValueError(f"Before, after and mask must have one size for a LUT, not {sizes} pixels.")
        brightest = max(float(each[..., :3].amax()) for each in (before, after))
        if brightest > ABOVE_WHITE:
            raise ValueError(f"A LUT is for colours in 0..1, but these reach {brightest:.3g}; use a layer instead.")
        largest = float(mask.amax())
        if largest == 0:
            return self
        places = (mask >= WHOLE * largest).flatten().nonzero()[:, 0]
        places = places[:: max(1, len(places) // MOST_PIXELS)]
        before, after = (
            each.reshape(-1, each.shape[-1])[places, :3].to("cpu", torch.float32).clamp(0, 1)
            for each in (before, after)
        )
        values = torch.cat((torch.ones_like(before[:, :1]), before, after - before), 1)
        self._moments += values.double().T @ values.double()
        position = before * (self.size - 1)
        corner = position.floor().clamp(max=self.size - 2)
        share = position - corner
        steps = torch.tensor([1, self.size, self.size**2])  # red runs fastest
        for each in product((0, 1), repeat=3):
            weight = torch.where(torch.tensor(each) == 1, share, 1 - share).prod(1)
            number = ((corner.long() + torch.tensor(each)) * steps).sum(1)
            self._sums.index_add_(1, number, (values * weight[:, None]).T)
        return self

    def table(self) -> Tensor:
        """The table ``[size, size, size, 3]`` in 0..1, by blue, green and red; without any pair the identity."""
        size = self.size
        nothing = torch.zeros(7, 1, 1, 1)
        matrix = fit_colour_change(ColourStatistics(self._moments, nothing, (1, 1)), local=False).matrix.float()
        colours = identity(size)
        change = torch.einsum("ij,bgrj->ibgr", matrix[:, :3], colours) + matrix[:, 3].view(3, 1, 1, 1)
        count, source, target = self._sums.view(7, size, size, size).split((1, 3, 3))
        left = target - torch.einsum("ij,jbgr->ibgr", matrix, torch.cat((source, count)))
        doubt = DOUBT * float(count.sum()) + 1e-6
        residual = torch.zeros_like(left)
        for spread in SPREADS:
            here = _blurred(torch.cat((count, left - count * residual)), spread * (size - 1))
            residual += here[1:] / (here[:1] + doubt)
        return (colours + (change + residual).permute(1, 2, 3, 0)).clamp(0, 1)


def identity(size: int) -> Tensor:
    """The table ``[size, size, size, 3]`` that changes nothing."""
    steps = torch.linspace(0, 1, size)
    blue, green, red = torch.meshgrid(steps, steps, steps, indexing="ij")
    return torch.stack((red, green, blue), -1)


def apply_lut(table: Tensor, picture: Tensor) -> Tensor:
    """Looks colours up, trilinear between the points.

    Args:
        table: ``[size, size, size, 3]``, indexed by blue, green and red.
        picture: ``[H, W, 3]`` in 0..1.

    Returns:
        ``[H, W, 3]``.
    """
    places = picture[None, None] * 2 - 1
    found = F.grid_sample(table.permute(3, 0, 1, 2)[None].to(picture), places, align_corners=True)
    return found[0, :, 0].permute(1, 2, 0)


def _blurred(planes: Tensor, deviation: float) -> Tensor:
    """A Gaussian over ``[C, n, n, n]`` whose middle weight is 1, zero beyond the border."""
    distance = torch.arange(planes.shape[-1], dtype=torch.float32)
    weights = torch.exp(-0.5 * ((distance[:, None] - distance) / deviation) ** 2)
    return torch.einsum("cbgr,bx,gy,rz->cxyz", planes, weights, weights, weights)
