"""Small files that would become large: what they declare is looked at first."""

import time

import pytest
import torch
from PIL import Image

from command_line import run
from harmonize_composite.files.pictures import MAX_PIXELS
from harmonize_composite.weights import WeightsError, load_network
from harmonize_composite.weights.authors import read_published, write_published


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("place", ["picture", "mask", "background", "reference"])
def test_pictures_of_too_many_pixels_are_refused_unread(tmp_path, monkeypatch, capsys, suffix, place):
    monkeypatch.chdir(tmp_path)
    bomb = f"bomb.{suffix}"
    compression = {"compression": "tiff_lzw"} if suffix == "tif" else {}
    Image.new("1", (13000, 13000)).save(bomb, **compression)
    Image.new("RGB", (64, 48)).save("a.png")
    Image.new("L", (64, 48), 255).save("m.png")
    files = {"picture": "a.png", "mask": "m.png"} | {place: bomb}
    options = (
        [f"--{'reference-mask' if place == 'reference' else place}", bomb] if place not in ("picture", "mask") else []
    )
    start = time.monotonic()
    assert run("image", files["picture"], files["mask"], *options, "-o", "out.png") == 2
    assert time.monotonic() - start < 10  # decoded, they take a minute
    assert f"{bomb}: the picture has more than {MAX_PIXELS // 1_000_000} megapixels" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["image", "folder"])
def test_the_limit_is_stated_in_the_help(capsys, command):
    assert run(command, "--help") == 0
    assert f"{MAX_PIXELS // 1_000_000} megapixels" in " ".join(capsys.readouterr().out.split())


def test_tensors_that_repeat_one_value_for_ever_are_refused(tmp_path):
    write_published(load_network("hdnet-lite"), tmp_path / "small.pth")
    state = torch.load(tmp_path / "small.pth", weights_only=True)
    state["model_layer0.weight"] = torch.zeros(1).expand(300_000, 4, 40_000, 4)  # 768 GB that store 4 bytes
    torch.save(state, tmp_path / "bomb.pth")
    with pytest.raises(WeightsError, match="bomb.pth: .* parameters are more than the 500,000,000 that are read"):
        read_published(tmp_path / "bomb.pth")
