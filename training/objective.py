"""What training minimises."""

from __future__ import annotations

from torch import Tensor

SMALLEST_AREA = 100  # pixels of a 256x256 picture, A_min of Eq. 1


def blend(output: Tensor, composite: Tensor, mask: Tensor) -> Tensor:
    """The harmonized picture: the generator's in the foreground, the composite elsewhere; `[B, 3, H, W]`."""
    return output * mask + composite * (1 - mask)


def foreground_mse(harmonized: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """Foreground-normalised squared error, Eq. 1, mean over the batch.

    The squared error of a picture, summed over all its pixels, is divided by the area of its foreground, and
    so small objects count as much as large ones. Below A_min the area does not go: 100 pixels at 256x256, and
    the same share of a picture of another size.

    Args:
        harmonized: `[B, 3, H, W]` in -1..1, blended.
        real: `[B, 3, H, W]` in -1..1.
        mask: `[B, 1, H, W]` in 0..1, 1 = foreground.

    Returns:
        A scalar, float32.
    """
    height, width = mask.shape[-2:]
    error = (harmonized.float() - real.float()).square().sum((1, 2, 3))
    area = mask.float().sum((1, 2, 3)).clamp(min=SMALLEST_AREA * height * width / 256**2)
    return (error / (3 * area)).mean()
