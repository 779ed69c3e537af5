"""Pasted composites: object and background of a photograph taken apart, so that the rim does not tell.

Where a photograph's object is recoloured in its place, the pixels beside the mask still hold the true colours: mixed at
the edge, spread by JPEG's chroma, mixed again by resizing. A network that sees them reads the answer there, and no real
paste offers it. Here the object loses its own outermost pixels, the background those next to the object, and both are
resized apart, as `Harmonizer` does. The truth is made of the same two layers (as in PIH, Wang et al., CVPR 2023), so it
has the same rim.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt, maximum_filter
from torch import Tensor
from torch.nn import functional as F

from ...files.training_images import Box
from ..sample import is_foreground

TRIM = (1, 3)  # pixels of the photograph taken off the object's edge
RING = (2, 7)  # pixels around the object's mask that the background loses
MAX_SHIFT = 0.05  # of the sides of the crop; how far the object moves from its place
SMALLEST = 0.004  # share of the picture that must be left of the object
OTHER_LIGHT = 0.25  # share of composites whose whole scene is seen by another camera, truth and all
INACCURATE = 0.2  # share of composites whose mask is off by a pixel
TOO_SMALL = 0.6  # share of inaccurate masks; the others are too large


@dataclass(frozen=True)
class Layers:
    """A photograph's object and its background without it.

    Attributes:
        foreground: float32 `[S, S, 3]` in 0..1, meaningful inside the mask.
        background: float32 `[S, S, 3]` in 0..1, filled where the object was.
        mask: boolean `[S, S]`, where the object goes.
        rim: boolean `[S, S]`, pixels of the mask that only part of the object covers.
    """

    foreground: np.ndarray
    background: np.ndarray
    mask: np.ndarray
    rim: np.ndarray


def take_apart(
    picture: np.ndarray,
    mask: np.ndarray,
    size: int,
    box: Box | None,
    rng: np.random.Generator,
    shift: bool = False,
    keep_rim: bool = False,
) -> Layers | None:
    """Separates object and background of a photograph and resizes them.

    Args:
        picture: uint8 `[H, W, 3]`.
        mask: uint8 `[H, W]`, 255 = object.
        size: Side of the result in pixels.
        box: Part of the picture to use; None for all of it.
        rng: Decides how much the edge loses, and how far the object moves.
        shift: Whether it moves.
        keep_rim: Whether the edge loses nothing, as where an object is recoloured in its place: then the rim tells.

    Returns:
        None where too little is left of the object, or nothing of the background.
    """
    left, top, right, bottom = box or (0, 0, mask.shape[1], mask.shape[0])
    here = slice(top, bottom), slice(left, right)
    picture, inside = picture[here], is_foreground(mask[here])
    trim, ring = (0, 0) if keep_rim else (int(rng.integers(least, most + 1)) for least, most in (TRIM, RING))
    # what the crop cuts is no edge of the object
    kept = ~_grow(~inside, trim)
    beyond = ~_grow(inside, ring)
    colours = picture.astype(np.float32) / 255
    foreground, share = _average(colours, kept, size)
    background, known = _average(colours, beyond, size)
    if shift:
        reach = MAX_SHIFT * size
        down, across = (int(round(rng.uniform(-reach, reach))) for _ in range(2))
        foreground, share = _move(foreground, down, across), _move(share, down, across)
    where = share > 0.5
    known = known > 0.02
    if where.mean() < SMALLEST or not known.any():
        return None
    return Layers(foreground, _fill(background, known), where, where & (share < 0.999))


def compose(layers: Layers, changed: np.ndarray | None = None) -> np.ndarray:
    """The picture of both layers, uint8 `[S, S, 3]`; with other colours `[N, 3]` for the object where given."""
    picture = layers.background.copy()
    picture[layers.mask] = layers.foreground[layers.mask] if changed is None else changed
    return (picture * 255 + 0.5).clip(0, 255).astype(np.uint8)


def with_halo(layers: Layers, colour: np.ndarray, rng: np.random.Generator) -> Layers:
    """Leaves a halo of another picture's colour `[3]` on the object's rim, as careless cut-outs have."""
    foreground = layers.foreground.copy()
    foreground[layers.rim] += rng.uniform(0, 0.6) * (colour - foreground[layers.rim])
    return replace(layers, foreground=foreground)


def place_in(mask: np.ndarray) -> np.ndarray:
    """Coordinates of a mask's pixels over its bounding box, float32 `[N, 2]` in -1..1."""
    place = np.argwhere(mask).astype(np.float32)
    low, high = place.min(0), place.max(0)
    return 2 * (place - low) / np.maximum(high - low, 1) - 1


def inaccurate(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A boolean mask one pixel too small or too large; as it was where nothing would be left."""
    changed = binary_erosion(mask, border_value=1) if rng.random() < TOO_SMALL else binary_dilation(mask)
    return changed if changed.any() and not changed.all() else mask


def _grow(mask: np.ndarray, radius: int) -> np.ndarray:
    """Grows a boolean mask by a square of `2 * radius + 1` pixels."""
    return maximum_filter(mask.view(np.uint8), 2 * radius + 1) > 0


def resize_inside(colours: Tensor, weight: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Makes pictures smaller, of which only a part counts.

    Args:
        colours: `[B, 3, H, W]` in 0..1.
        weight: `[B, 1, H, W]`, 1 where they count and 0 elsewhere.
        size: Side of the results, S.

    Returns:
        Mean colours `[B, 3, S, S]` over what counts of each area, and the share `[B, 1, S, S]` of the area that counts.
    """
    planes = torch.cat((colours * weight, weight), 1).contiguous()
    planes = F.interpolate(planes, (size, size), mode="bilinear", antialias=True).clamp_(min=0)
    share = planes[:, 3:]
    return (planes[:, :3] / share.clamp(min=1e-6)).clamp_(0, 1), share


def _average(colours: np.ndarray, where: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """`resize_inside` of one picture `[H, W, 3]` and a boolean `[H, W]`: `[S, S, 3]` and `[S, S]`."""
    planes = torch.from_numpy(colours).permute(2, 0, 1)
    means, share = resize_inside(planes[None], torch.from_numpy(where)[None, None].float(), size)
    return means[0].permute(1, 2, 0).contiguous().numpy(), share[0, 0].numpy()


def _move(array: np.ndarray, down: int, across: int) -> np.ndarray:
    """Moves an array by whole pixels; what enters is zero."""
    moved = np.zeros_like(array)
    height, width = array.shape[:2]
    to = slice(max(0, down), height + min(0, down)), slice(max(0, across), width + min(0, across))
    source = slice(max(0, -down), height + min(0, -down)), slice(max(0, -across), width + min(0, -across))
    moved[to] = array[source]
    return moved


def _fill(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Gives unknown pixels the colour of the nearest known one."""
    rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return picture[rows, columns]
