"""HDNet: a U-Net with local and mask-aware global dynamics (Chen et al., ACM MM 2023)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from .acting import ActingRule
from .allocator import keep_freed_memory
from .config import HDNetConfig
from .global_dynamics import GlobalDynamics
from .initialisation import normal_
from .local_dynamics import LocalDynamics
from .padding import pad_to_multiple
from .rain import RAIN, instance_norm
from .regions import Regions, region_pyramid
from .scene_context import SceneContext
from .semantic_context import SemanticContext

STRIDE = 8  # the coarsest feature map is this much smaller than the picture

# Widths in units of the base channels, and whether the layer halves or doubles the picture's sides.
ENCODER = ((1, False), (2, True), (4, False), (8, True), (8, False), (8, True), (8, False), (8, False))
DECODER = ((8, False), (8, False), (8, True), (8, False), (4, True), (2, False), (1, True))


class DecoderLayer(nn.Module):
    """ReLU (in place), transposed convolution, RAIN.

    Args:
        in_channels: Channels of the features that come in.
        out_channels: Channels of those that go out.
        upsample: Whether the layer doubles their sides.
        exceeds_float16: Whether the convolution's sums can leave the range of float16; they are then float32.
    """

    def __init__(self, in_channels: int, out_channels: int, upsample: bool, exceeds_float16: bool = False) -> None:
        super().__init__()
        self.exceeds_float16 = exceeds_float16
        if upsample:
            self.conv = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
        else:
            self.conv = nn.ConvTranspose2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm = RAIN(out_channels)

    def forward(self, features: Tensor, regions: Regions) -> Tensor:
        """``[B, in_channels, h, w]`` to ``[B, out_channels, H, W]``; `regions` are those of H and W."""
        features = F.relu_(features)
        if self.exceeds_float16 and features.dtype == torch.float16:
            with torch.autocast(features.device.type, enabled=False):
                sums = functional_call(self.conv, {"weight": self.conv.weight.float()}, features.float())
                return self.norm(sums, regions, inplace=True).half()
        return self.norm(self.conv(features), regions, inplace=True)


class HDNet(nn.Module):
    """The generator.

    Args:
        config: See :class:`~.config.HDNetConfig`. Weights start as N(0, 0.02); see
            :func:`~.initialisation.near_identity_` for a start that trains faster.
    """

    def __init__(self, config: HDNetConfig) -> None:
        super().__init__()
        self.config = config
        self.acting: ActingRule | None = None  # when to trust these weights; comes with them
        self.second_look: float | None = None  # the scale at which they gain from a mirrored picture; comes with them
        self.second_opinion: HDNet | None = None  # who takes that second look, instead of these; comes with them
        base = config.base_channels
        widths = [base * factor for factor, _ in ENCODER]

        def convolution(in_channels: int, out_channels: int, downsample: bool) -> nn.Conv2d:
            if downsample:
                return nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
            return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)

        self.encoder = nn.ModuleList(
            convolution(before, width, halves)
            for before, width, (_, halves) in zip([config.in_channels, *widths], widths, ENCODER)
        )
        self.local_dynamics = (
            LocalDynamics(widths[-1], config.neighbours, config.local_dynamics) if config.local_dynamics else None
        )
        # every decoder layer after the first also sees the encoder's features of its size
        skips = [0, *reversed(widths[:-1])]
        decoded = [widths[-1], *(base * factor for factor, _ in DECODER)]
        # The sums behind the local dynamics are the largest: 104,000 on photographs, float16 ends at 65,504; those of
        # the next layer, 26,000, are too near.
        self.decoder = nn.ModuleList(
            DecoderLayer(skip + below, base * factor, doubles, exceeds_float16=level < 2)
            for level, (skip, below, (factor, doubles)) in enumerate(zip(skips, decoded, DECODER))
        )
        learned = config.global_dynamics == "learned"
        self.global_dynamics = (
            nn.ModuleList(GlobalDynamics(2 * width, learned) for width in (4 * base, 2 * base, base))
            if config.global_dynamics
            else None
        )
        self.scene_context = SceneContext(widths[-1], 2 * base, config.scene_context) if config.scene_context else None
        self.semantic_context = (
            SemanticContext(2 * base, config.semantic_context, config.semantic_encoder, config.semantic_heads)
            if config.semantic_context
            else None
        )
        self.head = nn.ConvTranspose2d(2 * base, 3, 3, padding=1)
        normal_(self)
        keep_freed_memory()
        for context in (self.scene_context, self.semantic_context):
            if context is not None:
                context.start()

    def forward(self, composite: Tensor, mask: Tensor, reference: Tensor | None = None) -> Tensor:
        """Harmonizes a batch, before blending with the background.

        Args:
            composite: ``[B, 3, H, W]`` in -1..1, of any size; padded inside to multiples of 8.
            mask: ``[B, 1, H, W]`` in 0..1, 1 = foreground; the regions inside are split at 0.5.
            reference: ``[B, 1, H, W]`` in 0..1, the background that may serve as reference; all by default.

        Returns:
            ``[B, 3, H, W]`` in -1..1.

        Raises:
            ValueError: The shapes do not belong together.
        """
        _check(composite, mask)
        size = composite.shape[-2:]
        composite, mask = pad_to_multiple(composite, STRIDE), pad_to_multiple(mask, STRIDE)
        if reference is not None:
            reference = pad_to_multiple(reference, STRIDE)
        full, half, quarter, eighth = region_pyramid(mask, size, reference)

        x = composite if self.config.in_channels == 3 else torch.cat((composite, mask), dim=1)
        # rows of features are then views of feature maps, and convolutions are fastest so
        skips = [self.encoder[0](x.contiguous(memory_format=torch.channels_last))]
        for level, regions in enumerate((half, half, quarter, quarter, eighth, eighth, None)):
            # The published code activates in place, and so its skip connections. Where a ReLU follows at once
            # that changes nothing: only the global dynamics see the skip connections of the first three levels.
            in_place = level > 2 or self.global_dynamics is None or self.config.local_dynamics == "published"
            convolution = cast(nn.Conv2d, self.encoder[level + 1])
            x = _convolve(convolution, F.leaky_relu(skips[-1], 0.2, inplace=in_place))
            if regions is not None:
                skips.append(instance_norm(x, regions))
        if self.local_dynamics is not None:
            x = self.local_dynamics(x, eighth)

        context = None
        if self.scene_context is not None:
            context = self.scene_context(composite, full, x, eighth)
        if self.semantic_context is not None:
            kernel, offset = self.semantic_context(composite, mask, full)
            context = (kernel, offset) if context is None else (context[0] + kernel, context[1] + offset)

        x = self.decoder[0](x, eighth)
        for layer, regions in zip(self.decoder[1:5], (eighth, quarter, quarter, half)):
            x = layer(torch.cat((skips.pop(), x), dim=1), regions)
        for level, (before, after) in enumerate(((half, half), (half, full), (full, None))):
            if self.global_dynamics is not None:
                x = self.global_dynamics[level]((skips.pop(), x), before, context if after is None else None)
            else:
                x = torch.cat((skips.pop(), x), dim=1)
            x = self.head(F.relu_(x)) if after is None else self.decoder[5 + level](x, after)
        return torch.tanh(x)[..., : size[0], : size[1]]


def _convolve(convolution: nn.Conv2d, features: Tensor) -> Tensor:
    """The convolution, with more of the zeros that it pads with where the features are narrower than its kernel.

    On processors with AMX, oneDNN's strided bfloat16 convolution of an input two wide is wrong.
    """
    width, kernel = features.shape[-1], convolution.kernel_size[1]
    if convolution.stride[1] == 1 or width >= kernel:
        return convolution(features)
    return convolution(F.pad(features, (0, kernel - width)))[..., : width // convolution.stride[1]]


def _check(composite: Tensor, mask: Tensor) -> None:
    if composite.dim() != 4 or composite.shape[1] != 3:
        raise ValueError(f"The composite must have the shape [B, 3, H, W], not {list(composite.shape)}.")
    if mask.shape != (len(composite), 1, *composite.shape[-2:]):
        raise ValueError(
            f"The mask must have the shape {[len(composite), 1, *composite.shape[-2:]]}, not {list(mask.shape)}."
        )
