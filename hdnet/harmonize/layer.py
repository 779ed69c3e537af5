"""The harmonized foreground alone, as a layer for a program that stacks them."""

from __future__ import annotations

import torch
from torch import Tensor


def foreground_layer(result: Tensor, beneath: Tensor, mask: Tensor) -> Tensor:
    """The layer that, laid over what was beneath, gives the result.

    Args:
        result: ``[B, H, W, 3 or 4]``, harmonized, 0..1 or scene-linear.
        beneath: ``[B, H, W, 3 or 4]``: the composite as it was, or the background that it was pasted onto.
        mask: ``[B, H, W]`` in 0..1, as it was used.

    Returns:
        float32 ``[B, H, W, 4]`` with straight alpha (colours are not multiplied by it), black where that is 0; up to
        what clamping takes, ``alpha * layer + (1 - alpha) * beneath`` is the result.
    """
    count = len(result)
    places = torch.arange(count)
    alpha = mask[places % len(mask)].to(result.device, torch.float32)[..., None]
    below = beneath[places % len(beneath)][..., :3].to(result.device, torch.float32)
    if not result.shape[1:3] == below.shape[1:3] == alpha.shape[1:3]:
        raise ValueError("The result, what is beneath it and the mask must have one size for a layer.")
    colours = below + (result[..., :3].float() - below) / alpha.clamp(min=1e-6)
    lowest, highest = (float(each) for each in result[..., :3].aminmax())  # scene-linear light may leave 0..1
    colours = colours.clamp(min(lowest, 0.0), max(highest, 1.0))
    colours = torch.where(alpha > 0, torch.where(alpha < 1, colours, result[..., :3].float()), 0)
    if result.shape[-1] == 4:
        alpha = alpha * result[..., 3:].float()
    return torch.cat((colours, alpha), -1)
