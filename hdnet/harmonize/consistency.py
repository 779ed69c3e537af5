"""One colour transfer for many frames, so that a film does not flicker.

What is shared between frames are the statistics of the fit, not its result: a frame in which a place has no foreground
adds nothing there, so masks may move, vanish and return.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

SMOOTH_REACH = 12  # frames before and after; the Gaussian's standard deviation is half of it
FEWEST_FRAMES = 3
SEEN = 32  # pixels of a side at which neighbouring frames are compared
ALIKE, FOREGROUND_ALIKE = 0.06, 0.1  # mean difference of neighbours; of photographs it is 0.14 and more
MOSTLY = 0.75  # of the neighbours; the rest may be cuts


class Summable(Protocol):
    """Statistics of pictures of one size, such as :class:`.ColourStatistics`."""

    def __mul__(self: Statistics, weight: float) -> Statistics: ...

    def add_(self: Statistics, other: Statistics, weight: float = 1.0) -> Statistics:
        """Adds others, in place."""
        ...


Statistics = TypeVar("Statistics", bound=Summable)


def looks_like_film(images: Tensor, masks: Tensor) -> bool:
    """Whether images are frames of a film: three or more, most of them like their neighbour.

    Their foregrounds must be alike as well: several proposals for one place, as inpainting makes them in a batch, share
    a background but are no film.

    Args:
        images: ``[B, H, W, 3 or 4]``, 0..1.
        masks: ``[M, h, w]``, 0..1, repeated to as many.
    """
    if len(images) < FEWEST_FRAMES:
        return False
    small = torch.stack([F.adaptive_avg_pool2d(each[..., :3].float().permute(2, 0, 1), SEEN) for each in images])
    inside = torch.cat([F.adaptive_avg_pool2d(each[None].float(), SEEN) for each in masks])
    inside = inside[torch.arange(len(images)) % len(masks)].to(small.device)
    inside = torch.maximum(inside[1:], inside[:-1])
    difference = small.diff(dim=0).abs().mean(1)
    in_foreground = (difference * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1e-6)
    alike = (difference.mean((1, 2)) < ALIKE) & (in_foreground < FOREGROUND_ALIKE)
    return float(alike.float().mean()) >= MOSTLY


def smooth_statistics(
    statistics: Iterable[Statistics | None], reach: int = SMOOTH_REACH
) -> Iterator[Statistics | None]:
    """Filters statistics over time by a Gaussian; holds ``2 * reach + 1`` of them at most.

    Args:
        statistics: One for each frame, None where it has no foreground.
        reach: Frames on either side.

    Yields:
        One for each frame, None where that frame's own are.
    """
    weights = [math.exp(-2 * (offset / reach) ** 2) for offset in range(-reach, reach + 1)]
    window: deque[Statistics | None] = deque([None] * len(weights), maxlen=len(weights))
    for number, entering in enumerate(chain(statistics, repeat(None, reach))):
        window.append(entering)
        if number >= reach:
            centre = window[reach]
            yield None if centre is None else _weighted_sum(window, weights)


def summed_statistics(statistics: Iterable[Statistics | None]) -> Iterator[Statistics | None]:
    """For every frame with a foreground the statistics of all of them together, None for the others."""
    has_foreground: list[bool] = []
    total: Statistics | None = None
    for each in statistics:
        has_foreground.append(each is not None)
        if each is not None:
            total = each if total is None else total.add_(each)
    yield from (total if known else None for known in has_foreground)


def _weighted_sum(window: Iterable[Statistics | None], weights: Iterable[float]) -> Statistics | None:
    total: Statistics | None = None
    for each, weight in zip(window, weights):
        if each is not None:
            total = each * weight if total is None else total.add_(each, weight)
    return total
