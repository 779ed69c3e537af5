"""Semantic context: what a pretrained encoder recognises, and the one change that a foreground needs for it.

Not in the paper. Skin, grass and a white wall have colours that one knows. A network that has seen ten thousand
photographs knows few of them, one that learnt to tell a thousand classes on ImageNet knows many. So such a one, an
EfficientNet-Lite (Tan & Le, ICML 2019; the Lite variants by Liu, 2020), sees the composite and its mask, its features
are pooled over both regions, and a small perceptron adds to the foreground's last kernel what follows, beside
:mod:`.scene_context`.
"""

from __future__ import annotations

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
    """

    def __init__(self, channels: int, width: int, encoder: str) -> None:
        size = SIZES[encoder]
        super().__init__(2 * (COLOURS + sum(size.channels[stage] for stage in DESCRIBING)), channels, width)
        self.encoder = Encoder(size)

    def forward(self, composite: Tensor, mask: Tensor, regions: Regions) -> tuple[Tensor, Tensor]:
        """The change of the foreground's kernel ``[B, C, C]``, to multiply from the right, and offsets ``[B, 1, C]``.

        Args:
            composite: ``[B, 3, H, W]`` in -1..1.
            mask: ``[B, 1, H, W]`` in 0..1, 1 = foreground.
            regions: Of these sizes.
        """
        inside = torch.stack((regions.foreground, regions.reference), 1).unflatten(-1, regions.size)
        features = self.encoder(torch.cat((composite, mask), 1))
        with torch.autocast(composite.device.type, enabled=False):
            described = [histograms(at_least_float32(composite), regions)]
            described += [_pooled(each, inside) for each in features]
        return self.change(torch.cat(described, -1).flatten(1))


def _pooled(features: Tensor, inside: Tensor) -> Tensor:
    """Means of ``[B, C, h, w]`` over regions ``[B, R, H, W]`` by the share of each position: ``[B, R, C]``."""
    shares = F.interpolate(inside.to(torch.float32), features.shape[-2:], mode="area").flatten(2)
    shares = shares / shares.sum(-1, keepdim=True).clamp(min=1e-6)
    return weighted_sums(shares, to_tokens(features))


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
