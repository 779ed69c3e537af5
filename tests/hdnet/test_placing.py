"""A cut-out on a canvas, against Pillow's own pasting and resizing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harmonize_composite.hdnet.harmonize import placing
from harmonize_composite.hdnet.harmonize.placing import place, resize_picture

sides = st.integers(1, 40)
shares = st.floats(-0.5, 1.5)


def cutout_of(height, width, seed=0):
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    levels[levels[..., 3] == 0] = 0
    return levels


def tensor(levels):
    return torch.from_numpy(levels.astype(np.float32))[None] / 255


@settings(deadline=None)
@given(sides, sides, sides, sides, shares, shares)
def test_at_scale_1_the_pixels_are_those_that_pillow_pastes(height, width, canvas_height, canvas_width, down, across):
    levels = cutout_of(height, width)
    canvas = Image.new("RGBA", (canvas_width, canvas_height))
    corner = (round(across * canvas_width - width / 2), round(down * canvas_height - height / 2))
    canvas.paste(Image.fromarray(levels), corner)
    placed = place(tensor(levels), (canvas_height, canvas_width), down, across)
    assert np.array_equal((placed[0].numpy() * 255).round().astype(np.uint8), np.asarray(canvas))


@settings(deadline=None)
@given(st.integers(8, 40), st.integers(8, 40), st.floats(0.3, 3))
def test_scaled_it_is_what_pillow_makes_of_it(height, width, scale):
    rows, columns = np.mgrid[:height, :width]
    levels = np.stack((rows * 6, columns * 6, 255 - rows * 6, np.full_like(rows, 255)), -1).astype(np.uint8)
    levels[: height // 2, : width // 2] = 0
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    values = levels / np.float32(255)
    values[..., :3] *= values[..., 3:]
    planes = [
        Image.fromarray(plane).resize(size[::-1], Image.Resampling.BICUBIC) for plane in np.moveaxis(values, 2, 0)
    ]
    expected = np.stack(planes, -1).clip(0, 1)
    expected = np.minimum(expected, expected[..., 3:])  # where bicubic overshoots there is no such colour
    resized = resize_picture(tensor(levels), size)[0].numpy()
    premultiplied = np.concatenate((resized[..., :3] * resized[..., 3:], resized[..., 3:]), -1)
    assert np.abs(premultiplied - expected).max() < 1e-4


def test_the_colours_of_transparent_pixels_do_not_bleed():
    picture = torch.zeros(1, 8, 8, 4)
    picture[..., 1] = 1  # green, which nobody sees
    picture[:, 2:6, 2:6] = torch.tensor([1.0, 0, 0, 1])
    resized = resize_picture(picture, (19, 19))
    assert (resized[..., 3] > 0).any() and (resized[..., 3] < 1).any()
    assert resized[..., 1].max() < 1e-3


def test_opaque_pictures_are_resized_too():
    assert torch.allclose(resize_picture(torch.full((1, 9, 7, 3), 0.25), (4, 5)), torch.tensor(0.25), atol=1e-6)


def test_what_would_take_all_memory_is_refused(monkeypatch):
    monkeypatch.setattr(placing, "MOST_PIXELS", 1000)
    with pytest.raises(ValueError, match="80×40 pixels, which is too large; lower its scale"):
        place(torch.ones(1, 10, 20, 4), (10, 20), scale=4)
