"""Several objects of one image, each with its own mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .decision import Decision
from .inputs import check_frames, check_mask, shaped
from .masks import shape_mask

OBJECTS = ("images", "each", "together")


def check_objects(objects: str, count: int) -> None:
    """Raises ValueError where masks cannot be the objects of one image."""
    if objects not in OBJECTS:
        raise ValueError(f"The objects must be one of {', '.join(OBJECTS)}, not {objects!r}.")
    if objects != "images" and count != 1:
        raise ValueError(f"With objects {objects!r} all masks belong to one image, but there are {count} images.")


def together(mask: Tensor) -> Tensor:
    """One mask ``[1, H, W]`` for all objects."""
    return check_mask(mask).amax(0, keepdim=True)


def harmonize_each(
    harmonize: Callable[..., Tensor],
    image: Tensor,
    mask: Tensor,
    *,
    background: Tensor | None = None,
    grow: int = 0,
    feather: float = 0,
    decided: Callable[[int, Decision], None] | None = None,
    **options: Any,
) -> Tensor:
    """Harmonizes every object by itself; the others are part of its background, as they were before.

    So the order does not count. Where masks overlap, the changes are averaged.

    Args:
        harmonize: A :class:`.Harmonizer`.
        image: ``[1, H, W, 3 or 4]``.
        mask: ``[M, h, w]``, one for each object.
        background: All objects are pasted onto it first.
        grow: Of :class:`.Harmonizer`, like all that follow.
        feather: Before.
        decided: Called with the index of an object.
        **options: Others.

    Returns:
        ``[1, H, W, 3 or 4]``.
    """
    frames = shaped(check_frames(image, mask, background), grow, feather)
    masks = torch.stack([frames.mask_of(index) for index in range(len(frames.mask))])
    composite = torch.empty(1, *frames.size, frames.channels, device=image.device)
    known = frames.composite_into(composite[0], 0, masks.amax(0))
    if known and options.get("foreground", "auto") != "pasted":
        if decided is not None:
            for index in range(len(masks)):
                decided(index, Decision("known"))
        return composite
    results = harmonize(composite, masks, decided=decided, **options)
    weight = shape_mask(masks, options.get("blend_grow", 0), options.get("blend_feather", 0))
    change = (results - composite).sum(0, keepdim=True) / weight.sum(0).clamp(min=1)[None, ..., None]
    out = composite + change
    for result, single in zip(results, (weight > 0) & ((weight > 0).sum(0) == 1)):
        out[0][single] = result[single]  # without rounding
    return torch.where((weight > 0).any(0)[None, ..., None], out, composite)
