"""Pictures of 16 bits a channel, against pypng and tifffile."""

import numpy as np
import png
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms

from harmonize_composite.files.pictures import PictureError, read_picture, save_picture

KINDS = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 65536, (height, width, channels), np.uint16)


def write_png(path, levels, **options):
    height, width, channels = levels.shape
    writer = png.Writer(width, height, bitdepth=16, greyscale=channels < 3, alpha=channels % 2 == 0, **options)
    with open(path, "wb") as file:
        writer.write(file, levels.reshape(height, -1).tolist())


def read_png(path):
    width, height, rows, info = png.Reader(filename=str(path)).read()
    assert info["bitdepth"] == 16
    return np.array([list(row) for row in rows], np.uint16).reshape(height, width, -1)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    channels=st.sampled_from([1, 2, 3, 4]),
    interlace=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_png_gives_back_every_bit(tmp_path_factory, height, width, channels, interlace, seed):
    folder = tmp_path_factory.mktemp("deep")
    levels = noise(height, width, channels, seed)
    write_png(folder / "a.png", levels, interlace=interlace)
    picture, info = read_picture(folder / "a.png")
    assert picture.shape == (1, height, width, 3 + (channels % 2 == 0))
    save_picture(picture, folder / "b.png", info)
    assert np.array_equal(read_png(folder / "b.png"), levels)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_tiff_gives_back_every_bit(tmp_path, order, compression, channels):
    levels = noise(13, 17, channels)
    if channels == 1:
        levels = levels[..., 0]
    kind = "rgb" if channels > 1 else "minisblack"
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(
        tmp_path / "a.tif", levels, photometric=kind, byteorder=order, compression=compression, predictor=None, **extra
    )
    picture, info = read_picture(tmp_path / "a.tif")
    save_picture(picture, tmp_path / "b.tif", info)
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif").reshape(levels.shape), levels)


def test_premultiplied_colours_are_divided_by_their_alpha(tmp_path):
    levels = noise(13, 17, 4)
    levels[..., 3] = np.maximum(levels[..., 3], 20000)
    stored = np.concatenate((np.round(levels[..., :3] * (levels[..., 3:] / 65535)), levels[..., 3:]), -1)
    tifffile.imwrite(tmp_path / "a.tif", stored.astype(np.uint16), photometric="rgb", extrasamples=["assocalpha"])
    picture, _ = read_picture(tmp_path / "a.tif")
    np.testing.assert_allclose(picture[0].numpy() * 65535, levels, atol=2)


def test_what_is_said_beside_the_pixels_is_kept_in_a_tiff(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "A. Photographer"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 400
    Image.new("RGB", (4, 4)).save(tmp_path / "said.png", exif=exif, icc_profile=SRGB, dpi=(300, 300))
    _, said = read_picture(tmp_path / "said.png")
    write_png(tmp_path / "deep.png", noise(300, 200, 3))
    picture, deep = read_picture(tmp_path / "deep.png")
    info = type(deep)(**{**vars(said), "bits": deep.bits})
    for name in ("out.tif", "out.png"):
        save_picture(picture, tmp_path / name, info)
        again, kept = read_picture(tmp_path / name)
        assert torch.equal(again, picture)
        assert kept.icc_profile == SRGB and kept.bits == 16 and kept.dpi == pytest.approx((300, 300), abs=0.1)
        with Image.open(tmp_path / name) as image:
            assert image.getexif()[ExifTags.Base.Artist] == "A. Photographer"
            assert image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 400


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_are_turned_upright(tmp_path, orientation):
    levels = noise(5, 7, 3)
    write_png(tmp_path / "deep.png", levels)
    shallow = Image.fromarray((levels // 257).astype(np.uint8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    shallow.save(tmp_path / "shallow.tif", exif=exif)
    picture, info = read_picture(tmp_path / "deep.png")
    save_picture(picture, tmp_path / "turned.tif", type(info)(exif=exif.tobytes(), bits=16))
    turned, _ = read_picture(tmp_path / "turned.tif")
    expected, _ = read_picture(tmp_path / "shallow.tif")
    assert (turned - expected).abs().max() < 1 / 255


def test_a_format_that_holds_8_bits_says_so(tmp_path, caplog):
    write_png(tmp_path / "a.png", noise(5, 7, 3))
    save_picture(*[read_picture(tmp_path / "a.png")[0], tmp_path / "b.jpg", read_picture(tmp_path / "a.png")[1]])
    assert "b.jpg: .jpg holds 8 bits a channel" in caplog.text


def test_channel_after_channel_is_refused_and_not_read_wrongly(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(5, 7, 3).transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    with pytest.raises(PictureError, match="a.tif: its 16 bits are stored channel after channel; save it interleaved"):
        read_picture(tmp_path / "a.tif")


def test_a_tiff_of_a_kind_that_is_not_read_says_what_helps(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 7, 3), np.uint32), photometric="rgb")
    with pytest.raises(PictureError, match="a.tif: this is a TIFF .* save it with 8 or 16 bits"):
        read_picture(tmp_path / "a.tif")
