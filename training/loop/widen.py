"""A wider network from a narrower one, with the same output (Net2WiderNet, Chen et al., 2016)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...hdnet import HDNet
from ...hdnet.network.scene_context import COLOURS

DIFFERENCE = 0.3  # by which copies of a weight differ, relative to their size; equal ones would stay equal for ever
LAST_OF_CONTEXTS = "scene_context.layers.4.", "semantic_context.layers.4."


@torch.no_grad()
def widen(network: HDNet, factor: int, seed: int = 0) -> HDNet:
    """Repeats every channel `factor` times, and shares its weights among the copies.

    The copies of an incoming weight differ at random, so that they can learn different things; their sum is the weight.

    Args:
        network: Stays as it is.
        factor: 2 or more.
        seed: Decides the differences.

    Returns:
        A network with `factor` times the base channels and the same output, on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    config = replace(network.config, base_channels=factor * network.config.base_channels)
    wide = HDNet(config)

    def share(weight: Tensor, axis: int) -> Tensor:
        """Repeats incoming channels and divides their weights among the copies."""
        copies = weight.repeat_interleave(factor, axis) / factor
        noise = torch.randn(copies.shape, generator=generator) * DIFFERENCE * copies.abs()
        grouped = noise.unflatten(axis, (-1, factor))
        return copies + (grouped - grouped.mean(axis + 1, keepdim=True)).flatten(axis, axis + 1)

    def repeat(weight: Tensor, axis: int) -> Tensor:
        return weight.repeat_interleave(factor, axis)

    state = {}
    for name, weight in network.state_dict().items():
        weight = weight.float().cpu()
        if name == "head.bias" or name.startswith("semantic_context.encoder."):  # have to do with the picture alone
            new = weight
        elif name == "encoder.0.weight":  # sees the picture and the mask
            new = repeat(weight, 0)
        elif name == "head.weight":  # transposed convolutions: [in, out, h, w]
            new = share(weight, 0)
        elif name.startswith("decoder") and name.endswith("conv.weight"):
            new = share(repeat(weight, 1), 0)
        elif ".expand." in name:  # two kernels, each a matrix [out, in] of numbers to predict
            width = int((len(weight) // 2) ** 0.5)
            kernels = weight.view(2, width, width, *weight.shape[1:])
            new = share(repeat(kernels, 1), 2).flatten(0, 2)
        elif name == "scene_context.layers.0.weight":  # colours of the picture, then features of the network
            new = torch.cat((weight[:, : 2 * COLOURS], share(weight[:, 2 * COLOURS :], 1)), 1)
        elif name.startswith(LAST_OF_CONTEXTS):  # a kernel, [in, out] numbers to predict, and a row of offsets
            rows = weight.view(-1, 2 * network.config.base_channels, *weight.shape[1:])
            new = torch.cat((share(repeat(rows[:-1], 1), 0), repeat(rows[-1:], 1))).flatten(0, 1)
        elif name.startswith(("scene_context.", "semantic_context.")):  # sees the picture, or was dealt with
            new = weight
        elif ".squeeze." in name or ".guide." in name:
            new = share(weight, 1) if weight.dim() > 1 else weight
        elif name == "local_dynamics.linear.weight":
            new = share(repeat(weight, 0), 1)
        elif weight.dim() == 4:
            new = share(repeat(weight, 0), 1)
        else:
            new = repeat(weight, 0)
        state[name] = new
    wide.load_state_dict(state)
    return wide
