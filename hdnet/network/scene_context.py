"""Scene context: what statistics of the two regions say about the one change that a foreground needs.

Not in the paper. There all that is known of the picture as a whole reaches the kernels of the global dynamics through
two numbers each (the squeeze of Eq. 6, pooled over both regions at once). Where the rim of the mask does not tell, that
is the way by which another camera and another light have to be judged. Here both regions are described apart, by their
colours and by their deepest features, and a small perceptron adds to the foreground's last kernel what follows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .kernel_context import KernelContext
from .regions import Regions
from .tokens import at_least_float32, to_tokens, weighted_sums

BINS = 8
CHANNELS = 5  # R, G, B and two differences of them
COLOURS = CHANNELS * BINS  # numbers that describe the colours of a region
SAMPLES = 128  # along a side of the picture, for its histograms


class SceneContext(KernelContext):
    """Predicts what to add to a kernel and an offset for each channel, from the whole scene.

    Args:
        features: Channels of the deepest features.
        channels: Channels C that the kernel maps.
        width: Of the two hidden layers.
    """

    def __init__(self, features: int, channels: int, width: int) -> None:
        super().__init__(2 * (COLOURS + 2 * features), channels, width)

    def forward(self, composite: Tensor, full: Regions, deepest: Tensor, eighth: Regions) -> tuple[Tensor, Tensor]:
        """The change of the foreground's kernel ``[B, C, C]``, to multiply from the right, and offsets ``[B, 1, C]``.

        Args:
            composite: ``[B, 3, H, W]`` in -1..1.
            full: Its regions.
            deepest: ``[B, features, H/8, W/8]``.
            eighth: Their regions.
        """
        with torch.autocast(composite.device.type, enabled=False):
            colours = histograms(at_least_float32(composite), full)
            tokens = at_least_float32(to_tokens(deepest))
            weights = _region_weights(eighth, tokens.dtype)
            pooled = torch.cat((weighted_sums(weights, tokens), weighted_sums(weights, tokens.relu())), -1)
            described = torch.cat((colours.flatten(1), pooled.flatten(1)), 1)
        return self.change(described)


def histograms(composite: Tensor, regions: Regions) -> Tensor:
    """Shares of the pixels of foreground and reference in overlapping bins, ``[B, 2, CHANNELS * BINS]``."""
    step = max(1, max(composite.shape[-2:]) // SAMPLES)
    red, green, blue = (composite[:, :, ::step, ::step] / 2 + 0.5).unbind(1)
    channels = torch.stack((red, green, blue, (red - green) / 2 + 0.5, (2 * blue - red - green) / 4 + 0.5), -1)
    centres = torch.linspace(0, 1, BINS, device=composite.device)
    shares = (1 - (channels[..., None] - centres).abs() * (BINS - 1)).clamp(min=0)
    size = composite.shape[-2:]
    weights = _region_weights(regions, shares.dtype).unflatten(-1, size)[:, :, ::step, ::step].flatten(2)
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-6)
    return weights @ shares.flatten(1, 2).flatten(2)


def _region_weights(regions: Regions, kind: torch.dtype) -> Tensor:
    """``[B, 2, N]``: rows that average over foreground and reference; zero for an empty region."""
    inside = torch.stack((regions.foreground, regions.reference), 1).to(kind)
    return inside / inside.sum(-1, keepdim=True).clamp(min=1)
