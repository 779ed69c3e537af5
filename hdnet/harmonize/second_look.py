"""A second look at a composite: mirrored, and larger.

A network's answer should not depend on which side is left, nor on a fourth of size more or less. Where it does, it
errs, and the mean of both answers errs less. It errs less still where another network takes the second look, for two
networks share fewer errors: that is a second opinion. And what both looks agree on tells how far off a composite is,
for they seldom err alike. Weights say whether they gain from it, for their rule of when to act
(:mod:`..network.acting`) is calibrated with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import functional as F

from .resize import STRIDE

ENLARGED = 512**2  # pixels; more are mirrored only, so that what is bounded stays so


def second_look(change_of: Callable[..., Tensor], inputs: Sequence[Tensor], scale: float) -> Tensor:
    """What is said of composites from their mirror images.

    Args:
        change_of: Takes ``inputs`` and returns a change ``[B, 3, H, W]``.
        inputs: Composites ``[B, 3, H, W]``, masks ``[B, 1, H, W]`` and, if there are any, references like these.
        scale: How much larger the mirror images are.

    Returns:
        ``[B, 3, H, W]``.
    """
    size = inputs[0].shape[-2:]
    scale = enlargement(size.numel(), scale)
    if scale > 1:
        larger = [max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in size]
        composite, *masks = inputs
        masks = [F.interpolate(each.float(), larger, mode="nearest-exact") for each in masks]
        seen = [F.interpolate(composite, larger, mode="bilinear"), *masks]
    else:
        seen = list(inputs)
    change = change_of(*(each.flip(-1) for each in seen)).flip(-1)
    return change if change.shape[-2:] == size else F.interpolate(change, size, mode="area")


def enlargement(pixels: int, scale: float) -> float:
    """How much larger the mirror image of a composite of so many pixels is, of which ``scale`` is asked for."""
    return scale if pixels <= ENLARGED else 1.0


def agreement(looks: Tensor, foreground: Tensor) -> Tensor | None:
    """How much both looks say alike of a composite: were their errors independent, the true change's mean square.

    Args:
        looks: ``[1 or 2, 3, H, W]``, changes.
        foreground: ``[H, W]`` bool.

    Returns:
        The mean over the foreground of the product of both, without dimensions; None for one look.
    """
    if len(looks) == 1:
        return None
    shares = foreground / foreground.sum().clamp(min=1)
    return (looks.prod(0).mean(0) * shares).sum()
