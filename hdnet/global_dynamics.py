"""Mask-aware global dynamics: input-dependent 1×1 kernels, one for each region (Eq. 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .regions import Regions
from .tokens import to_map, to_tokens

HIDDEN = 4  # channels between the pooled features and the kernels; half of them for either kernel


class GlobalDynamics(nn.Module):
    """Predicts a foreground and a background kernel from the whole picture and applies each to its region.

    A simplification of dynamic region-aware convolution (Chen et al., CVPR 2021), whose guide is the mask.

    Args:
        channels: Channels C in and out.
        learned: Predict the guide from the features instead (HDNet* of Table 3).
    """

    def __init__(self, channels: int, learned: bool = False) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, HIDDEN, 1)
        self.expand = nn.Conv2d(HIDDEN, 2 * channels * channels, 1, groups=2)
        self.guide = nn.Conv2d(channels, 2, 1) if learned else None

    def forward(self, features: Tensor, regions: Regions) -> Tensor:
        """Returns ``[B, C, H, W]``; padding does not count in the pooled features."""
        tokens = to_tokens(features)
        foreground, background = self.kernels(tokens, regions)
        changed, kept = tokens @ foreground, tokens @ background
        if self.guide is None:
            tokens = torch.where(regions.foreground[..., None], changed, kept)
        else:
            guide = to_tokens(self.guide(features)).softmax(-1)
            chosen = guide[..., :1] >= guide[..., 1:]
            # forward takes the likelier region, backward sees the probabilities
            guide = chosen.to(guide.dtype) + guide[..., :1] - guide[..., :1].detach()
            tokens = torch.lerp(kept, changed, guide.to(kept.dtype))
        return to_map(tokens, regions)

    def kernels(self, tokens: Tensor, regions: Regions) -> tuple[Tensor, Tensor]:
        """The two kernels for ``[B, N, C]`` features, ``[B, C, C]`` each, to multiply from the right."""
        channels = tokens.shape[-1]
        weights = regions.valid[:, None].to(tokens.dtype)
        weights = (weights / weights.sum(-1, keepdim=True)).expand(len(tokens), -1, -1)
        with torch.autocast(tokens.device.type, enabled=False):
            # plain products: convolutions of a single position are slow, their gradients most of all
            pooled = (weights @ tokens)[:, 0].to(self.squeeze.weight.dtype)
            hidden = torch.sigmoid(F.linear(pooled, self.squeeze.weight.flatten(1), self.squeeze.bias))
            groups = self.expand.weight.view(2, channels * channels, -1)
            kernels = torch.einsum("bgh,gkh->bgk", hidden.view(len(hidden), 2, -1), groups)
            kernels = kernels + self.expand.bias.view(2, -1)
        kernels = kernels.view(-1, 2, channels, channels).mT.to(tokens.dtype)
        return kernels[:, 0], kernels[:, 1]
