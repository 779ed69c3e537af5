"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_LOSS, USUAL_LOSS = 0.02, 0.08  # of a composite: so that none counts nothing; 1300 in 0..255
RIDGE = 4e-3  # of the affine map, as a variance of colours in -1..1; pulls it to the identity
SMALLEST_AREA = 100  # pixels of a 256x256 picture, A_min of Eq. 1


def blend(output: Tensor, composite: Tensor, mask: Tensor) -> Tensor:
    """The harmonized picture: the generator's in the foreground, the composite elsewhere; `[B, 3, H, W]`."""
    return output * mask + composite * (1 - mask)


def foreground_mse(harmonized: Tensor, real: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Foreground-normalised squared error, Eq. 1, mean over the batch.

    The squared error of a picture, summed over all its pixels, is divided by the area of its foreground, and
    so small objects count as much as large ones. Below A_min the area does not go: 100 pixels at 256x256, and
    the same share of a picture of another size.

    Args:
        harmonized: `[B, 3, H, W]` in -1..1, blended.
        real: `[B, 3, H, W]` in -1..1.
        mask: `[B, 1, H, W]` in 0..1, 1 = foreground.
        weights: `[B]`, how much each picture counts; None for all alike.

    Returns:
        A scalar, float32.
    """
    losses = _losses(harmonized, real, mask)
    return (losses if weights is None else losses * weights).mean()


def training_loss(
    output: Tensor, composite: Tensor, mask: Tensor, real: Tensor, affine_share: float = 0.0, power: float = 0.0
) -> Tensor:
    """The loss of a batch: Eq. 1 of the output and of its affine part, mixed.

    Args:
        output: `[B, 3, H, W]`, the generator's.
        composite: `[B, 3, H, W]` in -1..1.
        mask: `[B, 1, H, W]` in 0..1, 1 = foreground.
        real: `[B, 3, H, W]` in -1..1.
        affine_share: Weight of the loss on `affine_part`, 0..1.
        power: Of `emphasis`; 0 counts all images alike.

    Returns:
        A scalar, float32.
    """
    weights = emphasis(composite, real, mask, power) if power else None
    loss = foreground_mse(blend(output, composite, mask), real, mask, weights)
    if affine_share:
        mapped = affine_part(output, composite, mask)
        loss = torch.lerp(loss, foreground_mse(blend(mapped, composite, mask), real, mask, weights), affine_share)
    return loss


def emphasis(composite: Tensor, real: Tensor, mask: Tensor, power: float) -> Tensor:
    """Weights `[B]` that let pictures count more the further off their composites are, with a mean near 1.

    A plain squared error teaches caution where composites are mild and many. With a power of 0.5 a picture counts by
    the root of its composite's own loss.
    """
    own = _losses(composite, real, mask)
    return ((own + LEAST_LOSS) / USUAL_LOSS) ** power


def _losses(harmonized: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """Eq. 1 for each picture, `[B]`."""
    height, width = mask.shape[-2:]
    error = (harmonized.float() - real.float()).square().sum((1, 2, 3))
    area = mask.float().sum((1, 2, 3)).clamp(min=SMALLEST_AREA * height * width / 256**2)
    return error / (3 * area)


def affine_part(output: Tensor, composite: Tensor, mask: Tensor) -> Tensor:
    """The one affine map of colours that comes nearest to what the generator does to each foreground.

    What another camera and another light do to an object is nearly such a map, and `Harmonizer` carries the change to
    full size mostly by one. A loss on it spends nothing on details that are averaged away in use.

    Args:
        output: `[B, 3, H, W]`, the generator's.
        composite: `[B, 3, H, W]` in -1..1.
        mask: `[B, 1, H, W]`, 1 = foreground.

    Returns:
        `[B, 3, H, W]`: the map, applied to the composite; gradients reach `output`.
    """
    source, target, weight = (each.float().flatten(2) for each in (composite, output, mask))
    weight = weight / weight.sum(-1, keepdim=True).clamp(min=1)
    mean, aim = ((each * weight).sum(-1, keepdim=True) for each in (source, target))
    centred = source - mean
    ridge = RIDGE * torch.eye(3, device=source.device)
    spread = (centred * weight) @ centred.mT + ridge
    together = (centred * weight) @ (target - aim).mT + ridge
    gain = torch.linalg.solve(spread, together)
    return (gain.mT @ centred + aim).view_as(composite)
