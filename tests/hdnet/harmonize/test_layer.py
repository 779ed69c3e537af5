"""The foreground as a layer, laid over what is beneath it by Pillow and by the formula of alpha blending."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harmonize_composite.hdnet.harmonize.layer import foreground_layer


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_laid_over_what_was_beneath_it_is_the_result(count, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    beneath, pasted = torch.rand(2, count, height, width, 3, generator=generator)
    mask = (torch.rand(1, height, width, generator=generator) * 3 - 1).clamp(0, 1)
    result = torch.lerp(beneath, pasted, mask[..., None])
    layer = foreground_layer(result, beneath, mask)
    assert torch.equal(layer[..., 3], mask.expand(count, -1, -1))
    torch.testing.assert_close(torch.lerp(beneath, layer[..., :3], layer[..., 3:]), result, rtol=0, atol=1e-5)
    firm = mask.expand(count, -1, -1) > 0.05
    torch.testing.assert_close(layer[..., :3][firm], pasted[firm], rtol=0, atol=1e-4)  # straight, not mixed
    assert not layer[mask.expand(count, -1, -1) == 0].any()


def test_pillow_puts_it_back():
    rng = np.random.default_rng(0)
    beneath, pasted = rng.random((2, 1, 30, 40, 3))
    alpha = np.linspace(0, 1, 40)[None, None].repeat(30, 1)
    beneath, pasted, mask = (torch.from_numpy(each).float() for each in (beneath, pasted, alpha))
    result = torch.lerp(beneath, pasted, mask[..., None])
    layer = foreground_layer(result, beneath, mask)[0].mul(255).round().byte().numpy()
    ground = Image.fromarray(beneath[0].mul(255).round().byte().numpy()).convert("RGBA")
    together = np.asarray(Image.alpha_composite(ground, Image.fromarray(layer)))[..., :3]
    assert np.abs(together.astype(int) - result[0].numpy() * 255).max() <= 2


def test_an_alpha_of_the_picture_limits_that_of_the_layer_and_sizes_must_agree():
    result, mask = torch.rand(1, 4, 4, 4), torch.ones(1, 4, 4)
    assert torch.equal(foreground_layer(result, result, mask), result)
    with pytest.raises(ValueError, match="one size"):
        foreground_layer(result, result, mask[:, :2])
