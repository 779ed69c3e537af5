"""The README's first picture shows what its caption says."""

from pathlib import Path

import pytest
from PIL import Image

from harmonize_composite.benchmarks import paste_picture


@pytest.mark.parametrize("name", paste_picture.CAMERAS)
def test_most_of_the_error_is_gone(name):
    _, _, (before, after) = paste_picture.harmonized(paste_picture.CAMERAS[name])
    assert after < before / 2


def test_the_picture_is_the_one_that_is_shown(tmp_path):
    before, after, _ = paste_picture.harmonized(paste_picture.CAMERAS["through haze"])
    paste_picture.draw([("", before), ("", after)] * 2).save(tmp_path / "picture.jpg")
    shown = Path(paste_picture.__file__).parents[1] / "web/before_and_after.jpg"
    assert shown.stat().st_size < 150_000
    assert Image.open(shown).size == Image.open(tmp_path / "picture.jpg").size
