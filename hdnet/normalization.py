"""Normalisation by the statistics of whole pictures and of their regions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .regions import Regions
from .tokens import to_map, to_tokens

EPSILON = 1e-5


def instance_norm(features: Tensor, regions: Regions) -> Tensor:
    """Instance normalisation of ``[B, C, H, W]`` without affine parameters; padding does not count."""
    with torch.autocast(features.device.type, enabled=False):
        tokens = to_tokens(features.float() if features.dtype.itemsize < 4 else features)
        weights = regions.valid[:, None].to(tokens.dtype)
        weights = (weights / weights.sum(-1, keepdim=True)).expand(len(tokens), -1, -1)
        # centred first: the square of the mean would drown the variance of a flat picture
        centred = tokens - weights @ tokens
        tokens = centred * (weights @ centred.square() + EPSILON).rsqrt()
    return to_map(tokens, regions).to(features.dtype)


def _averaging(regions: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
    """Weights ``[B, regions, N]`` that sum over a region and divide by n + eps."""
    weights = torch.stack(regions, dim=1).to(tokens.dtype)
    return weights / (weights.sum(-1, keepdim=True) + EPSILON)


class RAIN(nn.Module):
    """Region-aware adaptive instance normalisation (Ling et al., CVPR 2021).

    The background is normalised by its own statistics; the foreground is normalised by its own and then
    given those of the reference, which is the background unless the user narrows it. Each region has its
    own gain and offset, zero at the start. Of an empty region mean and variance are 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.foreground_gamma = nn.Parameter(torch.zeros(channels))
        self.foreground_beta = nn.Parameter(torch.zeros(channels))
        self.background_gamma = nn.Parameter(torch.zeros(channels))
        self.background_beta = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor, regions: Regions) -> Tensor:
        """Normalises ``[B, C, H, W]``."""
        with torch.autocast(features.device.type, enabled=False):
            tokens = to_tokens(features.float() if features.dtype.itemsize < 4 else features)
            weights = _averaging((regions.foreground, regions.background), tokens)
            mean_f, mean_b = (weights @ tokens).split(1, dim=1)
            # centred first: the square of a mean would drown the variance of a flat region
            inside = regions.foreground[..., None]
            centred = tokens - torch.where(inside, mean_f, mean_b)
            deviation_f, deviation_b = (weights @ centred.square() + EPSILON).sqrt().split(1, dim=1)
            mean_r, deviation_r = mean_b, deviation_b
            if regions.reference is not regions.background:
                weights = _averaging((regions.reference,), tokens)
                mean_r = weights @ tokens
                deviation_r = (weights @ (tokens - mean_r).square() + EPSILON).sqrt()
            # either region is an affine map of its centred features
            scale_b = (1 + self.background_gamma) / deviation_b
            scale_f = (1 + self.foreground_gamma) * deviation_r / deviation_f
            shift_f = (1 + self.foreground_gamma) * mean_r + self.foreground_beta
            shift = torch.where(inside, shift_f, self.background_beta)
            tokens = torch.addcmul(shift, centred, torch.where(inside, scale_f, scale_b))
        return to_map(tokens, regions).to(features.dtype)
