"""A picture beside its guide: what light does between them, and what else the guide changed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..resize import STRIDE, working_size
from .difference import find_difference, narrowed, surroundings, widened
from .registration import Registration, blur, local_contrast, register, warp
from .softness import match_softness

SEEN = 768  # squared pixels at which the pictures are registered and compared
COMPARED = 256  # squared pixels at which structure is compared
WINDOW = 3.0  # of those pixels, standard deviation of the window of a local correlation
LIKE, UNLIKE = 0.5, 0.1  # correlation of structure: above, it is the same; below, it is another
FEWEST = 0.7  # of the places that did not change: so many must have the same structure for it to tell anything
LITTLE = 0.05  # of local contrast squared, that counts as none
GAP = 10  # of those pixels: what lies between changed places no further apart has changed as well
SPECK = 2  # of those pixels: half the width of what is too small to be a change


@dataclass(frozen=True)
class Comparison:
    """A picture and its guide in one frame.

    Attributes:
        picture: ``[3, h, w]`` in 0..1, at about 768² pixels, made as soft as the guide.
        guide: ``[3, h, w]`` in 0..1, the same places.
        shown: bool ``[h, w]``, what the guide shows.
        same: ``[h, w]`` in 0..1: 1 where both have the same structure and may vote on the light.
        changed: ``[h, w]`` in 0..1, of fewer pixels: 1 where the guide shows something else, apart from its light.
        registration: How the guide lies over the picture.
    """

    picture: Tensor
    guide: Tensor
    shown: Tensor
    same: Tensor
    changed: Tensor
    registration: Registration

    def difference(self, size: tuple[int, int]) -> Tensor:
        """A soft mask ``[H, W]`` of what the guide changed beside the light; 0 where it shows nothing."""
        return F.interpolate(self.changed[None, None], size=size, mode="bilinear")[0, 0].clamp(0, 1)


def compare(image: Tensor, guide: Tensor, mask: Tensor | None = None, align: bool = True) -> Comparison:
    """Registers a guide with an image and compares both.

    Args:
        image: ``[H, W, 3 or more]``, 0..1.
        guide: ``[h, w, 3 or more]``, 0..1.
        mask: ``[H, W]`` in 0..1, the part to look at; None for all.
        align: False for a guide whose frame is known to be the image's.

    Raises:
        ValueError: The guide shows another scene, or nothing of the masked part.
    """
    picture, seen = _at(image, SEEN), _at(guide.to(image.device), SEEN)
    size = picture.shape[-2], picture.shape[-1]
    where = None if mask is None else F.interpolate(mask[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
    if align:
        registration = register(picture, seen, where)
    else:
        registration = Registration(torch.eye(2, 3, dtype=torch.float64, device=image.device), None)
    warped, shown = warp(seen, registration.matrix, size)
    if not (shown if where is None else shown & (where > 0)).any():
        raise ValueError("The guide shows nothing of what the mask marks; give a guide that does, or another mask.")
    weight = shown.to(picture) if where is None else shown * where
    picture = match_softness(picture, warped, weight)
    least = math.sqrt(min(image.shape[0] * image.shape[1], guide.shape[0] * guide.shape[1]))
    changed = find_difference(*_smaller(picture, warped, shown, min(COMPARED, max(STRIDE, round(least / 2)))))
    same = same_structure(picture, warped)
    apart = F.interpolate(surroundings(changed)[None, None], size=size, mode="bilinear")[0, 0]
    if ((same > LIKE) & shown).sum() < FEWEST * ((apart < LIKE) & shown).sum():
        same = 1 - apart  # the guide has hardly any structure of its own, as after an upscaler's smear
    return Comparison(picture, warped, shown, same, changed, registration)


def _smaller(picture: Tensor, guide: Tensor, shown: Tensor, resolution: int) -> tuple[Tensor, Tensor, Tensor]:
    """All three at about resolution² pixels; at half the pixels of a guide, what an editor smears is no difference."""
    planes = torch.cat((picture, guide, shown[None].to(picture)))[None]
    planes = F.interpolate(planes, size=working_size(picture.shape[-2:], resolution), mode="area")[0]
    return planes[:3], planes[3:6], planes[6] > 0.99


def same_structure(picture: Tensor, guide: Tensor) -> Tensor:
    """Where two pictures ``[3, h, w]`` in one frame have the same structure: ``[h, w]`` in 0..1.

    The local correlation of local contrast, weighed by how much of it there is: where both are flat, they are alike.
    """
    height, width = picture.shape[-2:]
    scale = min(1.0, COMPARED / math.sqrt(height * width))
    size = [max(1, round(side * scale)) for side in (height, width)]
    lumas = [
        F.interpolate(each[None], size=size, mode="area").mean(1)[0].clamp(min=0).sqrt() for each in (picture, guide)
    ]
    one, other = (local_contrast(each, 2.0) for each in lumas)
    product, own, its = (blur(each, WINDOW) for each in (one * other, one.square(), other.square()))
    correlation = (product + LITTLE) / ((own + LITTLE) * (its + LITTLE)).sqrt()
    same = ((correlation - UNLIKE) / (LIKE - UNLIKE)).clamp(0, 1)
    # a flat place inside of what changed looks alike by itself
    same = _filled(widened(narrowed(same, GAP), GAP))
    same = narrowed(widened(same, SPECK), SPECK)
    return F.interpolate(same[None, None], size=(height, width), mode="bilinear")[0, 0]


def _filled(same: Tensor) -> Tensor:
    """What is alike only where a way from the picture's border leads to it; morphological reconstruction, halved."""
    small = F.max_pool2d(same[None, None], 2, ceil_mode=True)[0, 0]
    reached = torch.zeros_like(small)
    for edge in (reached, reached.T):
        edge[0], edge[-1] = 1, 1
    reached = torch.minimum(reached, small)
    for _ in range(2 * sum(small.shape)):
        wider = torch.minimum(widened(reached, 1), small)
        if torch.equal(wider, reached):
            break
        reached = wider
    whole = reached.repeat_interleave(2, 0).repeat_interleave(2, 1)[: same.shape[0], : same.shape[1]]
    return torch.minimum(same, whole)


def _at(picture: Tensor, resolution: int) -> Tensor:
    """``[H, W, 3 or more]`` to ``[3, h, w]`` of about resolution² pixels, in 0..1."""
    planes = picture[..., :3].float().permute(2, 0, 1)[None]
    height, width = planes.shape[-2:]
    scale = resolution / math.sqrt(height * width)
    if scale < 1:
        size = [max(min(side, STRIDE), round(side * scale)) for side in (height, width)]
        planes = F.interpolate(planes, size=size, mode="bilinear", antialias=True)
    return planes[0].clamp(0, 1)
