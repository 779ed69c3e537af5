"""Pasted composites of a whole batch, made on the device that trains.

What `Photographs.sample` does for one pasted composite comes in two parts here. To take a photograph apart, and to
give its object another one's colours, is slow and stays with numpy on the CPU, see `Photographs.layers`. Cameras,
light, masks and composing are torch's: fast on a GPU, and drawn anew each time that the same layers are used.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .cameras import Cameras, change_cameras
from .paste import INACCURATE, OTHER_LIGHT, TOO_SMALL, Layers, resize_inside

PLANES = 10
BOLDNESS = (0.45, 0.8, 1.2, 1.6, 2.2)  # of an object's camera: from mild to plainly off


def pack(layers: Layers, recoloured: np.ndarray | None = None) -> np.ndarray:
    """Layers in one array.

    Args:
        layers: Of a photograph, S pixels square.
        recoloured: The foreground in other colours, float32 `[S, S, 3]` in 0..1; None where a camera is to change them.

    Returns:
        Uint8 `[10, S, S]`: foreground (black outside the mask), background, mask (255 = object), and the recoloured
        foreground, which is the foreground itself where there is none.
    """
    foreground, background = _to_planes(layers.foreground), _to_planes(layers.background)
    changed = foreground if recoloured is None else _to_planes(recoloured)
    mask = layers.mask[None]
    return np.concatenate((foreground * mask, background, mask * np.uint8(255), changed * mask))


@torch.no_grad()
def compose_batch(
    packed: Tensor, size: int, untouched: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Makes a composite of each picture's layers, with its mask and its ground truth.

    Args:
        packed: Uint8 `[B, 10, S, S]`, see `pack`.
        size: Side of the composites in pixels, at most S.
        untouched: Share of composites that are harmonious.
        generator: On the same device; decides everything.

    Returns:
        Composite, float32 `[B, 3, size, size]` in -1..1 on 8-bit levels; mask, float32 `[B, 1, size, size]`, 0 or 1;
        and the ground truth, as the composite.
    """
    count, device = len(packed), packed.device

    def chance(share: float) -> Tensor:
        return torch.rand(count, 1, 1, 1, generator=generator, device=device) < share

    has_other_colours = (packed[:, 7:] != packed[:, :3]).flatten(1).any(1).view(-1, 1, 1, 1)
    foreground, background, recoloured, mask = _unpack(packed, size)
    light, lit = Cameras.random(torch.ones(count, device=device), generator), chance(OTHER_LIGHT)
    foreground, background, recoloured = (
        torch.where(lit, light(each).clamp(0, 1), each) for each in (foreground, background, recoloured)
    )
    which = torch.randint(len(BOLDNESS), (count,), generator=generator, device=device)
    boldness = torch.tensor(BOLDNESS, device=device)[which]
    changed = change_cameras(foreground, mask, boldness, generator)
    changed = torch.where(has_other_colours, recoloured, changed)
    changed = torch.where(chance(untouched), foreground, changed)
    composite, real = torch.where(mask, changed, background), torch.where(mask, foreground, background)
    shown = torch.where(chance(INACCURATE), inaccurate_masks(mask, generator), mask)
    real = torch.where(shown, real, composite)  # what the mask misses is not to be harmonized
    return _to_levels(composite), shown.float(), _to_levels(real)


def inaccurate_masks(mask: Tensor, generator: torch.Generator) -> Tensor:
    """Masks, boolean `[B, 1, H, W]`, one pixel too small or too large; see `paste.inaccurate`."""
    smaller = torch.rand(len(mask), 1, 1, 1, generator=generator, device=mask.device) < TOO_SMALL
    changed = torch.where(smaller, ~_grown(~mask), _grown(mask))
    both_left = changed.flatten(1).any(1) & ~changed.flatten(1).all(1)
    return torch.where(both_left.view(-1, 1, 1, 1), changed, mask)


def _grown(mask: Tensor) -> Tensor:
    """Each pixel of a boolean `[B, 1, H, W]` and its four neighbours."""
    planes = mask.float()
    upright = F.max_pool2d(planes, (3, 1), 1, (1, 0))
    level = F.max_pool2d(planes, (1, 3), 1, (0, 1))
    return torch.maximum(upright, level) > 0


def _unpack(packed: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Foreground, background and recoloured foreground in 0..1, and the boolean mask, at `size` pixels."""
    foreground, background, mask, recoloured = (packed.float() / 255).split((3, 3, 1, 3), 1)
    if size != packed.shape[-1]:
        background, _ = resize_inside(background, torch.ones_like(mask), size)
        recoloured, _ = resize_inside(recoloured, mask, size)
        foreground, mask = resize_inside(foreground, mask, size)
    return foreground, background, recoloured, mask > 0.5


def _to_planes(picture: np.ndarray) -> np.ndarray:
    """Float32 `[S, S, 3]` in 0..1 to uint8 `[3, S, S]`, rounded as `paste.compose` does."""
    return (picture * 255 + 0.5).clip(0, 255).astype(np.uint8).transpose(2, 0, 1)


def _to_levels(picture: Tensor) -> Tensor:
    """0..1 to 8-bit levels in -1..1, rounded as `paste.compose` does."""
    return (picture * 255 + 0.5).floor().clamp(0, 255) / 127.5 - 1
