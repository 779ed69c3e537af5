"""After inpainting: the original outside the mask, its tones inside, no seam. Shipped weights."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.weights import load_network

data = pytest.importorskip("skimage.data")
PHOTOGRAPHS = ("astronaut", "rocket", "coffee", "chelsea")
ROUND_TRIPS = (  # gain and offset of each channel
    ((1.05, 0.98, 0.96), (0.02, 0.0, -0.015)),
    ((0.94, 0.95, 0.97), (-0.01, 0.0, 0.01)),
    ((1.04, 1.05, 1.06), (0.01, 0.01, 0.02)),
)
SEAM = 0.6  # what is left of the seam, at most


@pytest.fixture(scope="module")
def harmonize():
    return Harmonizer(load_network("hdnet-lite"))


def photograph(name):
    picture = Image.fromarray(getattr(data, name)()).convert("RGB")
    picture.thumbnail((384, 384))
    return torch.from_numpy(np.array(picture)).float()[None] / 255


def ellipse(height, width, softness=4):
    """A mask in the middle whose edge is ``softness`` pixels wide."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    inside = (1 - ((y / 0.5) ** 2 + (x / 0.45) ** 2).sqrt()) * 0.25 * min(height, width)
    return (0.5 + inside / softness).clamp(0, 1)[None]


def round_trip(picture, gain, offset):
    """What a VAE does to a picture: other tones, a little less sharp."""
    planes = picture.permute(0, 3, 1, 2)
    kernel = torch.tensor([0.06, 0.24, 0.4, 0.24, 0.06])
    kernel = (kernel[:, None] * kernel).expand(3, 1, 5, 5)
    blurred = F.conv2d(F.pad(planes, (2, 2, 2, 2), mode="reflect"), kernel, groups=3)
    return (blurred.permute(0, 2, 3, 1) * torch.tensor(gain) + torch.tensor(offset)).clamp(0, 1)


def seam(picture, original, mask, width=6):
    """How much the step of the mean colour across the mask's edge differs from the original's."""
    binary = (mask > 0.5).float()
    grown = F.max_pool2d(binary, 2 * width + 1, 1, width)
    shrunk = 1 - F.max_pool2d(1 - binary, 2 * width + 1, 1, width)
    inner, outer = (mask == 1) & (shrunk == 0), (mask == 0) & (grown == 1)
    step = (picture - original)[inner].mean(0) - (picture - original)[outer].mean(0)
    return step.abs().mean().item()


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("resolution", [256, "native"])
def test_outside_the_mask_the_result_is_the_original(harmonize, name, resolution):
    original = photograph(name)
    mask = ellipse(*original.shape[1:3])
    result = harmonize(round_trip(original, *ROUND_TRIPS[0]), mask, background=original, resolution=resolution)
    assert torch.equal(result[mask == 0], original[mask == 0])


def test_the_transition_follows_the_soft_mask(harmonize):
    original = photograph("astronaut")
    mask = ellipse(*original.shape[1:3], softness=24)
    inpainted = round_trip(original, *ROUND_TRIPS[0])
    result = harmonize(inpainted, mask, background=original)
    change = (result - original).abs().mean(-1)
    low, high = (mask > 0) & (mask < 0.2), mask > 0.8
    assert change[low].mean() < 0.35 * change[high].mean()
    edge = (mask > 0) & (mask < 0.02)
    assert change[edge].max() < 0.02


def test_the_seam_becomes_smaller(harmonize):
    before, after = [], []
    for name in PHOTOGRAPHS:
        original = photograph(name)
        mask = ellipse(*original.shape[1:3])
        for shift in ROUND_TRIPS:
            inpainted = round_trip(original, *shift)
            before.append(seam(original.lerp(inpainted, mask[..., None]), original, mask))
            after.append(seam(harmonize(inpainted, mask, background=original), original, mask))
    before, after = np.mean(before), np.mean(after)
    print(f"mean step across the edge: {before:.4f} before, {after:.4f} after")
    assert after < SEAM * before
