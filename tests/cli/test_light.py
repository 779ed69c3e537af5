"""`harmonize image` and `harmonize folder` on scene-linear files."""

import numpy as np
import pytest
import torch
from PIL import Image

from command_line import names, run
from harmonize_composite.hdnet.harmonize.scene_linear import find_exposure

oiio = pytest.importorskip("OpenImageIO")

INSIDE = np.zeros((48, 64), bool)
INSIDE[12:36, 16:44] = True
PASTED = ("--foreground", "pasted", "--precision", "float32")


def light(seed=0, white=4.0):
    rng = np.random.default_rng(seed)
    return (rng.random((48, 64, 3)) ** 2.2 * white).astype(np.float16).astype(np.float32)


def write(path, data, kind="half"):
    file = oiio.ImageOutput.create(str(path))
    file.open(str(path), oiio.ImageSpec(data.shape[1], data.shape[0], data.shape[2], kind))
    file.write_image(np.ascontiguousarray(data, np.float32))
    file.close()


def read(path):
    file = oiio.ImageInput.open(str(path))
    return file.read_image(0, 0, 0, file.spec().nchannels, "float")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("a.exr", light())
    write("b.exr", light(1, white=40.0))
    Image.fromarray(INSIDE).save("mask.png")
    write("mask.exr", INSIDE[..., None])
    return tmp_path


def test_an_exr_in_and_out(folder):
    for mask in ("mask.png", "mask.exr"):
        assert run("image", "a.exr", mask, "-o", "out.exr", *PASTED) == 0
        result = read("out.exr")
        assert np.array_equal(result[~INSIDE], light()[~INSIDE])
        assert (result[INSIDE] != light()[INSIDE]).mean() > 0.9 and result[INSIDE].max() > 1


def test_the_format_is_light_however_dark_it_is(folder):
    """The same picture in other units gives the same result in these units."""
    write("dark.exr", light() / 64, "float")
    assert run("image", "a.exr", "mask.png", "-o", "bright_out.exr", "--exposure", "-2", *PASTED) == 0
    assert run("image", "dark.exr", "mask.png", "-o", "dark_out.exr", "--exposure", "4", *PASTED) == 0
    np.testing.assert_allclose(read("dark_out.exr") * 64, read("bright_out.exr"), rtol=2e-3, atol=1e-4)
    assert run("image", "dark.exr", "mask.png", "-o", "as_display.exr", "--encoding", "display", *PASTED) == 0
    assert not np.array_equal(read("as_display.exr"), read("dark_out.exr"))


def test_a_foreground_on_a_background_and_as_a_layer(folder):
    given = ("image", "a.exr", "mask.png", "--background", "b.exr", "--strength", "0.5")
    assert run(*given, "-o", "out.exr", "--foreground-out", "layer.exr", *PASTED) == 0
    result, layer = read("out.exr"), read("layer.exr")
    assert np.array_equal(result[~INSIDE], light(1, white=40.0)[~INSIDE])
    over = layer[..., :3] + (1 - layer[..., 3:]) * light(1, white=40.0)  # colours are multiplied by alpha
    np.testing.assert_allclose(over, result, rtol=2e-3, atol=1e-3)


def test_a_folder(folder):
    (folder / "in").mkdir()
    for name in ("a.exr", "b.exr"):
        (folder / name).rename(folder / "in" / name)
        write(f"in/{name[0]}_mask.exr", INSIDE[..., None])
    assert run("folder", "in", "in", "-o", "out", "--exposure", "-3") == 0
    assert names(folder / "out") == ["a.exr", "b.exr"]
    assert np.array_equal(read("out/b.exr")[~INSIDE], read("in/b.exr")[~INSIDE])


def sequence(folder, brightness):
    """The same frame at several brightnesses of its surroundings, and masks."""
    for name in ("frames", "mattes"):
        (folder / name).mkdir()
    for number, factor in enumerate(brightness):
        frame = light()
        frame[~INSIDE] *= factor
        write(f"frames/{number}.exr", frame, "float")
        write(f"mattes/{number}.exr", INSIDE[..., None])


