"""How soft a guide is, and whether its change goes by tone or by place; filters of SciPy are the reference."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut

from harmonize_composite import LightTransfer
from harmonize_composite.hdnet.harmonize.guide.guided_change import guided_statistics, sufficient_statistics
from harmonize_composite.hdnet.harmonize.guide.softness import find_softness


@pytest.fixture(scope="module")
def photograph():
    """``[H, W, 3]`` float64."""
    return astronaut()[:320, 60:380] / 255


def planes(picture):
    return torch.from_numpy(np.ascontiguousarray(picture)).float().permute(2, 0, 1)


def softened(picture, sigma):
    return gaussian_filter(picture, (sigma, sigma, 0)) if sigma else picture


@pytest.mark.parametrize("grain", [0.0, 0.02])
@pytest.mark.parametrize("sigma", [0, 0.7, 1.5, 3])
def test_softness_is_found_in_another_light_and_under_grain(photograph, sigma, grain):
    guide = softened(photograph * [0.6, 0.5, 0.4] + 0.1, sigma)
    guide = guide + np.random.default_rng(0).normal(0, grain, guide.shape)
    found = find_softness(planes(photograph), planes(guide), torch.ones(320, 320))
    assert abs(found - sigma) < max(0.4, 0.2 * sigma)  # what a Gaussian of 0.4 pixels does is hardly to be seen


def by_tone(picture):
    return 0.1 + 0.7 * picture**1.4


def by_place(picture):
    """Local contrast halved: the surroundings of each pixel move towards grey, texture stays."""
    return picture + 0.5 * (0.45 - softened(picture, 12))


@pytest.mark.parametrize(("change", "least", "most"), [(by_tone, 0.9, 1.0), (by_place, 0.0, 0.6)])
def test_a_guide_tells_whether_texture_changes_with_its_tone(photograph, change, least, most):
    guide = softened(change(photograph), 1.5)
    soft = softened(photograph, 1.5)
    found = guided_statistics(planes(soft), planes(guide), torch.ones(320, 320), 128)
    assert least <= found.by_tone <= most


# what changes by place is what frequency separation is made for
@pytest.mark.parametrize(("change", "most"), [(by_tone, 0.5), (by_place, 1.6)])
def test_a_soft_guide_takes_no_contrast_from_edges_and_texture(photograph, change, most):
    truth = change(photograph).clip(0, 1)
    image, guide = (torch.from_numpy(each).float()[None] for each in (photograph, softened(truth, 2)))
    result = LightTransfer()(image, guide)[0].numpy()
    separated = photograph + softened(softened(truth, 2) - photograph, 8)

    def error(picture):
        return np.sqrt(np.mean((picture - truth) ** 2))

    assert error(result) < most * error(separated)
    texture = [each - gaussian_filter(each, (1.5, 1.5, 0)) for each in (result, truth)]
    assert 0.9 < texture[0].std() / texture[1].std() < 1.1


def test_a_hard_shadow_takes_a_finer_resolution_than_a_smooth_light(photograph):
    smooth = np.linspace(1, 0.5, 320)[None, :, None]
    stripes = np.where(np.arange(320) // 20 % 2, 1.0, 0.4)[None, :, None]
    chosen = []
    for light in (smooth, stripes):
        guide = softened(photograph * light, 1)
        chosen.append(
            sufficient_statistics(planes(softened(photograph, 1)), planes(guide), torch.ones(320, 320))[1],
        )
    assert chosen[0] == 128 < chosen[1]


def test_films_are_known_at_one_resolution(photograph):
    """Statistics of different sizes could not be added up."""
    image = torch.from_numpy(photograph).float()[None].repeat(3, 1, 1, 1)
    stripes = torch.where(torch.arange(320) // 20 % 2 == 1, 1.0, 0.4)[:, None]
    guide = torch.cat((image[:1] * 0.8, image[1:] * stripes))
    assert LightTransfer()(image, guide, consistency="smooth").isfinite().all()
