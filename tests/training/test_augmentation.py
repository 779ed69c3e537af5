"""Random changes to samples."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from harmonize_composite.training.data.photos import Photographs
from harmonize_composite.training.sample import Sample
from harmonize_composite.training.synthesis import augment
from harmonize_composite.training.synthesis.augment import Augmentation
from photographs import assert_same, disc


@pytest.mark.parametrize("seed", range(20))
def test_a_crop_keeps_a_useful_share_of_foreground(seed):
    mask = disc(120, 80, x=0.15, y=0.2, radius=0.15).convert("L")
    box = augment.random_crop(mask, np.random.default_rng(seed))
    left, top, right, bottom = box
    assert 0 <= left < right <= 120 and 0 <= top < bottom <= 80
    part = np.asarray(mask.crop(box)) > 0
    assert 0.01 <= part.mean() <= 0.8
    assert part.size >= 0.3 * 120 * 80


def test_a_picture_that_is_all_foreground_is_not_cropped():
    everything = Image.new("L", (40, 30), 255)
    assert augment.random_crop(everything, np.random.default_rng(0)) is None


def test_a_flip_turns_picture_and_mask_together():
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    pair = Sample(picture, np.array([[0, 0, 255, 255]] * 2, np.uint8), picture + 1)
    flipped = Augmentation(flip=1)(pair, np.random.default_rng(0))
    assert_same(flipped, Sample(*(np.fliplr(array) for array in (pair.composite, pair.mask, pair.real))))
    assert_same(Augmentation(flip=0)(pair, np.random.default_rng(0)), pair)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    share=st.floats(0, 1),
)
def test_a_jittered_mask_is_still_a_mask(seed, height, width, share):
    mask = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8) * 255
    changed = augment.jitter_mask(mask, np.random.default_rng(seed))
    assert changed.shape == mask.shape and changed.dtype == np.uint8
    if mask.any() and not mask.all():
        assert changed.max() > 127 and changed.min() < 128


def test_mask_jitter_stays_near_the_edge():
    mask = np.asarray(disc(200, 200)).astype(np.uint8) * 255
    inside, outside = (ndimage.distance_transform_cdt(part, "chessboard") for part in (mask, 255 - mask))
    growth, softened = set(), set()
    for seed in range(40):
        changed = augment.jitter_mask(mask, np.random.default_rng(seed))
        growth.add(np.sign(int((changed > 127).sum()) - int((mask > 127).sum())))
        softened.add(bool((changed % 255).any()))
        # 2 % of 200 pixels grown, then softened over at most three times as many
        assert (changed[inside > 17] == 255).all() and (changed[outside > 17] == 0).all()
    assert growth == {-1, 0, 1}
    assert softened == {False, True}


def test_a_re_encoded_composite_leaves_the_truth_and_the_mask_alone(photos):
    pair = Photographs(photos).whole(0, np.random.default_rng(0), 64)
    noise = np.random.default_rng(1).integers(0, 30, pair.composite.shape, np.uint8)
    pair = replace(pair, composite=pair.composite // 2 + noise)
    changed = Augmentation(flip=0, jpeg=1)(pair, np.random.default_rng(0))
    assert np.array_equal(changed.real, pair.real)
    assert np.array_equal(changed.mask, pair.mask)
    difference = np.abs(changed.composite.astype(int) - pair.composite)
    assert 0 < difference.mean() < 12


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_probability_outside_its_range_is_refused(value):
    with pytest.raises(ValueError, match="mask_jitter must be a probability"):
        Augmentation(mask_jitter=value)
