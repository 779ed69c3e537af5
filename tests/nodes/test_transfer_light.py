"""The node Transfer Light."""

import torch

from harmonize_composite.hdnet.harmonize.oklab import oklab_of_srgb
from node_inputs import picture

GIVEN = {"strength": 1.0, "feather": 0, "invert_mask": False}


def test_a_prompt_of_an_older_version_gives_the_image_and_what_changed(pack):
    image = picture()
    result, changed = pack["HDNetTransferLight"].execute(image, image * 0.7 + 0.1, **GIVEN)
    torch.testing.assert_close(result, image * 0.7 + 0.1, rtol=0, atol=2 / 255)
    assert changed.shape == image.shape[:3] and float(changed.mean()) < 0.05


def test_lightness_and_colour_apart(pack):
    image = picture() * 0.6 + 0.2
    result, _ = pack["HDNetTransferLight"].execute(image, image * 0.7 + 0.1, **GIVEN, lightness=0.0)
    kept, was = oklab_of_srgb(result)[..., 0], oklab_of_srgb(image)[..., 0]
    torch.testing.assert_close(kept, was, rtol=0, atol=1e-3)
    assert not torch.equal(result, image)
