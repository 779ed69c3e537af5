"""Takes back the shift of tones that a VAE leaves on the whole picture."""

import torch

SAMPLES = 512  # along an edge of the picture
FEWEST = 256  # pixels
SMALLEST, LARGEST = 1e-3, 0.1  # mean shift: below, it is rounding; above, it was meant
UNLIKE = 0.1  # share of the variance left unexplained: above, it is another picture


def undo_drift(image: torch.Tensor, background: torch.Tensor, mask: torch.Tensor, strength: float) -> torch.Tensor:
    """Gives an inpainted image the tones of its original.

    Inpainting sends the whole picture through a VAE. What that does to the tones shows outside the mask, where the
    original is known, and holds inside as well: a gain and an offset for each channel.

    Args:
        image: ``[B, H, W, 3 or 4]``, 0..1.
        background: The original, ``[N, H, W, 3 or 4]``.
        mask: ``[M, H, W]``, 1 = inpainted.
        strength: 0 changes nothing, 1 takes the shift back fully.

    Returns:
        A new batch, one image for each that will come out; the image itself where there is no such shift.
    """
    if background.shape[1:3] != image.shape[1:3]:
        return image  # the harmonizer will say so
    count = len(image) if len(image) > 1 else max(len(background), len(mask))
    drifts = [
        find_drift(image[index % len(image)], background[index % len(background)], mask[index % len(mask)])
        for index in range(count)
    ]
    if not any(drifts):
        return image
    image = image.float().expand(count, -1, -1, -1).clone()
    for picture, drift in zip(image, drifts):
        if drift is not None:
            gain, offset = drift
            picture[..., :3].mul_(1 + strength * (gain - 1)).add_(strength * offset).clamp_(0, 1)
    return image


def find_drift(image: torch.Tensor, original: torch.Tensor, mask: torch.Tensor) -> tuple | None:
    """Gain and offset, ``[3]`` each, from an image to its original by least squares outside the mask, or None."""
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
