"""The network where a run starts."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..hdnet import HDNet, HDNetConfig
from ..hdnet.initialisation import near_identity_
from ..weights import load_network
from .options import Options


def initial_network(options: Options, known: dict | None = None) -> HDNet:
    """A new network, the same for the same seed, or the one whose weights `options.init` names; on the CPU.

    Args:
        options: Of the run.
        known: Its configuration as a checkpoint remembers it, so that a resumption can do without those weights.

    Raises:
        ValueError: There is no such preset, or the weights cannot be had.
    """
    if options.init not in ("normal", "near-identity"):
        if known:
            return HDNet(HDNetConfig(**known))
        return load_network(options.init).requires_grad_(True).train()
    shape = {name: getattr(options, name) for name in ("base_channels", "in_channels", "neighbours")}
    config = replace(HDNetConfig.preset(options.network), **{name: value for name, value in shape.items() if value})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = HDNet(config)
    if options.init == "near-identity":
        near_identity_(network)
    return network
