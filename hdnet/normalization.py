"""Normalisation by the statistics of whole pictures and of their regions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .regions import Regions
from .tokens import to_map, to_tokens

EPSILON = 1e-5


def region_moments(tokens: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over each region.

    Args:
        tokens: ``[B, N, C]`` features.
        regions: ``[B or 1, R, N]`` bool.

    Returns:
        Two tensors ``[B, R, C]``: sum / (n + eps) and sqrt(variance + eps), 0 and sqrt(eps) where empty.
    """
    weights = regions.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
    weights = weights / (weights.sum(-1, keepdim=True) + EPSILON)
    mean = weights @ tokens
    # the weights add up to a little less than one, which the second term puts right
    total = weights.sum(-1, keepdim=True)
    variance = weights @ tokens.square() - mean.square() * (2 - total)
    return mean, (variance.clamp(min=0) + EPSILON).sqrt()


def instance_norm(features: Tensor, regions: Regions) -> Tensor:
    """Instance normalisation of ``[B, C, H, W]`` without affine parameters; padding does not count."""
    with torch.autocast(features.device.type, enabled=False):
        tokens = to_tokens(features.float() if features.dtype.itemsize < 4 else features)
        mean, deviation = region_moments(tokens, regions.valid[:, None])
        tokens = torch.addcmul(-mean / deviation, tokens, 1 / deviation)
    return to_map(tokens, regions.size).to(features.dtype)


class RAIN(nn.Module):
    """Region-aware adaptive instance normalisation (Ling et al., CVPR 2021).

    The background is normalised by its own statistics; the foreground is normalised by its own and then
    given those of the background. Each region has its own gain and offset, zero at the start.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.foreground_gamma = nn.Parameter(torch.zeros(channels))
        self.foreground_beta = nn.Parameter(torch.zeros(channels))
        self.background_gamma = nn.Parameter(torch.zeros(channels))
        self.background_beta = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor, regions: Regions) -> Tensor:
        """Normalises ``[B, C, H, W]``; positions outside both regions are treated as background."""
        with torch.autocast(features.device.type, enabled=False):
            tokens = to_tokens(features.float() if features.dtype.itemsize < 4 else features)
            both = torch.stack((regions.foreground, regions.reference), dim=1)
            mean, deviation = region_moments(tokens, both)
            mean_f, mean_b = mean.split(1, dim=1)
            deviation_f, deviation_b = deviation.split(1, dim=1)
            # either region is an affine map of the features: x * scale + shift
            scale_b = (1 + self.background_gamma) / deviation_b
            shift_b = self.background_beta - mean_b * scale_b
            scale_f = (1 + self.foreground_gamma) * deviation_b / deviation_f
            shift_f = (1 + self.foreground_gamma) * mean_b + self.foreground_beta - mean_f * scale_f
            inside = regions.foreground[..., None]
            tokens = torch.addcmul(
                torch.where(inside, shift_f, shift_b), tokens, torch.where(inside, scale_f, scale_b)
            )
        return to_map(tokens, regions.size).to(features.dtype)
