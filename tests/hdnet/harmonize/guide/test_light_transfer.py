"""The light of a guide on one's own pixels; pictures are random patches, whose truth is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from harmonize_composite import LightTransfer
from harmonize_composite.hdnet.harmonize.guide.registration import register, warp
from harmonize_composite.hdnet.harmonize.oklab import oklab_of_srgb

OFFSET = torch.tensor([0.1, 0.05, 0.02])
GAIN = torch.tensor([0.7, 0.6, 0.5])


def scene(height=240, width=320, seed=0):
    """``[1, height, width, 3]``: coloured patches of several sizes."""
    generator = torch.Generator().manual_seed(seed)
    planes = torch.zeros(1, 3, height, width)
    for cells, share in ((6, 0.5), (24, 0.3), (80, 0.2)):
        coarse = torch.rand(1, 3, cells, cells, generator=generator)
        planes += share * F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return planes.permute(0, 2, 3, 1).contiguous()


def moved(picture, matrix, size):
    """A guide that shows the place x of a picture at ``matrix @ x``."""
    inverse = torch.linalg.inv(torch.cat((matrix, torch.tensor([[0.0, 0.0, 1.0]], dtype=matrix.dtype))))[:2]
    return warp(picture[0].permute(2, 0, 1), inverse, size)[0].permute(1, 2, 0)[None]


def test_the_picture_itself_as_guide_changes_nothing():
    image = scene()
    assert (LightTransfer()(image, image) - image).abs().max() < 1 / 255


@pytest.mark.parametrize("size", [(240, 320), (180, 240), (480, 640)])
def test_a_global_change_is_found_at_any_size_of_the_guide(size):
    image = scene()
    small = F.interpolate(image.permute(0, 3, 1, 2), size, mode="bilinear", antialias=True).permute(0, 2, 3, 1)
    result = LightTransfer()(image, small * GAIN + OFFSET)
    torch.testing.assert_close(result, image * GAIN + OFFSET, rtol=0, atol=1.5 / 255)


@settings(max_examples=12, deadline=None)
@given(across=st.floats(-0.01, 0.01), down=st.floats(-0.01, 0.01), zoom=st.floats(0.99, 1.01), seed=st.integers(0, 99))
def test_shifts_and_zooms_of_a_percent_are_found_to_a_third_of_a_pixel(across, down, zoom, seed):
    image = scene(480, 640, seed)
    matrix = torch.tensor([[zoom, 0, 2 * across], [0, zoom, 2 * down]], dtype=torch.float64)
    guide = moved(image, matrix, (360, 480)) * GAIN + OFFSET
    found = register(image[0].permute(2, 0, 1), guide[0].permute(2, 0, 1)).matrix
    corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]], dtype=torch.float64)
    error = corners @ (found - matrix).T * torch.tensor([320.0, 240.0])
    assert error.norm(dim=1).max() < 0.3


def test_what_the_guide_replaced_neither_colours_the_result_nor_hides():
    image, other = scene(), scene(seed=5)
    truth, replaced = image * GAIN + OFFSET, torch.zeros(1, 240, 320)
    replaced[:, 80:160, 120:220] = 1
    guide = torch.where(replaced[..., None] > 0, 1 - other, truth)
    seen = {}
    result = LightTransfer()(image, guide, compared=seen.__setitem__)
    assert (result - truth).abs().mean() < 3 / 255
    changed, region = seen[0].difference((240, 320)) > 0.5, replaced[0] > 0
    assert (changed & region).sum() / (changed | region).sum() > 0.6  # a small picture; of photographs it is 0.85


def test_the_mask_is_exact_and_soft():
    image, mask = scene(), torch.zeros(1, 240, 320)
    mask[:, 60:180, 80:240] = 1
    guide = image * GAIN + OFFSET
    result = LightTransfer()(image, guide, mask, feather=8)
    outside = F.max_pool2d(mask[:, None], 17, 1, 8)[:, 0] == 0
    assert torch.equal(result[outside], image[outside])
    half = LightTransfer()(image, guide, mask * 0.5)
    whole = LightTransfer()(image, guide, mask)
    torch.testing.assert_close(half - image, (whole - image) / 2, rtol=0, atol=1e-5)
    assert torch.equal(LightTransfer()(image, guide, mask, strength=0.0), image)


@pytest.mark.parametrize("masked", [True, False])
def test_a_shadow_that_the_guide_added_comes_where_it_is_wanted_and_nowhere_else(masked):
    image, shadow = scene() * 0.5 + 0.3, torch.ones(1, 240, 320, 1)
    shadow[:, 150:220, 60:260] = 0.5
    also = torch.zeros(1, 240, 320)
    also[:, 140:230, 50:270] = 1
    mask = torch.zeros(1, 240, 320) if masked else None
    result = LightTransfer()(image, image * shadow, mask, added=also)
    inside = result[:, 165:205, 80:240] / image[:, 165:205, 80:240]
    assert abs(float(inside.mean()) - 0.5) < 0.05
    if masked:
        assert torch.equal(result[also == 0], image[also == 0])


def test_alpha_half_precision_batches_and_films():
    image = torch.cat((scene(), torch.rand(1, 240, 320, 1)), -1).expand(4, -1, -1, -1)
    guide = scene() * GAIN + OFFSET
    for mode in ("per_frame", "uniform", "smooth", "auto"):
        result = LightTransfer()(image, guide, consistency=mode)
        assert torch.equal(result[..., 3], image[..., 3])
        torch.testing.assert_close(result[..., :3], guide.expand(4, -1, -1, -1), rtol=0, atol=0.02)
    assert LightTransfer()(image.half(), guide.half()).dtype == torch.float32


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (8, 6000), (6000, 8), (17, 17)])
def test_odd_sizes_come_back_whole(size):
    image = torch.rand(1, *size, 3, generator=torch.Generator().manual_seed(0)) * 0.5
    result = LightTransfer()(image, image + 0.1)
    assert result.shape == image.shape and (result - image - 0.1).abs().max() < 0.05


def test_what_is_no_guide_gets_one_clear_sentence():
    image, flat = scene(), torch.full((1, 240, 320, 3), 0.5)
    for guide, said in (
        (scene(seed=7), "does not show the same scene"),
        (flat, "does not show the same scene"),
        (image * torch.nan, "NaN"),
        (image[0], r"The guide must be a tensor \[B, H, W, 3\]"),
        (image * 255, "divide it by 255"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            LightTransfer()(image, guide)
        assert "\n" not in str(error.value)


def test_a_guide_that_shows_nothing_of_the_mask_is_refused():
    image, mask = scene(), torch.zeros(1, 240, 320)
    mask[:, :, 310:] = 1
    matrix = torch.tensor([[1.3, 0, 0.3], [0, 1.0, 0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="guide"):
        LightTransfer()(image, moved(image, matrix, (240, 320)), mask)


@pytest.mark.parametrize(("parts", "kept"), [((0, 1), [0]), ((1, 0), [1, 2]), ((0, 0), [0, 1, 2])])
def test_lightness_and_colour_apart(parts, kept):
    image, mask = scene() * 0.6 + 0.2, torch.zeros(1, 240, 320)
    mask[:, 60:180, 80:240] = 1
    guide = image * torch.tensor([0.9, 0.85, 0.8]) + torch.tensor([0.08, 0.05, 0.02])
    result = LightTransfer()(image, guide, mask, lightness=parts[0], colour=parts[1])
    before, after = oklab_of_srgb(image), oklab_of_srgb(result)
    torch.testing.assert_close(after[..., kept], before[..., kept], rtol=0, atol=1e-3)
    assert torch.equal(result[mask == 0], image[mask == 0])
    if parts == (0, 0):
        assert torch.equal(result, image)
    else:
        moved = [each for each in range(3) if each not in kept]
        wanted = oklab_of_srgb(guide)[..., moved]
        inside = mask > 0
        error, change = (after[..., moved] - wanted)[inside], (before[..., moved] - wanted)[inside]
        assert error.abs().mean() < 0.2 * change.abs().mean()


def test_a_part_out_of_range_is_refused():
    with pytest.raises(ValueError, match="lightness"):
        LightTransfer()(scene(), scene(), lightness=1.5)
