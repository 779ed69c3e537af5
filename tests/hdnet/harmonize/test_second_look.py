"""The mean of what a network says of a composite and of its mirror image."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.hdnet.harmonize.second_look import ENLARGED, agreement
from harmonize_composite.hdnet.network.acting import ActingRule


class Network(nn.Module):
    """Adds `constant`, and `slope` from -slope at the left to +slope at the right, to colours in 0..1."""

    def __init__(self, second_look, constant=0.0, slope=0.0):
        super().__init__()
        self.second_look, self.constant, self.slope, self.seen = second_look, constant, slope, []

    def forward(self, composite, mask, reference=None):
        self.seen.append((composite, mask, reference))
        ramp = torch.linspace(-1, 1, composite.shape[-1])
        return composite + 2 * (self.constant + self.slope * ramp)


def composite(height, width):
    mask = torch.zeros(1, height, width)
    mask[:, height // 4 : -(height // 4), width // 4 : width // 2] = 1
    blots = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    image = nn.functional.interpolate(blots, (height, width), mode="bilinear").permute(0, 2, 3, 1)
    return 0.25 + 0.5 * image, mask


@settings(max_examples=15, deadline=None)
@given(
    size=st.tuples(st.integers(40, 90), st.integers(40, 90)),
    scale=st.sampled_from([1.0, 1.25, 1.7, 2.0]),
    constant=st.floats(-0.1, 0.1),
)
def test_only_what_both_looks_agree_on_is_done(size, scale, constant):
    image, mask = composite(*size)
    once = Harmonizer(Network(None, constant))(image, mask, foreground="pasted", resolution=64)
    twice = Harmonizer(Network(scale, constant, slope=0.2))(image, mask, foreground="pasted", resolution=64)
    assert (twice - once).abs().max() < 2e-3
    assert torch.equal(twice[mask == 0], image[mask == 0])


def test_the_second_is_mirrored_and_larger():
    image, mask = composite(128, 192)
    network = Network(1.25)
    Harmonizer(network)(image, mask, reference_mask=1 - mask, foreground="pasted", resolution=128)
    first, second = sorted(network.seen, key=lambda seen: seen[0].shape[-1])
    assert tuple(first[0].shape[-2:]) == (104, 160) and tuple(second[0].shape[-2:]) == (128, 200)
    for ours, theirs in zip(first, second):
        back = nn.functional.interpolate(theirs.float().flip(-1), (104, 160), mode="area")
        assert (back - ours.float()).abs().mean() < 0.02


@pytest.mark.parametrize("resolution", [512, 520])
def test_large_ones_are_not_enlarged(resolution):
    image, mask = composite(528, 528)
    network = Network(1.25)
    Harmonizer(network)(image, mask, foreground="pasted", resolution=resolution)
    largest = max(seen[0].shape[-1] for seen in network.seen)
    assert largest == (640 if resolution**2 <= ENLARGED else resolution)


def test_what_shows_no_change_stays_bit_for_bit():
    image, mask = composite(80, 96)
    assert torch.equal(Harmonizer(Network(1.25))(image, mask, foreground="pasted"), image)


def test_a_background_beside_the_composite_is_mirrored_with_it():
    image, _ = composite(64, 64)
    network = Network(1.25, constant=0.1)
    result = Harmonizer(network)(image, torch.ones(1, 64, 64), background=image.flip(1), foreground="pasted")
    assert [seen[0].shape[-1] for seen in network.seen] in ([128, 160], [160, 128])
    assert (result - image - 0.1).abs().max() < 1e-3


@pytest.mark.parametrize("brief", [False, True])
def test_a_second_opinion_takes_the_second_look(brief):
    image, mask = composite(64, 96)
    shown, inside = image.permute(0, 3, 1, 2) * 2 - 1, mask[:, None]
    network, other = Network(1.25, constant=0.1, slope=0.3), Network(None, slope=0.2)
    network.second_opinion = other
    looks = Harmonizer(network).propose(shown, inside, brief=brief)
    if not brief:
        plain, mirrored = (seen[0] for seen in network.seen)
        assert torch.equal(plain, shown) and torch.equal(mirrored, shown.flip(-1))
    assert [tuple(seen[0].shape[-2:]) for seen in other.seen] == [(80, 120)]
    assert len(looks) == (1 if brief else 2)
    assert (looks[-1] - 0.2 * torch.linspace(1, -1, 96)).abs().max() < 5e-3
    assert brief or (looks[0] - 0.1).abs().max() < 1e-5


def test_what_looks_agree_on_is_their_mean_product_over_the_foreground():
    looks, foreground = torch.randn(2, 3, 30, 40), torch.rand(30, 40) > 0.7
    first, second = (look[:, foreground].double() for look in looks)
    assert float(agreement(looks, foreground)) == pytest.approx(float((first * second).mean()), rel=1e-4)
    assert agreement(looks[:1], foreground) is None


@settings(max_examples=15, deadline=None)
@given(first=st.floats(-0.2, 0.2), second=st.floats(-0.2, 0.2), low=st.floats(0, 400))
def test_a_picture_is_changed_where_looks_agree_that_it_is_off(first, second, low):
    image, mask = composite(64, 64)
    image = torch.where(mask[..., None] > 0, image.flip(1).transpose(1, 2), image)  # nothing goes on across the edge
    network = Network(1.25, constant=first)
    network.second_opinion, network.acting = Network(None, constant=second), ActingRule(low, low, 1.0)
    decisions = []
    result = Harmonizer(network)(image, mask, decided=lambda _, decision: decisions.append(decision))
    agreed = 255**2 * max(0.0, first * second)
    assert decisions[0].proposed == pytest.approx(agreed, abs=0.02 * agreed + 1e-3)
    assume(abs(agreed - low) > 0.05 * low + 1e-2)
    change = (first + second) / 2 if agreed > low else 0.0
    assert (result - image - change * mask[..., None]).abs().max() < 2e-3


def test_a_film_is_looked_at_once_and_mirrored():
    image, mask = composite(64, 96)
    shown, inside = image.permute(0, 3, 1, 2) * 2 - 1, mask[:, None]
    network = Network(1.25, slope=0.2)
    (change,) = Harmonizer(network).propose(shown, inside, brief=True)
    assert [tuple(seen[0].shape[-2:]) for seen in network.seen] == [(80, 120)]
    expected = 0.2 * torch.linspace(1, -1, 96).expand_as(change)
    assert (change - expected).abs().max() < 5e-3
