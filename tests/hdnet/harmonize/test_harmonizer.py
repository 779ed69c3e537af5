"""The harmonizer takes images of any size and changes nothing outside the mask."""

import io
import logging
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harmonize_composite.hdnet import Harmonizer, HDNet, HDNetConfig
from harmonize_composite.hdnet.harmonize.resize import shrink_separately


@pytest.fixture(scope="module")
def harmonize():
    torch.manual_seed(0)
    network = HDNet(HDNetConfig(base_channels=2)).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    return Harmonizer(network)


class Recolour(HDNet):
    """Stands in for a network: applies a known change of colour and remembers what it was shown."""

    def __init__(self, change=lambda colours, y, x: 1 - colours):
        super().__init__(HDNetConfig(base_channels=1))
        self.change = change
        self.seen = []

    def forward(self, composite, mask, reference=None):
        self.seen.append((composite, mask, reference))
        height, width = composite.shape[-2:]
        y = ((torch.arange(height) + 0.5) / height)[:, None]
        x = (torch.arange(width) + 0.5) / width
        return self.change(composite / 2 + 0.5, y, x) * 2 - 1


def picture(height, width, batch=1, channels=3, seed=0):
    return torch.rand(batch, height, width, channels, generator=torch.Generator().manual_seed(seed))


def square(height, width, batch=1, edge=0.0):
    """A foreground in the middle, at least one pixel, with a soft rim where `edge` is above 0."""
    mask = torch.zeros(batch, height, width)
    top, left = height // 3, width // 3
    mask[:, top : height - top, left : width - left] = 1
    if edge:
        mask[:, top] = mask[:, top] * edge
    return mask


# Sizes


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


# Outside the mask


