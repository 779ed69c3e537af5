"""What the network's speed is held against: the same network written plainly, and its convolutions alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..hdnet import HDNet

EPSILON = 1e-5


def plain_network(network: HDNet, composite: Tensor, mask: Tensor) -> Tensor:
    """HDNet (K = 1, mask-aware) in whole-map operations, as one writes it down first.

    Every region is a product with its mask, the similarity of all positions with all is one matrix, and both
    dynamic kernels are applied everywhere.

    Args:
        network: Whose parameters to use.
        composite: ``[B, 3, H, W]`` in -1..1, sides multiples of 8.
        mask: ``[B, 1, H, W]``, 0 or 1.

    Returns:
        ``[B, 3, H, W]`` in -1..1.
    """
    assert network.local_dynamics is not None and network.global_dynamics is not None
    full, half, quarter, eighth = (mask[..., ::step, ::step] for step in (1, 2, 4, 8))
    x = composite if network.config.in_channels == 3 else torch.cat((composite, mask), 1)
    skips = [network.encoder[0](x)]
    for layer in network.encoder[1:7]:
        skips.append(F.instance_norm(layer(F.leaky_relu(skips[-1], 0.2))))
    x = network.encoder[7](F.leaky_relu(skips[-1], 0.2))
    x = _local_dynamics(network.local_dynamics, x, eighth)
    x = _decode(network.decoder[0], x, eighth)
    for layer, region in zip(network.decoder[1:5], (eighth, quarter, quarter, half)):
        x = _decode(layer, torch.cat((skips.pop(), x), 1), region)
    for dynamics, layer, region, after in zip(network.global_dynamics, network.decoder[5:], (half, half), (half, full)):
        x = _decode(layer, _global_dynamics(dynamics, torch.cat((skips.pop(), x), 1), region), after)
    x = _global_dynamics(network.global_dynamics[2], torch.cat((skips.pop(), x), 1), full)
    return torch.tanh(network.head(F.relu(x)))


def _decode(layer: Any, x: Tensor, inside: Tensor) -> Tensor:
    """ReLU, transposed convolution, RAIN."""
    x, norm, outside = layer.conv(F.relu(x)), layer.norm, 1 - inside
    mean_f, deviation_f = _statistics(x, inside)
    mean_b, deviation_b = _statistics(x, outside)
    gains = (norm.foreground_gamma, norm.foreground_beta, norm.background_gamma, norm.background_beta)
    gamma_f, beta_f, gamma_b, beta_b = (each[:, None, None] for each in gains)
    foreground = ((x - mean_f) / deviation_f * deviation_b + mean_b) * (1 + gamma_f) + beta_f
    background = (x - mean_b) / deviation_b * (1 + gamma_b) + beta_b
    return foreground * inside + background * outside


def _statistics(x: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    count = region.sum((2, 3), keepdim=True) + EPSILON
    mean = (x * region).sum((2, 3), keepdim=True) / count
    variance = ((x - mean) * region).square().sum((2, 3), keepdim=True) / count
    return mean, (variance + EPSILON).sqrt()


def _local_dynamics(module: Any, x: Tensor, inside: Tensor) -> Tensor:
    features, region = x.flatten(2).mT, inside.flatten(2).mT
    unit = F.normalize(features, dim=2)
    similarity = (unit @ unit.mT).masked_fill(region.mT > 0.5, -2)
    nearest = similarity.argmax(2, keepdim=True).expand_as(features)
    fused = module.linear(torch.cat((features.gather(1, nearest), features), 2))
    return torch.where(region > 0.5, fused, features).mT.unflatten(2, x.shape[2:])


def _global_dynamics(module: Any, x: Tensor, inside: Tensor) -> Tensor:
    channels = x.shape[1]
    kernels = module.expand(torch.sigmoid(module.squeeze(F.adaptive_avg_pool2d(x, 1))))
    both = torch.cat([F.conv2d(*each) for each in zip(x.split(1), kernels.view(len(x), 2 * channels, channels, 1, 1))])
    foreground, background = both.chunk(2, 1)
    return foreground * inside + background * (1 - inside)


def convolutions_alone(network: HDNet, size: int) -> Callable[[], None]:
    """The floor: a call that runs the network's convolutions, channels-last, on inputs made beforehand."""
    inputs = []
    side, device = size, network.head.weight.device
    with torch.inference_mode():
        for layer in [*network.encoder, *(layer.conv for layer in network.decoder), network.head]:
            made = torch.randn(1, layer.in_channels, side, side, device=device).to(memory_format=torch.channels_last)
            inputs.append((layer, made))
            side = layer(made).shape[-1]

    def run() -> None:
        for layer, made in inputs:
            layer(made)

    return run
