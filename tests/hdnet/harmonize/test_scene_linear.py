"""Scene-linear images: values in proportion to light, without an upper limit."""

import math

import numpy as np
import PyOpenColorIO as ocio
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.hdnet.harmonize.layer import foreground_layer
from harmonize_composite.hdnet.harmonize.lut import LutFit
from harmonize_composite.hdnet.harmonize.scene_linear import (
    HEADROOM,
    Rendering,
    decode_srgb,
    encode_srgb,
    find_exposure,
    harmonize_scene_linear,
    is_scene_linear,
)
from images import Recolour, picture, square


def light(height, width, white=4.0, **options):
    return picture(height, width, **options) ** 2.2 * white


def gains(*factors):
    """A network that multiplies light, seen as sRGB encodes it."""
    factors = torch.tensor(factors).view(3, 1, 1)
    return Recolour(lambda colours, y, x: encode_srgb(decode_srgb(colours.clamp(0, 1)) * factors))


# The rendering


def test_the_curve_is_that_of_srgb():
    values = np.linspace(0, 4, 4001, dtype=np.float32)
    curve = ocio.ExponentWithLinearTransform(
        gamma=[2.4] * 4, offset=[0.055] * 4, negativeStyle=ocio.NEGATIVE_LINEAR, direction=ocio.TRANSFORM_DIR_INVERSE
    )
    expected = np.repeat(values[:, None], 3, 1)
    ocio.Config.CreateRaw().getProcessor(curve).getDefaultCPUProcessor().applyRGB(expected)
    np.testing.assert_allclose(encode_srgb(torch.from_numpy(values)), expected[:, 0], atol=2e-5)


@given(
    st.floats(-20, 20),
    st.lists(st.floats(-1e4, 1e6, width=32), min_size=3, max_size=3),
    st.lists(st.floats(0, 3, width=32), min_size=3, max_size=3),
)
@settings(deadline=None, max_examples=200)
def test_a_rendering_is_undone_exactly_and_its_change_in_proportion(exposure, colour, wanted):
    pixel = torch.tensor(colour).view(1, 1, 3)
    rendering = Rendering.of(pixel, 2.0**exposure)
    assert torch.equal(rendering.undone(rendering.display.clone()), pixel)
    assert 0 <= rendering.display.min() and rendering.display.max() <= encode_srgb(torch.tensor(HEADROOM)) + 1e-6
    wanted = torch.tensor(wanted)
    shown = encode_srgb(decode_srgb(rendering.display) * wanted)
    expected = torch.where(pixel > 0, pixel.double() * wanted, pixel.double())
    apart = (rendering.undone(shown).double() - expected).abs()
    assert (apart <= 1e-4 * expected.abs() + 1e-6 * rendering.excess).all()


def test_equal_steps_of_light_stay_apart():
    """No banding: a ramp of 50,000 levels over 16 stops keeps them all, in order."""
    ramp = torch.logspace(-10, 6, 50_000, base=2.0).view(1, 1, -1, 1).expand(1, 3, -1, 3).contiguous()
    mask = torch.zeros(1, 3, 50_000)
    mask[:, 1] = 1
    harmonize = Harmonizer(gains(0.8, 0.8, 0.8))
    result = harmonize(ramp, mask, exposure=0, foreground="pasted", resolution="native")
    values = result[0, 1, :, 1]
    assert len(values.unique()) == 50_000 and (values.diff() > 0).all()


# The exposure


@given(st.floats(-12, 12))
@settings(deadline=None, max_examples=20)
def test_the_exposure_found_does_not_depend_on_the_units_of_light(stops):
    image = light(40, 50)[0]
    assert math.isclose(find_exposure(image * 2**stops), find_exposure(image) / 2**stops, rel_tol=0.02)


