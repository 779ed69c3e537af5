"""Which positions of a feature map are foreground, which may serve as reference, which are padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of a feature map of one size, positions in row-major order.

    Attributes:
        foreground: ``[B, H*W]`` bool, the positions to change.
        background: ``[B, H*W]`` bool, all others that are not padding.
        reference: ``[B, H*W]`` bool, the background positions that the foreground learns from.
        valid: ``[1 or B, H*W]`` bool, all positions that are not padding.
        size: ``(H, W)``.
        valid_size: ``(h, w)`` of what is not padding, at the top left.
    """

    foreground: Tensor
    background: Tensor
    reference: Tensor
    valid: Tensor
    size: tuple[int, int]
    valid_size: tuple[int, int]

    @classmethod
    def from_mask(
        cls, mask: Tensor, valid_size: tuple[int, int] | None = None, reference: Tensor | None = None
    ) -> Regions:
        """Splits a mask at 0.5.

        Args:
            mask: ``[B, 1, H, W]`` in 0..1, 1 = foreground.
            valid_size: ``(h, w)`` of the picture at the top left; what lies outside is padding.
            reference: ``[B, 1, H, W]`` in 0..1, 1 = may serve as reference; everything by default.
        """
        size = (mask.shape[-2], mask.shape[-1])
        valid_size = valid_size or size
        valid = torch.zeros(1, *size, dtype=torch.bool, device=mask.device)
        valid[:, : valid_size[0], : valid_size[1]] = True
        valid = valid.flatten(1)
        inside = mask[:, 0].flatten(1) > 0.5
        background = valid & ~inside
        usable = background if reference is None else background & (reference[:, 0].flatten(1) > 0.5)
        return cls(inside & valid, background, usable, valid, size, valid_size)


def region_pyramid(
    mask: Tensor, valid_size: Sequence[int], reference: Tensor | None = None, levels: int = 4
) -> list[Regions]:
    """Returns the regions at H, H/2, H/4, ... as the feature maps see them (nearest resize)."""
    pyramid = []
    for level in range(levels):
        size = [side >> level for side in mask.shape[-2:]]
        height, width = (-(-side // (1 << level)) for side in valid_size)
        small = F.interpolate(mask, size=size, mode="nearest")
        small_reference = None if reference is None else F.interpolate(reference, size=size, mode="nearest")
        pyramid.append(Regions.from_mask(small, (height, width), small_reference))
    return pyramid
