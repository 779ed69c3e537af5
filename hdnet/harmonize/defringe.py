"""The colour of an old background taken out of the rim of a cut-out.

At its rim a cut-out with mask `a` shows `a F + (1 - a) B`: the object's colour F and some of the background B that it
was photographed on. F, and the background that it lies on now, are known away from the rim and are extended into it.
What the picture has beyond them is `w (B - F)`, with `w = 1 - a` in a cut-out and `w = a (1 - a)` once it is pasted.
`B - F` is fitted to that by least squares around each pixel, less where the texture explains it as well, and
`w (B - F)` subtracted. Texture is no multiple of `w` and stays, and in a clean rim there is little to find.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .masks import bounding_box, feather_mask

FIRM = 0.98  # from here on a pixel shows the object alone
SOFT = 0.5  # mean width of a rim in pixels, below which a mask is hard and tells nothing of it
ASSUMED = 2  # pixels that the rim of a hard mask reaches inwards
WIDTHS = 3  # of the rim: standard deviation of the window in which the fit is made
NARROWEST, WIDEST = 12.0, 64.0  # pixels, of that window
CELLS = 4  # in the window's standard deviation
DOUBT = 0.12  # how many times the variance of the fit counts against it
RIDGE = 3e-4  # of the fit, as a mean square of w
MARGIN = 64  # pixels around the mask that tell of the background


def defringe(picture: Tensor, mask: Tensor, *, pasted: bool) -> None:
    """Takes the old background's colour out of the rim, in place; where the mask is 0 nothing is changed.

    The rim is where the mask is neither 0 nor 1; of a hard mask, the two outermost pixels inside.

    Args:
        picture: ``[H, W, 3 or more]`` in 0..1; alpha is left alone.
        mask: ``[H, W]`` in 0..1, 1 = the object, as it was cut out: not grown and not softened.
        pasted: Whether the object lies on its new background, blended by this mask; else the picture is a cut-out.
    """
    box = bounding_box(mask)
    if box is None:
        return
    rows, columns = (slice(max(0, first - MARGIN), last + MARGIN) for first, last in (box[:2], box[2:]))
    part, cover = picture[rows, columns, :3], mask[rows, columns].to(picture.dtype)
    if rim_width(cover) < SOFT:
        pasted, cover = False, torch.minimum(cover, feather_mask(cover[None], ASSUMED)[0])
    firm = cover >= FIRM
    colours = part.permute(2, 0, 1)
    expected, weight = extend(colours, firm), 1 - cover
    if pasted:
        expected, weight = torch.lerp(extend(colours, cover <= 1 - FIRM), expected, cover), weight * cover
    weight = torch.where((cover > 0) & ~firm, weight, 0)
    if weight.any() and firm.any():
        clean = colours - weight * _fitted(colours - expected, weight, WIDTHS * rim_width(cover))
        # beyond 0..1 only as far as the picture itself or what is expected of it
        clean = clean.clamp(colours.clamp(max=0), torch.maximum(colours, expected).clamp(min=1))
        part.copy_(torch.where(weight > 0, clean, colours).permute(1, 2, 0))


def rim_width(mask: Tensor) -> float:
    """Pixels that ``[H, W]`` covers partly, for each one along its edge."""
    inside = mask > 0.5
    edge = (inside[1:] != inside[:-1]).sum() + (inside[:, 1:] != inside[:, :-1]).sum()
    return float(((mask > 1 - FIRM) & (mask < FIRM)).sum() / edge.clamp(min=1))


def _fitted(excess: Tensor, weight: Tensor, deviation: float) -> Tensor:
    """``[3, H, W]`` that times the weight is nearest to the excess around each pixel, shrunk by its own variance."""
    deviation = min(max(deviation, NARROWEST), WIDEST)
    square = _around(weight.square()[None], deviation) + RIDGE
    fitted = _around(weight * excess, deviation) / square
    left = weight * (excess - weight * fitted)
    variance = _around(left.square().sum(0, keepdim=True), deviation) / square.square()
    found = fitted.square().sum(0, keepdim=True)
    return fitted * (found / (found + DOUBT * variance).clamp(min=1e-9))


def extend(colours: Tensor, known: Tensor) -> Tensor:
    """Colours extended smoothly from where they are known (push-pull: Gortler et al., The Lumigraph, SIGGRAPH 1996).

    Args:
        colours: ``[C, H, W]``.
        known: ``[H, W]`` bool.

    Returns:
        ``[C, H, W]``, as they were where known; 0 where nothing is known at all.
    """
    weight = known.to(colours.dtype)[None]
    levels = [(colours * weight, weight)]
    while max(weight.shape[1:]) > 1:
        total, weight = (F.avg_pool2d(each[None], 2, ceil_mode=True)[0] for each in levels[-1])
        certain = (4 * weight).clamp(max=1)  # one pixel of four suffices
        levels.append((total * (certain / weight.clamp(min=1e-6)), certain))
        weight = certain
    result, _ = levels.pop()
    for total, weight in reversed(levels):
        result = total + (1 - weight) * F.interpolate(result[None], size=weight.shape[1:], mode="bilinear")[0]
    return result


def _around(planes: Tensor, deviation: float) -> Tensor:
    """Means of ``[C, H, W]`` under a Gaussian window, on cells of it; what lies outside counts as 0."""
    count, height, width = planes.shape
    cell = max(1, int(deviation / CELLS))
    cells = F.avg_pool2d(F.pad(planes[None], (0, -width % cell, 0, -height % cell)), cell)
    reach = math.ceil(2.5 * deviation / cell)
    places = torch.arange(-reach, reach + 1, device=planes.device, dtype=planes.dtype)
    window = torch.softmax(-(places * cell / deviation).square() / 2, 0).expand(count, 1, -1)
    cells = F.conv2d(cells, window[..., None], padding=(reach, 0), groups=count)
    cells = F.conv2d(cells, window[:, :, None], padding=(0, reach), groups=count)
    return F.interpolate(cells, scale_factor=cell, mode="bilinear")[0, :, :height, :width]
