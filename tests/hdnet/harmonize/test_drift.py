"""After inpainting: which pictures came through a VAE, and what it did to their tones."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.hdnet.harmonize.drift import find_drift

data = pytest.importorskip("skimage.data")
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")
MATRIX = torch.tensor([[1.06, -0.02, 0.01], [0.01, 0.95, 0.0], [-0.02, 0.03, 0.92]])
OFFSET = torch.tensor([0.015, -0.01, 0.02])


def photograph(name, side=288):
    picture = Image.fromarray(getattr(data, name)()).convert("RGB")
    picture.thumbnail((side, side))
    return torch.from_numpy(np.array(picture)).float() / 255


def blurred(picture, radius):
    planes = picture.reshape(*picture.shape[:2], -1).permute(2, 0, 1)[:, None]
    planes = F.avg_pool2d(planes, 2 * radius + 1, 1, radius, count_include_pad=False)
    return planes[:, 0].permute(1, 2, 0).reshape(picture.shape)


def disc(height, width, radius=0.25):
    y, x = torch.meshgrid(torch.arange(height) - height / 2, torch.arange(width) - width / 2, indexing="ij")
    return (torch.hypot(y, x) < radius * min(height, width)).float()


def through_a_vae(picture, seed=0):
    """Other tones, a little blur, blocks of 8 pixels and noise, in 8 bits."""
    generator = torch.Generator().manual_seed(seed)
    height, width = picture.shape[:2]
    blocks = 0.004 * torch.randn(-(-height // 8), -(-width // 8), 3, generator=generator)
    blocks = blocks.repeat_interleave(8, 0).repeat_interleave(8, 1)[:height, :width]
    noise = 0.004 * torch.randn(picture.shape, generator=generator)
    changed = picture.lerp(blurred(picture, 1), 0.4) @ MATRIX.T + OFFSET + blocks + noise
    return (changed.clamp(0, 1) * 255).round() / 255


def as_jpeg(picture, quality):
    file = io.BytesIO()
    Image.fromarray((picture * 255).round().byte().numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).float() / 255


def corrected(image, drift):
    return (image + image @ drift[:, :3].T + drift[:, 3]).clamp(0, 1)


def error(result, truth, mask):
    return 255 * (result - truth)[mask > 0.5].mean(0).abs().mean().item()


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_tones_lead_back_across_channels(name):
    original = photograph(name)
    mask = disc(*original.shape[:2])
    image = through_a_vae(original)
    drift = find_drift(image, original, mask)
    assert error(corrected(image, drift), original, mask) < 1.5 < error(image, original, mask)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_what_a_sampler_changed_beyond_the_mask_does_not_count(name):
    """The mask was grown and blurred before sampling, but not the one that is connected here."""
    original = photograph(name)
    mask = disc(*original.shape[:2])
    image = through_a_vae(original)
    beyond = blurred(disc(*original.shape[:2], radius=0.36), 4)[..., None]
    image = image.lerp(image.flip(0), beyond * (1 - mask[..., None]))
    drift = find_drift(image, original, mask)
    assert error(corrected(image, drift), original, mask) < 2.5 < error(image, original, mask)


@pytest.mark.parametrize(
    "saved",
    [
        lambda each: each,
        lambda each: (each * 255).round() / 255,
        pytest.param(
            lambda each: as_jpeg(each, 95),
            marks=pytest.mark.xfail(strict=False, reason="JPEG at 95 is still taken for a mild drift here"),
        ),
    ],
)
def test_a_paste_that_was_merely_saved_has_no_drift(saved):
    """It was not made in its place, so the network judges it."""
    original = photograph("coffee")
    original = (original + torch.rand(original.shape, generator=torch.Generator().manual_seed(0)) / 510).clamp(0, 1)
    mask = disc(*original.shape[:2])
    other = photograph("rocket").flip(0)[: mask.shape[0], : mask.shape[1]]
    other = F.pad(other, (0, 0, 0, mask.shape[1] - other.shape[1], 0, mask.shape[0] - other.shape[0]))
    image = saved(torch.where(mask[..., None] > 0, other, original))
    assert find_drift(image, original, mask) is None


def test_a_picture_made_anew_in_the_same_tones_is_known_for_one():
    original = photograph("astronaut")
    noise = 0.02 * torch.randn(original.shape, generator=torch.Generator().manual_seed(0))
    image = (blurred(original, 1) + noise).clamp(0, 1)
    drift = find_drift(image, original, disc(*original.shape[:2]))
    assert drift is not None
    assert (corrected(image, drift) - image).abs().mean() < 0.01


def test_the_border_that_a_vae_cut_off_stays_the_originals_under_a_feathered_mask():
    original = photograph("astronaut")[None, :285, :283]
    image = through_a_vae(original[0])[None, 2:282, 1:281]
    mask = torch.zeros(1, 285, 283)
    mask[:, 100:, 50:200] = 1
    result = Harmonizer(torch.nn.Identity())(image, mask, background=original, feather=8)
    border = torch.ones(285, 283, dtype=torch.bool)
    border[2:282, 1:281] = False
    assert torch.equal(result[:, border], original[:, border])
