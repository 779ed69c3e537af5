"""The README's first picture shows what its caption says."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harmonize_composite.benchmarks import paste_picture


@pytest.mark.parametrize("name", paste_picture.CAMERAS)
def test_most_of_the_error_is_gone(name):
    _, _, (before, after) = paste_picture.harmonized(paste_picture.CAMERAS[name])
    assert after < before / 2


def test_the_picture_that_is_shown_has_four_panels(tmp_path):
    blank = np.zeros((512, 768, 3), np.uint8)
    paste_picture.draw(4 * [("", blank)]).save(tmp_path / "picture.jpg")
    shown = Path(paste_picture.__file__).parents[1] / "web/before_and_after.jpg"
    assert shown.stat().st_size < 150_000
    assert Image.open(shown).size == Image.open(tmp_path / "picture.jpg").size