@pytest.mark.parametrize("resolution", [64, "native"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_png_is_unchanged_outside_the_mask(harmonize, resolution, mode):
    before = np.random.default_rng(0).integers(0, 256, (70, 90, len(mode)), dtype=np.uint8)
    image = torch.from_numpy(before).float()[None] / 255
    mask = square(70, 90, edge=0.02)
    output = harmonize(image, mask, resolution=resolution)
    assert torch.equal(output[mask == 0], image[mask == 0])
    file = io.BytesIO()
    Image.fromarray((output[0] * 255).round().byte().numpy(), mode).save(file, "PNG")
    after = np.asarray(Image.open(file))
    outside = mask[0].numpy() == 0
    assert (after[outside] == before[outside]).all()
    assert (after[~outside] != before[~outside]).any()


def test_a_soft_mask_blends_in_proportion():
    image = picture(40, 40)
    network = Recolour(lambda colours, y, x: colours * 0.5)
    for share in (0.004, 0.25, 0.75):
        mask = torch.zeros(1, 40, 40)
        mask[:, 10:30, 10:30] = 1
        mask[:, 10:30, 20:30] = share
        output = Harmonizer(network)(image, mask, resolution="native")
        full, soft = np.s_[0, 12:28, 12:18], np.s_[0, 12:28, 22:28]
        torch.testing.assert_close(output[full], image[full] * 0.5, rtol=0, atol=2e-3)
        torch.testing.assert_close(output[soft], image[soft] * (1 - share / 2), rtol=0, atol=2e-3)


@pytest.mark.parametrize("peak", [0.02, 0.3, 0.5])
def test_a_mask_that_is_nowhere_more_than_half_still_changes_its_part(harmonize, peak):
    image, mask = picture(48, 48), square(48, 48) * peak
    output = harmonize(image, mask)
    change = (output - image).abs()
    assert change.max() <= peak + 1e-6
    assert torch.equal(output[mask == 0], image[mask == 0])


@pytest.mark.parametrize("resolution", [64, "native"])
def test_alpha_is_carried_through(harmonize, resolution):
    image = picture(80, 70, channels=4)
    mask = square(80, 70)
    output = harmonize(image, mask, resolution=resolution)
    assert torch.equal(output[..., 3], image[..., 3])
    opaque = harmonize(image[..., :3], mask, resolution=resolution)
    assert torch.equal(output[..., :3], opaque)


# Strength


def test_strength_runs_from_nothing_to_everything(harmonize):
    image, mask = picture(60, 60), square(60, 60, edge=0.4)
    full = harmonize(image, mask)
    assert torch.equal(harmonize(image, mask, strength=0.0), image)
    assert torch.equal(harmonize(image, mask, strength=1), full)
    half = harmonize(image, mask, strength=0.5)
    torch.testing.assert_close(half, (image + full) / 2, rtol=0, atol=1e-6)


# Empty and full masks


def test_an_empty_mask_returns_the_input(harmonize, caplog):
    image = picture(50, 40, channels=4)
    assert torch.equal(harmonize(image, torch.zeros(1, 50, 40)), image)


def test_a_mask_that_covers_everything_returns_the_input_with_a_warning(harmonize, caplog):
    image = picture(50, 40)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(harmonize(image, torch.ones(1, 50, 40)), image)
    assert any(record.levelno == logging.WARNING and "mask" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("resolution", [64, "native"])
def test_a_reference_given_separately_serves_a_mask_that_covers_everything(harmonize, resolution, caplog):
    image, background = picture(50, 40), picture(50, 40, seed=1)
    reference = torch.zeros(1, 50, 40)
    reference[:, :20] = 1
    with caplog.at_level(logging.WARNING):
        for given in ({"background": background}, {"reference_mask": reference}):
            output = harmonize(image, torch.ones(1, 50, 40), resolution=resolution, **given)
            assert torch.isfinite(output).all()
            assert not torch.equal(output, image)
    assert not caplog.records


def test_empty_and_full_masks_leave_the_rest_of_the_batch_alone(harmonize):
    image = picture(40, 56, batch=3)
    mask = square(40, 56, batch=3)
    mask[0], mask[2] = 0, 1
    output = harmonize(image, mask)
    assert torch.equal(output[0], image[0])
    assert torch.equal(output[2], image[2])
    torch.testing.assert_close(output[1:2], harmonize(image[1:2], mask[1:2]), rtol=0, atol=1e-4)


# Batches and sizes of masks


@pytest.mark.parametrize("resolution", [64, "native"])
def test_a_batch_gives_what_its_images_give_alone(harmonize, resolution):
    image = picture(72, 100, batch=4)
    mask = torch.stack([square(72, 100)[0].roll(10 * n, 1) for n in range(4)])
    together = harmonize(image, mask, resolution=resolution)
    for n in range(4):
        alone = harmonize(image[n : n + 1], mask[n : n + 1], resolution=resolution)
        torch.testing.assert_close(together[n : n + 1], alone, rtol=0, atol=1e-4)


def test_a_shorter_batch_of_masks_is_repeated(harmonize):
    image, mask = picture(40, 40, batch=3), torch.cat([square(40, 40), square(40, 40).roll(8, 2)])
    output = harmonize(image, mask)
    assert torch.equal(output, harmonize(image, mask[[0, 1, 0]]))


def test_a_single_background_serves_the_whole_batch(harmonize):
    image, mask, background = picture(40, 40, batch=3), square(40, 40), picture(40, 40, seed=9)
    output = harmonize(image, mask, background=background)
    assert torch.equal(output, harmonize(image, mask, background=background.expand(3, -1, -1, -1)))


@pytest.mark.parametrize("size", [(30, 20), (120, 80), (61, 39)])
def test_a_mask_of_another_size_is_resized(harmonize, size):
    image, mask = picture(60, 40), square(*size)
    resized = torch.nn.functional.interpolate(mask[None], size=(60, 40), mode="bilinear")[0]
    output = harmonize(image, mask)
    torch.testing.assert_close(output, harmonize(image, resized), rtol=0, atol=1e-6)
    assert torch.equal(output[resized == 0], image[resized == 0])


# Background and reference


@pytest.mark.parametrize("resolution", [64, "native"])
def test_a_background_goes_under_the_foreground_before_and_after(harmonize, resolution):
    image, background, mask = picture(70, 90), picture(70, 90, seed=1), square(70, 90)
    output = harmonize(image, mask, background=background, resolution=resolution)
    assert torch.equal(output[mask == 0], background[mask == 0])
    pasted = torch.where(mask[..., None] > 0, image, background)
    torch.testing.assert_close(output, harmonize(pasted, mask, resolution=resolution), rtol=0, atol=1e-6)


def test_a_soft_edge_shows_the_background_beneath():
    image, background = torch.full((1, 40, 40, 3), 0.8), torch.full((1, 40, 40, 3), 0.2)
    mask = torch.zeros(1, 40, 40)
    mask[:, 10:30, 10:30] = 1
    mask[:, 10:30, 20:30] = 0.5
    output = Harmonizer(Recolour(lambda colours, y, x: colours))(image, mask, background=background)
    torch.testing.assert_close(output[:, 12:28, 12:18], image[:, 12:28, 12:18], rtol=0, atol=1e-4)
    torch.testing.assert_close(output[:, 12:28, 22:28], torch.full((1, 16, 6, 3), 0.5), rtol=0, atol=1e-4)


def test_without_a_foreground_the_background_comes_back(harmonize):
    image, background = picture(30, 30), picture(30, 30, seed=1)
    assert torch.equal(harmonize(image, torch.zeros(1, 30, 30), background=background), background)


def test_only_the_reference_is_learnt_from(harmonize):
    image, mask = picture(64, 64), square(64, 64)
    image[:, :, :32] *= 0.2
    harmonize = partial(harmonize, foreground="pasted")
    everything = harmonize(image, mask)
    for all_of_it in (torch.ones(1, 64, 64), 1 - mask):
        torch.testing.assert_close(harmonize(image, mask, reference_mask=all_of_it), everything, rtol=0, atol=1e-4)
    left = torch.zeros(1, 64, 64)
    left[..., :32] = 1
    output = harmonize(image, mask, reference_mask=left)
    assert (output - everything).abs().max() > 0.01
    assert (output - harmonize(image, mask, reference_mask=1 - left)).abs().max() > 0.01
    assert torch.equal(output[mask == 0], image[mask == 0])


# Types, memory, repeatability


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_types_are_taken(harmonize, dtype):
    image, mask = picture(40, 40).to(dtype), square(40, 40)
    output = harmonize(image, mask.to(dtype))
    assert output.dtype == torch.float32
    assert torch.equal(output[mask == 0], image[mask == 0].float())
    torch.testing.assert_close(output, harmonize(image.float(), mask), rtol=0, atol=1e-6)


def test_inputs_are_never_written(harmonize):
    given = {
        "image": picture(40, 30, channels=4),
        "mask": square(40, 30, edge=0.5),
        "background": picture(40, 30, seed=1),
        "reference_mask": 1 - square(40, 30),
    }
    before = {name: tensor.clone() for name, tensor in given.items()}
    for resolution in (64, "native"):
        for strength in (0.0, 0.5, 1.0):
            output = harmonize(**given, resolution=resolution, strength=strength)
            output.zero_()  # what comes back may be written without harm
    for name, tensor in given.items():
        assert torch.equal(tensor, before[name]), name


def test_views_and_expanded_tensors_are_taken(harmonize):
    image, mask = picture(40, 30), square(40, 30)
    expected = harmonize(image, mask)
    turned = image.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    torch.testing.assert_close(harmonize(turned, mask), expected, rtol=0, atol=1e-6)
    output = harmonize(image.expand(3, -1, -1, -1), mask.expand(3, -1, -1))
    torch.testing.assert_close(output, expected.expand(3, -1, -1, -1), rtol=0, atol=1e-4)


def test_no_gradient_is_recorded(harmonize):
    output = harmonize(picture(24, 24).requires_grad_(), square(24, 24))
    assert not output.requires_grad


def test_the_same_call_gives_the_same_picture(harmonize):
    image, mask = picture(90, 80), square(90, 80)
    assert torch.equal(harmonize(image, mask), harmonize(image, mask))


# Bad input


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


# Quality


def textured(height, width):
    """Smooth shading over patches of different colours, with texture down to single pixels."""
    generator = torch.Generator().manual_seed(4)

    def noise(step, mode, channels=3):
        values = torch.rand(1, channels, step, step, generator=generator)
        return torch.nn.functional.interpolate(values, size=(height, width), mode=mode)

    scene = 0.1 + 0.35 * noise(4, "bicubic") + 0.45 * noise(12, "nearest")
    scene *= 0.75 + 0.5 * noise(150, "bicubic", 1)
    scene *= 0.7 + 0.6 * torch.rand(1, 1, height, width, generator=generator)
    return scene[0].permute(1, 2, 0)[None].clamp(0.02, 0.98)


def recolouring(colours, y, x):
    """A light from one side, another white point and another contrast."""
    light = 0.5 + 0.45 * x + 0.2 * y
    gain = torch.tensor([1.1, 0.95, 0.7]).view(3, 1, 1)
    return (light * gain * colours.clamp(0, 1) ** 1.5).clamp(0, 1)


@pytest.mark.parametrize(("resolution", "least"), [(128, 35), (256, 39), ("native", 42)])
def test_texture_survives_a_low_working_resolution(resolution, least):
    size = 600, 760
    image = textured(*size)
    network = Recolour(recolouring)
    planes = image.permute(0, 3, 1, 2)
    target = (network(planes * 2 - 1, None) / 2 + 0.5).permute(0, 2, 3, 1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, size[0]), torch.linspace(-1, 1, size[1]), indexing="ij")
    mask = (x**2 + y**2 < 0.5).float()[None]

    def psnr(picture):
        return -10 * ((picture - target)[mask > 0] ** 2).mean().log10().item()

    output = Harmonizer(network)(image, mask, resolution=resolution, foreground="pasted")
    # what adding the upsampled difference reaches at 256
    low = torch.nn.functional.interpolate(planes, size=(200, 256), mode="area")
    change = recolouring(low[0], ((torch.arange(200) + 0.5) / 200)[:, None], (torch.arange(256) + 0.5) / 256) - low
    added = planes + torch.nn.functional.interpolate(change, size=size, mode="bilinear")
    print(f"{resolution}: {psnr(output):.1f} dB, upsampled difference {psnr(added.permute(0, 2, 3, 1)):.1f} dB")
    assert psnr(output) > least
    assert psnr(output) > psnr(added.permute(0, 2, 3, 1)) + 2
    assert torch.equal(output[mask == 0], image[mask == 0])


def test_a_network_that_changes_nothing_changes_nothing():
    image, mask = textured(300, 400), square(300, 400)
    output = Harmonizer(Recolour(lambda colours, y, x: colours))(image, mask)
    torch.testing.assert_close(output, image, rtol=0, atol=1e-4)


def test_two_objects_side_by_side_do_not_bleed_into_the_background():
    """Colours around the foreground do not enter its fit, however close they are."""
    image, mask = textured(400, 400), torch.zeros(1, 400, 400)
    mask[:, 100:300, 100:300] = 1

    def change(colours, y, x):  # the generator's picture means nothing outside the mask
        inside = (y > 0.25) & (y < 0.75) & (x > 0.25) & (x < 0.75)
        return torch.where(inside, colours * 0.6, torch.zeros_like(colours))

    output = Harmonizer(Recolour(change))(image, mask, resolution=100)
    inside = np.s_[:, 100:300, 100:300]
    torch.testing.assert_close(output[inside], image[inside] * 0.6, rtol=0, atol=0.02)
