"""Colour profiles: built, kept, and from one to another."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms

from harmonize_composite.files import colour
from harmonize_composite.files.colour import ADOBE_RGB, build_profile, convert, profile_of
from harmonize_composite.files.metadata import PictureInfo
from harmonize_composite.files.pictures import join, read_picture, save_picture
from harmonize_composite.files.training_images import read_rgb

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)


def to_xyz(chromaticities):
    """The matrix from linear RGB to XYZ, from its definition."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in np.reshape(chromaticities, (4, 2))])
    return columns[:3].T * np.linalg.solve(columns[:3].T, columns[3])


def srgb_to_linear(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.fixture
def greys_and_colours():
    return torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2


def png_with(path, *chunks, mode="RGB"):
    file = io.BytesIO()
    levels = np.random.default_rng(0).integers(60, 200, (8, 8, 3), np.uint8)
    Image.fromarray(levels).convert(mode).save(file, "PNG")
    data = file.getvalue()
    more = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    path.write_bytes(data[:33] + more + data[33:])
    return path


def test_a_built_profile_means_what_it_was_built_from(greys_and_colours):
    values = greys_and_colours[0].numpy().astype(np.float64)
    linear = srgb_to_linear(values) @ np.linalg.solve(to_xyz(P3), to_xyz(colour.REC_709)).T
    expected = linear ** (1 / 1.8)
    profile = build_profile(P3, lambda each: each**1.8, "test")
    np.testing.assert_allclose(convert(greys_and_colours, None, profile)[0].numpy(), expected, atol=2 / 255)


def test_srgb_written_out_is_srgb(greys_and_colours):
    profile = build_profile(colour.REC_709, srgb_to_linear, "test")
    for known in (profile, SRGB):
        assert (convert(greys_and_colours, known, None) - greys_and_colours).abs().max() < 1.5 / 255


def test_fine_gradations_survive_a_conversion():
    ramp = torch.linspace(0.4, 0.41, 500)[None, None, :, None].expand(1, 1, 500, 3)
    converted = convert(ramp, None, ADOBE_RGB)
    assert len(converted[0, 0, :, 0].unique()) > 300 and (converted.diff(dim=2) > -1.5 / 255).all()


@pytest.mark.parametrize(
    ("chunks", "primaries", "to_linear"),
    [
        ([(b"cICP", bytes((12, 13, 0, 1)))], P3, srgb_to_linear),
        ([(b"gAMA", struct.pack(">I", 100_000))], colour.REC_709, lambda values: values),
        (
            [
                (b"gAMA", struct.pack(">I", 55_556)),
                (b"cHRM", struct.pack(">8I", *(round(100_000 * P3[i]) for i in (6, 7, 0, 1, 2, 3, 4, 5)))),
            ],
            P3,
            lambda values: values**1.8,
        ),
    ],
)
def test_chunks_of_a_png_say_what_the_values_mean(tmp_path, chunks, primaries, to_linear):
    picture, info = read_picture(png_with(tmp_path / "a.png", *chunks))
    values = to_linear(picture[0].numpy().astype(np.float64))
    linear = values @ np.linalg.solve(to_xyz(colour.REC_709), to_xyz(primaries)).T
    expected = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clip(0) ** (1 / 2.4) - 0.055).clip(0, 1)
    np.testing.assert_allclose(convert(picture, profile_of(info), None)[0].numpy(), expected, atol=4 / 255)
    save_picture(picture, tmp_path / "b.png", info)
    assert read_picture(tmp_path / "b.png")[1].chunks == tuple(chunks)
    save_picture(picture, tmp_path / "b.tif", info)  # which has no such chunks, but a profile
    again, kept = read_picture(tmp_path / "b.tif")
    assert torch.equal(again, picture) and kept.icc_profile == profile_of(info)


@pytest.mark.parametrize(
    "chunks",
    [[], [(b"gAMA", struct.pack(">I", 45455))], [(b"sRGB", b"\0")], [(b"cICP", bytes((1, 13, 0, 1)))]],
)
def test_srgb_has_many_names(tmp_path, chunks):
    assert profile_of(read_picture(png_with(tmp_path / "a.png", *chunks))[1]) is None


@pytest.mark.parametrize("content", [b"\0" * 32, b"\xff" * 32, struct.pack(">8I", *[30_000] * 8)])
def test_chromaticities_without_sense_are_passed_over(tmp_path, content):
    _, info = read_picture(png_with(tmp_path / "a.png", (b"cHRM", content)))
    convert(torch.rand(1, 4, 4, 3), profile_of(info), None)


def test_a_camera_that_says_adobe_rgb_in_exif_is_believed(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {ExifTags.Interop.InteropIndex: "R03"}
    exif[ExifTags.IFD.Exif] = exif.get_ifd(ExifTags.IFD.Exif)
    levels = np.random.default_rng(0).integers(60, 200, (8, 8, 3), np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png", exif=exif)
    picture, info = read_picture(tmp_path / "a.png")
    assert info.icc_profile == ADOBE_RGB
    save_picture(picture, tmp_path / "b.png", info)
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["icc_profile"] == ADOBE_RGB and np.array_equal(np.asarray(image), levels)


def test_a_background_keeps_its_values_whatever_its_profile(greys_and_colours):
    for above, below in [(None, ADOBE_RGB), (ADOBE_RGB, None), (SRGB, ADOBE_RGB)]:
        picture, background, info = join(
            greys_and_colours, PictureInfo(icc_profile=above), greys_and_colours, PictureInfo(icc_profile=below)
        )
        assert torch.equal(background, greys_and_colours) and info.icc_profile == below
        assert (convert(picture, below, above) - greys_and_colours).abs().mean() < 1 / 255


def test_colours_on_a_grey_background_are_colours(greys_and_colours):
    grey = greys_and_colours.mean(-1, keepdim=True).expand(-1, -1, -1, 3)
    _, _, info = join(greys_and_colours, PictureInfo(), grey, PictureInfo(grey=True, bits=16))
    assert not info.grey and info.bits == 16
    _, _, info = join(grey, PictureInfo(grey=True), grey, PictureInfo(grey=True))
    assert info.grey
    _, _, info = join(grey, PictureInfo(grey=True), greys_and_colours, PictureInfo())
    assert not info.grey


def test_training_sees_srgb(tmp_path):
    levels = np.random.default_rng(0).integers(60, 200, (8, 8, 3), np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png", icc_profile=ADOBE_RGB)
    expected = convert(torch.from_numpy(levels / np.float32(255))[None], ADOBE_RGB, None)[0].numpy()
    np.testing.assert_allclose(np.asarray(read_rgb(tmp_path / "a.png")) / 255, expected, atol=1.5 / 255)
    assert np.abs(expected * 255 - levels).max() > 5
