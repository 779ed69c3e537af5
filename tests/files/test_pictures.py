"""Picture files: read as they are meant, written without losing what belongs to them."""

import io
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin, features

from harmonize_composite.files import pictures
from harmonize_composite.files.pictures import PictureError, read_mask, read_picture, save_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION, ARTIST, EXIF_IFD, ISO = 0x0112, 0x013B, 0x8769, 0x8827


def noise(*shape, kind=np.uint8):
    return np.random.default_rng(3).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)


def smooth(height=40, width=60):
    y, x = np.mgrid[:height, :width]
    return np.stack((x / width, y / height, (x + y) / (width + height)), -1)


def eight_bits(picture):
    return (picture * 255).round().to(torch.uint8)[0].numpy()


# Reading


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_rgb_is_read_as_it_is_stored(tmp_path, suffix):
    values = noise(7, 9, 3)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    picture, _ = read_picture(tmp_path / f"a.{suffix}")
    assert picture.dtype == torch.float32 and picture.shape == (1, 7, 9, 3)
    assert np.array_equal(eight_bits(picture), values)


def test_grey_becomes_rgb(tmp_path):
    values = noise(7, 9)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(eight_bits(read_picture(tmp_path / "a.png")[0]), np.repeat(values[..., None], 3, -1))


def test_sixteen_bit_grey_keeps_its_steps(tmp_path):
    values = noise(7, 9, kind=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    picture, _ = read_picture(tmp_path / "a.png")
    assert np.array_equal((picture[0, ..., 0] * 65535).round().numpy().astype(np.uint16), values)
    assert np.array_equal((read_mask(tmp_path / "a.png")[0] * 65535).round().numpy().astype(np.uint16), values)


def test_one_bit_and_palette_are_read(tmp_path):
    Image.fromarray(noise(7, 9) > 127).save(tmp_path / "bit.png")
    assert set(read_picture(tmp_path / "bit.png")[0].unique().tolist()) == {0, 1}
    image = Image.fromarray(noise(7, 9, 3)).quantize(16)
    image.save(tmp_path / "palette.png")
    assert np.array_equal(eight_bits(read_picture(tmp_path / "palette.png")[0]), np.asarray(image.convert("RGB")))


def test_a_transparent_palette_has_an_alpha_channel(tmp_path):
    image = Image.fromarray(noise(7, 9, 3)).quantize(8)
    image.save(tmp_path / "a.png", transparency=3)
    picture, _ = read_picture(tmp_path / "a.png")
    assert np.array_equal(picture[0, ..., 3].numpy() == 0, np.asarray(image) == 3)


def test_rgba_keeps_its_alpha_and_the_colours_beneath(tmp_path):
    values = noise(7, 9, 4)
    values[:3, ..., 3] = 0
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(eight_bits(read_picture(tmp_path / "a.png")[0]), values)


def test_cmyk_is_read_as_colours(tmp_path):
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red.save(tmp_path / "a.jpg", quality=95)
    r, g, b = read_picture(tmp_path / "a.jpg")[0].mean((0, 1, 2))
    assert r > 0.9 and g < 0.1 and b < 0.1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright_and_stay_so(tmp_path, orientation):
    values = (smooth() * 255).astype(np.uint8)
    upright = Image.fromarray(values)
    turns = [None, 0, 3, 1, 5, 4, 6, 2]  # the transposition that each orientation undoes
    method = turns[orientation - 1]
    undo = {2: 4, 4: 2}.get(method, method)
    stored = upright if undo is None else upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    picture, info = read_picture(tmp_path / "a.png")
    assert np.array_equal(eight_bits(picture), values)
    save_picture(picture, tmp_path / "b.png", info)
    assert Image.open(tmp_path / "b.png").getexif().get(ORIENTATION, 1) == 1
    assert np.array_equal(eight_bits(read_picture(tmp_path / "b.png")[0]), values)


# Masks


def test_masks_come_from_grey_colour_bits_and_alpha(tmp_path):
    inside = noise(7, 9) > 127
    grey = Image.fromarray(inside.astype(np.uint8) * 255)
    cutout = Image.fromarray(noise(7, 9, 3))
    cutout.putalpha(grey)
    kinds = {
        "grey": grey,
        "colour": grey.convert("RGB"),
        "bits": grey.convert("1"),
        "palette": grey.convert("P"),
        "alpha": cutout,
        "zeros and ones": Image.fromarray(inside.astype(np.uint8)),
        "opaque": grey.convert("RGBA"),
    }
    for name, image in kinds.items():
        image.save(tmp_path / f"{name}.png")
        mask = read_mask(tmp_path / f"{name}.png")
        assert mask.shape == (1, 7, 9) and np.array_equal(mask[0].numpy(), inside.astype(np.float32)), name


def test_soft_masks_stay_soft(tmp_path):
    values = noise(7, 9)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(eight_bits(read_mask(tmp_path / "a.png")[..., None])[..., 0], values)


# Writing

WRITERS = ["png", "tif", "tiff", "webp", "bmp"]


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([3, 4]),
    suffix=st.sampled_from(WRITERS),
    seed=st.integers(0, 99),
)
def test_lossless_formats_give_back_every_pixel(tmp_path_factory, height, width, channels, suffix, seed):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    if suffix == "bmp":
        values = values[..., :3]
    path = tmp_path_factory.mktemp("a") / f"a.{suffix}"
    save_picture(torch.from_numpy(values)[None].float() / 255, path)
    again = eight_bits(read_picture(path)[0])
    assert np.array_equal(again, values) or (again.shape[2] == 3 and (values[..., 3] == 255).all())


