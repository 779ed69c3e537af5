"""What the harmonizer refuses, in one clear sentence."""

import numpy as np
import pytest
import torch

from images import picture, square


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["image", "mask", "background", "reference_mask"])
def test_pixels_that_are_no_numbers_are_refused(harmonize, value, where):
    given = {
        "image": picture(20, 20),
        "mask": square(20, 20),
        "background": picture(20, 20),
        "reference_mask": torch.ones(1, 20, 20),
    }
    given[where].view(-1)[7] = value
    with pytest.raises(ValueError, match=f"(?i){where.replace('_', '[ _]')}.*(NaN|infinite)"):
        harmonize(**given)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ((20, 20, 3), (1, 20, 20)),
        ((1, 20, 20), (1, 20, 20)),
        ((1, 20, 20, 1), (1, 20, 20)),
        ((1, 3, 20, 20), (1, 20, 20)),
        ((0, 20, 20, 3), (1, 20, 20)),
        ((1, 0, 20, 3), (1, 20, 20)),
        ((1, 20, 20, 3), (0, 20, 20)),
        ((1, 20, 20, 3), (1, 20, 20, 3)),
        ((1, 20, 20, 3), (20,)),
    ],
)
def test_shapes_that_mean_nothing_are_refused(harmonize, image, mask):
    with pytest.raises(ValueError, match=r"(image|mask).*\["):
        harmonize(torch.zeros(image), torch.zeros(mask))


def test_whole_numbers_are_refused_with_a_hint(harmonize):
    with pytest.raises(ValueError, match="(?i)image.*float"):
        harmonize((picture(20, 20) * 255).byte(), square(20, 20))
    with pytest.raises(ValueError, match="(?i)mask.*0..1"):
        harmonize(picture(20, 20), square(20, 20) * 255)


@pytest.mark.parametrize("wrong", [None, "mask.png", [1.0]])
def test_what_is_no_tensor_is_refused(harmonize, wrong):
    with pytest.raises(ValueError, match="(?i)image"):
        harmonize(wrong, square(20, 20))
    with pytest.raises(ValueError, match="(?i)mask"):
        harmonize(picture(20, 20), wrong)


def test_a_background_of_another_shape_is_refused(harmonize):
    with pytest.raises(ValueError, match="(?i)background"):
        harmonize(picture(20, 30), square(20, 30), background=picture(30, 20))


@pytest.mark.parametrize("resolution", [0, -256, 7, 10**6, float("nan"), float("inf"), "full", "", None])
def test_a_resolution_out_of_range_is_refused(harmonize, resolution):
    with pytest.raises(ValueError, match="(?i)resolution"):
        harmonize(picture(20, 20), square(20, 20), resolution=resolution)


@pytest.mark.parametrize("strength", [-0.1, 2.5, float("nan"), float("inf")])
def test_a_strength_out_of_range_is_refused(harmonize, strength):
    with pytest.raises(ValueError, match="(?i)strength"):
        harmonize(picture(20, 20), square(20, 20), strength=strength)


@pytest.mark.parametrize("feather", [-1, 1025, 1e300, float("nan"), float("inf"), "soft", None])
def test_a_feather_out_of_range_is_refused(harmonize, feather):
    with pytest.raises(ValueError, match="feather must be 0 to 1024 pixels"):
        harmonize(picture(20, 20), square(20, 20), feather=feather)


def test_numbers_of_numpy_are_numbers(harmonize):
    image, mask = picture(20, 20), square(20, 20)
    expected = harmonize(image, mask, strength=0.5, feather=2, resolution=64)
    given = {"strength": np.float32(0.5), "feather": np.int64(2), "resolution": np.int64(64)}
    assert torch.equal(harmonize(image, mask, **given), expected)
