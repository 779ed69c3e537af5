"""Several objects of one image, each with its own mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .decision import Decision
from .inputs import Frames, check_mask
from .masks import shape_mask
from .options import check_choice

OBJECTS = {
    "images": "one result for each of {} masks",
    "each": "{} objects, each matched by itself",
    "together": "{} objects, matched as one",
}


def check_objects(objects: str, count: int) -> None:
    """Raises ValueError where masks cannot be the objects of one image."""
    check_choice("objects", objects, OBJECTS)
    if objects != "images" and count != 1:
        raise ValueError(f"With objects {objects!r} all masks belong to one image, but there are {count} images.")


def how_taken(objects: str, count: int) -> str:
    """How so many masks of one image were taken, for people; empty where there is one."""
    return OBJECTS[objects].format(count) if count > 1 else ""


def together(mask: Tensor) -> Tensor:
    """One mask ``[1, H, W]`` for all objects."""
    return check_mask(mask).amax(0, keepdim=True)


def harmonize_each(
    harmonize: Callable[..., Tensor],
    frames: Frames,
    *,
    decided: Callable[[int, Decision], None] | None = None,
    **options: Any,
) -> Tensor:
    """Harmonizes every object by itself; the others are part of its background, as they were before.

    So the order does not count. Where masks overlap, the changes are averaged.

    Args:
        harmonize: A :class:`.Harmonizer`.
        frames: One image and a mask for each object; all of them are pasted onto its background first.
        decided: Called with the index of an object and what was decided about it.
        **options: Others of :class:`.Harmonizer`.

    Returns:
        ``[1, H, W, 3 or 4]``.
    """
    masks = torch.stack([frames.mask_of(index) for index in range(len(frames.mask))])
    composite = torch.empty(1, *frames.size, frames.channels, device=frames.image.device)
    if frames.cover is not None:  # a rim between two objects is none
        frames = replace(frames, cover=together(frames.cover))
    known = frames.composite_into(composite[0], 0, masks.amax(0))
    if known and options.get("foreground", "auto") != "pasted":
        if decided is not None:
            for index in range(len(masks)):
                decided(index, Decision("known"))
        return composite
    results = harmonize(composite, masks, decided=decided, encoding="display", **options)
    weight = shape_mask(masks, options.get("blend_grow", 0), options.get("blend_feather", 0))
    change = (results - composite).sum(0, keepdim=True) / weight.sum(0).clamp(min=1)[None, ..., None]
    out = composite + change
    for result, single in zip(results, (weight > 0) & ((weight > 0).sum(0) == 1)):
        out[0][single] = result[single]  # without rounding
    return torch.where((weight > 0).any(0)[None, ..., None], out, composite)
