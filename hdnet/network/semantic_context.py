"""Semantic context: what a pretrained encoder recognises, and the one change that a foreground needs for it.

Not in the paper. Skin, grass and a white wall have colours that one knows. A network that has seen ten thousand
photographs knows few of them, one that learnt to tell a thousand classes on ImageNet knows many. So such a one, an
EfficientNet-Lite (Tan & Le, ICML 2019; the Lite variants by Liu, 2020), sees the composite and its mask, its features
are pooled over both regions, and a small perceptron adds to the foreground's last kernel what follows, beside
:mod:`.scene_context`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .kernel_context import KernelContext
from .regions import Regions
from .scene_context import COLOURS, histograms
from .tokens import at_least_float32, to_tokens, weighted_sums

STEM = 32  # channels
# Of each stage: kernel, stride of the first block, expansion.
STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))
DESCRIBING = (4, 6)  # the stages whose features are pooled, at 1/16 and 1/32 of the picture
VALUES = 32  # of a head of the attention
EMPTY = 1e-6  # a share of a position that counts as none
NEVER = -1e4  # score of a position outside a region


class Size(NamedTuple):
    """Of an encoder of the family: blocks and channels of each stage."""

    blocks: tuple[int, ...]
    channels: tuple[int, ...]


SIZES = {
    "efficientnet-lite0": Size((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
    "efficientnet-lite2": Size((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352)),
}


class SemanticContext(KernelContext):
    """Predicts what to add to a kernel and an offset for each channel, from what the picture shows.

    Args:
        channels: Channels C that the kernel maps.
        width: Of the two hidden layers.
        encoder: Name of one of `SIZES`.
        heads: Of the :class:`RegionAttention` of each map of features; 0 leaves it out.
    """

    def __init__(self, channels: int, width: int, encoder: str, heads: int = 0) -> None:
        sizes = [SIZES[encoder].channels[stage] for stage in DESCRIBING]
        attended = heads * (VALUES + 3) * len(DESCRIBING)
        super().__init__(2 * (COLOURS + sum(sizes) + attended), channels, width)
        self.encoder = Encoder(SIZES[encoder])
        self.attention = nn.ModuleList(RegionAttention(size, heads) for size in sizes if heads)

    def forward(self, composite: Tensor, mask: Tensor, regions: Regions) -> tuple[Tensor, Tensor]:
        """The change of the foreground's kernel ``[B, C, C]``, to multiply from the right, and offsets ``[B, 1, C]``.

        Args:
            composite: ``[B, 3, H, W]`` in -1..1.
            mask: ``[B, 1, H, W]`` in 0..1, 1 = foreground.
            regions: Of these sizes.
        """
        inside = torch.stack((regions.foreground, regions.reference), 1).unflatten(-1, regions.size).to(torch.float32)
        features = self.encoder(torch.cat((composite, mask), 1))
        with torch.autocast(composite.device.type, enabled=False):
            composite = at_least_float32(composite)
            described = [histograms(composite, regions)]
            for level, each in enumerate(features):
                shares = F.interpolate(inside, each.shape[-2:], mode="area").flatten(2)
                tokens = to_tokens(each)
                described.append(weighted_sums(shares / shares.sum(-1, keepdim=True).clamp(min=EMPTY), tokens))
                if self.attention:
                    colours = mean_colours(composite, inside, each.shape[-2:])
                    described.append(self.attention[level](tokens, shares, colours))
        return self.change(torch.cat(described, -1).flatten(1))


class RegionAttention(nn.Module):
    """Looks for the same things in both regions, and says what it finds there and in which colours.

    Each head gives every position a score for what it looks for (skin, grass, a wall, ...); what it says of a region is
    the mean over its positions, weighted by the softmax of their scores. A mean over the whole region would drown a
    face in the clothes. After the attention pooling of Ilse et al. (ICML 2018).

    Args:
        channels: Channels of the features.
        heads: Number of heads.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.scores = nn.Linear(channels, heads)
        self.values = nn.Linear(channels, heads * VALUES)

    def forward(self, tokens: Tensor, shares: Tensor, colours: Tensor) -> Tensor:
        """What the heads say of each region, ``[B, R, heads * (VALUES + 3)]``.

        Args:
            tokens: ``[B, N, channels]``.
            shares: ``[B, R, N]``, how much of each position belongs to a region.
            colours: ``[B, R, N, 3]``, its mean colours there.
        """
        tokens = tokens.to(self.scores.weight.dtype)
        scores, values = at_least_float32(self.scores(tokens)), at_least_float32(self.values(tokens))
        weights = (scores.mT[:, None] + shares.log().clamp(min=NEVER)[:, :, None]).softmax(-1)  # [B, R, heads, N]
        values = values.unflatten(-1, (-1, VALUES)).transpose(1, 2)  # [B, heads, N, VALUES]
        said = (weights.transpose(1, 2) @ values).transpose(1, 2)
        return torch.cat((said, weights @ colours), -1).flatten(2)


def mean_colours(composite: Tensor, inside: Tensor, size: Sequence[int]) -> Tensor:
    """The mean colours of regions ``[B, R, H, W]`` of ``[B, 3, H, W]`` in cells of a grid: ``[B, R, h * w, 3]``."""
    summed = [F.interpolate(composite * region, size, mode="area") for region in inside.split(1, 1)]
    shares = F.interpolate(inside, size, mode="area").clamp(min=EMPTY)
    return (torch.stack(summed, 1) / shares.unsqueeze(2)).flatten(3).mT


class Encoder(nn.Module):
    """An EfficientNet-Lite without its classifier; its batch normalisation is folded into its convolutions.

    The fourth channel that it sees is the mask.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, STEM, 3, stride=2)
        stages, channels = [], STEM
        for (kernel, stride, expansion), blocks, width in zip(STAGES, *size):
            sizes = [channels] + [width] * (blocks - 1)
            strides = [stride] + [1] * (blocks - 1)
            stages.append(
                nn.Sequential(*(Block(size, width, kernel, step, expansion) for size, step in zip(sizes, strides)))
            )
            channels = width
        self.stages = nn.ModuleList(stages)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Of ``[B, 4, H, W]``, colours in -1..1, the features of the stages `DESCRIBING`."""
        x = picture.contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.stem(_same(x, 3, 2)), inplace=True)
        described = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in DESCRIBING:
                described.append(x)
        return described


class Block(nn.Module):
    """An inverted residual (Sandler et al., CVPR 2018): pointwise, depthwise, pointwise without activation."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.expand = nn.Conv2d(channels, hidden, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(hidden, hidden, kernel, stride, groups=hidden)
        self.project = nn.Conv2d(hidden, width, 1)
        self.residual = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels, h, w]`` to ``[B, width, h / stride, w / stride]``, rounded up."""
        hidden = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        kernel, stride = self.depthwise.kernel_size[0], self.depthwise.stride[0]
        hidden = F.relu6(self.depthwise(_same(hidden, kernel, stride)), inplace=True)
        out = self.project(hidden)
        return out + x if self.residual else out


def _same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pads with zeros as TensorFlow does, where the encoder was trained: the odd pixel at the end."""
    height, width = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:])
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
