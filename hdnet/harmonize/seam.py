"""The seam fit: what the edge of a mask says about a region that was edited in its place.

Where a region was inpainted, regenerated or recoloured, the content goes on across the edge of its mask, and so each
pixel just inside has a neighbour just outside that shows what it should look like. Where an object was pasted, the
neighbours have nothing to do with each other. The correlation of the pairs tells the two apart, and of an edited region
a robust affine map from inside to outside takes the shift of colours back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .masks import bounding_box
from .resize import shrink_separately

LARGEST = 640  # pixels along a side; larger pictures are averaged first, foreground and background apart
INSIDE, OUTSIDE = 0.75, 0.25  # of the mask's strongest value: what lies between is a soft edge
WIDEST_EDGE = 24  # pixels of a soft edge across which content is still the same
FEWEST = 24  # pairs
MOST = 4096  # pairs kept of one picture
RIDGE = 0.05  # pull of the identity, as a share of the colours' variance
GAIN_SPREAD, OFFSET_SPREAD = 0.15, 0.05  # standard deviations that are expected of an edit's gains and offsets
CORRELATED = 20  # pairs along the edge that tell as much as one by itself
SYSTEMATIC = 0.1  # share of the residuals' variance that no number of pairs averages out, as along an outline
ROUNDS = 10  # of the robust fit
ROUNDING = 1.5 / 255  # errors below this are no outliers
EDITED = (0.76, 0.86)  # correlation: below, another picture begins at the edge; above, the same goes on
SAID = (0.6, 0.8)  # the same where a user says that it is an edit
LEAST_USUAL = 0.95  # correlation of a picture with itself, at least; skies over land correlate by 0.7
WORTH = (0.05, 0.15)  # share of the difference across the edge that the fit explains: below, there is nothing to mend
FLAT = 2e-5  # variance of colours along an edge: below, rounding and noise correlate as they like


@dataclass(frozen=True)
class SeamFit:
    """What was found on the edge.

    Attributes:
        matrix: ``[3, 4]``; the change that takes the edit back is ``matrix @ (colour, 1)``.
        correlation: Of the colours on either side of the edge, -1..1.
        usual: Of the surroundings with themselves, across as many pixels.
        explained: Share of the squared difference across the edge that the change takes away, 0..1.
        pairs: How many.
    """

    matrix: Tensor
    correlation: float
    usual: float
    explained: float
    pairs: int

    def certainty(self, said: bool = False) -> float:
        """How far the region is an edit of what surrounds it: 0 for a pasted object, 1 for an edit.

        Where a user has said that it is one, less is asked of the edge; but where it shows nothing, nothing is fitted.
        """
        return _ramp(self.correlation / max(self.usual, LEAST_USUAL), *(SAID if said else EDITED))

    @property
    def worth(self) -> float:
        """How far there is something to mend: 0 where the edge shows no shift of colours."""
        return _ramp(self.explained, *WORTH)


def seam_pairs(picture: Tensor, mask: Tensor) -> Tensor:
    """Colours on either side of a mask's edge, each averaged along the edge.

    Across a soft edge the pairs lie further apart, and what the mask has blended there is taken apart again.

    Args:
        picture: ``[H, W, 3]`` in 0..1, the composite.
        mask: ``[H, W]`` in 0..1.

    Returns:
        ``[N, 9]``: the colour inside, the colour outside, and the colour as far again beyond (of a hard edge, the
        colour outside once more); N is 0 where there is no edge.
    """
    none = picture.new_zeros(0, 9)
    if (box := bounding_box(mask)) is None:
        return none
    top, bottom, left, right = box
    reach = 2 * WIDEST_EDGE + max(bottom - top, right - left) // LARGEST
    rows, columns = slice(max(0, top - reach), bottom + reach), slice(max(0, left - reach), right + reach)
    picture, mask = picture[rows, columns].float(), mask[rows, columns]
    if (largest := max(mask.shape)) > LARGEST:
        size = tuple(max(1, round(side * LARGEST / largest)) for side in mask.shape)
        mask, inner, outer = shrink_separately(picture, mask, size)
    else:
        inner = outer = picture.permute(2, 0, 1)
    mask = mask / mask.amax()
    inside, outside = mask >= INSIDE, mask <= OUTSIDE
    soft = ~(inside | outside)
    strip_in, strip_out = inside & _grow(~inside), outside & _grow(~outside)
    count, others, blended = torch.stack([each.sum() for each in (strip_in, strip_out, soft)]).tolist()
    if count == 0 or others == 0:
        return none
    width = blended / count
    if width > WIDEST_EDGE:
        return none
    sigma = 1 + 0.75 * width
    strip_far = strip_out
    if round(width):
        far = outside
        for _ in range(1 + round(width)):
            far = far & ~_grow(~far)
        strip_far = far & _grow(~far)
    own, own_weight = _along(torch.cat((inner, mask[None])), strip_in, sigma)
    other, other_weight = _along(torch.cat((outer, mask[None])), strip_out, sigma)
    own, other = _unmixed(own[:3], own[3], other[:3], other[3])
    # beyond a soft edge the surroundings are compared with themselves
    beyond, beyond_weight = _along(outer, strip_far, sigma if strip_far is strip_out else 1.5 * sigma)
    known = strip_in & (torch.stack((own_weight, other_weight, beyond_weight)) > 1e-4).all(0)
    pairs = torch.cat((own, other, beyond))[:, known].T
    return pairs[:: -(-len(pairs) // MOST)] if len(pairs) else none


def fit_seam(pairs: Tensor) -> SeamFit | None:
    """Fits the change that lets the colours inside go on outside.

    Args:
        pairs: ``[N, 9]`` of :func:`seam_pairs`, of one picture or of several frames of a shot.

    Returns:
        None where there are too few pairs, or the edge is so flat that it says nothing.
    """
    if len(pairs) < FEWEST:
        return None
    pairs = pairs.to("cpu", torch.float64)
    inside, outside, beyond = pairs.split(3, 1)
    if min(_spread(inside), _spread(outside)) < FLAT:
        return None
    weight = torch.ones(len(pairs), 1, dtype=torch.float64)
    for _ in range(ROUNDS):
        matrix = _fit(inside, outside, weight)
        error = (inside @ matrix[:, :3].T + matrix[:, 3] - (outside - inside)).square().sum(1, keepdim=True)
        scale = (2.385 * 1.4826 * error.sqrt().median()).clamp(min=ROUNDING)
        weight = 1 / (1 + error / scale.square())  # Cauchy
    before = (weight * (outside - inside).square()).sum()
    explained = float(1 - (weight * error).sum() / before) if before > 0 else 0.0
    return SeamFit(
        matrix.float(),
        _correlation(inside, outside),
        _correlation(outside, beyond),
        max(0.0, explained),
        len(pairs),
    )


def _spread(colours: Tensor) -> Tensor:
    return (colours - colours.mean(0)).square().mean()


def _correlation(one: Tensor, other: Tensor) -> float:
    """Of colours less their means, all channels together."""
    product = ((one - one.mean(0)) * (other - other.mean(0))).mean()
    return float((product / (_spread(one) * _spread(other)).sqrt().clamp(min=1e-12)).clamp(-1, 1))


def _fit(inside: Tensor, outside: Tensor, weight: Tensor) -> Tensor:
    """Weighted regression drawn to no change, the more so the less the pairs agree: the change, ``[3, 4]``.

    Plain least squares shrinks the gain where the colours inside are but a noisy view of those outside, and would wash
    out what nobody has changed. So half of the residuals' covariance is taken for noise of the inside and taken off its
    own (Deming's regression), along its principal axes and at most half of it.
    """
    share = weight / weight.sum()
    mean, shift = (share * inside).sum(0), (share * (outside - inside)).sum(0)
    centred, other = inside - mean, outside - (mean + shift)
    covariance, cross = centred.T @ (share * centred), centred.T @ (share * other)
    identity = torch.eye(3, dtype=inside.dtype)
    variance, axes = torch.linalg.eigh(covariance)
    residual, gain = other - centred, identity
    for _ in range(2):  # how sure the pairs are depends on the fit, and the fit on that
        doubt = (share * residual.square()).sum(0).mean() * (CORRELATED / weight.sum() + SYSTEMATIC)
        expected = GAIN_SPREAD**2 + (gain - identity).square().sum() / 12  # a bold edit is more likely bold all over
        ridge = (RIDGE * covariance.trace() / 3 + doubt / expected + 1e-6) * identity
        gain = torch.linalg.solve(covariance + ridge, cross + ridge)
        residual = other - centred @ gain
    noise = (axes.T @ (residual.T @ (share * residual)) @ axes).diagonal() / 2
    cleaned = (axes * (variance - noise.minimum(variance / 2))) @ axes.T
    gain = torch.linalg.solve(cleaned + ridge, cross + ridge)
    expected = OFFSET_SPREAD**2 + shift.square().mean() / 2
    shift = shift * expected / (expected + doubt)
    return torch.cat(((gain - identity).T, (mean + shift - mean @ gain)[:, None]), 1)


def _ramp(value: float, low: float, high: float) -> float:
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _grow(where: Tensor) -> Tensor:
    """Grows ``[H, W]`` bool by a pixel up, down, left and right; what lies outside the picture counts as nothing."""
    grown = where.clone()
    grown[1:] |= where[:-1]
    grown[:-1] |= where[1:]
    grown[:, 1:] |= where[:, :-1]
    grown[:, :-1] |= where[:, 1:]
    return grown


def _unmixed(one: Tensor, share: Tensor, other: Tensor, other_share: Tensor) -> tuple[Tensor, Tensor]:
    """Foreground and background of two blends of them, ``[3, H, W]`` each, with the foreground's shares ``[H, W]``."""
    apart = (share - other_share).clamp(min=INSIDE - OUTSIDE)
    foreground = (one * (1 - other_share) - other * (1 - share)) / apart
    background = (other * share - one * other_share) / apart
    return foreground.clamp(0, 1), background.clamp(0, 1)


def _along(planes: Tensor, strip: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Means ``[C, H, W]`` over the part of a strip near each pixel, by a Gaussian, and its weights' sum ``[H, W]``."""
    weight = strip.to(planes.dtype)
    planes = torch.cat((planes * weight, weight[None]))
    for axis in (1, 2):
        planes = _blur(planes, sigma, axis)
    return planes[:-1] / planes[-1].clamp(min=1e-6), planes[-1]


def _blur(planes: Tensor, sigma: float, axis: int) -> Tensor:
    """A Gaussian along one axis, not normalised, zero outside; for a few planes faster than a convolution."""
    result, size = planes.clone(), planes.shape[axis]
    for distance in range(1, min(round(3 * sigma), size - 1) + 1):
        weight = math.exp(-0.5 * (distance / sigma) ** 2)
        near, far = (planes.narrow(axis, start, size - distance) for start in (0, distance))
        result.narrow(axis, distance, size - distance).add_(near, alpha=weight)
        result.narrow(axis, 0, size - distance).add_(far, alpha=weight)
    return result
