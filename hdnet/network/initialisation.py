"""Where training starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from .global_dynamics import GlobalDynamics

if TYPE_CHECKING:
    from .hdnet import HDNet


def normal_(network: nn.Module, deviation: float = 0.02) -> None:
    """Fills convolutions and linear layers with N(0, 0.02) and their biases with 0, as the paper does."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, deviation)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@torch.no_grad()
def near_identity_(network: HDNet) -> None:
    """Lets an untrained network return its input, nearly, so that training need not learn to copy first.

    The first convolution carries +R, -R, +G, -G, +B, -B; the last global dynamics kernels start as the
    identity on them; the head takes the differences. Everything else stays as it is, and so does the
    architecture.

    Args:
        network: With at least six base channels.

    Raises:
        ValueError: The network has fewer than six base channels.
    """
    if network.config.base_channels < 6:
        raise ValueError("A near-identity start needs at least 6 base channels to carry ±R, ±G and ±B.")
    first, head = cast(nn.Conv2d, network.encoder[0]).weight, network.head.weight
    first[:6].zero_()
    head[:6].zero_()
    for channel in range(6):
        sign = 1 if channel % 2 == 0 else -1
        first[channel, channel // 2, 1, 1] = sign
        head[channel, channel // 2, 1, 1] = 1.1 * sign  # a little more than 1 against the tanh
    if network.global_dynamics is not None:
        expand = cast(GlobalDynamics, network.global_dynamics[-1]).expand
        width = 2 * network.config.base_channels
        kernels = cast(nn.Parameter, expand.bias).view(2, width, width)
        weights = expand.weight.view(2, width, width, -1)
        kernels[:, :6] = torch.eye(width)[:6]
        weights[:, :6] = 0
