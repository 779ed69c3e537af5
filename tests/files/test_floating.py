"""OpenEXR, Radiance HDR and TIFF in floating point, written and read by OpenImageIO itself and by tifffile."""

import logging
import sys

import numpy as np
import PyOpenColorIO as ocio
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonize_composite.files.floating import is_floating
from harmonize_composite.files.masks import read_mask
from harmonize_composite.files.pictures import PictureError, PictureInfo, join, read_picture, save_picture

oiio = pytest.importorskip("OpenImageIO")

AP1 = (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
MATRIX = tuple(float(each) for each in range(16))


def values(channels=3, height=21, width=34, seed=0):
    """Light over 20 stops, some of it negative, as half precision holds it."""
    rng = np.random.default_rng(seed)
    light = rng.uniform(-0.1, 1, (height, width, channels)) * 2.0 ** rng.uniform(-8, 12, (height, width, 1))
    return light.astype(np.float16).astype(np.float32)


def write(path, data, kind="half", names=("R", "G", "B"), kinds=None, window=None, **attributes):
    spec = oiio.ImageSpec(data.shape[1], data.shape[0], data.shape[2], kind)
    spec.channelnames = names
    if "A" in names:
        spec.alpha_channel = names.index("A")
    if kinds:
        spec.channelformats = tuple(getattr(oiio, each) for each in kinds)
    if window:
        spec.x, spec.y, spec.full_width, spec.full_height = window
    for name, value in attributes.items():
        if isinstance(value, tuple):
            spec.attribute(name, oiio.TypeDesc("matrix" if len(value) == 16 else f"float[{len(value)}]"), value)
        else:
            spec.attribute(name, value)
    file = oiio.ImageOutput.create(str(path))
    assert file.open(str(path), spec), file.geterror()
    assert file.write_image(np.ascontiguousarray(data, np.float32)), file.geterror()
    file.close()
    return path


def read(path):
    """Values as stored, types of the channels, and all attributes."""
    hints = oiio.ImageSpec()
    hints.attribute("oiio:UnassociatedAlpha", 1)
    file = oiio.ImageInput.open(str(path), hints)
    spec = file.spec()
    types = [str(spec.channelformat(number)) for number in range(spec.nchannels)]
    return file.read_image(0, 0, 0, spec.nchannels, "float"), types, {a.name: a.value for a in spec.extra_attribs}


# What stays


@pytest.mark.parametrize("compression", ["none", "zip", "zips", "piz", "rle"])
@pytest.mark.parametrize("kind", ["half", "float"])
def test_an_exr_stays_as_it_is(tmp_path, kind, compression):
    names, kinds = ("R", "G", "B", "A", "Z"), (*[kind.upper()] * 4, "FLOAT")
    data = np.concatenate((values(), np.random.default_rng(1).random((21, 34, 2), np.float32)), -1)
    if kind == "half":
        data[..., :4] = data[..., :4].astype(np.float16)
    about = {"compression": compression, "chromaticities": AP1, "worldToCamera": MATRIX, "shot": "A007"}
    path = write(tmp_path / "a.exr", data, kind, names, kinds, **about)
    picture, info = read_picture(path)
    assert picture.shape == (1, 21, 34, 4) and info.is_light
    save_picture(picture, tmp_path / "b.exr", info)
    (before, types, first), (after, again, second) = read(path), read(tmp_path / "b.exr")
    assert np.array_equal(before, data) and np.array_equal(after, data)
    assert types == again == [kind] * 4 + ["float"] and first == second
    np.testing.assert_allclose(second["chromaticities"], AP1)
    assert second["shot"] == "A007" and second["worldToCamera"] == MATRIX and second["compression"] == compression


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([1, 2, 3, 4]), st.sampled_from(["half", "float"]))
@settings(deadline=None, max_examples=25)
def test_what_is_changed_is_changed_and_nothing_else(tmp_path_factory, height, width, channels, kind):
    folder = tmp_path_factory.mktemp("exr")
    names = {1: ("Y",), 2: ("Y", "A"), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}[channels]
    data = values(channels, height, width)
    if "A" in names:
        data[..., -1] = np.random.default_rng(0).choice(np.float16([0, 0.1, 0.3, 1]), (height, width))
    picture, info = read_picture(write(folder / "a.exr", data, kind, names))
    changed = picture.clone()
    inside = np.random.default_rng(1).random((height, width)) < 0.5
    changed[0, ..., :3][torch.from_numpy(inside)] *= 1.5
    save_picture(changed, folder / "b.exr", info)
    after = read(folder / "b.exr")[0]
    assert np.array_equal(after[~inside], data[~inside])
    colours = 1 if channels < 3 else 3
    np.testing.assert_allclose(after[inside][:, :colours], 1.5 * data[inside][:, :colours], rtol=1e-3, atol=1e-6)
    assert np.array_equal(after[..., colours:], data[..., colours:])


