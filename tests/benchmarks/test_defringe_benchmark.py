"""Cut-outs whose true colours are known: what the benchmark measures is what a method does to them."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from harmonize_composite.benchmarks import defringe as benchmark
from harmonize_composite.training.data.photos import Photographs


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    y, x = np.mgrid[:96, :128]
    for number in range(6):
        picture = rng.integers(40, 216, 3) + rng.integers(-15, 16, (96, 128, 3))
        Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "images" / f"{number}.png")
        mask = np.uint8(255) * (np.hypot(y - 48, x - 64) < 40)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    return tmp_path


def test_perfect_and_idle_methods_are_told_apart(photos):
    chosen = list(benchmark.cutouts(Photographs(photos, "all"), 3))
    assert len(chosen) == 3
    for cutout in chosen:
        perfect = partial(lambda colours, picture, mask: colours, cutout.colours)
        found = benchmark.measure(cutout, perfect, lambda picture, mask: picture)
        for case in ("cut-out", "hard mask"):
            assert found[f"{case}, fringed"][1] < 1e-3 and found[f"{case}, clean"][1] < 1e-3
        before, after, _ = found["composite, fringed"]
        assert before == pytest.approx(after) and before > 1
        mask = cutout.mask  # in a composite the old background shows by a (1 - a)
        shown = (mask * (1 - mask))[..., None] * (cutout.old - cutout.colours)
        expected = 255 * shown[(mask > 0) & (mask < 1)].square().mean().sqrt()
        assert before == pytest.approx(float(expected), rel=1e-3)


def test_the_table_and_the_sheet_are_made(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "pymatting", lambda: lambda picture, mask: torch.zeros_like(picture))
    benchmark.main([str(photos), "--split", "train", "--count", "2", "--sheet", str(tmp_path / "rims.png")])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    fringed = next(row for row in rows if row[:2] == ["cut-out,", "fringed"])
    assert float(fringed[3]) < float(fringed[2])
    assert Image.open(tmp_path / "rims.png").width == 3 * (benchmark.SIDE * benchmark.ENLARGED + 4)
