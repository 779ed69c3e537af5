"""The ways to carry a change to full size are compared on the same pictures."""

import numpy as np
import torch
from PIL import Image

from harmonize_composite.benchmarks.edges import ENLARGED, METHODS, compare, draw, find, known_change
from harmonize_composite.training.evaluation.contact_sheet import EDGE


class Darker(torch.nn.Module):
    def forward(self, composite, mask):
        return composite * 0.5 - 0.5


def test_every_method_carries_a_change_of_brightness(tmp_path):
    rng = np.random.default_rng(0)
    for folder, values in (("image", rng.integers(60, 200, (20, 24, 3), np.uint8)), ("mask", None)):
        (tmp_path / folder).mkdir()
        picture = np.zeros((160, 192), np.uint8) if values is None else values.repeat(8, 0).repeat(8, 1)
        if values is None:
            picture[40:120, 40:150] = 255
        Image.fromarray(picture).save(tmp_path / folder / "one.png")
    pictures = list(find(tmp_path))
    assert [(name, *picture.shape, *mask.shape) for name, picture, mask in pictures] == [("one", 160, 192, 3, 160, 192)]
    figures, results = compare(pictures, pictures, Darker(), 64)
    assert figures.keys() == METHODS.keys()
    assert all(len(row["speckle"]) == len(row["psnr"]) == 1 and row["seconds"] > 0 for row in figures.values())
    ours = figures["bilateral grid"]
    assert ours["speckle"] == [0]
    assert ours["psnr"][0] > max(figures[name]["psnr"][0] for name in ("enlarged result", "enlarged difference"))
    ((_, before, mask, after),) = results
    for name in ("bilateral grid", "enlarged difference", "local affine maps", "joint bilateral"):
        inside = mask > 0
        assert abs(after[name][inside].mean() - before[inside].mean() / 2) < 2, name
        assert (after[name][~inside] == before[~inside]).all()
    assert draw(results).size == (6 * (EDGE * ENLARGED + 4), 20 + EDGE * ENLARGED + 4)


def test_the_known_change_is_a_change():
    picture, mask = torch.rand(96, 128, 3), torch.ones(96, 128)
    change, truth = known_change(picture, mask, 64)
    assert (truth <= picture * 1.05).all() and (truth - picture).abs().mean() > 0.1
    torch.testing.assert_close(change.target.mean((1, 2)), truth.mean((0, 1)), rtol=0, atol=0.01)
