"""The README's picture of Transfer Light shows what its caption says."""

from pathlib import Path

from PIL import Image

from harmonize_composite.benchmarks import light_picture
from harmonize_composite.training.evaluation.metrics import psnr


def test_transfer_of_light_is_nearer_to_the_truth_than_frequency_separation(tmp_path):
    image, guide, truth = light_picture.scene()
    separated, ours = light_picture.relight(image, guide, truth)
    assert psnr(ours, truth) > psnr(separated, truth) + 5
    light_picture.draw([image, truth, separated, ours]).save(tmp_path / "picture.jpg")
    shown = Path(light_picture.__file__).parents[1] / "web/docs/frequency_separation.jpg"
    assert shown.stat().st_size < 150_000
    assert Image.open(shown).size == Image.open(tmp_path / "picture.jpg").size