def test_a_photograph_made_linear_is_exposed_about_as_it_was():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(100, 100, 3, generator=generator) * 0.6
    image[:1, :30] = 1  # white somewhere
    assert abs(math.log2(find_exposure(image))) < 0.2
    night = image * 0.06
    night[:1, :60] = 1  # lamps
    assert abs(math.log2(find_exposure(night))) < 0.2  # no day is made of it


def test_a_pixel_that_shines_says_nothing_of_the_exposure():
    """Whatever its brightness: a firefly of a renderer, a highlight on chrome."""
    image = light(100, 100, white=1.0)[0]
    found = []
    for brightness in (10.0, 1e3, 1e5):
        image[50, 50] = brightness
        found.append(find_exposure(image))
    assert max(found) == min(found)


def test_the_sun_does_not_turn_the_rest_black():
    image = light(60, 60, white=0.5)[0]
    image[:3] = 100
    shown = Rendering.of(image, find_exposure(image)).display
    assert 0.1 < shown[3:].mean() < 0.6
    assert find_exposure(torch.zeros(4, 4, 3)) == 1


# The result


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("background", [False, True])
def test_outside_the_mask_every_bit_stays(harmonize, channels, background):
    image, mask = light(50, 70, white=30, channels=channels), square(50, 70, edge=0.5)
    image[..., :3] -= 0.01  # below 0 too
    behind = light(50, 70, white=60, seed=1) if background else None
    result = harmonize(image, mask, background=behind, foreground="pasted")
    assert result.dtype == torch.float32 and result.isfinite().all()
    expected = image if behind is None else behind
    assert torch.equal(result[..., :3][mask == 0], expected[..., :3][mask == 0])
    assert not torch.equal(result[mask == 1], image[mask == 1])


def test_a_gain_of_light_is_a_gain_at_any_brightness():
    image, mask = light(96, 96, white=1.0), square(96, 96)
    image[:, 40:44, 40:44] = torch.tensor([60.0, 40.0, 20.0])
    image[:, 44:48, 40:44, 1] = -0.25
    for factor in (0.5, 0.8):
        result = Harmonizer(gains(factor, factor, factor))(image, mask, exposure=0, foreground="pasted")
        inside = result[0, 40:44, 40:44] / image[0, 40:44, 40:44]
        torch.testing.assert_close(inside, torch.full_like(inside, factor), rtol=0.12, atol=0)
        assert result[0, 40:44, 40:44].min() > 1
    assert (result[0, 44:48, 40:44, 1] <= -0.2).all()  # what no display shows stays


def test_what_gets_brighter_is_not_clipped_at_white():
    image, mask = light(96, 96, white=1.0), square(96, 96)
    result = Harmonizer(gains(1.6, 1.6, 1.6))(image, mask, exposure=0, foreground="pasted", strength=1.5)
    inside = result[mask == 1]
    assert inside.max() > 1.1 and len(inside.unique()) > 0.9 * inside.numel()
    parts = Harmonizer(gains(1.6, 1.6, 1.6))(image, mask, exposure=0, foreground="pasted", colour=0.5)
    assert parts[mask == 1].max() > 1


@pytest.mark.parametrize("stops", [8, 12])
def test_a_pasted_object_in_a_brighter_unit_of_light_is_brought_into_sight(stops):
    """Its texture is seen, and is the same whatever the unit."""
    image, mask = light(96, 96, white=1.0), square(96, 96)
    results, decisions = [], []
    for more in (stops, stops + 1):
        bright = torch.where(mask[..., None] > 0, image * 2.0**more, image)
        harmonize = Harmonizer(gains(0.8, 0.8, 0.8))
        results.append(
            harmonize(
                bright, mask, exposure=0, foreground="pasted", decided=lambda _, each: decisions.append(each.kind)
            )
        )
        assert torch.equal(results[-1][mask == 0], bright[mask == 0])
    assert decisions == ["pasted", "pasted"]
    inside = results[0][mask == 1]
    assert inside.amax(-1).quantile(0.9) == pytest.approx(0.8, rel=0.1)
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)
    correlation = torch.corrcoef(torch.stack((inside.flatten(), image[mask == 1].flatten())))[0, 1]
    assert correlation > 0.99


