"""Films: no flicker with consistency "smooth", at no loss of quality. Shipped weights, shipped picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.weights import load_network

EXAMPLES = Path(__file__).parents[3] / "example_workflows"
FRAMES = 48
CAST = torch.tensor([1.2, 1.0, 0.8])


@pytest.fixture(scope="module")
def harmonize():
    return Harmonizer(load_network("hdnet-lite"))


def still():
    """The demo's truth and its mask at half size, the astronaut away from the left edge."""

    def read(name, mode):
        picture = Image.open(EXAMPLES / name).convert(mode).resize((384, 256), Image.Resampling.BOX)
        return torch.from_numpy(np.array(picture)).float().div(255).roll(60, 1)

    return read("harmonize_demo_truth.jpg", "RGB"), read("harmonize_demo_mask.png", "L")


@pytest.fixture(scope="module")
def film(harmonize):
    """A slow pan with sensor noise and a brightness that varies by 1 %: shot, masks, truth, results by mode."""
    picture, mask = still()
    cast = torch.where(mask[..., None] > 0.5, (picture * CAST).clamp(0, 1), picture)
    generator = torch.Generator().manual_seed(0)
    shot, masks, truth = [], [], []
    for number in range(FRAMES):
        seen = np.s_[:, number : number + 320]
        brightness = 1 + 0.01 * torch.randn(1, generator=generator)
        noise = 0.01 * torch.randn(256, 320, 3, generator=generator)
        shot.append((cast[seen] * brightness + noise).clamp(0, 1))
        truth.append((picture[seen] * brightness + noise).clamp(0, 1))
        masks.append(mask[seen])
    shot, masks, truth = map(torch.stack, (shot, masks, truth))
    results = {mode: harmonize(shot, masks, consistency=mode, foreground="pasted") for mode in ("per_frame", "smooth")}
    return shot, masks, truth, results


def flicker(frames, masks):
    """Standard deviation over time of the foreground's mean colour."""
    means = (frames * masks[..., None]).sum((1, 2)) / masks.sum((1, 2))[:, None]
    return means.std(0).mean().item()


def psnr(frames, truth, masks):
    return -10 * (frames - truth)[masks > 0.5].square().mean().log10().item()


def test_smoothing_leaves_at_most_a_third_of_the_flicker(film):
    shot, masks, _, results = film
    own = flicker(shot, masks)
    added = {name: flicker(frames, masks) - own for name, frames in results.items()}
    print({name: f"{value:+.5f}" for name, value in added.items()}, f"input {own:.5f}")
    # weights that hold still by themselves add none that could be smoothed away
    assert added["smooth"] <= max(added["per_frame"] / 3, 0.0002)


def test_smoothing_costs_no_quality(film):
    """The foreground was given a colour cast; the truth is the film without it."""
    shot, masks, truth, results = film
    reached = {name: psnr(frames, truth, masks) for name, frames in results.items()}
    print({name: f"{value:.2f} dB" for name, value in reached.items()}, f"input {psnr(shot, truth, masks):.2f} dB")
    assert reached["smooth"] > reached["per_frame"] - 0.2


@pytest.mark.parametrize("mode", ["per_frame", "smooth", "uniform"])
def test_a_mask_may_move_vanish_and_return(harmonize, mode):
    picture, mask = still()
    masks = torch.stack([mask.roll(3 * number, 1) for number in range(30)])
    masks[10:18] = 0
    frames = picture.expand(30, -1, -1, -1)
    result = harmonize(frames, masks, consistency=mode, foreground="pasted")
    assert torch.isfinite(result).all()
    assert torch.equal(result[masks == 0], frames[masks == 0])
    change = [(result[number] - picture)[masks[number] > 0.5].abs().mean() for number in (*range(10), *range(18, 30))]
    assert min(change) > 0.005
    assert max(change) < 5 * min(change)


def test_a_cut_is_not_blurred_into_what_follows_an_empty_stretch(harmonize):
    """Frames further apart than the filter reaches do not know of each other."""
    picture, mask = still()
    frames = torch.cat((picture.expand(4, -1, -1, -1), (0.5 * picture).expand(28, -1, -1, -1)))
    masks = mask.expand(32, -1, -1).clone()
    masks[4:28] = 0
    result = harmonize(frames, masks, consistency="smooth", foreground="pasted")
    alone = harmonize(frames[28:], masks[28:], consistency="smooth", foreground="pasted")
    torch.testing.assert_close(result[28:], alone, rtol=0, atol=1e-4)
