"""The network where a run starts."""

from __future__ import annotations

from dataclasses import replace

import torch

from ...hdnet import HDNet, HDNetConfig
from ...hdnet.network.initialisation import near_identity_
from ...weights import load_network
from .options import Options
from .pretrained_encoder import load_encoder
from .widen import widen

CONTEXTS = "scene_context", "semantic_context"
SHAPE = "base_channels", "in_channels", "neighbours", *CONTEXTS, "semantic_encoder", "semantic_heads"


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
        network = load_network(options.init)
        network.acting = network.second_look = network.second_opinion = None  # for weights that will not be these
        return _extended(network, options).requires_grad_(True).train()
    shape = {name: getattr(options, name) for name in SHAPE}
    config = replace(HDNetConfig.preset(options.network), **{name: value for name, value in shape.items() if value})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = HDNet(config)
    if options.init == "near-identity":
        near_identity_(network)
    _fill_encoder(network, options)
    return network


def _extended(network: HDNet, options: Options) -> HDNet:
    """The same function in a larger network, where the options ask for more channels or for a context.

    A semantic context with another encoder takes the place of the one that was there, and has no say yet.
    """
    base = network.config.base_channels
    if options.base_channels > base:
        if options.base_channels % base:
            raise ValueError(f"These weights can be widened to a multiple of {base} base channels.")
        network = widen(network, options.base_channels // base, options.seed)
    if options.semantic_encoder and options.semantic_encoder != network.config.semantic_encoder:
        network = _rebuilt(network, options.seed, semantic_context=0, semantic_encoder=options.semantic_encoder)
    for name in CONTEXTS:
        if getattr(options, name) and not getattr(network.config, name):
            heads = options.semantic_heads if name == "semantic_context" else network.config.semantic_heads
            network = _rebuilt(network, options.seed, semantic_heads=heads, **{name: getattr(options, name)})
            if name == "semantic_context":  # one that was there keeps the encoder that it was trained with
                _fill_encoder(network, options)
    return network


def _rebuilt(network: HDNet, seed: int, **changes: int | str) -> HDNet:
    """With or without a context; one that is new has no say yet."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        other = HDNet(replace(network.config, **changes))  # type: ignore[arg-type]
    other.load_state_dict(network.state_dict(), strict=False)
    return other


def _fill_encoder(network: HDNet, options: Options) -> None:
    """Gives a new semantic context the pretrained encoder, where one is named."""
    if options.encoder and network.semantic_context is not None:
        load_encoder(network.semantic_context.encoder, options.encoder)