def test_colours_of_an_exr_are_multiplied_by_alpha_and_those_of_the_picture_are_not(tmp_path):
    data = values(4)
    data[..., 3] = 0.5
    data[0, 0] = (3, 2, 1, 0)  # shines, and covers nothing
    picture, _ = read_picture(write(tmp_path / "a.exr", data, names=("R", "G", "B", "A")))
    np.testing.assert_array_equal(picture[0, 1:, :, :3], 2 * data[1:, :, :3])
    np.testing.assert_array_equal(picture[0, 0, 0], data[0, 0])


@pytest.mark.parametrize("extrasample", ["unassalpha", "assocalpha", None])
def test_a_tiff_in_floating_point_stays_as_it_is(tmp_path, extrasample):
    data = values(4 if extrasample else 3)
    if extrasample:
        data[..., 3] = np.random.default_rng(0).random(data.shape[:2])
    options = {"extrasamples": [extrasample]} if extrasample else {}
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", description="a shot", **options)
    picture, info = read_picture(tmp_path / "a.tif")
    assert is_floating(tmp_path / "a.tif") and not info.is_light
    straight = data[..., :3] / (data[..., 3:] if extrasample == "assocalpha" else 1)
    np.testing.assert_allclose(picture[0, ..., :3], straight, rtol=1e-6)
    changed = picture.clone()
    changed[0, :5, :, :3] *= 2
    save_picture(changed, tmp_path / "b.tif", info)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        after, page = file.asarray(), file.pages[0]
        assert page.tags["ImageDescription"].value == "a shot" and after.dtype == np.float32
        assert [each.name.lower() for each in page.extrasamples] == ([extrasample] if extrasample else [])
    assert np.array_equal(after[5:], data[5:])
    np.testing.assert_allclose(after[:5, :, :3], 2 * data[:5, :, :3], rtol=1e-6)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float16, np.float32])
def test_floating_point_is_told_by_the_file_not_by_its_name(tmp_path, kind, big):
    tifffile.imwrite(tmp_path / "a.tif", values().clip(0, 1).astype(kind), photometric="rgb", bigtiff=big)
    assert is_floating(tmp_path / "a.tif") == np.issubdtype(kind, np.floating)


def test_a_radiance_file_stays_as_it_is(tmp_path):
    path = write(tmp_path / "a.hdr", np.abs(values(width=100)), "float")
    picture, info = read_picture(path)
    save_picture(picture, tmp_path / "b.hdr", info)
    assert path.read_bytes() == (tmp_path / "b.hdr").read_bytes()
    assert picture.max() > 100


def test_beyond_the_picture_the_data_stays_and_where_there_is_none_it_is_black(tmp_path):
    """A display window of 20 x 10: the data begins 4 to the left of it and ends 6 short of its right side."""
    data = values(4, 14, 18)
    data[..., 3] = 1
    path = write(tmp_path / "a.exr", data, names=("R", "G", "B", "A"), window=(-4, -2, 20, 10))
    picture, info = read_picture(path)
    assert picture.shape == (1, 10, 20, 4)
    np.testing.assert_array_equal(picture[0, :, :14], data[2:12, 4:])
    assert not picture[0, :, 14:].any()
    picture[..., :3] *= 2
    save_picture(picture, tmp_path / "b.exr", info)
    expected = data.copy()
    expected[2:12, 4:, :3] *= 2
    assert np.array_equal(read(tmp_path / "b.exr")[0], expected)


def test_the_colours_may_be_those_of_a_layer(tmp_path):
    names = ("depth.Z", "beauty.R", "beauty.G", "beauty.B", "beauty.A")
    data = values(5)
    data[..., names.index("beauty.A")] = 1
    picture, info = read_picture(write(tmp_path / "a.exr", data, names=names))
    _, _, attributes = read(tmp_path / "a.exr")
    stored, _, _ = read(tmp_path / "a.exr")
    order = oiio.ImageInput.open(str(tmp_path / "a.exr")).spec().channelnames
    np.testing.assert_array_equal(picture[0, ..., 0], stored[..., order.index("beauty.R")])
    save_picture(picture, tmp_path / "b.exr", info)
    assert np.array_equal(read(tmp_path / "b.exr")[0], stored) and read(tmp_path / "b.exr")[2] == attributes


