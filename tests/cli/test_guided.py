"""`harmonize image --guide` and `harmonize folder --guides`."""

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from command_line import names, pixels, run


@pytest.fixture
def guided(tmp_path):
    """A photograph, and the same in a dimmed, warm light at half the size."""
    photograph = astronaut()[:256, 96:352]
    warm = Image.fromarray((photograph * [0.8, 0.65, 0.5] + 20).astype(np.uint8)).resize((128, 128))
    for folder, picture in (("own", Image.fromarray(photograph)), ("guides", warm)):
        (tmp_path / folder).mkdir()
        picture.save(tmp_path / folder / "a.png")
    return tmp_path


def test_a_picture_in_the_light_of_a_guide_and_what_the_guide_changed(guided):
    out, changed = guided / "out.png", guided / "changed.png"
    assert run("image", guided / "own/a.png", "-o", out, "--guide", guided / "guides/a.png", "--changed", changed) == 0
    truth = pixels(guided / "own/a.png") * [0.8, 0.65, 0.5] + 20
    assert np.abs(pixels(out) - truth).mean() < 1.5
    assert pixels(changed).mean() < 10


def test_a_folder_in_the_light_of_guides(guided):
    assert run("folder", guided / "own", "--guides", guided / "guides", "-o", guided / "out") == 0
    assert names(guided / "out") == ["a.png"]
    assert pixels(guided / "out/a.png").mean() < 0.9 * pixels(guided / "own/a.png").mean()


def test_the_colour_alone_keeps_the_lightness(guided):
    common = ("image", guided / "own/a.png", "--guide", guided / "guides/a.png")
    assert run(*common, "-o", guided / "out.png", "--lightness", 0) == 0
    grey = [np.asarray(Image.open(guided / each).convert("L"), float) for each in ("own/a.png", "out.png")]
    assert abs(grey[0].mean() - grey[1].mean()) < 6  # the guide is darker by a fifth
    assert np.abs(pixels(guided / "own/a.png").astype(int) - pixels(guided / "out.png")).mean() > 5


def test_another_scene_and_options_of_the_mask_are_refused_in_one_line(guided, capsys):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)).save(guided / "noise.png")
    assert run("image", guided / "own/a.png", "-o", guided / "out.png", "--guide", guided / "noise.png") == 2
    assert "same scene" in capsys.readouterr().err
    common = ("image", guided / "own/a.png", "-o", guided / "out.png", "--guide", guided / "guides/a.png")
    assert run(*common, "--grow", 3) == 2
    assert "--feather" in capsys.readouterr().err
