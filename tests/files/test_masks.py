"""Masks as programs for painting, segmenting and labelling write them."""

import numpy as np
import png
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harmonize_composite.files.masks import read_mask
from harmonize_composite.files.pictures import PictureError
from harmonize_composite.files.training_images import read_mask as read_training_mask

SIZE = (24, 32)
INSIDE = np.zeros(SIZE, bool)
INSIDE[6:18, 8:24] = True
LEVELS = INSIDE * np.uint8(255)


def palette(numbers, colours):
    image = Image.fromarray(numbers)
    image.putpalette(colours)
    return image


def coloured(red, green, blue):
    return Image.fromarray(np.stack([INSIDE * np.uint8(each) for each in (red, green, blue)], -1))


def lab():
    return Image.frombytes("LAB", SIZE[::-1], np.dstack([LEVELS, LEVELS * 0, LEVELS * 0]).tobytes())


KINDS = {
    "32 bits, 0 and 1.tif": Image.fromarray(INSIDE.astype(np.int32)),
    "32 bits, 0 and 255.tif": Image.fromarray(INSIDE * np.int32(255)),
    "32 bits, 0 and the largest.tif": Image.fromarray(INSIDE * np.int32(2**31 - 1)),
    "floats up to 1.tif": Image.fromarray(INSIDE.astype(np.float32)),
    "floats up to 255.tif": Image.fromarray(INSIDE * np.float32(255)),
    "16 bits, one instance of Cityscapes.png": Image.fromarray(INSIDE * np.uint16(26001)),
    "16 bits, class 15.tif": Image.fromarray(INSIDE * np.uint16(15)),
    "class 2.png": Image.fromarray(INSIDE * np.uint8(2)),
    "class 76.bmp": Image.fromarray(INSIDE * np.uint8(76)),
    "colours of 0 and 1.png": coloured(1, 1, 1),
    "opaque colours of 0 and 1.png": coloured(1, 1, 1).convert("RGBA"),
    "blue.png": coloured(0, 0, 255),
    "dark red of VOC.png": coloured(128, 0, 0),
    "red.jpg": coloured(255, 0, 0),
    "grey with alpha.png": Image.merge("LA", [Image.fromarray(LEVELS * 0 + 9), Image.fromarray(LEVELS)]),
    "opaque grey.png": Image.merge("LA", [Image.fromarray(LEVELS), Image.fromarray(LEVELS * 0 + 255)]),
    "palette of VOC.png": palette(INSIDE * np.uint8(15), [0, 0, 0] + [64, 128, 0] * 255),
    "palette of VOC.gif": palette(INSIDE * np.uint8(15), [0, 0, 0] + [64, 128, 0] * 255),
    "palette, one colour.tif": palette(INSIDE.astype(np.uint8), [0, 0, 0, 255, 0, 0]),
    "palette of near black.png": palette(INSIDE.astype(np.uint8), [0, 0, 0, 1, 1, 1]),
    "palette in black and white.png": palette(INSIDE.astype(np.uint8), [0, 0, 0, 255, 255, 255]),
    "one bit.tif": Image.fromarray(INSIDE),
    "CMYK.tif": Image.fromarray(LEVELS).convert("RGB").convert("CMYK"),
    "Lab.tif": lab(),
    "JPEG.JPEG": Image.fromarray(LEVELS),
    "upper case.PNG": Image.fromarray(LEVELS),
    "bitmap.BMP": Image.fromarray(LEVELS),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_mask_of_any_kind_says_the_same(tmp_path, name):
    KINDS[name].save(tmp_path / name)
    mask = read_mask(tmp_path / name)[0].numpy()
    far = INSIDE == np.roll(INSIDE, 2, (0, 1))  # from the edge, where JPEG blurs
    close = far if name.lower().endswith(("jpg", "jpeg")) else np.ones(SIZE, bool)
    assert np.array_equal(mask[close], INSIDE.astype(np.float32)[close])
    training = np.asarray(read_training_mask(tmp_path / name))
    assert np.array_equal(training[close], LEVELS[close])


@pytest.mark.parametrize("kind", ["RGB;16", "RGBA;16", "LA;16"])
@pytest.mark.parametrize("full", [1, 255, 65535])
def test_colour_masks_of_16_bits_are_read_whole(tmp_path, kind, full):
    channels = len(kind) - 3
    levels = np.repeat((INSIDE * full)[..., None], channels, -1).astype(np.uint16)
    if kind != "RGB;16":
        levels[..., -1] = 65535
    png.from_array(levels.reshape(SIZE[0], -1).tolist(), kind, {"height": SIZE[0], "width": SIZE[1]}).save(
        tmp_path / "m.png"
    )
    assert torch.equal(read_mask(tmp_path / "m.png")[0], torch.from_numpy(INSIDE).float())


def test_alpha_of_16_bits_is_a_soft_mask(tmp_path):
    alpha = np.linspace(0, 65535, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE)
    levels = np.dstack([alpha * 0 + 7] * 3 + [alpha])
    png.from_array(levels.reshape(SIZE[0], -1).tolist(), "RGBA;16", {"height": SIZE[0], "width": SIZE[1]}).save(
        tmp_path / "m.png"
    )
    np.testing.assert_allclose(read_mask(tmp_path / "m.png")[0].numpy(), alpha / 65535, atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), highest=st.integers(150, 255), deep=st.booleans())
def test_soft_masks_keep_every_value(tmp_path_factory, seed, highest, deep):
    values = np.random.default_rng(seed).integers(0, highest + 1, SIZE).astype(np.uint16)
    values[0, 0] = highest
    path = tmp_path_factory.mktemp("soft") / "m.png"
    Image.fromarray(values * np.uint16(257) if deep else values.astype(np.uint8)).save(path)
    np.testing.assert_allclose(read_mask(path)[0].numpy(), values / 255, atol=1e-6)


def test_a_mask_that_is_dark_everywhere_is_told(tmp_path, caplog):
    values = np.linspace(0, 100, SIZE[0] * SIZE[1]).astype(np.uint8).reshape(SIZE)
    Image.fromarray(values).save(tmp_path / "m.png")
    np.testing.assert_allclose(read_mask(tmp_path / "m.png")[0].numpy(), values / 255, atol=1e-6)
    assert "m.png: the mask is dark everywhere: at its brightest it is 39% white" in caplog.text


def test_colours_taken_for_classes_are_told(tmp_path, caplog):
    coloured(0, 0, 255).save(tmp_path / "m.png")
    read_mask(tmp_path / "m.png")
    assert "everything but black is foreground" in caplog.text


def test_what_jpeg_leaves_beside_an_edge_is_no_mask(tmp_path):
    Image.fromarray(LEVELS).save(tmp_path / "m.jpg", quality=80)
    stored = np.asarray(Image.open(tmp_path / "m.jpg"))
    mask = read_mask(tmp_path / "m.jpg")[0].numpy()
    assert (mask[stored < 8] == 0).all() and (mask[stored > 247] == 1).all()


@pytest.mark.parametrize("value", [-1, 70000.5, 7.5])
def test_values_that_are_no_mask_are_refused(tmp_path, value):
    values = np.full(SIZE, 0.5, np.float32)
    values[1, 2] = value
    Image.fromarray(values).save(tmp_path / "m.tif")
    with pytest.raises(PictureError, match="m.tif: the values leave the range"):
        read_mask(tmp_path / "m.tif")


def test_a_mask_on_its_side_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    Image.fromarray(np.rot90(LEVELS)).save(tmp_path / "m.png", exif=exif)
    assert torch.equal(read_mask(tmp_path / "m.png")[0], torch.from_numpy(INSIDE).float())
