"""Lightness and colour of a change apart, in Oklab."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab

from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.hdnet.harmonize.oklab import mix_change, oklab_of_srgb, srgb_of_oklab

# CSS Color Module Level 4, section 19.2: sample colours
PUBLISHED = {
    (1, 1, 1): (1, 0, 0),
    (1, 0, 0): (0.62796, 0.22486, 0.12585),
    (0, 1, 0): (0.86644, -0.23389, 0.17950),
    (0, 0, 1): (0.45201, -0.03246, -0.31153),
    (0, 0, 0): (0, 0, 0),
}


@pytest.mark.parametrize("rgb", PUBLISHED)
def test_oklab_has_the_published_values(rgb):
    ours = oklab_of_srgb(torch.tensor([rgb], dtype=torch.float64))[0]
    np.testing.assert_allclose(ours, PUBLISHED[rgb], atol=3e-5)


def colours_from(least):
    return st.lists(st.tuples(*[st.floats(least, 1, width=32)] * 3), min_size=1, max_size=20)


colours, visible = colours_from(0), colours_from(0.03125)  # in black, L says much of what nobody sees


@settings(max_examples=50, deadline=None)
@given(colours, colours, st.floats(0, 1), st.floats(0, 1))
def test_the_way_back_is_exact_and_a_mixture_stays_in_range(before, after, lightness, colour):
    count = min(len(before), len(after))
    before, after = (torch.tensor(each[:count]) for each in (before, after))
    np.testing.assert_allclose(srgb_of_oklab(oklab_of_srgb(before)), before, atol=1e-4)
    mixed = mix_change(before, after, lightness, colour)
    assert 0 <= mixed.min() and mixed.max() <= 1
    for same, expected in ((0, before), (1, after)):
        np.testing.assert_allclose(mix_change(before, after, same, same), expected, atol=2e-3)


@settings(max_examples=50, deadline=None)
@given(visible, visible)
def test_lightness_is_kept_though_colours_leave_the_gamut(before, after):
    count = min(len(before), len(after))
    before, after = (torch.tensor(each[:count]) for each in (before, after))
    for parts, kept in (((0, 1), before), ((1, 0), after)):
        mixed = oklab_of_srgb(mix_change(before, after, *parts))
        np.testing.assert_allclose(mixed[:, 0], oklab_of_srgb(kept)[:, 0], atol=2e-3)


class Warmer(torch.nn.Module):
    """Stands in for a network: another light, brighter and warmer."""

    def forward(self, composite, mask, *others):
        return composite * 0.8 + torch.tensor([0.25, 0.1, -0.1]).view(3, 1, 1)


def picture():
    image = 0.2 + 0.6 * torch.rand(1, 48, 64, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 48, 64)
    mask[:, 12:36, 16:48] = 1
    mask[:, 12] = 0.5
    return image, mask


def test_the_whole_and_nothing_are_exact():
    image, mask = picture()
    harmonize = Harmonizer(Warmer())
    plain = harmonize(image, mask, foreground="pasted")
    assert torch.equal(harmonize(image, mask, foreground="pasted", lightness=1, colour=1), plain)
    assert torch.equal(harmonize(image, mask, foreground="pasted", lightness=0, colour=0), image)
    assert not torch.equal(plain, image)


def test_either_part_is_seen_in_another_perceptual_space_too():
    """CIELAB, of scikit-image, is no relative of Oklab."""
    image, mask = picture()
    harmonize, inside = Harmonizer(Warmer()), mask[0] == 1
    results = {
        parts: harmonize(image, mask, foreground="pasted", lightness=parts[0], colour=parts[1])
        for parts in ((1, 1), (0, 1), (1, 0))
    }
    for result in results.values():
        assert torch.equal(result[mask == 0], image[mask == 0])
    moved = {
        parts: np.abs(rgb2lab(result[0].numpy()) - rgb2lab(image[0].numpy()))[inside].mean(0)
        for parts, result in results.items()
    }
    assert moved[0, 1][0] < 0.2 * moved[1, 1][0]  # L*
    assert moved[1, 0][2] < 0.35 * moved[1, 1][2]  # b*


@pytest.mark.parametrize("wrong", [{"lightness": -0.1}, {"colour": 1.1}, {"colour": "much"}])
def test_a_part_out_of_range_gets_one_sentence(wrong):
    with pytest.raises(ValueError, match=f"The {next(iter(wrong))} must be a number in 0..1"):
        Harmonizer(Warmer())(*picture(), **wrong)