def test_primaries_are_those_of_the_file_outside_and_of_srgb_inside(tmp_path):
    data = np.abs(values())
    picture, info = read_picture(write(tmp_path / "a.exr", data, "float", chromaticities=AP1))
    config = ocio.Config.CreateFromBuiltinConfig("cg-config-v1.0.0_aces-v1.3_ocio-v2.1")
    expected = data.copy()
    config.getProcessor("ACEScg", "Linear Rec.709 (sRGB)").getDefaultCPUProcessor().applyRGB(expected)
    np.testing.assert_allclose(picture[0], expected, rtol=1e-3, atol=1e-3 * data.max())
    changed = picture.clone()
    changed[0, :5, :, 1] += 0.5
    save_picture(changed, tmp_path / "b.exr", info)
    after = read(tmp_path / "b.exr")[0]
    assert np.array_equal(after[5:], data[5:])
    again, _ = read_picture(tmp_path / "b.exr")
    np.testing.assert_allclose(again, changed, rtol=1e-4, atol=1e-5 * data.max())
    save_picture(picture, tmp_path / "b.tif", info)
    assert np.array_equal(read(tmp_path / "b.tif")[0], picture[0])


@pytest.mark.parametrize("nonsense", [(0.0,) * 8, (0.3,) * 8, (0.64, 0.33, 0.3, 0.6, 0.15, 0.0, 0.3127, 0.329)])
def test_chromaticities_that_mean_nothing_are_kept_and_not_heeded(tmp_path, nonsense):
    picture, info = read_picture(write(tmp_path / "a.exr", values(), chromaticities=nonsense))
    np.testing.assert_array_equal(picture[0], values())


# What a format does not hold


def test_a_lossy_compression_becomes_one_that_changes_nothing(tmp_path, caplog):
    path = write(tmp_path / "a.exr", np.abs(values(3, 64, 64)), compression="dwaa")
    picture, info = read_picture(path)
    with caplog.at_level(logging.WARNING):
        save_picture(picture, tmp_path / "b.exr", info)
    assert np.array_equal(read(path)[0], read(tmp_path / "b.exr")[0]) and "zip" in caplog.text


def test_half_precision_ends_at_65504(tmp_path):
    picture, info = read_picture(write(tmp_path / "a.exr", np.full((4, 4, 3), 60000, np.float32)))
    save_picture(2 * picture, tmp_path / "b.exr", info)
    assert (read(tmp_path / "b.exr")[0] == 65504).all()


def test_pixels_that_are_no_numbers_stay_and_are_told(tmp_path, caplog):
    data = values()
    data[0, 0], data[1, 1, 2], data[2, 2, 0] = np.nan, np.inf, -np.inf
    picture, info = read_picture(write(tmp_path / "a.exr", data))
    assert picture.isfinite().all()
    with caplog.at_level(logging.WARNING):
        save_picture(picture, tmp_path / "b.exr", info)
    assert "NaN or infinite" in caplog.text
    np.testing.assert_array_equal(read(tmp_path / "b.exr")[0], data)


@pytest.mark.parametrize(("source", "target"), [("a.exr", "b.hdr"), ("a.exr", "b.tif"), ("a.hdr", "b.exr")])
def test_light_goes_from_format_to_format(tmp_path, source, target):
    picture, info = read_picture(write(tmp_path / source, np.abs(values()), "float"))
    save_picture(picture, tmp_path / target, info)
    np.testing.assert_allclose(read(tmp_path / target)[0], picture[0], rtol=1e-3, atol=picture.max() / 256)
    if target != "b.hdr":
        assert np.array_equal(read(tmp_path / target)[0], picture[0])


def test_an_alpha_that_the_file_had_not_is_added(tmp_path):
    picture, info = read_picture(write(tmp_path / "a.exr", values()))
    layer = torch.cat((picture, torch.full_like(picture[..., :1], 0.5)), -1)
    save_picture(layer, tmp_path / "b.exr", info)
    data, types, _ = read(tmp_path / "b.exr")
    assert types == ["half"] * 4
    np.testing.assert_allclose(data[..., :3], 0.5 * values(), atol=1e-7)


# What is refused, in one sentence


