"""What `harmonize` writes for work to go on in other programs."""

import numpy as np
import pytest
from PIL import Image

from command_line import pixels as stored
from command_line import run
from harmonize_composite.files.pictures import read_picture


@pytest.fixture
def files(tmp_path):
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(64, 192, (48, 64, 3), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(random.integers(64, 192, (48, 64, 3), np.uint8)).save(tmp_path / "b.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[12:36, 20:50] = 255
    mask[12] = mask[12] // 2
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def pixels(path):
    return stored(path).astype(int)


@pytest.mark.parametrize("background", [False, True])
def test_the_foreground_laid_over_what_was_beneath_it_is_the_result(files, background):
    given = ["--background", files / "b.png"] if background else []
    out, layer = files / "out.png", files / "layer.png"
    assert run("image", files / "a.png", files / "mask.png", "-o", out, "--foreground-out", layer, *given) == 0
    ground = Image.open(files / ("b.png" if background else "a.png")).convert("RGBA")
    together = np.asarray(Image.alpha_composite(ground, Image.open(layer)))[..., :3].astype(int)
    assert np.abs(together - pixels(out)).max() <= 2
    assert np.array_equal(pixels(layer)[..., 3], pixels(files / "mask.png"))


def test_sixteen_bits_stay(files):
    import tifffile

    levels = np.random.default_rng(1).integers(0, 65536, (48, 64, 3), np.uint16)
    tifffile.imwrite(files / "deep.tif", levels)
    common = ("-o", files / "out.tif", "--foreground-out", files / "layer.tif")
    assert run("image", files / "deep.tif", files / "mask.png", *common) == 0
    layer = tifffile.imread(files / "layer.tif")
    assert layer.dtype == np.uint16 and layer.shape == (48, 64, 4)
    assert len(np.unique(layer[14:35, 21:49, 0])) > 300


@pytest.mark.parametrize("size", [33, 65])
def test_opencolorio_applies_the_lut_of_a_picture(files, size):
    ocio = pytest.importorskip("PyOpenColorIO")
    out, lut = files / "out.png", files / "change.cube"
    common = ("--foreground", "pasted", "--lut", lut, "--lut-size", size)
    assert run("image", files / "a.png", files / "mask.png", "-o", out, *common) == 0
    assert f"LUT_3D_SIZE {size}" in lut.read_text("ascii")
    before, after = (read_picture(path)[0][0].numpy() for path in (files / "a.png", out))
    transform = ocio.FileTransform(str(lut), interpolation=ocio.INTERP_TETRAHEDRAL)
    graded = np.ascontiguousarray(before)
    before = before.copy()
    ocio.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor().applyRGB(graded)
    inside = pixels(files / "mask.png") == 255
    change = np.abs(after - before)[inside].mean()
    assert np.abs(graded - after)[inside].mean() < 0.5 * change


def test_a_folder_has_one_lut(files):
    (files / "in").mkdir()
    for name in ("a", "b"):
        (files / f"{name}.png").rename(files / "in" / f"{name}.png")
        (files / "in" / f"{name}_mask.png").write_bytes((files / "mask.png").read_bytes())
    assert run("folder", files / "in", files / "in", "-o", files / "out", "--lut", files / "shot.cube") == 0
    assert len((files / "shot.cube").read_text("ascii").splitlines()) == 4 + 33**3


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("--lut", "change.png", "must end in .cube"),
        ("--lut", "nowhere/change.cube", "does not exist"),
        ("--foreground-out", "layer.jpg", "no alpha"),
        ("--foreground-out", "a.png", "overwrite"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(files, capsys, option, name, said):
    common = ("-o", files / "out.png", option, files / name)
    assert run("image", files / "a.png", files / "mask.png", *common) == 2
    assert said in capsys.readouterr().err and not (files / "out.png").exists()


def test_further_masks_are_further_objects(files, capsys):
    other = np.zeros((48, 64), np.uint8)
    other[5:40, 2:16] = 255
    Image.fromarray(other).save(files / "other.png")
    common = (
        "image",
        files / "a.png",
        files / "mask.png",
        "--foreground",
        "pasted",
        "--more-masks",
        files / "other.png",
    )
    assert run(*common, "-o", files / "each.png") == 0
    said = capsys.readouterr().out
    assert "2 objects, each matched by itself" in said and "(object 2)" in said
    assert run(*common, "-o", files / "one.png", "--together") == 0
    assert "2 objects, matched as one" in capsys.readouterr().out
    before, each, one = (pixels(files / f"{name}.png") for name in ("a", "each", "one"))
    outside = (pixels(files / "mask.png") == 0) & (other == 0)
    for result in (each, one):
        assert np.array_equal(result[outside], before[outside])
        assert (result != before)[other > 0].any() and (result != before)[pixels(files / "mask.png") > 0].any()
    assert not np.array_equal(each, one)


def test_the_old_backgrounds_colour_goes_out_of_the_rim(files):
    from harmonize_composite.hdnet.harmonize.defringe import defringe

    paste = ("--background", files / "b.png", "--foreground", "pasted", "--strength", 0, "--defringe")
    assert run("image", files / "a.png", files / "mask.png", "-o", files / "out.png", *paste) == 0
    cut, ground = (read_picture(files / f"{name}.png")[0][0] for name in ("a", "b"))
    mask = read_picture(files / "mask.png")[0][0, ..., 0]
    defringe(cut, mask, pasted=False)
    expected = (cut * mask[..., None] + ground * (1 - mask[..., None])).numpy() * 255
    assert np.abs(pixels(files / "out.png") - expected).max() <= 0.51
