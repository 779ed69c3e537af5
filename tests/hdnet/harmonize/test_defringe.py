"""The old background's colour goes out of the rim of a cut-out; a clean rim and all beside it stay."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.hdnet.harmonize.defringe import defringe, extend, rim_width

OLD, NEW = torch.tensor([0.1, 0.8, 0.2]), torch.tensor([0.3, 0.3, 0.5])  # a green screen, dusk


def disc(height, width, softness=0.0, radius=0.7):
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    hard = (x**2 + y**2 < radius**2).float().numpy()
    mask = torch.from_numpy(gaussian_filter(hard, softness)) if softness else torch.from_numpy(hard)
    return torch.where(mask < 0.01, 0, torch.where(mask > 0.99, 1, mask))


def textured(height, width, seed):
    return 0.5 + 0.05 * torch.randn(height, width, 3, generator=torch.Generator().manual_seed(seed)).clamp(-2, 2)


def error(picture, truth, where):
    return float((picture - truth)[where].square().mean().sqrt())


@settings(max_examples=25, deadline=None)
@given(st.integers(60, 140), st.integers(60, 140), st.sampled_from([0.7, 1.5, 3.0]), st.booleans(), st.integers(0, 99))
def test_a_fringe_goes_and_a_clean_rim_stays(height, width, softness, pasted, seed):
    mask, true = disc(height, width, softness), textured(height, width, seed)
    rim, cover = (mask > 0) & (mask < 1), mask[..., None]
    truth, fringe = torch.lerp(NEW, true, cover), error(torch.lerp(OLD, true, cover) * cover, true * cover, rim)
    for own, most in ((torch.lerp(OLD, true, cover), 0.6), (true, 0.2)):
        before = torch.lerp(NEW, own, cover) if pasted else own
        after = before.clone()
        defringe(after, mask, pasted=pasted)
        assert torch.equal(after[~rim], before[~rim])
        composite = after if pasted else torch.lerp(NEW, after, cover)
        assert error(composite, truth, rim) < most * fringe


def test_the_fringe_inside_a_hard_mask_goes():
    soft, true = disc(100, 120, 1.0), torch.full((100, 120, 3), 0.6)
    mask = (soft > 0.5).float()
    picture = torch.where(mask[..., None] > 0, torch.lerp(OLD, true, soft[..., None]), NEW)
    after = picture.clone()
    defringe(after, mask, pasted=True)
    rim = (mask > 0) & (soft < 1)
    assert error(after, true, rim) < 0.5 * error(picture, true, rim)
    assert torch.equal(after[mask == 0], picture[mask == 0])


@pytest.mark.parametrize(("softness", "widths"), [(0.0, (0, 0)), (1.0, (2, 5)), (3.0, (8, 14))])
def test_the_width_of_a_rim_is_that_of_its_blur(softness, widths):
    assert widths[0] <= rim_width(disc(120, 120, softness)) <= widths[1]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 99))
def test_colours_are_extended_between_those_that_are_known(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    colours = torch.rand(3, height, width, generator=generator)
    known = torch.rand(height, width, generator=generator) < 0.3
    result = extend(colours, known)
    if not known.any():
        assert not result.any()
        return
    torch.testing.assert_close(result[:, known], colours[:, known])
    low, high = (colours[:, known].amin(1), colours[:, known].amax(1))
    assert (result >= low[:, None, None] - 1e-5).all() and (result <= high[:, None, None] + 1e-5).all()


@pytest.mark.parametrize("mask", [torch.zeros(40, 50), torch.ones(40, 50), torch.full((40, 50), 0.5)])
def test_without_a_rim_nothing_changes(mask):
    picture = textured(40, 50, 0)
    after = picture.clone()
    for pasted in (False, True):
        defringe(after, mask, pasted=pasted)
        assert torch.equal(after, picture)


def test_values_beyond_white_stay():
    mask = disc(80, 80, 1.5)
    picture = torch.full((80, 80, 3), 3.0)
    after = picture.clone()
    defringe(after, mask, pasted=False)
    torch.testing.assert_close(after, picture)


class Nothing(torch.nn.Module):
    """Stands in for a network that proposes no change."""

    def forward(self, composite, *others):
        return composite


@pytest.mark.parametrize("pasted", [False, True])
def test_the_harmonizer_does_it_first_and_with_the_mask_as_given(pasted):
    mask, true = disc(90, 90, 1.5)[None], torch.full((1, 90, 90, 3), 0.6)
    cut = torch.lerp(OLD, true, mask[..., None])
    ground = NEW.expand(1, 90, 90, 3)
    image = torch.lerp(ground, cut, mask[..., None])
    given = (image, None) if pasted else (cut, ground)
    run = Harmonizer(Nothing())
    options = {"foreground": "pasted", "grow": -1, "feather": 2}
    alpha = torch.ones(1, 90, 90, 1) if pasted else cut.new_zeros(0)
    results = {on: run(given[0], mask, background=given[1], defringe=on, **options) for on in (False, True)}
    expected = (image if pasted else cut).clone()
    defringe(expected[0], mask[0], pasted=pasted)
    if pasted:
        torch.testing.assert_close(results[True], expected, rtol=0, atol=1e-6)
        with_alpha = run(torch.cat((image, alpha), -1), mask, defringe=True, **options)
        assert torch.equal(with_alpha[..., :3], results[True])
    else:
        truth = run(true, mask, background=ground, **options)
        rim = (mask > 0) & (mask < 1)
        assert error(results[True], truth, rim) < 0.5 * error(results[False], truth, rim)


def test_two_objects_that_touch_have_no_rim_between_them():
    left = torch.zeros(1, 64, 64)
    left[:, 16:48, 12:32] = 1
    image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    masks = torch.cat((left, left.flip(2)))
    run = Harmonizer(Nothing())
    each = run(image, masks, objects="each", foreground="pasted", defringe=True)
    together = run(image, masks, objects="together", foreground="pasted", defringe=True)
    torch.testing.assert_close(each, together, rtol=0, atol=1e-6)
    assert torch.equal(each[:, 20:44, 28:36], image[:, 20:44, 28:36])


@pytest.mark.parametrize("pasted", [False, True])
def test_scene_linear_rims_are_freed_in_linear_light(pasted):
    mask, true = disc(90, 90, 1.5)[None], torch.full((1, 90, 90, 3), 3.0)
    cut, ground = torch.lerp(OLD, true, mask[..., None]), NEW.expand(1, 90, 90, 3)
    given = (torch.lerp(ground, cut, mask[..., None]), None) if pasted else (cut, ground)
    options = {"background": given[1], "foreground": "pasted", "exposure": -2.0}
    with_it, without = (Harmonizer(Nothing())(given[0], mask, defringe=on, **options) for on in (True, False))
    truth, rim = torch.lerp(ground, true, mask[..., None]), (mask > 0) & (mask < 1)
    assert error(with_it, truth, rim) < 0.6 * error(without, truth, rim)
    assert torch.equal(with_it[mask == 0], without[mask == 0])