def refusals(tmp_path):
    picture, info = read_picture(write(tmp_path / "a.exr", values()))
    ordinary = torch.rand(1, 21, 34, 3)
    yield lambda: save_picture(picture, tmp_path / "b.png", info), "holds no values beyond 0..1"
    yield lambda: save_picture(ordinary, tmp_path / "b.exr"), "holds scene-linear light, which the picture is not"
    yield lambda: join(picture, info, ordinary, PictureInfo()), "both be scene-linear"
    whole = (tmp_path / "a.exr").read_bytes()
    (tmp_path / "cut.exr").write_bytes(whole[: len(whole) // 2])
    yield lambda: read_picture(tmp_path / "cut.exr"), "cut.exr: this is an OpenEXR file that is damaged"
    (tmp_path / "no.exr").write_bytes(whole[:4])
    yield lambda: read_picture(tmp_path / "no.exr"), "no.exr: this is an OpenEXR file that cannot be read"
    write(tmp_path / "n.exr", values(), names=("N.X", "N.Y2", "N.Z"))
    yield lambda: read_picture(tmp_path / "n.exr"), "none of its channels"
    tifffile.imwrite(tmp_path / "t.tif", values(), photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    yield lambda: read_picture(tmp_path / "t.tif"), "stored turned"


def test_what_does_not_go_is_told_in_one_sentence(tmp_path):
    for act, words in refusals(tmp_path):
        with pytest.raises(PictureError, match=words) as error:
            act()
        assert "\n" not in str(error.value)


def test_without_openimageio_the_command_is_said(tmp_path, monkeypatch):
    write(tmp_path / "a.exr", values())
    write(tmp_path / "a.hdr", np.abs(values()), "float")
    tifffile.imwrite(tmp_path / "a.tif", values(), photometric="rgb")
    tifffile.imwrite(tmp_path / "grey.tif", values(1)[..., 0].clip(0, 1))
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    for name in ("a.exr", "a.hdr", "a.tif"):
        for reader in (read_picture, read_mask):
            with pytest.raises(PictureError, match=r"OpenImageIO.*pip install 'harmonize-composite\[hdr\]'"):
                reader(tmp_path / name)
    with pytest.raises(PictureError, match=r"pip install 'harmonize-composite\[hdr\]'"):
        save_picture(torch.rand(1, 4, 4, 3), tmp_path / "b.exr")
    assert read_picture(tmp_path / "grey.tif")[0].shape == (1, 21, 34, 3)  # as Pillow reads it


def test_what_is_too_large_is_refused_before_it_is_unpacked(tmp_path):
    write(tmp_path / "a.exr", values(), window=(0, 0, 100_000, 100_000))
    with pytest.raises(PictureError, match="more than 128 megapixels"):
        read_picture(tmp_path / "a.exr")


@pytest.mark.parametrize("value", [np.nan, np.inf, 7, -1])
def test_what_leaves_0_to_1_is_no_mask_and_no_png(tmp_path, value):
    data = values().clip(0, 1)
    data[1, 2] = value
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb")
    with pytest.raises(PictureError, match="NaN|range"):
        read_mask(tmp_path / "a.tif")
    picture, info = read_picture(tmp_path / "a.tif")
    with pytest.raises(PictureError, match="holds no values beyond 0..1"):
        save_picture(picture, tmp_path / "b.png", info)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_tiff_keeps_its_type(tmp_path, kind):
    data = values().astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb")
    picture, info = read_picture(tmp_path / "a.tif")
    save_picture(picture, tmp_path / "b.tif", info)
    after = tifffile.imread(tmp_path / "b.tif")
    assert after.dtype == kind and np.array_equal(after, data)


# Masks


def test_masks_in_floating_point(tmp_path):
    inside = np.zeros((21, 34, 1), np.float32)
    inside[5:15, 8:20] = 1
    inside[5, 8:20] = 0.5
    write(tmp_path / "grey.exr", inside, names=("Y",))
    write(tmp_path / "rgb.exr", inside.repeat(3, -1))
    write(tmp_path / "alpha.exr", np.concatenate((values(), inside), -1), names=("R", "G", "B", "A"))
    for name in ("grey", "rgb", "alpha"):
        assert np.array_equal(read_mask(tmp_path / f"{name}.exr")[0], inside[..., 0])
    write(tmp_path / "light.exr", values())
    with pytest.raises(PictureError, match="leave the range of a mask"):
        read_mask(tmp_path / "light.exr")
