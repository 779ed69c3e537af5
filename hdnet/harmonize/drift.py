"""The shift of tones that a VAE leaves on the whole picture, found where the original is known."""

from __future__ import annotations

import torch
from torch import Tensor

SAMPLES = 512  # along an edge of the picture
FEWEST = 256  # pixels
SMALLEST, LARGEST = 2e-4, 0.1  # mean shift: below, both are the same; above, it was meant
UNLIKE = 0.1  # share of the variance left unexplained: above, it is another picture
RIDGE = 8e-3  # pull of the identity, as a variance of colour


def find_drift(image: Tensor, original: Tensor, mask: Tensor) -> Tensor | None:
    """How an inpainted image's tones lead back to its original's.

    Inpainting sends the whole picture through a VAE. What that does to the tones shows outside the mask, where the
    original is known, and holds inside as well: an affine map of colours, found by least squares.

    Args:
        image: ``[H, W, 3 or 4]``, 0..1.
        original: ``[H, W, 3 or 4]``, 0..1.
        mask: ``[H, W]``, 1 = inpainted.

    Returns:
        ``[3, 4]`` float32: the change ``matrix @ (colour, 1)`` takes the drift back. None where outside the mask the
        image is the original itself, or another picture.
    """
    step = max(1, max(mask.shape) // SAMPLES)
    outside = mask[::step, ::step] == 0
    if outside.sum() < FEWEST:
        return None
    x, y = (
        each[::step, ::step, :3].to(image.device, torch.float32)[outside.to(image.device)] for each in (image, original)
    )
    if not SMALLEST < (y - x).abs().mean() < LARGEST:
        return None
    own, other = x - x.mean(0), y - y.mean(0)
    change = other - own
    covariance = own.T @ own / len(own) + RIDGE * torch.eye(3, device=own.device)
    gain = torch.linalg.solve(covariance.double().cpu(), (own.T @ change / len(own)).double().cpu()).to(own)
    left = (change - own @ gain).square().mean(0)
    if (left > UNLIKE * other.square().mean(0)).any():
        return None
    return torch.cat((gain.T, ((y - x).mean(0) - x.mean(0) @ gain)[:, None]), 1)
