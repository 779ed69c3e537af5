"""What a guide does to colours, by tone or by place.

A guide shows how light and shade change, but hardly how the texture does that is finer than its own blur. Two models
agree on all that it shows and differ there. *By tone*: bright and dark grains of a place change as bright and dark
areas do, as under a tone curve, a colour cast or another lamp. *By place*: all grains of a place change by the same
offset, as where an editor works on local contrast; frequency separation always believes so.

Which one holds is asked of the guide itself, an octave lower: both are fitted to picture and guide after some blur,
and the mixture of both that foretells best what the blur took away is applied to the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..colour_transfer import ColourChange, ColourStatistics, apply_colour_change, colour_statistics, fit_colour_change
from ..resize import working_size
from .registration import blur

ASKED = 384  # squared pixels at which the two models are compared
BLUR = 1.0  # of those pixels, standard deviation
UNSEEN = 0.5 / 255  # a difference of the models that does not matter
RESOLUTIONS = (128, 256, 512, 768)  # squared pixels, of which the first that suffices is taken
SUFFICES = 2.5 / 255  # RMS of what a fit may leave over
GRAIN = 2.0  # pixels, standard deviation of a blur that takes grain from it
ATTENUATED = 0.95  # how much by tone a guide looks that is so altogether: its own faults hide the rest


@dataclass
class GuidedStatistics:
    """What a fit needs to know of a guide's change.

    Attributes:
        colours: Pairs of colours before and after.
        product: What the model by tone adds to the one by place, times what that one leaves over, summed over pixels.
        square: The former, squared and summed.
    """

    colours: ColourStatistics
    product: float = 1.0
    square: float = 1.0

    @property
    def by_tone(self) -> float:
        """The part of the model by tone, 0..1, by least squares."""
        return min(1.0, max(0.0, self.product / self.square / ATTENUATED))

    def __mul__(self, weight: float) -> GuidedStatistics:
        return GuidedStatistics(self.colours * weight, self.product * weight, self.square * weight)

    def add_(self, other: GuidedStatistics, weight: float = 1.0) -> GuidedStatistics:
        """Adds others of the same size, in place."""
        self.colours.add_(other.colours, weight)
        self.product += weight * other.product
        self.square += weight * other.square
        return self


def guided_statistics(picture: Tensor, guide: Tensor, vote: Tensor, resolution: int | str) -> GuidedStatistics:
    """Statistics of the change from a picture to its guide.

    Args:
        picture: `[3, h, w]` in 0..1, as soft as the guide.
        guide: `[3, h, w]`, the same places.
        vote: `[h, w]`, how much a place counts.
        resolution: The change is known at about this squared number of pixels.
    """
    own, its, share = _shrunk(picture, guide, vote, working_size(vote.shape, ASKED))
    around = blur(share, BLUR).clamp(min=1e-6)
    soft, softer = (blur(each * share, BLUR) / around for each in (own, its))
    colours = change_statistics(soft, softer, share, resolution)
    by_place = _applied(_by_place(colours), own)
    more = _applied(_by_tone(colours), own) - by_place
    unseen = UNSEEN**2 * float(share.sum()) + 1e-12
    product, square = ((share * more * each).sum() for each in (its - by_place, more))
    known = change_statistics(picture, guide, vote, resolution)
    return GuidedStatistics(known, float(product) + unseen, float(square) + unseen)


def sufficient_statistics(picture: Tensor, guide: Tensor, vote: Tensor) -> tuple[GuidedStatistics, int]:
    """Statistics at the lowest resolution that follows the guide, and that resolution.

    A low one is robust against the guide's faults and enough for most lights; hard shadows and shading of small shapes
    take more. Arguments as of :func:`guided_statistics`.
    """
    own, its, share = _shrunk(picture, guide, vote, working_size(vote.shape, ASKED))
    total = share.sum().clamp(min=1e-6)
    for resolution in RESOLUTIONS:
        found = guided_statistics(picture, guide, vote, resolution)
        left = its - _applied(fit_guided_change(found), own)
        smooth = blur(left * share, GRAIN) / blur(share, GRAIN).clamp(min=1e-6)
        if (smooth.square().mean(0) * share).sum() < SUFFICES**2 * total or vote.numel() <= resolution**2:
            break
    return found, resolution


def change_statistics(picture: Tensor, guide: Tensor, vote: Tensor, resolution: int | str) -> ColourStatistics:
    """Pairs of colours at about resolution² pixels; arguments as of :func:`guided_statistics`."""
    return colour_statistics(*_shrunk(picture, guide, vote, working_size(vote.shape, resolution)))


def fit_guided_change(statistics: GuidedStatistics, local: bool = True) -> ColourChange:
    """Fits both models and mixes them; by tone alone where the change is to be the same everywhere."""
    by_tone = _by_tone(statistics.colours, local)
    share = statistics.by_tone
    if share == 1 or not local:
        return by_tone
    return by_tone.scaled(share).plus(_by_place(statistics.colours).scaled(1 - share))


def _by_tone(statistics: ColourStatistics, local: bool = True) -> ColourChange:
    return fit_colour_change(statistics, local, dense=True)


def _by_place(statistics: ColourStatistics) -> ColourChange:
    """An offset for each place, whatever its colour."""
    moments, grid = statistics.moments.clone(), statistics.grid.sum(1, keepdim=True)
    moments[1:4], moments[:, 1:4] = 0, 0
    change = fit_colour_change(ColourStatistics(moments, grid, statistics.extent), dense=True)
    return replace(change, offsets=change.offsets.expand(-1, statistics.grid.shape[1], -1, -1))


def _applied(change: ColourChange, picture: Tensor) -> Tensor:
    changed = picture.permute(1, 2, 0).clone()
    whole = torch.ones_like(picture[0])
    apply_colour_change(change, changed, whole, (0, whole.shape[0], 0, whole.shape[1]))
    return changed.permute(2, 0, 1)


def _shrunk(picture: Tensor, guide: Tensor, vote: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """All three at another size, colours weighed by votes, so that none is mixed in that does not vote."""

    def small(planes: Tensor) -> Tensor:
        return F.interpolate(planes[None], size=size, mode="bilinear", antialias=True)[0]

    share = small(vote[None])
    own, its = (small(each * vote) / share.clamp(min=1e-6) for each in (picture, guide))
    return own, its, share[0]