@pytest.mark.parametrize("share", [0.4, 1])
def test_highlights_of_a_pasted_object_and_a_bright_object_stay_above_white(share):
    image, mask = light(96, 96, white=0.8), square(96, 96)
    inside = mask[0].nonzero()
    rows = inside[: int(share * len(inside))]
    image[0, rows[:, 0], rows[:, 1]] = image[0, rows[:, 0], rows[:, 1]] * (50 if share < 1 else 2) + 2
    result = Harmonizer(gains(0.8, 0.8, 0.8))(image, mask, exposure=0, foreground="pasted")
    before = image[mask == 1] > 3
    assert before.float().mean() > 0.1 and (result[mask == 1][before] > 1).all()


def test_a_bright_object_stays_where_it_is_not_to_change(harmonize):
    image, mask = light(96, 96, white=1.0), square(96, 96)
    image[mask == 1] *= 1000
    for options in ({"strength": 0.0}, {"lightness": 0.0}, {"foreground": "edited"}):
        result = harmonize(image, mask, exposure=0, **{"foreground": "pasted"} | options)
        assert result[mask == 1].mean() == pytest.approx(float(image[mask == 1].mean()), rel=0.25)
    half = harmonize(image, mask, exposure=0, foreground="pasted", strength=0.5)
    assert 1 < half[mask == 1].mean() < 0.3 * image[mask == 1].mean()


@pytest.mark.parametrize("foreground", ["auto", "pasted", "edited"])
def test_light_in_0_to_1_is_judged_as_the_same_picture_in_srgb(harmonize, foreground):
    display, mask = picture(64, 64), square(64, 64)
    expected = harmonize(display, mask, foreground=foreground)
    for white in (1.0, 4.0, 1000.0):
        result = harmonize(
            decode_srgb(display) * white, mask, encoding="linear", exposure=-math.log2(white), foreground=foreground
        )
        below = (expected > 0.01) & (expected < 0.99)
        torch.testing.assert_close(encode_srgb(result / white)[below], expected[below], rtol=0, atol=1e-4)


def test_an_image_is_pasted_in_linear_light(harmonize):
    image, behind, mask = light(40, 40), light(40, 40, white=20, seed=1), torch.full((1, 40, 40), 0.0)
    mask[:, 10:30, 10:30] = 0.25
    result = harmonize(image, mask, background=behind, strength=0.0)
    torch.testing.assert_close(result[:, 10:30, 10:30], (0.25 * image + 0.75 * behind)[:, 10:30, 10:30])


def test_the_tones_of_an_inpainted_copy_are_taken_back(harmonize):
    original = light(128, 128, white=1.0).repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :128, :128]
    original[:, 40:44, 40:44] = 30.0
    shown = Rendering.of(original[0], 1.0).display
    inpainted = Rendering.of(original[0], 1.0).undone(shown * 0.93 + 0.02)[None]
    mask = square(128, 128)
    result = harmonize(inpainted, mask, background=original, exposure=0)
    before, after = (
        (encode_srgb(each.clamp(0, 1)) - encode_srgb(original.clamp(0, 1))).abs() for each in (inpainted, result)
    )
    assert after[mask == 1].mean() < 0.2 * before[mask == 1].mean()
    assert result[:, 42:44, 42:44].min() > 20


@pytest.mark.parametrize("objects", ["images", "each", "together"])
def test_several_objects_and_batches(harmonize, objects):
    image, masks = light(60, 60, white=9), torch.cat((square(60, 60), square(60, 60).roll(21, 2)))
    result = harmonize(image, masks, objects=objects, foreground="pasted")
    assert len(result) == (2 if objects == "images" else 1)
    untouched = (masks if objects == "images" else masks.amax(0, keepdim=True)) == 0
    assert torch.equal(result[untouched], image.expand(len(result), -1, -1, -1)[untouched])


