"""A small foreground is shown to the network from nearer."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harmonize_composite.hdnet import Harmonizer, HDNet, HDNetConfig
from harmonize_composite.hdnet.harmonize.closer import MARGIN, WHOLE, part_to_judge
from harmonize_composite.hdnet.harmonize.masks import shape_mask
from harmonize_composite.hdnet.harmonize.resize import working_size

SIDE = 512


class Watching(torch.nn.Module):
    """Brightens everything and remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, composite, mask, reference=None):
        self.seen.append((composite, mask))
        return composite + 0.2


@pytest.fixture
def picture():
    return torch.rand(1, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2


def a_mask(top, left, side=30):
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, top : top + side, left : left + side] = 1
    return mask


@st.composite
def foregrounds(draw):
    size = draw(st.integers(65, 3000)), draw(st.integers(65, 3000))
    spans = [sorted((draw(st.integers(0, side - 1)), draw(st.integers(1, side)))) for side in size]
    box = tuple(each for low, high in spans for each in (low, max(high, low + 1)))
    return box, size, working_size(size, draw(st.sampled_from((64, 128, 256))))


@given(foregrounds())
def test_a_part_holds_the_foreground_has_its_proportions_and_enlarges_nothing(drawn):
    (top, bottom, left, right), size, working = drawn
    part = part_to_judge((top, bottom, left, right), size, working)
    margin = MARGIN * max(bottom - top, right - left)
    if part is None:
        room = (bottom - top + 2 * margin) / size[0], (right - left + 2 * margin) / size[1]
        assert max(*room, working[0] / size[0], working[1] / size[1]) > WHOLE
        return
    assert 0 <= part[0] <= top < bottom <= part[1] <= size[0] and 0 <= part[2] <= left < right <= part[3] <= size[1]
    height, width = part[1] - part[0], part[3] - part[2]
    assert height >= working[0] and width >= working[1]
    assert abs(height / size[0] - width / size[1]) <= 1 / min(size)
    for number, (first, last) in enumerate(((top, bottom), (left, right))):
        start, end, side = part[2 * number], part[2 * number + 1], size[number]
        assert first - start >= margin - 1 or start == 0 or end == side
        assert end - last >= margin - 1 or start == 0 or end == side


@pytest.mark.parametrize(("top", "left"), [(200, 240), (0, 0), (482, 482), (100, 482)])
def test_it_is_the_same_as_to_harmonize_that_part(picture, top, left):
    torch.manual_seed(0)
    harmonize = Harmonizer(HDNet(HDNetConfig(base_channels=2)))
    mask = a_mask(top, left)
    low, high, first, last = part_to_judge((top, top + 30, left, left + 30), (SIDE, SIDE), (128, 128))
    here = np.s_[:, low:high, first:last]
    alone = harmonize(picture[here], mask[here], resolution=128, foreground="pasted")
    result = harmonize(picture, mask, resolution=128, foreground="pasted")
    assert not torch.equal(result, picture)
    torch.testing.assert_close(result[here], alone, rtol=0, atol=1e-6)
    result[here] = picture[here]
    assert torch.equal(result, picture)


def shown(picture, mask, **options):
    """Share of what the network saw that was foreground."""
    network = Watching()
    Harmonizer(network)(picture, mask, resolution=128, foreground="pasted", **options)
    return [float(seen.mean()) for _, each in network.seen for seen in each]


def test_all_is_shown_where_it_counts(picture):
    small, large = a_mask(100, 100), a_mask(100, 100, 200)
    share = float(small.mean())
    assert shown(picture, small)[0] > 5 * share
    assert shown(picture, large)[0] == pytest.approx(float(large.mean()), rel=0.05)
    for options in (
        {"reference_mask": torch.ones(1, SIDE, SIDE)},
        {"consistency": "smooth"},
        {"consistency": "uniform"},
    ):
        assert shown(picture, small, **options)[0] == pytest.approx(share, rel=0.2)


def test_pictures_of_a_batch_are_shown_as_each_by_itself(picture):
    pictures, masks = torch.cat((picture, picture.flip(1))), torch.cat((a_mask(10, 20), a_mask(300, 400, 50)))
    harmonize = Harmonizer(Watching())
    both = harmonize(pictures, masks, resolution=128, foreground="pasted")
    for number in range(2):
        one = np.s_[number : number + 1]
        single = harmonize(pictures[one], masks[one], resolution=128, foreground="pasted")
        torch.testing.assert_close(both[one], single, rtol=0, atol=1e-6)


@pytest.mark.parametrize("blending", [(40, 0), (0, 60), (20, 30)])
def test_what_is_blended_in_lies_within_the_part(picture, blending):
    mask, (grow, feather) = a_mask(0, 240, 20), blending
    options = {"blend_grow": grow, "blend_feather": feather}
    result = Harmonizer(Watching())(picture, mask, resolution=128, foreground="pasted", **options)
    expected = picture + 0.1 * shape_mask(mask, grow, feather)[..., None]
    torch.testing.assert_close(result, expected, rtol=0, atol=0.005)
