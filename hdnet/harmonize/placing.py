"""A cut-out, placed and scaled on the canvas of a background."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

MOST_PIXELS = 1 << 27  # of a cut-out that is made larger; some 6 GB of memory


def resize_picture(picture: Tensor, size: Sequence[int]) -> Tensor:
    """Resizes pictures, bicubic with antialiasing; colours count as much as they are opaque.

    Args:
        picture: ``[B, h, w, 3 or 4]`` in 0..1, alpha straight.
        size: ``(H, W)``.

    Returns:
        float32 ``[B, H, W, 3 or 4]`` in 0..1; black where alpha is 0.
    """
    alpha = picture[..., 3:]
    planes = torch.cat((picture[..., :3] * alpha, alpha), -1) if alpha.numel() else picture
    planes = F.interpolate(planes.permute(0, 3, 1, 2).float(), tuple(size), mode="bicubic", antialias=True)
    resized = planes.permute(0, 2, 3, 1).clamp(0, 1)
    if alpha.numel():
        alpha = resized[..., 3:]
        colours = (resized[..., :3] / alpha.clamp(min=1e-6)).clamp(0, 1)
        resized = torch.cat((torch.where(alpha > 0, colours, 0), alpha), -1)
    return resized


def place(cutout: Tensor, canvas: Sequence[int], down: float = 0.5, across: float = 0.5, scale: float = 1.0) -> Tensor:
    """Lays a cut-out on a canvas that is transparent elsewhere.

    Args:
        cutout: ``[B, h, w, 4]`` in 0..1, alpha straight.
        canvas: ``(H, W)``.
        down: Where its middle comes to lie, 0 = the upper edge of the canvas, 1 = the lower.
        across: The same from left to right.
        scale: 1 keeps its pixels as they are.

    Returns:
        float32 ``[B, H, W, 4]``. What lies outside the canvas is cut off.

    Raises:
        ValueError: The cut-out would become larger than can be worked on.
    """
    size = [max(1, round(side * scale)) for side in cutout.shape[1:3]]
    if size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"The cut-out would become {size[1]}×{size[0]} pixels, which is too large; lower its scale.")
    if tuple(size) != tuple(cutout.shape[1:3]):
        cutout = resize_picture(cutout, size)
    placed = torch.zeros(len(cutout), *canvas, 4)
    there, here = zip(*map(_overlap, canvas, size, (down, across)))
    placed[:, there[0], there[1]] = cutout[:, here[0], here[1]]
    return placed


def _overlap(canvas: int, side: int, middle: float) -> tuple[slice, slice]:
    """Along one axis: the part of the canvas that is covered, and the part of the cut-out that covers it."""
    start = round(middle * canvas - side / 2)
    first, last = max(0, start), max(0, min(canvas, start + side))
    return slice(first, max(first, last)), slice(first - start, max(first, last) - start)