def test_the_frames_of_a_film_share_an_exposure(harmonize):
    frames = light(48, 48).expand(5, -1, -1, -1) * torch.linspace(1, 1.1, 5).view(5, 1, 1, 1)
    seen = []
    network = Recolour(lambda colours, y, x: colours)
    Harmonizer(network)(frames, square(48, 48), consistency="auto", foreground="pasted")
    seen = torch.cat([composite for composite, _, _ in network.seen])
    assert len(seen) == 5 and (seen.flatten(1).mean(1).diff() > 0).all()  # the brighter frames are seen as brighter


# What is taken for light


def test_ordinary_images_are_what_they_were(harmonize):
    image, mask = picture(40, 40) * 1.3, square(40, 40)
    assert not is_scene_linear("auto", None, image=image)
    assert torch.equal(harmonize(image, mask), harmonize(image, mask, encoding="display"))


def test_what_is_brighter_than_white_is_light():
    image = picture(20, 20)
    image[0, 3, 3, 1] = 1.7
    assert is_scene_linear("auto", None, image=image)
    assert is_scene_linear("auto", None, image=image.clamp(0, 1), background=image)
    assert is_scene_linear("auto", 0, image=image.clamp(0, 1))
    assert not is_scene_linear("display", None, image=image)
    assert is_scene_linear("linear", None, image=image.clamp(0, 1))
    sun = picture(20, 20)
    sun[0, 0, 0] = 1e5
    assert is_scene_linear("auto", None, image=sun)


def test_what_may_be_in_0_to_255_is_asked_about(harmonize):
    mask = square(20, 20)
    with pytest.raises(ValueError, match="divide it by 255.*encoding to linear"):
        harmonize(picture(20, 20) * 255, mask)
    with pytest.raises(ValueError, match="divide it by 255"):
        harmonize((picture(20, 20) * 255).round(), mask)
    assert harmonize(picture(20, 20) * 255, mask, encoding="linear").isfinite().all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoding": "log"}, "encoding must be one of auto, display, linear"),
        ({"exposure": float("nan")}, "exposure must be a number of stops"),
        ({"exposure": "0"}, "exposure must be a number of stops"),
        ({"exposure": 40}, "exposure must be a number of stops"),
        ({"encoding": "display", "exposure": 0}, "leave it out, or set the encoding to linear"),
    ],
)
def test_wrong_options_are_told(harmonize, options, words):
    with pytest.raises(ValueError, match=words):
        harmonize(light(20, 20), square(20, 20), **options)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_pixels_that_are_no_numbers_are_refused(harmonize, value):
    image = light(20, 20)
    image[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match="image holds NaN or infinite"):
        harmonize(image, square(20, 20), encoding="linear")


def test_inputs_are_not_written(harmonize):
    image, mask, behind = light(30, 30, channels=4), square(30, 30), light(30, 30, seed=1)
    copies = [each.clone() for each in (image, mask, behind)]
    harmonize_scene_linear(harmonize, image, mask, background=behind)
    harmonize_scene_linear(harmonize, image, mask)
    assert all(torch.equal(*pair) for pair in zip(copies, (image, mask, behind)))


def test_half_precision_is_taken(harmonize):
    image, mask = light(30, 30, white=20).half(), square(30, 30)
    result = harmonize(image, mask)
    assert result.dtype == torch.float32 and torch.equal(result[mask == 0], image.float()[mask == 0])


# What is made of it


def test_a_layer_keeps_highlights_and_a_table_refuses_them(harmonize):
    image, mask = light(30, 30, white=20), square(30, 30, edge=0.5)
    result = harmonize(image, mask, foreground="pasted")
    layer = foreground_layer(result, image, mask)
    torch.testing.assert_close(torch.lerp(image, layer[..., :3], layer[..., 3:]), result, rtol=1e-5, atol=1e-5)
    assert layer.max() > 2
    with pytest.raises(ValueError, match="use a layer instead"):
        LutFit().add(image[0], result[0], mask[0])
