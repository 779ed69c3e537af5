"""Mask-aware global dynamics: input-dependent 1×1 kernels, one for each region (Eq. 6)."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .regions import Regions
from .tokens import at_least_float32, in_one_piece, positions, strips, to_map, to_tokens, weighted_sums

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

    def forward(
        self,
        features: Tensor | Sequence[Tensor],
        regions: Regions,
        context: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Applies the kernels; padding does not count in the pooled features.

        Args:
            features: ``[B, C, H, W]``, or parts of that, to be seen as concatenated along the channels.
            regions: Of this size.
            context: What to add to the foreground's kernel, and offsets; see :mod:`.scene_context`.

        Returns:
            ``[B, C, H, W]``.
        """
        parts = [to_tokens(part) for part in ((features,) if isinstance(features, Tensor) else features)]
        foreground, background = self.kernels(parts, regions)
        offset = None
        if context is not None:
            foreground, offset = foreground + context[0].to(foreground.dtype), context[1].to(foreground.dtype)
        widths = [part.shape[-1] for part in parts]
        foreground, background = foreground.split(widths, 1), background.split(widths, 1)
        if self.guide is not None:
            chosen = _learned_guide(self.guide, parts)
        elif in_one_piece():
            chosen = regions.foreground[..., None].to(parts[0].dtype)
        else:
            return to_map(_by_region(parts, foreground, background, regions.foreground, offset), regions)
        kept = _product(parts, background)
        changed = _product(parts, [f - b for f, b in zip(foreground, background)])
        if offset is not None:
            changed = changed + offset
        return to_map(torch.addcmul(kept, changed, chosen.to(kept.dtype)), regions)

    def kernels(self, parts: Sequence[Tensor], regions: Regions) -> tuple[Tensor, Tensor]:
        """The two kernels, ``[B, C, C]`` each, to multiply parts ``[B, N, c]`` of C channels in all from the right."""
        channels = sum(part.shape[-1] for part in parts)
        weights = at_least_float32(regions.valid[:, None].to(parts[0].dtype))
        weights = (weights / weights.sum(-1, keepdim=True)).expand(len(parts[0]), -1, -1)
        with torch.autocast(weights.device.type, enabled=False):
            # plain products: convolutions of a single position are slow, their gradients most of all
            kind = self.squeeze.weight.dtype
            pooled = torch.cat([weighted_sums(weights, part)[:, 0].to(kind) for part in parts], -1)
            hidden = torch.sigmoid(F.linear(pooled, self.squeeze.weight.flatten(1), self.squeeze.bias))
            groups = self.expand.weight.view(2, channels * channels, -1)
            kernels = torch.einsum("bgh,gkh->bgk", hidden.view(len(hidden), 2, -1), groups)
            kernels = kernels + cast(nn.Parameter, self.expand.bias).view(2, -1)
        kernels = kernels.view(-1, 2, channels, channels).mT.to(parts[0].dtype)
        return kernels[:, 0], kernels[:, 1]


def _learned_guide(guide: nn.Conv2d, parts: list[Tensor]) -> Tensor:
    """``[B, N, 1]``: 1 where the first region is likelier; gradients see the probability."""
    likelihood = F.conv2d(torch.cat(parts, -1).mT[..., None], guide.weight, guide.bias)[..., 0]
    first = likelihood.softmax(1)[:, 0, :, None]
    return (first >= 0.5).to(first.dtype) + first - first.detach()


def _product(parts: Sequence[Tensor], kernels: Sequence[Tensor]) -> Tensor:
    return reduce(operator.add, (part @ kernel for part, kernel in zip(parts, kernels)))


def _by_region(
    parts: Sequence[Tensor],
    foreground: Sequence[Tensor],
    background: Sequence[Tensor],
    inside: Tensor,
    offset: Tensor | None,
) -> Tensor:
    """Every position by the background's kernel, then those inside by the foreground's; strip by strip."""
    result = parts[0].new_empty(*inside.shape, foreground[0].shape[-1])
    for start, end in strips(result[:1]):
        for picture, rows in enumerate(positions(inside[:, start:end])):
            pieces, out = [part[picture, start:end] for part in parts], result[picture, start:end]
            torch.mm(pieces[0], background[0][picture], out=out)
            for piece, kernel in zip(pieces[1:], background[1:]):
                out.addmm_(piece, kernel[picture])
            if len(rows):
                inner = [piece.index_select(0, rows) for piece in pieces]
                own = _product(inner, [kernel[picture] for kernel in foreground])
                own = own if offset is None else own + offset[picture]
                out.index_copy_(0, rows, own)
    return result
