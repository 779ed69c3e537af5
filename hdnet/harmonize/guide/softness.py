"""How much softer a guide is than the picture that it was made from, as editors, VAEs and upscalers leave it.

A change of colours is learnt from pairs of pixels. Where one picture of the pair is sharp and the other soft, the pairs
on every edge show a loss of contrast that is no change of light. So the picture is made as soft as the guide first.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .registration import blur, local_contrast, root_of_luma

LEVEL = 384  # squared pixels at which softness is measured
WIDEST = 6.0  # pixels of that level, standard deviation
STEP = 1.25  # from one to the next that is tried
SHARPEST = 0.3  # pixels, the first that is tried; what is less does not show
DECLINE = 2  # tries without a better one, after which the search ends


def match_softness(picture: Tensor, guide: Tensor, weight: Tensor) -> Tensor:
    """Makes a picture as soft as its guide.

    Of all Gaussians that one is taken, after which the local contrasts of both correlate best: by the inequality of
    Cauchy and Schwarz it is the one that makes them proportional, whatever grain the guide has.

    Args:
        picture: `[3, h, w]` in 0..1.
        guide: `[3, h, w]`, the same places.
        weight: `[h, w]`, how much a place counts.

    Returns:
        `[3, h, w]`.
    """
    sigma = find_softness(picture, guide, weight)
    return picture if sigma == 0 else blur(picture, sigma)


def find_softness(picture: Tensor, guide: Tensor, weight: Tensor) -> float:
    """Standard deviation of that Gaussian in pixels of the picture; 0 where the guide is as sharp."""
    scale = min(1.0, LEVEL / math.sqrt(weight.numel()))
    size = [max(1, round(side * scale)) for side in weight.shape]
    planes = torch.stack((root_of_luma(picture), root_of_luma(guide), weight))[None]
    luma, its, weight = F.interpolate(planes, size=size, mode="bilinear", antialias=True)[0]
    its = local_contrast(its) * weight
    best, found, declined = _correlation(local_contrast(luma), its, weight), 0.0, 0
    sigma = SHARPEST
    while sigma < WIDEST and declined < DECLINE:
        correlation = _correlation(local_contrast(blur(luma, sigma)), its, weight)
        if correlation > best:
            best, found, declined = correlation, sigma, 0
        else:
            declined += 1
        sigma *= STEP
    return found / scale


def _correlation(own: Tensor, weighted: Tensor, weight: Tensor) -> float:
    """Of one plane with another, up to a factor that depends on the other alone."""
    return float((own * weighted).sum() / (own.square() * weight).sum().clamp(min=1e-9).sqrt())
