"""Masks that grow and shrink, and several objects in one image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.hdnet.harmonize.masks import grow_mask


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 120), st.integers(8, 120), st.integers(1, 30), st.integers(0, 99))
def test_a_mask_grows_and_shrinks_by_that_many_pixels_in_every_direction(height, width, pixels, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < 4 / (height * width)
    mask[rng.integers(height), rng.integers(width)] = True
    distance = distance_transform_edt(~mask)  # scipy's, Euclidean
    grown = grow_mask(torch.from_numpy(mask)[None].float(), pixels)[0].numpy()
    assert grown[distance <= 0.9 * pixels - 1].all() and not grown[distance > 1.13 * pixels + 0.5].any()
    assert (grown[distance <= 1] == 1).all()
    shrunk = grow_mask(torch.from_numpy(~mask)[None].float(), -pixels)[0].numpy()
    assert np.array_equal(shrunk, 1 - grown)


def test_a_mask_cut_by_the_pictures_edge_does_not_shrink_from_there():
    mask = torch.zeros(1, 20, 20)
    mask[:, :, :10] = 1
    expected = torch.zeros(1, 20, 20)
    expected[:, :, :7] = 1
    assert torch.equal(grow_mask(mask, -3), expected)


def test_a_soft_edge_moves_as_it_is():
    ramp = (torch.arange(20.0) / 10 - 0.5).clamp(0, 1).expand(1, 9, 20)
    assert torch.equal(grow_mask(ramp, 2)[:, :, :-2], ramp[:, :, 2:])


@pytest.mark.parametrize("wrong", [257, -257, 1.5])
def test_too_much_growth_gets_one_sentence(wrong):
    with pytest.raises(ValueError, match="-256 to 256 pixels"):
        grow_mask(torch.ones(1, 4, 4), wrong)


class TowardsTheReference(torch.nn.Module):
    """Stands in for a network: half the way to the mean of all that is not foreground."""

    def forward(self, composite, mask, *others):
        outside = 1 - mask
        mean = (composite * outside).sum((2, 3), keepdim=True) / outside.sum((2, 3), keepdim=True)
        return composite + 0.5 * (mean - composite)


def scene():
    image = 0.2 + 0.3 * torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(2, 64, 96)
    masks[0, 10:50, 8:40] = 1
    masks[1, 10:50, 50:88] = 1
    image[0, 10:50, 8:40] += 0.4
    image[0, 10:50, 50:88] *= 0.3
    return image, masks


@pytest.mark.parametrize("pasted", [False, True])
def test_each_object_is_what_it_would_be_alone_among_the_others(pasted):
    image, masks = scene()
    background = 1 - image if pasted else None
    before = torch.where(masks.amax(0)[..., None] > 0, image, background) if pasted else image
    harmonize = Harmonizer(TowardsTheReference())
    seen = []
    result = harmonize(
        image,
        masks,
        background=background,
        objects="each",
        foreground="pasted",
        decided=lambda *each: seen.append(each),
    )
    assert result.shape == image.shape and [index for index, _ in seen] == [0, 1]
    for mask in masks:
        alone = harmonize(before, mask[None], foreground="pasted")
        assert torch.equal(result[0][mask > 0], alone[0][mask > 0])
    nothing = masks.amax(0) == 0
    assert torch.equal(result[0][nothing], before[0][nothing])
    swapped = harmonize(image, masks.flip(0), background=background, objects="each", foreground="pasted")
    torch.testing.assert_close(swapped, result, rtol=0, atol=1e-6)


def test_together_they_are_one_object():
    image, masks = scene()
    harmonize = Harmonizer(TowardsTheReference())
    one = harmonize(image, masks.amax(0, keepdim=True), foreground="pasted")
    assert torch.equal(harmonize(image, masks, objects="together", foreground="pasted"), one)
    assert not torch.equal(harmonize(image, masks, objects="each", foreground="pasted"), one)


def test_where_masks_overlap_no_change_is_made_twice():
    image, masks = scene()
    once = Harmonizer(TowardsTheReference())(image, masks[:1], foreground="pasted")
    both = Harmonizer(TowardsTheReference())(image, masks[[0, 0]], objects="each", foreground="pasted")
    torch.testing.assert_close(both, once, rtol=0, atol=1e-6)


def test_blending_may_end_elsewhere_than_the_mask_that_was_judged():
    image, masks = scene()
    harmonize = Harmonizer(TowardsTheReference())
    plain = harmonize(image, masks[:1], foreground="pasted")
    inner = harmonize(image, masks[:1], foreground="pasted", blend_grow=-4)
    outside = torch.ones(1, 64, 96, dtype=torch.bool)
    outside[:, 14:46, 12:36] = False
    assert torch.equal(inner[outside], image[outside])
    deep = torch.zeros(1, 64, 96, dtype=torch.bool)
    deep[:, 26:34, 24:26] = True  # far from any rim
    torch.testing.assert_close(inner[deep], plain[deep], rtol=0, atol=1e-5)


def test_objects_belong_to_one_image():
    image, masks = scene()
    with pytest.raises(ValueError, match="2 images"):
        Harmonizer(TowardsTheReference())(image.repeat(2, 1, 1, 1), masks, objects="each")
    with pytest.raises(ValueError, match="images, each, together"):
        Harmonizer(TowardsTheReference())(image, masks, objects="all")
