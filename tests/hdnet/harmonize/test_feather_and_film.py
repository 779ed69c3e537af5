"""Soft edges of masks, and which batches are films."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate1d, distance_transform_edt

from harmonize_composite.hdnet.harmonize.consistency import looks_like_film
from harmonize_composite.hdnet.harmonize.masks import feather_mask


def gaussian(mask, radius):
    kernel = np.exp(-2 * (np.arange(-radius, radius + 1) / radius) ** 2)
    for axis in (0, 1):
        mask = correlate1d(mask, kernel / kernel.sum(), axis=axis, mode="nearest")
    return mask


def shapes(height, width, seed):
    """A few ellipses, some cut by the picture's edge, and a single pixel."""
    rng, mask = np.random.default_rng(seed), np.zeros((height, width))
    y, x = np.mgrid[:height, :width]
    for _ in range(3):
        cy, cx, ry, rx = rng.uniform(0, height), rng.uniform(0, width), *rng.uniform(2, 60, 2)
        mask[((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1] = 1
    mask[rng.integers(height), rng.integers(width)] = 1
    return mask


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 300), st.integers(5, 300), st.integers(1, 120), st.integers(0, 99), st.booleans())
def test_a_feather_of_any_radius_is_near_its_gaussian_and_exact_beyond_its_reach(height, width, radius, seed, inverted):
    mask = shapes(height, width, seed)
    mask = 1 - mask if inverted else mask
    soft = feather_mask(torch.from_numpy(mask)[None].float(), radius)[0].numpy()
    assert np.abs(soft - gaussian(mask, radius)).max() < 0.05
    for value in (0, 1):
        if (mask != value).any():
            beyond = distance_transform_edt(mask == value) > np.sqrt(2) * radius + 1  # the kernel is a square
            assert (soft[beyond] == value).all()
        else:
            assert (soft == value).all()


def film(count, alike):
    """Frames of one scene with a little noise, or of as many scenes."""
    generator = torch.Generator().manual_seed(0)
    scenes = torch.rand(count, 8, 8, 3, generator=generator).repeat_interleave(12, 1).repeat_interleave(12, 2)
    frames = scenes[:1].expand(count, -1, -1, -1) if alike else scenes
    return (frames + 0.02 * torch.rand(frames.shape, generator=generator)).clamp(0, 1)


MASK = torch.zeros(1, 96, 96)
MASK[:, 20:60, 30:70] = 1


@pytest.mark.parametrize("masks", [MASK, MASK.expand(6, -1, -1), torch.zeros(1, 5, 5)])
def test_neighbouring_frames_that_are_alike_are_a_film(masks):
    assert looks_like_film(film(6, alike=True), masks)
    assert looks_like_film(torch.cat((film(6, alike=True), 1 - film(6, alike=True))), masks)  # with a cut


def test_other_batches_are_none():
    assert not looks_like_film(film(6, alike=False), MASK)
    assert not looks_like_film(film(2, alike=True), MASK)


def test_several_proposals_for_one_place_are_none():
    """As inpainting makes them in a batch: the background is the same, the objects are not."""
    proposals = torch.where(MASK[..., None] > 0, film(6, alike=False), film(6, alike=True))
    assert not looks_like_film(proposals, MASK)
