"""Images and masks for the harmonizer, and a network whose change of colours is known."""

import torch

from harmonize_composite.hdnet import HDNet, HDNetConfig


class Recolour(HDNet):
    """Stands in for a network: applies a known change of colour and remembers what it was shown."""

    def __init__(self, change=lambda colours, y, x: 1 - colours):
        super().__init__(HDNetConfig(base_channels=1))
        self.change = change
        self.seen = []

    def forward(self, composite, mask, reference=None):
        self.seen.append((composite, mask, reference))
        height, width = composite.shape[-2:]
        y = ((torch.arange(height) + 0.5) / height)[:, None]
        x = (torch.arange(width) + 0.5) / width
        return self.change(composite / 2 + 0.5, y, x) * 2 - 1


def picture(height, width, batch=1, channels=3, seed=0):
    return torch.rand(batch, height, width, channels, generator=torch.Generator().manual_seed(seed))


def square(height, width, batch=1, edge=0.0):
    """A foreground in the middle, at least one pixel, with a soft rim where `edge` is above 0."""
    mask = torch.zeros(batch, height, width)
    top, left = height // 3, width // 3
    mask[:, top : height - top, left : width - left] = 1
    if edge:
        mask[:, top] = mask[:, top] * edge
    return mask


def decibels(result, expected, mask):
    """How near two pictures ``[B, H, W, 3]`` in 0..1 are inside a mask ``[B, H, W]``; the dB of their squared error."""
    error = (result.cpu().double() - expected.cpu().double()).square() * mask.cpu()[..., None]
    return float(-10 * (error.sum() / (3 * mask.sum().cpu())).clamp(min=1e-30).log10())
