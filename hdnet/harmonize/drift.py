"""The shift of tones that a VAE leaves on the whole picture, found where the original is known."""

from __future__ import annotations

import torch
from torch import Tensor

from .colour_transfer import LUMA
from .resize import shrink

CELLS = 128  # along the longer edge: means over cells tell of tones, not of the detail and noise that a VAE changes
FEWEST = 64  # cells
SHIFT, LARGEST = 0.5 / 255, 0.15  # mean shift: below, it is rounding; above, it was meant
DETAIL = 0.8 / 255  # RMS of luma: above, the picture was made anew even if its tones agree; below, it is JPEG 90
UNLIKE = 0.1  # share of the variance left unexplained: above, it is another picture
RIDGE = 2e-5  # pull of the identity, as a variance of colour: about what noise is left in a cell
ITERATIONS = 8
SCALE, LEAST_SCALE = 2.5, 1 / 255  # of Cauchy's weights: times the median residual, and at least


def find_drift(image: Tensor, original: Tensor, mask: Tensor, lossy: bool = False) -> Tensor | None:
    """How the tones of an inpainted image lead back to its original's.

    Inpainting sends the whole picture through a VAE. What that does to the tones shows outside the mask, where the
    original is known, and holds inside as well: an affine map of the colours, found by iteratively reweighted least
    squares, so that what a sampler changed beyond the mask does not count.

    Args:
        image: ``[H, W, 3 or 4]``, 0..1.
        original: ``[H, W, 3 or 4]``, 0..1.
        mask: ``[H, W]``, 1 = inpainted.
        lossy: Both were compressed, as films are, so that lost detail says nothing.

    Returns:
        ``[3, 4]`` float32: the change ``matrix @ (colour, 1)`` takes the drift back. None where both are the same
        outside the mask, but for rounding or mild compression, and so nothing is known of the inside; or where they
        are different pictures.
    """
    step = max(1, round(max(mask.shape) / CELLS))
    size = tuple(max(1, side // step) for side in mask.shape)
    outside = shrink((mask > 0).float()[..., None], size)[0] == 0
    if outside.sum() < FEWEST:
        return None
    x, y = (
        shrink(each[..., :3].to(mask.device, torch.float32), size)[:, outside].T.double().cpu()
        for each in (image, original)
    )
    if x.var(0).min() < 1e-5:
        return None
    residual = y - x - (y - x).median(0).values
    for _ in range(ITERATIONS):
        distance = residual.square().sum(1, keepdim=True).sqrt()
        weight = 1 / (1 + (distance / (SCALE * distance.median()).clamp(min=LEAST_SCALE)).square())
        share = weight / weight.sum()
        a, b = x - (share * x).sum(0), y - (share * y).sum(0)
        ridge = RIDGE * torch.eye(3, dtype=x.dtype)
        gain = torch.linalg.solve(a.T @ (share * a) + ridge, a.T @ (share * b) + ridge)
        offset = (share * y).sum(0) - (share * x).sum(0) @ gain
        residual = y - x @ gain - offset
    unexplained = (share * residual.square()).sum(0) / (share * b.square()).sum(0).clamp(min=1e-5)
    shift = (share * (x @ gain + offset - x).abs()).sum(0).mean()
    if (unexplained > UNLIKE).any() or shift > LARGEST:
        return None
    matrix = torch.cat((gain.T - torch.eye(3), offset[:, None]), 1).to(image.device, torch.float32)
    if shift < SHIFT and (lossy or _lost_detail(image, original, mask) < DETAIL):
        return None
    return matrix


def _lost_detail(image: Tensor, original: Tensor, mask: Tensor) -> float:
    """RMS of the smaller four fifths of the differences of luma outside the mask; JPEG blurs chroma at its best."""
    step = max(1, max(mask.shape) // 512)
    outside = mask[::step, ::step] == 0
    x, y = (each[::step, ::step, :3].to(mask.device, torch.float32)[outside] for each in (image, original))
    squares = ((x - y) @ x.new_tensor(LUMA)).square()
    return squares.sort().values[: 4 * len(squares) // 5].mean().sqrt().item()