@pytest.mark.parametrize(
    "suffix",
    ["jpg", "jpeg", pytest.param("avif", marks=pytest.mark.skipif(not features.check("avif"), reason="no AVIF"))],
)
def test_lossy_formats_stay_close(tmp_path, suffix):
    picture = torch.from_numpy(smooth()).float()[None]
    save_picture(picture, tmp_path / f"a.{suffix}")
    again, _ = read_picture(tmp_path / f"a.{suffix}")
    assert -10 * (again - picture).square().mean().log10() > 40


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_profile_exif_and_resolution_are_kept(tmp_path, suffix):
    exif = Image.Exif()
    exif[ARTIST] = "A. Photographer"
    exif.get_ifd(EXIF_IFD)[ISO] = 400
    exif[EXIF_IFD] = exif.get_ifd(EXIF_IFD)  # TIFF writes it only so
    Image.fromarray(noise(16, 16, 3)).save(tmp_path / f"a.{suffix}", exif=exif, icc_profile=SRGB, dpi=(300, 300))
    picture, info = read_picture(tmp_path / f"a.{suffix}")
    save_picture(picture, tmp_path / f"b.{suffix}", info)
    with Image.open(tmp_path / f"b.{suffix}") as kept:
        assert kept.info["icc_profile"] == SRGB
        assert kept.getexif()[ARTIST] == "A. Photographer"
        assert kept.getexif().get_ifd(EXIF_IFD)[ISO] == 400
        if suffix != "webp":
            assert kept.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_the_workflow_in_a_png_is_kept(tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("workflow", '{"nodes": [1, 2]}')
    texts.add_itxt("prompt", "grün")
    Image.fromarray(noise(5, 5, 3)).save(tmp_path / "a.png", pnginfo=texts)
    picture, info = read_picture(tmp_path / "a.png")
    save_picture(picture, tmp_path / "b.png", info)
    assert Image.open(tmp_path / "b.png").text == {"workflow": '{"nodes": [1, 2]}', "prompt": "grün"}


def test_transparency_is_laid_on_white_where_a_format_has_none(tmp_path, caplog):
    save_picture(torch.zeros(1, 8, 8, 4), tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg")[0].min() > 0.95
    assert "no alpha channel" in caplog.text


# Refusals


def damaged(name):
    data = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(data, name)
    return data.getvalue()[: len(data.getvalue()) // 2]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "bmp"])
def test_a_file_that_was_cut_short_is_refused(tmp_path, kind):
    (tmp_path / f"a.{kind}").write_bytes(damaged(kind))
    for read in (read_picture, read_mask):
        with pytest.raises(PictureError, match=r"a\.\w+: "):
            read(tmp_path / f"a.{kind}")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@settings(max_examples=60, deadline=None)
@given(
    junk=st.binary(max_size=300), start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"II*\0"])
)
def test_no_bytes_make_it_fail_in_another_way(tmp_path_factory, junk, start):
    path = tmp_path_factory.mktemp("junk") / "a.png"
    path.write_bytes(start + junk)
    with pytest.raises(PictureError):
        read_picture(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 7.0, -1.0])
def test_values_that_are_no_picture_are_refused(tmp_path, monkeypatch, value):
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)  # with it, values in floating point may be any
    values = np.full((4, 4), 0.5, np.float32)
    values[1, 2] = value
    Image.fromarray(values).save(tmp_path / "a.tif")
    for read in (read_picture, read_mask):
        with pytest.raises(PictureError, match="NaN|range"):
            read(tmp_path / "a.tif")


def test_pixels_that_are_no_numbers_are_not_saved(tmp_path):
    with pytest.raises(ValueError, match="NaN"):
        save_picture(torch.full((1, 4, 4, 3), float("nan")), tmp_path / "a.png")
    assert not any(tmp_path.iterdir())


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(pictures.write_whole.__globals__["os"], "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save_picture(torch.zeros(1, 4, 4, 3), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"
