"""The shift of tones that a VAE leaves on the whole picture, found where the original is known."""

from __future__ import annotations

import torch
from torch import Tensor

SAMPLES = 512  # along an edge of the picture
FEWEST = 256  # pixels
SMALLEST, LARGEST = 1e-3, 0.1  # mean shift: below, it is rounding; above, it was meant
UNLIKE = 0.1  # share of the variance left unexplained: above, it is another picture


def find_drift(image: Tensor, original: Tensor, mask: Tensor) -> tuple[Tensor, Tensor] | None:
    """How an inpainted image's tones lead back to its original's.

    Inpainting sends the whole picture through a VAE. What that does to the tones shows outside the mask, where the
    original is known, and holds inside as well: a gain and an offset for each channel, found by least squares.

    Args:
        image: ``[H, W, 3 or 4]``, 0..1.
        original: ``[H, W, 3 or 4]``, 0..1.
        mask: ``[H, W]``, 1 = inpainted.

    Returns:
        Gain and offset, ``[3]`` float32 each; None where there is no such shift, or what is outside the mask is
        another picture.
    """
    step = max(1, max(mask.shape) // SAMPLES)
    outside = mask[::step, ::step] == 0
    if outside.sum() < FEWEST:
        return None
    x, y = (
        each[::step, ::step, :3].to(image.device, torch.float32)[outside.to(image.device)] for each in (image, original)
    )
    from_mean_x, from_mean_y = x - x.mean(0), y - y.mean(0)
    variance = from_mean_x.square().mean(0)
    if variance.min() < 1e-5:
        return None
    gain = (from_mean_x * from_mean_y).mean(0) / variance
    offset = y.mean(0) - gain * x.mean(0)
    shift = (x * (gain - 1) + offset).abs().mean()
    unexplained = (from_mean_y - gain * from_mean_x).square().mean(0)
    if not SMALLEST < shift < LARGEST or (unexplained > UNLIKE * from_mean_y.square().mean(0)).any():
        return None
    return gain, offset
