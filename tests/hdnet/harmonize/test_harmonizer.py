"""The harmonizer changes nothing outside the mask."""

import io
import logging
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from harmonize_composite.hdnet import Harmonizer
from images import Recolour, picture, square

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
