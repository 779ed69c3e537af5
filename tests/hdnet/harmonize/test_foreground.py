"""Edited or pasted: what the edge of the mask says, what is done about it, and when nothing is."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.hdnet.harmonize.seam import fit_seam, seam_pairs
from harmonize_composite.hdnet.network.acting import ActingRule

data = pytest.importorskip("skimage.data")
GAIN, OFFSET = torch.tensor([1.08, 0.96, 0.9]), torch.tensor([0.01, -0.02, 0.03])


class Shift(nn.Module):
    """Stands for a network: adds a constant to the colours, given in 0..1."""

    def __init__(self, amount=0.1, acting=None):
        super().__init__()
        self.amount, self.acting = amount, acting

    def forward(self, composite, mask, reference=None):
        return (composite + 2 * self.amount).clamp(-1, 1)


def photograph(name="astronaut", side=256):
    picture = Image.fromarray(getattr(data, name)()).convert("RGB")
    picture.thumbnail((side, side))
    return torch.from_numpy(np.array(picture)).float()[None] / 255


def disc(height, width, radius=0.3, softness=0.0):
    y, x = torch.meshgrid(torch.arange(height) - height / 2, torch.arange(width) - width / 2, indexing="ij")
    distance = radius * min(height, width) - torch.hypot(y, x)
    return ((distance > 0).float() if softness == 0 else (0.5 + distance / softness).clamp(0, 1))[None]


def edited(picture, mask):
    return picture.lerp((picture * GAIN + OFFSET).clamp(0, 1), mask[..., None])


def a_paste():
    """A cut-out of one photograph on another."""
    below, above = photograph("coffee"), photograph("rocket")
    height, width = (min(a, b) for a, b in zip(below.shape[1:3], above.shape[1:3]))
    mask = disc(height, width)
    return below[:, :height, :width].lerp(above[:, :height, :width], mask[..., None]), mask


def error(result, truth, mask):
    return ((result - truth)[mask > 0.5] ** 2).mean().item() * 255**2


def decisions_of(harmonize, *args, **options):
    decisions = {}
    result = harmonize(*args, decided=decisions.__setitem__, **options)
    return result, decisions


@pytest.mark.parametrize(
    ("name", "softness", "left"),
    [("astronaut", 0, 0.35), ("coffee", 0, 0.35), ("chelsea", 0, 0.35), ("astronaut", 2, 0.7), ("chelsea", 2, 0.8)],
)
def test_an_edit_is_seen_and_taken_back(name, softness, left):
    truth = photograph(name)
    mask = disc(*truth.shape[1:3], softness=softness)
    composite = edited(truth, mask)
    result, decisions = decisions_of(Harmonizer(Shift()), composite, mask)
    assert decisions[0].kind == "edited" and decisions[0].correlation > 0.65
    assert error(result, truth, mask) < left * error(composite, truth, mask)


def test_a_pasted_object_is_seen_and_left_to_the_network():
    composite, mask = a_paste()
    result, decisions = decisions_of(Harmonizer(Shift(0.1)), composite, mask)
    assert decisions[0].kind == "pasted" and decisions[0].correlation < 0.7
    change = (result - composite)[mask > 0.5]
    assert change[(composite[mask > 0.5] < 0.85)].mean() == pytest.approx(0.1, abs=0.01)


def test_an_untouched_region_is_nearly_left_alone():
    for name in ("astronaut", "coffee", "chelsea"):
        picture = photograph(name)
        mask = disc(*picture.shape[1:3])
        assert error(Harmonizer(Shift())(picture, mask), picture, mask) < 3


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 2**31), soft=st.booleans())
def test_any_mask_has_pairs_of_finite_colours_or_none(height, width, seed, soft):
    torch.manual_seed(seed)
    mask = (torch.rand(height, width) < 0.5).float() * (torch.rand(height, width) if soft else 1)
    pairs = seam_pairs(torch.rand(height, width, 3), mask)
    assert pairs.shape[1] == 9 and torch.isfinite(pairs).all()
    assert len(pairs) == 0 or (pairs.min() >= 0 and pairs.max() <= 1.001)
    fit = fit_seam(pairs)
    assert fit is None or (torch.isfinite(fit.matrix).all() and -1 <= fit.correlation <= 1)


def test_the_fit_finds_an_affine_change():
    torch.manual_seed(0)
    inside = torch.rand(2000, 3)
    outside = inside * GAIN + OFFSET
    outside[:100] = torch.rand(100, 3)  # some edges of another object
    fit = fit_seam(torch.cat((inside, outside, outside), 1))
    # without noise the ridge of 5 % of the variance takes 0.05 / 1.05 of each gain's difference from 1
    kept = 1 / 1.05
    assert torch.allclose(fit.matrix[:, :3], kept * torch.diag(GAIN - 1), atol=0.01)


def test_what_is_but_a_noisy_view_of_itself_is_not_washed_out():
    """Plain least squares would take noise / (signal + noise), here a fifth, off each gain."""
    torch.manual_seed(0)
    truth, noise = 0.2 + 0.6 * torch.rand(2000, 3), 0.087  # a quarter of the colours' variance
    inside, outside = (truth + noise * torch.randn(2000, 3) for _ in range(2))
    fit = fit_seam(torch.cat((inside, outside, outside), 1))
    assert fit.matrix[:, :3].abs().max() < 0.05


def test_the_user_may_know_better():
    composite, mask = a_paste()
    result, as_edited = decisions_of(Harmonizer(Shift()), composite, mask, foreground="edited")
    assert as_edited[0].kind == "unclear" and torch.equal(result, composite)  # for the edge shows nothing to fit
    truth = photograph()
    mask = disc(*truth.shape[1:3])
    result, as_pasted = decisions_of(Harmonizer(Shift(0.1)), edited(truth, mask), mask, foreground="pasted")
    assert as_pasted[0].kind == "pasted" and as_pasted[0].correlation is None
    with pytest.raises(ValueError, match="foreground"):
        Harmonizer(Shift())(composite, mask, foreground="glued")


def test_a_shot_is_decided_once():
    truth = photograph()
    mask = disc(*truth.shape[1:3])
    shot = edited(truth, mask).repeat(4, 1, 1, 1)
    shot[2] = shot[2].flip(1)
    for mode in ("smooth", "uniform"):
        _, decisions = decisions_of(Harmonizer(Shift()), shot, mask, consistency=mode)
        assert {each.kind for each in decisions.values()} == {"edited"}
        assert len({each.correlation for each in decisions.values()}) == 1


@pytest.mark.parametrize("mode", ["smooth", "uniform"])
def test_a_shot_is_acted_on_as_a_whole(mode):
    """Proposals that vary from frame to frame lie on either side of the rule, and yet the change does not flicker."""

    class Unsteady(Shift):
        def forward(self, composite, mask, reference=None):
            amounts = torch.tensor([0.03, 0.09])[torch.arange(len(composite)) // 15 % 2].view(-1, 1, 1, 1)
            return (composite + 2 * amounts).clamp(-1, 1)

    composite, mask = a_paste()
    _, decisions = decisions_of(
        Harmonizer(Unsteady(acting=ActingRule(150, 450, 1.5))), composite.repeat(30, 1, 1, 1), mask, consistency=mode
    )
    factors = {each.factor for each in decisions.values()}
    assert len(factors) == 1 and 0 < factors.pop() < 1.5


def test_small_proposals_are_left_alone_and_large_ones_strengthened():
    composite, mask = a_paste()
    rule = ActingRule(low=100, high=400, strength=1.5)
    small, decisions = decisions_of(Harmonizer(Shift(0.03, rule)), composite, mask)  # (0.03 * 255)² = 59
    assert torch.equal(small, composite) and decisions[0].kind == "left alone"
    assert decisions[0].proposed == pytest.approx(58.5, rel=0.1)
    large = Harmonizer(Shift(0.1, rule))(composite, mask)
    dark = (composite < 0.6) & (mask > 0.5)[..., None]
    assert (large - composite)[dark].mean() == pytest.approx(0.15, abs=0.01)
    # whoever says that it is pasted insists
    insisted = Harmonizer(Shift(0.03, rule))(composite, mask, foreground="pasted")
    assert (insisted - composite)[dark].mean() == pytest.approx(0.03, abs=0.005)
    # and gets no less than whoever leaves it to the rule
    more = Harmonizer(Shift(0.1, rule))(composite, mask, foreground="pasted")
    assert (more - composite)[dark].mean() == pytest.approx(0.15, abs=0.01)


def test_the_rule_is_smooth_and_says_what_is_wrong_with_its_numbers():
    rule = ActingRule.from_text("80 120 1.5")
    factors = [rule.factor(value) for value in range(60, 140)]
    assert factors[0] == 0 and factors[-1] == 1.5 and factors == sorted(factors)
    assert max(np.diff(factors)) < 0.08 and rule.factor(100) == pytest.approx(0.75)
    assert str(rule) == "80 120 1.5"
    for text in ("80 60 1", "1 2", "nan 2 1", "1 2 9", "a b c"):
        with pytest.raises(ValueError):
            ActingRule.from_text(text)


def test_strength_up_to_two_means_what_it_says():
    composite, mask = a_paste()
    once, twice = (Harmonizer(Shift(0.05))(composite, mask, strength=s, foreground="pasted") for s in (1, 2))
    dark = (composite < 0.7) & (mask > 0.5)[..., None]
    assert float((twice - composite)[dark].mean() / (once - composite)[dark].mean()) == pytest.approx(2, rel=0.02)
    assert twice.max() <= 1


@pytest.mark.parametrize("resolution", [64, "native"])
@pytest.mark.parametrize("foreground", ["auto", "pasted", "edited"])
def test_a_picture_without_colour_stays_without(resolution, foreground):
    class Tint(Shift):
        def forward(self, composite, mask, reference=None):
            return composite + torch.tensor([0.2, 0.0, -0.3])[:, None, None]

    composite, mask = a_paste()
    grey = composite.mean(-1, keepdim=True).expand(-1, -1, -1, 3).contiguous()
    result = Harmonizer(Tint())(grey, mask, resolution=resolution, foreground=foreground)
    assert (result.amax(-1) - result.amin(-1)).max() < 0.5 / 255


def test_a_frame_of_one_colour_stays_as_it_is():
    black = torch.zeros(1, 64, 64, 3)
    result, decisions = decisions_of(Harmonizer(Shift()), black, disc(64, 64))
    assert torch.equal(result, black) and decisions[0].kind == "one colour"


def test_a_network_that_returns_no_numbers_changes_nothing_outside():
    class Broken(nn.Module):
        def forward(self, composite, mask, reference=None):
            return torch.full_like(composite, float("nan"))

    composite, mask = a_paste()
    for resolution in (64, "native"):
        result = Harmonizer(Broken())(composite, mask, resolution=resolution, foreground="pasted")
        assert torch.isfinite(result).all() and torch.equal(result[mask == 0], composite[mask == 0])


@pytest.mark.parametrize(("shape", "counts"), [((2, 20, 24, 1), True), ((2, 1, 20, 24), True), ((1, 20, 24, 3), False)])
def test_a_mask_with_a_channel_axis(shape, counts):
    image, mask = torch.rand(2, 20, 24, 3), torch.zeros(shape)
    if counts:
        assert Harmonizer(Shift())(image, mask).shape == image.shape
    else:
        with pytest.raises(ValueError, match=r"\[B, H, W\]"):
            Harmonizer(Shift())(image, mask)


@pytest.mark.parametrize(("low", "high", "hint"), [(0, 255, "255"), (-1, 1, "-1..1")])
def test_pictures_of_another_range_are_refused_with_a_hint(low, high, hint):
    image = torch.rand(1, 20, 24, 3) * (high - low) + low
    with pytest.raises(ValueError, match=hint):
        Harmonizer(Shift())(image, torch.ones(1, 20, 24))


def test_values_beyond_white_and_below_black_stay_outside_the_mask():
    composite, mask = a_paste()
    composite[0, 0, 0], composite[0, 0, 1] = 1.7, -0.02
    for resolution in (64, "native"):
        result = Harmonizer(Shift())(composite, mask, resolution=resolution, foreground="pasted")
        assert torch.equal(result[mask == 0], composite[mask == 0])