def test_the_pictures_of_a_folder_share_an_exposure_when_asked(folder):
    """A frame between a dark and a bright one is judged at the mean of what they would be judged at."""
    sequence(folder, (0.25, 1, 4))
    found = [find_exposure(torch.from_numpy(read(f"frames/{n}.exr")), torch.from_numpy(~INSIDE)) for n in range(3)]
    stops = np.log2(found).mean()
    for name, exposure in (("shared", "shared"), ("given", f"{stops:.9f}"), ("each", None)):
        given = () if exposure is None else ("--exposure", exposure)
        assert run("folder", "frames", "mattes", "-o", name, *given, *PASTED) == 0
    for n, differs in enumerate((True, False, True)):
        np.testing.assert_allclose(read(f"shared/{n}.exr"), read(f"given/{n}.exr"), rtol=1e-4, atol=1e-4)
        assert np.allclose(read(f"shared/{n}.exr"), read(f"each/{n}.exr"), rtol=1e-3, atol=1e-3) != differs


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        (("folder", "frames", "mattes", "--lut", "a.cube"), "--lut is for colours in 0..1", 2),
        (("folder", "frames", "mattes", "--guides", "frames"), "not for scene-linear", 1),
        (("folder", "frames", "mattes", "--exposure", "bright"), "stops or 'shared'", 2),
        (("folder", "frames", "mattes", "--exposure", "shared", "--ray", "local"), "give --exposure a number", 2),
        (("video", "frames", "mattes"), "with 'harmonize folder'", 2),
        (("video", "frames/0.exr", "mattes"), "no scene-linear light", 2),
    ],
)
def test_doors_that_sequences_of_light_do_not_go_through(folder, capsys, options, words, code):
    sequence(folder, (1,))
    assert run(*options, "-o", "out") == code
    assert words in capsys.readouterr().err
    assert not list(folder.glob("out/*"))


def test_a_film_takes_masks_in_exr(folder):
    pytest.importorskip("av")
    import films

    sequence(folder, (1, 1))
    films.write(folder / "film.mkv", [films.textured(seed, (48, 64)) for seed in range(2)])
    for mask in ("mattes", "mask.exr", "mask.png"):
        assert run("video", "film.mkv", mask, "-o", f"{mask}.mkv", *PASTED) == 0
    expected = films.read("mask.png.mkv")
    assert not np.array_equal(expected, films.read("film.mkv"))
    assert np.array_equal(films.read("mattes.mkv"), expected) and np.array_equal(films.read("mask.exr.mkv"), expected)


def test_a_display_tiff_in_floating_point_becomes_a_png_of_16_bits(folder):
    write("a.tif", light(white=1.0), "float")
    assert run("image", "a.tif", "mask.png", "-o", "out.png", *PASTED) == 0
    assert run("image", "a.tif", "mask.png", "-o", "out.tif", *PASTED) == 0
    assert np.abs(np.asarray(Image.open("out.png").convert("RGB")) / 255 - read("out.tif")).max() < 0.01
    assert (folder / "out.png").read_bytes()[24] == 16


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("a.exr", "mask.png", "-o", "out.png"), ".png holds no values beyond 0..1"),
        (("mask.png", "mask.exr", "-o", "out.exr"), "which the picture is not"),
        (("a.exr", "mask.png", "-o", "out.exr", "--lut", "a.cube"), "--lut is for colours in 0..1"),
        (("a.exr", "mask.png", "-o", "out.exr", "--guide", "b.exr"), "not for scene-linear"),
        (("a.exr", "mask.png", "-o", "out.exr", "--background", "mask.png"), "both be scene-linear"),
        (("a.exr", "mask.png", "-o", "out.exr", "--exposure", "99"), "number of stops"),
        (("mask.png", "mask.exr", "-o", "out.png", "--exposure", "1"), "leave it out, or set the encoding"),
    ],
)
def test_what_does_not_go_is_told_before_the_work(folder, capsys, options, words):
    assert run("image", *options) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (folder / options[3]).exists()
