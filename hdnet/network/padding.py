"""Padding to a multiple of the network's stride."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def pad_to_multiple(picture: Tensor, multiple: int) -> Tensor:
    """Pads ``[B, C, H, W]`` at the right and the bottom: by reflection, by replication where too small."""
    height, width = picture.shape[-2:]
    right, bottom = -width % multiple, -height % multiple
    for pad, side in (((0, right, 0, 0), width), ((0, 0, 0, bottom), height)):
        if any(pad):
            picture = F.pad(picture, pad, mode="reflect" if max(pad) < side else "replicate")
    return picture
