"""Images of any size, and the size at which the network sees them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.hdnet.harmonize.resize import shrink_separately
from images import Recolour, picture, square


@pytest.mark.parametrize(
    "size",
    [(1, 1), (1, 9), (2, 3), (3, 900), (8, 8), (15, 17), (64, 64), (257, 255), (400, 301), (1000, 3), (8, 6000)],
)
@pytest.mark.parametrize("resolution", [64, 256, "native"])
def test_any_size_comes_back_as_it_was(harmonize, size, resolution):
    image, mask = picture(*size), square(*size)
    output = harmonize(image, mask, resolution=resolution)
    assert output.shape == image.shape
    assert output.dtype == torch.float32
    assert output.min() >= 0
    assert output.max() <= 1  # and so no NaN
    assert torch.equal(output[mask == 0], image[mask == 0])
    if min(size) > 2:
        assert not torch.equal(output, image)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    images=st.integers(1, 3),
    masks=st.integers(1, 3),
    channels=st.sampled_from([3, 4]),
    density=st.sampled_from([0.0, 0.01, 0.3, 0.99, 1.0]),
    soft=st.booleans(),
    with_background=st.booleans(),
    with_reference=st.booleans(),
    strength=st.sampled_from([0.0, 0.3, 1.0]),
    resolution=st.sampled_from([64, 256, "native"]),
    seed=st.integers(0, 2**31),
)
def test_whatever_comes_in_a_picture_comes_out(
    harmonize,
    size,
    images,
    masks,
    channels,
    density,
    soft,
    with_background,
    with_reference,
    strength,
    resolution,
    seed,
):
    torch.manual_seed(seed)
    image = torch.rand(images, *size, channels)
    mask = (torch.rand(masks, *size) < density).float() * (torch.rand(masks, *size) if soft else 1)
    background = torch.rand(1, *size, 3) if with_background else None
    reference = (torch.rand(1, *size) < 0.5).float() if with_reference else None
    output = harmonize(
        image,
        mask,
        background=background,
        reference_mask=reference,
        strength=strength,
        resolution=resolution,
    )
    assert output.shape == (images if images > 1 else masks, *size, channels)
    assert output.min() >= 0
    assert output.max() <= 1
    for n, result in enumerate(output):
        outside = mask[n % masks] == 0
        expected = image[n % images] if background is None else background[0]
        assert torch.equal(result[outside][:, :3], expected[outside][:, :3])
        if channels == 4:  # over an opaque background the result is opaque
            alpha = image[n % images][..., 3] if background is None else torch.ones(size)
            assert torch.equal(result[..., 3], alpha)


@pytest.mark.parametrize(("height", "width"), [(600, 900), (900, 600), (300, 3000), (1024, 1024)])
@pytest.mark.parametrize("resolution", [128, 256])
def test_the_network_sees_about_as_many_pixels_as_asked_for(height, width, resolution):
    network = Recolour()
    Harmonizer(network)(picture(height, width), square(height, width), resolution=resolution)
    ((composite, mask, _),) = network.seen
    h, w = composite.shape[-2:]
    assert composite.shape == (1, 3, h, w)
    assert mask.shape == (1, 1, h, w)
    assert h % 8 == 0
    assert w % 8 == 0
    assert h * w == pytest.approx(resolution**2, rel=0.12)
    # each side is off by rounding to 8 at most
    assert h == pytest.approx(resolution * math.sqrt(height / width), abs=4.01)
    assert w == pytest.approx(resolution * math.sqrt(width / height), abs=4.01)


@pytest.mark.parametrize("size", [(300, 200), (37, 61)])
def test_native_shows_the_network_the_whole_composite(size):
    network = Recolour()
    image, mask = picture(*size), square(*size, edge=0.3)
    Harmonizer(network)(image, mask, resolution="native")
    ((composite, shown, _),) = network.seen
    torch.testing.assert_close(composite[0].permute(1, 2, 0) / 2 + 0.5, image[0], rtol=0, atol=1e-6)
    assert torch.equal(shown[0, 0] > 0.5, mask[0] > 0.5)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(65, 300), width=st.integers(65, 300), resolution=st.integers(64, 128), soft=st.booleans())
def test_the_network_sees_no_mixture_of_foreground_and_background(height, width, resolution, soft):
    mask = square(height, width)
    mask = mask * torch.rand(mask.shape) if soft else mask
    red, blue = torch.tensor([0.9, 0.2, 0.1]), torch.tensor([0.1, 0.3, 0.8])
    network = Recolour()
    Harmonizer(network)(torch.where(mask[..., None] > 0, red, blue), (mask > 0).float(), resolution=resolution)
    ((composite, shown, _),) = network.seen
    expected = torch.where(shown[0].permute(1, 2, 0) > 0.5, red, blue)
    torch.testing.assert_close(composite[0].permute(1, 2, 0) / 2 + 0.5, expected, rtol=0, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(8, 150), st.integers(8, 150), st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31))
def test_foreground_and_background_are_averaged_by_their_weights(height, width, h, w, seed):
    torch.manual_seed(seed)
    image = torch.rand(height, width, 3, dtype=torch.float64)
    mask = (torch.rand(height, width, dtype=torch.float64) * 3 - 1).clamp(0, 1)
    size = min(h, height), min(w, width)

    def mean(planes):
        return torch.nn.functional.interpolate(planes[None], size=size, mode="area")[0]

    share, foreground, background = shrink_separately(image, mask, size)
    factor = min(height // size[0], width // size[1])
    exact = height % (factor * size[0]) == 0 and width % (factor * size[1]) == 0  # else blocks come first, see shrink
    planes, expected = image.permute(2, 0, 1), mean(mask[None])[0]
    if exact:
        torch.testing.assert_close(share, expected)
        torch.testing.assert_close(foreground, mean(planes * mask) / expected.clamp(min=1e-6))
        torch.testing.assert_close(background, mean(planes * (1 - mask)) / (1 - expected).clamp(min=1e-6))
    assert foreground.isfinite().all() and background.isfinite().all()
