"""What a guide really changed, once its light is taken out: moved limbs, new objects, another face."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..colour_transfer import apply_colour_change, colour_statistics, fit_colour_change
from .registration import blur, root_of_luma

WINDOW = 2.5  # pixels, standard deviation, over which structure is compared
NOISE = 0.02  # standard deviation of luma that is no structure
AGREES, DISAGREES = 0.55, 0.2  # of structure, 1 is the same
REMAINDER = (0.06, 0.14)  # colour that is left when the light is taken out: none of it, all of it is a difference
ROUNDS = 3


def find_difference(picture: Tensor, guide: Tensor, seen: Tensor) -> Tensor:
    """Compares a picture and a registered guide of the same scene in another light.

    Structure is compared by the covariance of luma in small windows; colour by what one change of light for all of
    the picture, smooth in place and luma, leaves over. Both are looked at in rounds: what differs does not vote on
    the light.

    Args:
        picture: `[3, h, w]` in 0..1, about 256² pixels.
        guide: `[3, h, w]`, brought into the picture's frame.
        seen: Bool `[h, w]`, what the guide shows.

    Returns:
        `[h, w]` in 0..1, 1 = something else; 0 where the guide shows nothing.
    """
    by_structure = _ramp(_agreement(picture, guide), AGREES, DISAGREES)
    difference = by_structure
    low, high = REMAINDER
    for _ in range(ROUNDS):
        voting = seen * (1 - surroundings(difference))
        left = blur((guide - _relit(picture, guide, voting)).abs().amax(0), 1.0)
        difference = torch.maximum(by_structure, _ramp(left, low, high))
    return _tidy(difference) * seen


def _agreement(picture: Tensor, guide: Tensor) -> Tensor:
    """Of structure, `[h, w]` in -1..1; 1 where both are flat."""
    one, other = (root_of_luma(each) for each in (picture, guide))
    one, other = one - blur(one, WINDOW), other - blur(other, WINDOW)
    shared = blur(one * other, WINDOW)
    own = (blur(one.square(), WINDOW) + blur(other.square(), WINDOW)) / 2
    return (shared + NOISE**2) / (own + NOISE**2)


def _relit(picture: Tensor, guide: Tensor, voting: Tensor) -> Tensor:
    """The picture in the guide's light, by what may vote and by what varies slowly."""
    change = fit_colour_change(colour_statistics(picture, guide, voting), local=False)
    relit = picture.permute(1, 2, 0).clone()
    apply_colour_change(change, relit, torch.ones_like(voting), (0, relit.shape[0], 0, relit.shape[1]))
    relit = relit.permute(2, 0, 1)
    width = max(picture.shape[-2:]) / 12
    share = blur(voting, width).clamp(min=1e-4)
    slow = blur((guide - relit) * voting, width) / share
    return relit + slow


def _ramp(values: Tensor, low: float, high: float) -> Tensor:
    """0 at `low`, 1 at `high`."""
    return ((values - low) / (high - low)).clamp(0, 1)


def surroundings(difference: Tensor) -> Tensor:
    """A difference with its gaps and its rim, which what it shows may reach: none of it should vote on the light."""
    gap = max(difference.shape) // 20
    closed = narrowed(widened(difference, gap), gap)
    return widened(torch.maximum(difference, closed), 2)


def _tidy(difference: Tensor) -> Tensor:
    """Fills holes and drops specks."""
    closed = narrowed(widened(difference, 3), 3)
    opened = widened(narrowed(closed, 3), 3)
    return blur(opened, 1.0)


def widened(plane: Tensor, reach: int) -> Tensor:
    """The largest of ``[h, w]`` within a square of ``2 reach + 1``, the border repeated."""
    rows = F.max_pool2d(plane[None], (2 * reach + 1, 1), 1, (reach, 0))
    return F.max_pool2d(rows, (1, 2 * reach + 1), 1, (0, reach))[0]


def narrowed(plane: Tensor, reach: int) -> Tensor:
    """The smallest, likewise."""
    return -widened(-plane, reach)
