"""Films: the samples outside the mask reach the file as they were decoded, sound is copied; PyAV is the reference."""

import numpy as np
import pytest
import torch

pytest.importorskip("av")

from films import HEIGHT, WIDTH, read, sound, write  # noqa: E402
from harmonize_composite.cli import main  # noqa: E402

FRAMES = 12


@pytest.mark.parametrize("form", ["yuv420p", "yuv422p10le", "yuv444p"])
def test_outside_the_mask_samples_are_kept_and_sound_is_copied(tmp_path, form):
    random = np.random.default_rng(0)
    picture = random.integers(40, 200, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    picture[32:64, 48:112] = picture[32:64, 48:112] // 2 + np.array([90, 0, 0], np.uint8)
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    mask[32:64, 48:112] = 255
    write(tmp_path / "film.mkv", [picture] * FRAMES, form, sound=True)
    write(tmp_path / "mask.mkv", [mask] * FRAMES, "yuv444p")
    arguments = ["video", "film.mkv", "mask.mkv", "-o", "out.mkv", "--codec", "ffv1", "--foreground", "pasted"]
    code = main([str(tmp_path / each) if each.endswith(".mkv") else each for each in arguments])
    before, after = read(tmp_path / "film.mkv"), read(tmp_path / "out.mkv")
    assert code == 0 and len(after) == FRAMES
    for one, other in zip(before, after):
        outside = np.ones((HEIGHT, WIDTH), bool)
        outside[32:64, 48:112] = False
        assert (one == other)[outside].all()
        assert (one != other)[~outside].any()
    assert sound(tmp_path / "out.mkv") == sound(tmp_path / "film.mkv") != b""
    assert sorted(each.name for each in tmp_path.iterdir()) == ["film.mkv", "mask.mkv", "out.mkv"]


def test_a_cut_is_noticed_and_a_flash_is_none():
    from harmonize_composite.hdnet.harmonize.cuts import with_cuts

    class Frame:
        def __init__(self, value):
            self.value = value

        def thumbnail(self):
            return torch.full((3, 8, 8), self.value)

    values = [0.2] * 10 + [0.6] * 10 + [1.0] + [0.6] * 10
    starts = [number for number, (_, start) in enumerate(with_cuts(map(Frame, values))) if start]
    assert starts == [10]
