"""Kinds of input that people have and that no picture of a manual shows."""

import logging
import os
import shutil
import subprocess
import sys
import unicodedata

import numpy as np
import png
import pytest
from PIL import Image

from command_line import run
from harmonize_composite.files.colour import ADOBE_RGB

SIZE = (48, 64)
INSIDE = np.zeros(SIZE, bool)
INSIDE[12:36, 16:48] = True
MASK = Image.fromarray(INSIDE * np.uint8(255))
GREEN = (10, 200, 30)


def colours(seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize(SIZE[::-1], Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    colours().save("composite.png")
    MASK.save("mask.png")
    return tmp_path


def image(*arguments):
    return run("image", *arguments, "--resolution", "64", "--foreground", "pasted")


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


# Pictures


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
@pytest.mark.parametrize("name", ["out.png", "out.tif", "out.jpg"])
def test_grey_stays_grey(folder, mode, name):
    grey = colours().convert("L")
    if mode == "I;16":
        grey = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    elif mode == "LA":
        grey.putalpha(255)
    else:
        grey = grey.convert(mode)
    grey.save("grey.png")
    assert image("grey.png", "mask.png", "-o", name) == 0
    with Image.open(name) as result:
        if name == "out.jpg":
            assert result.mode == "L"
        else:
            assert result.mode == {"1": "L"}.get(mode, mode)
            before = np.asarray(grey.convert("L") if mode == "1" else grey)
            assert np.array_equal(np.asarray(result)[~INSIDE], before[~INSIDE])


def test_a_colour_object_on_a_grey_photograph_is_in_colour(folder):
    colours(1).convert("L").save("grey.png")
    assert image("composite.png", "mask.png", "--background", "grey.png", "-o", "out.png") == 0
    result, grey = pixels("out.png"), pixels("grey.png")
    assert np.array_equal(result[~INSIDE], np.repeat(grey[..., None], 3, -1)[~INSIDE])
    assert result[INSIDE].std(-1).max() > 5


@pytest.mark.parametrize("deep", ["composite", "background"])
def test_16_bits_of_either_picture_are_kept(folder, deep):
    levels = np.random.default_rng(0).integers(0, 65536, (*SIZE, 3)).astype(np.uint16)
    png.from_array(levels.reshape(SIZE[0], -1).tolist(), "RGB;16", {"width": 64, "height": 48}).save("deep.png")
    pair = ("deep.png", "composite.png") if deep == "composite" else ("composite.png", "deep.png")
    assert image(pair[0], "mask.png", "--background", pair[1], "-o", "out.png") == 0
    result = np.array([list(row) for row in png.Reader(filename="out.png").read()[2]]).reshape(*SIZE, 3)
    expected = levels if deep == "background" else pixels("composite.png").astype(int) * 257
    assert np.array_equal(result[~INSIDE], expected[~INSIDE])


def test_a_grey_original_with_a_wide_composite(folder):
    colours(1).save("original.png")
    colours().save("composite.png", icc_profile=ADOBE_RGB)
    assert image("composite.png", "mask.png", "--background", "original.png", "-o", "out.png") == 0
    with Image.open("out.png") as result:
        assert "icc_profile" not in result.info
        assert np.array_equal(np.asarray(result)[~INSIDE], pixels("original.png")[~INSIDE])


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_colours_that_cannot_stay_are_told(folder, capsys, mode):
    colours().convert("CMYK").save("print.tif") if mode == "CMYK" else Image.new("LAB", (64, 48), 128).save("print.tif")
    assert image("print.tif", "mask.png", "-o", "out.png") == 0
    assert f"print.tif: its {mode} colours become RGB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "start", "words"),
    [
        ("a.heic", b"\0\0\0\x18ftypheic", "HEIC"),
        ("a.jxl", b"\xff\x0a", "JPEG XL"),
        ("a.exr", b"\x76\x2f\x31\x01", "OpenEXR"),
        ("a.hdr", b"#?RADIANCE\n", "Radiance"),
        ("a.pdf", b"%PDF-1.7", "PDF"),
        ("a.svg", b"<svg xmlns='x'>", "SVG"),
        ("a.png", b"<!DOCTYPE html>", "web page"),
        ("a.png", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("a.dng", b"II*\0" + bytes(50), "raw file of a camera"),
        ("a.png", b"", "the file is empty"),
    ],
)
def test_files_that_are_no_such_pictures_are_named_with_what_helps(folder, capsys, name, start, words):
    (folder / name).write_bytes(start)
    assert image(name, "mask.png", "-o", "out.png") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"harmonize: {name}: this is ") and words in error and error.count("\n") == 1


# Transparency


def cut_out(alpha):
    picture = colours()
    picture.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return picture


def test_a_cut_out_with_a_mask_of_its_box_brings_no_hidden_colours(folder):
    disc = np.hypot(*np.mgrid[-24:24, -32:32]) < 10
    cut_out(disc * 255).save("cutout.png")
    Image.new("RGB", (64, 48), GREEN).save("green.png")
    assert image("cutout.png", "mask.png", "--background", "green.png", "-o", "out.png") == 0
    result = pixels("out.png")
    assert (result[~disc][:, :3] == GREEN).all() and (result[disc][:, :3] != GREEN).any(-1).all()
    assert result.shape[-1] == 3 or (result[..., 3] == 255).all()


def test_a_soft_alpha_counts_once(folder):
    soft = np.zeros(SIZE)
    soft[:, 20:44] = 128
    red = Image.merge(
        "RGBA", [*Image.new("RGB", (64, 48), (200, 0, 0)).split(), Image.fromarray(soft.astype(np.uint8))]
    )
    red.save("red.png")
    Image.new("RGB", (64, 48), (0, 0, 200)).save("blue.png")
    common = ("red.png", "red.png", "--background", "blue.png", "--strength", "0")
    assert image(*common, "-o", "out.png") == 0
    np.testing.assert_allclose(pixels("out.png")[24, 32, :3], (200 * 128 / 255, 0, 200 * 127 / 255), atol=1)


def test_a_transparent_background_lends_no_colour(folder):
    alpha = np.zeros(SIZE)
    alpha[:, 20:44] = 128
    Image.merge(
        "RGBA", [*Image.new("RGB", (64, 48), (200, 90, 0)).split(), Image.fromarray(alpha.astype(np.uint8))]
    ).save("cutout.png")
    Image.new("RGBA", (64, 48), (0, 0, 0, 0)).save("nothing.png")
    common = ("cutout.png", "cutout.png", "--background", "nothing.png", "--strength", "0")
    assert image(*common, "-o", "out.png") == 0
    result = pixels("out.png")
    assert (result[24, 32] == (200, 90, 0, 128)).all() and (result[24, 2] == 0).all()


def test_a_cut_out_alone_has_nothing_to_match(folder, capsys):
    cut_out(INSIDE * 255).save("cutout.png")
    assert image("cutout.png", "cutout.png", "-o", "out.png") == 2
    assert "nothing to match" in capsys.readouterr().err and not (folder / "out.png").exists()


def test_hidden_colours_are_no_reference(folder):
    alpha = np.full(SIZE, 255)
    alpha[:, :10] = 0
    results = []
    for hidden in (0, 255):
        values = np.dstack([pixels("composite.png"), alpha.astype(np.uint8)])
        values[:, :10, :3] = hidden
        Image.fromarray(values).save("a.png")
        assert image("a.png", "mask.png", "-o", f"{hidden}.png") == 0
        results.append(pixels(f"{hidden}.png"))
        assert np.array_equal(results[-1][~INSIDE], values[~INSIDE])
    assert np.array_equal(results[0][INSIDE], results[1][INSIDE])


# Names and folders


@pytest.mark.parametrize(
    "name", ["shot mask.png", "Shot_Mask.PNG", "shot.matte.webp", "label-shot.bmp", "shot_seg.gif", "shot.jpg.png"]
)
def test_masks_have_many_names(folder, name):
    for each in ("pictures", "masks"):
        (folder / each).mkdir()
    colours().save("pictures/shot.jpg", quality=95)
    MASK.save(folder / "masks" / name)
    assert run("folder", "pictures", "masks", "-o", "out", "--resolution", "64") == 0
    assert [path.name for path in (folder / "out").iterdir()] == ["shot.jpg"]


def test_accents_may_be_encoded_either_way(folder):
    for each in ("pictures", "masks"):
        (folder / each).mkdir()
    colours().save("pictures/" + unicodedata.normalize("NFC", "été.png"))
    MASK.save("masks/" + unicodedata.normalize("NFD", "été.png"))
    assert run("folder", "pictures", "masks", "-o", "out", "--resolution", "64") == 0


def test_a_picture_whose_own_name_says_mask_is_a_picture(folder):
    (folder / "all").mkdir()
    colours().save("all/gas_mask.png")
    MASK.save("all/gas_mask_mask.png")
    assert run("folder", "all", "all", "-o", "out", "--resolution", "64") == 0
    assert [path.name for path in (folder / "out").iterdir()] == ["gas_mask.png"]


def test_one_folder_without_masks_says_how_to_name_them(folder, capsys):
    (folder / "all").mkdir()
    colours().save("all/shot.png")
    (folder / "same").symlink_to("all")
    for masks in ("all", "same"):
        assert run("folder", "all", masks, "-o", "out") == 2
        assert "never its own mask; name that of shot shot_mask.png" in capsys.readouterr().err


def test_a_picture_is_not_its_own_mask(folder, capsys):
    assert image("composite.png", "composite.png", "-o", "out.png") == 2
    assert "not its own mask" in capsys.readouterr().err
    os.link("composite.png", "same.png")
    assert image("composite.png", "same.png", "-o", "out.png") == 2


def test_an_input_under_another_name_is_not_overwritten(folder, capsys):
    os.link("composite.png", "same.png")
    before = (folder / "same.png").read_bytes()
    assert image("composite.png", "mask.png", "-o", "same.png") == 2
    assert "--overwrite" in capsys.readouterr().err and (folder / "same.png").read_bytes() == before


def test_side_files_of_systems_are_no_pictures(folder, capsys):
    for each in ("pictures", "masks"):
        (folder / each).mkdir()
        shutil.copy("composite.png" if each == "pictures" else "mask.png", folder / each / "a.png")
        for name in ("._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png"):
            (folder / each / name).write_bytes(b"\0\5\x16\7")
        (folder / each / "@eaDir").mkdir()
    assert run("folder", "pictures", "masks", "-o", "out", "--resolution", "64") == 0
    assert "1 of 1 pictures" in capsys.readouterr().out


# Messages


def test_warnings_of_a_folder_name_the_picture(folder, capsys):
    for each in ("pictures", "masks"):
        (folder / each).mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy("composite.png", folder / "pictures" / name)
    MASK.save("masks/a.png")
    Image.new("L", (64, 48)).save("masks/b.png")
    assert run("folder", "pictures", "masks", "-o", "out", "--resolution", "64") == 0
    error = capsys.readouterr().err
    assert "The mask of b.png is empty" in error and "image 0" not in error


def test_a_black_reference_mask_is_told_as_such(folder, capsys):
    Image.new("L", (64, 48)).save("black.png")
    assert image("composite.png", "mask.png", "-o", "out.png", "--reference-mask", "black.png") == 2
    assert "black.png: this reference mask is black" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_cannot_command_a_terminal(folder, capsys):
    name = "a\x1b[2Jb\nc.png"
    shutil.copy("composite.png", name)
    assert image(name, "mask.png", "-o", "d\x1b[2J.png") == 0
    assert image("missing\x1b[2J.png", "mask.png", "-o", "out.png") == 2
    assert run("image", "\x1b[2J", "--nothing") == 2
    logging.getLogger("any").warning("%s: broken", name)
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text_are_worked_on(folder):
    (folder / "all").mkdir()
    name = os.fsdecode(b"b\xff.png")
    shutil.copy("composite.png", folder / "all" / name)
    shutil.copy("mask.png", folder / "all" / (name[:-4] + "_mask.png"))
    done = subprocess.run(
        [sys.executable, "-m", "harmonize_composite.cli", "folder", "all", "all", "-o", "out"], capture_output=True
    )
    assert done.returncode == 0 and (folder / "out" / name).is_file()


@pytest.mark.parametrize("encoding", ["ascii", "cp1251", "cp437"])
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["train", "--help"], ["weights", "list"], ["image", "出力.png", "mask.png", "-o", "x.png"]],
)
def test_every_command_speaks_any_code_page(folder, encoding, arguments):
    done = subprocess.run(
        [sys.executable, "-m", "harmonize_composite.cli", *arguments],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )
    assert b"Traceback" not in done.stderr and b"codec" not in done.stderr
    assert done.returncode == (2 if "image" in arguments else 0)


@pytest.mark.skipif(os.name == "nt", reason="the shell's syntax")
def test_without_a_standard_output_it_works_all_the_same(folder):
    command = f"'{sys.executable}' -m harmonize_composite.cli image composite.png mask.png -o out.png >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True)
    assert done.returncode == 0 and (folder / "out.png").is_file()
