"""The rim of a foreground: nothing stands out more than it did, and only what would is held back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonize_composite.hdnet.harmonize.rim import Rim
from harmonize_composite.training.evaluation.metrics import speckle

LIMIT = 6 / 255


def disc(height, width, weight=1.0):
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return (x**2 + y**2 < 0.6).float() * weight


def restrained(picture, changed, weight):
    rim = Rim(picture, weight, (0, *weight.shape[:1], 0, weight.shape[1]))
    result = changed.clone()
    rim.restrain(result, LIMIT)
    return result


def to_8bit(picture):
    return (picture * 255).round().byte().numpy()


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(40, 90),
    width=st.integers(40, 90),
    seed=st.integers(0, 2**31),
    contrast=st.sampled_from([0.0, 0.05, 0.2]),
    dots=st.sampled_from([0.002, 0.01]),
)
def test_dots_on_the_rim_vanish(height, width, seed, contrast, dots):
    torch.manual_seed(seed)
    mask = disc(height, width)
    picture = 0.5 + contrast * (torch.rand(height, width, 3) - 0.5)
    torn = (torch.rand(height, width, 1) < dots) * (mask > 0)[..., None]
    changed = torch.where(torn, torch.rand(3).round(), (0.8 * picture + 0.1).clamp(0, 1))
    changed = torch.where(mask[..., None] > 0, changed, picture)
    result = restrained(picture, changed, mask)
    before, edge = to_8bit(picture), to_8bit(mask)
    one_pixel = 1 / 500  # of those near the edge there are at least so many
    assert speckle(before, to_8bit(result), edge) <= 0.1 * speckle(before, to_8bit(changed), edge) + one_pixel
    assert torch.equal(result[mask == 0], picture[mask == 0])
    assert result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("offset", [0.0, 0.3, -0.2])
def test_an_offset_or_less_contrast_is_left_as_it_is(offset):
    torch.manual_seed(0)
    mask, picture = disc(60, 70), 0.3 + 0.4 * torch.rand(60, 70, 3)
    changed = torch.where(mask[..., None] > 0, picture + offset, picture)
    assert torch.equal(restrained(picture, changed, mask), changed)
    fainter = torch.where(mask[..., None] > 0, 0.5 + 0.5 * (picture - 0.5), picture)
    torch.testing.assert_close(restrained(picture, fainter, mask), fainter, rtol=0, atol=LIMIT)


def test_further_inside_nothing_is_held_back():
    torch.manual_seed(0)
    mask, picture = torch.ones(80, 80), 0.4 + 0.2 * torch.rand(80, 80, 3)
    mask[:20] = 0
    changed = torch.where(mask[..., None] > 0, (0.5 + 3 * (picture - 0.5)).clamp(0, 1), picture)
    result = restrained(picture, changed, mask)
    assert torch.equal(result[32:68, 12:68], changed[32:68, 12:68])
    assert not torch.equal(result[21:30], changed[21:30])


def test_half_a_weight_is_held_back_half_as_much():
    torch.manual_seed(0)
    picture = 0.3 + 0.4 * torch.rand(50, 60, 3)
    change = 0.2 * torch.rand(50, 60, 3)
    results = {}
    for weight in (0.5, 1.0):
        mask = disc(50, 60, weight)
        results[weight] = restrained(picture, picture + mask[..., None] * change, mask)
    assert not torch.equal(results[1.0], picture + disc(50, 60)[..., None] * change)
    torch.testing.assert_close(results[0.5], (picture + results[1.0]) / 2, rtol=0, atol=1e-6)


def test_the_median_is_numpys():
    from harmonize_composite.hdnet.harmonize.rim import _median_of_nine

    values = torch.rand(9, 1000, 3, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(_median_of_nine(values).numpy(), np.median(values.numpy(), 0))


@pytest.mark.parametrize("channels", [3, 4])
def test_a_part_of_a_picture_is_treated_as_a_picture(channels):
    torch.manual_seed(0)
    mask, here = disc(60, 70), np.s_[7:67, 20:90]
    whole = torch.rand(90, 110, channels)
    changed = torch.where(torch.rand(90, 110, 1) < 0.05, 1 - whole, whole)
    wanted = restrained(whole[here].clone(), changed[here].clone(), mask)
    rim = Rim(whole[here], mask, (0, 60, 0, 70))
    result = changed.clone()
    rim.restrain(result[here], LIMIT)
    assert not torch.equal(wanted, changed[here]) and torch.equal(result[here], wanted)
    result[here] = changed[here]
    assert torch.equal(result, changed)
