"""Normalisation by the statistics of whole pictures and of their regions.

What differs between regions is spread over positions by small matrix products with the regions' indicators:
that is one pass over memory, whatever the layout. Without gradients the passes go strip by strip, in place,
so that intermediate results stay in the processor's cache.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .regions import Regions
from .tokens import at_least_float32, in_one_piece, pad_edge, strips, to_map, to_tokens, weighted_sums

EPSILON = 1e-5


def instance_norm(features: Tensor, regions: Regions) -> Tensor:
    """Instance normalisation of ``[B, C, H, W]`` without affine parameters; padding does not count."""
    height, width = regions.valid_size
    if features.device.type != "cpu":  # a batch at once: many small kernels would keep a device waiting
        part = at_least_float32(features[..., :height, :width])
        variance, mean = torch.var_mean(part, (2, 3), correction=0, keepdim=True)
        return pad_edge(((part - mean) * (variance + EPSILON).rsqrt()).to(features.dtype), regions)
    with torch.autocast(features.device.type, enabled=False):
        # batch normalisation of one picture: the one kernel that takes channels-last in two passes
        normalised = [
            torch.batch_norm(picture[None], None, None, None, None, True, 0.0, EPSILON, False)
            for picture in features[..., :height, :width]
        ]
    return pad_edge(normalised[0] if len(normalised) == 1 else torch.cat(normalised), regions)


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

    def forward(self, features: Tensor, regions: Regions, inplace: bool = False) -> Tensor:
        """Normalises ``[B, C, H, W]``; ``inplace`` lets them be overwritten where no gradients are wanted."""
        with torch.autocast(features.device.type, enabled=False):
            tokens = to_tokens(features)
            inside = at_least_float32(torch.stack((regions.foreground, ~regions.foreground), dim=2).to(tokens.dtype))
            mean, deviation = _statistics(tokens, inside, (regions.foreground, regions.background))
            mean_r, deviation_r = mean[:, 1:], deviation[:, 1:]
            if regions.reference is not regions.background:
                reference = regions.reference[..., None].to(inside.dtype)
                mean_r, deviation_r = _statistics(tokens, reference, (regions.reference,))
            gain_f, gain_b = 1 + self.foreground_gamma, 1 + self.background_gamma
            # either region is an affine map of its features
            scale = torch.cat((gain_f * deviation_r / deviation[:, :1], gain_b / deviation[:, 1:]), 1)
            shift = torch.cat((gain_f * mean_r + self.foreground_beta, self.background_beta.expand_as(mean_r)), 1)
            tokens = _affine(tokens, inside, scale, shift - mean * scale, inplace)
        return to_map(tokens, regions)


def _statistics(tokens: Tensor, indicators: Tensor, regions: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over regions, by sum / (n + eps) and sqrt(variance + eps).

    Args:
        tokens: ``[B, N, C]``.
        indicators: ``[B, N, R]``, which region a position belongs to.
        regions: R times ``[B, N]`` bool, the same for the positions that count.

    Returns:
        Two tensors ``[B, R, C]``.
    """
    weights = torch.stack(regions, dim=1).to(indicators.dtype)
    # divided last: shares of many positions need not add up to one, and on a flat region that would show
    count = weights.sum(-1, keepdim=True) + EPSILON
    mean = weighted_sums(weights, tokens) / count
    variance = torch.zeros_like(mean)
    # centred first: the square of a mean would drown the variance of a flat region
    for start, end in strips(tokens):
        centred = torch.baddbmm(at_least_float32(tokens[:, start:end]), indicators[:, start:end], mean, alpha=-1)
        variance = variance + weights[..., start:end] @ (centred * centred)
    return mean, (variance / count + EPSILON).sqrt()


def _affine(tokens: Tensor, indicators: Tensor, scale: Tensor, shift: Tensor, inplace: bool) -> Tensor:
    """``tokens * scale + shift``, with ``[B, R, C]`` coefficients of each region."""
    if in_one_piece():
        return torch.addcmul(indicators @ shift, at_least_float32(tokens), indicators @ scale).to(tokens.dtype)
    result = tokens if inplace else torch.empty_like(tokens)
    for start, end in strips(tokens):
        which, some = indicators[:, start:end], at_least_float32(tokens[:, start:end])
        torch.addcmul(which @ shift, some, which @ scale, out=result[:, start:end])
    return result
