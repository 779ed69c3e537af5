"""Applying at full size what was found at a low resolution: no banding, no halos, no cast, bounded memory."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harmonize_composite.benchmarks.bench import forward_once
from harmonize_composite.benchmarks.measure import in_own_process
from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.hdnet.harmonize.colour_transfer import (
    apply_colour_change,
    colour_statistics,
    fit_colour_change,
)
from harmonize_composite.training.evaluation.metrics import speckle


class Repaint(nn.Module):
    """Stands for a network: changes the colours, given in 0..1, by a function."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, composite, mask):
        return self.change((composite + 1) / 2) * 2 - 1


def ramp(height, width):
    """``[1, height, width, 3]``, a smooth gradient across, in steps far below 8 bits."""
    across = torch.linspace(0.05, 0.95, width)
    return torch.stack((across, across**1.3, 0.2 + 0.6 * across), -1).expand(1, height, width, 3).contiguous()


@pytest.mark.parametrize("change", [lambda c: c**1.6, lambda c: 0.1 + 0.7 * c.sqrt(), lambda c: 1 - (1 - c) ** 2])
def test_a_smooth_gradient_shows_no_bands(change):
    image = ramp(512, 4096)
    mask = torch.zeros(1, 512, 4096)
    mask[:, 100:400, 64:4032] = 1
    changed = Harmonizer(Repaint(change))(image, mask, foreground="pasted")[0, 100:400, 64:4032]
    assert (changed * 255).round().diff(dim=1).min() >= 0
    reversal = changed.cummax(1).values - changed
    assert reversal.max() < 0.1 / 255
    torch.testing.assert_close(changed, change(image[0, 100:400, 64:4032]), atol=0.02, rtol=0)


def test_there_is_no_halo_at_the_edge_of_the_mask():
    image = torch.full((1, 1024, 1024, 3), 0.9)
    image[:, 300:700, 300:700] = torch.tensor([0.2, 0.3, 0.5])
    mask = torch.zeros(1, 1024, 1024)
    mask[:, 300:700, 300:700] = 1
    shift = torch.tensor([0.1, 0.05, -0.1])
    changed = Harmonizer(Repaint(lambda c: c + shift[:, None, None]))(image, mask)
    inside = changed[0, 300:700, 300:700]
    assert (inside - image[0, 500, 500] - shift).abs().max() < 0.5 / 255
    assert torch.equal(changed[mask == 0], image[mask == 0])


def test_an_affine_change_is_found_and_applied_at_another_size():
    torch.manual_seed(0)
    matrix = torch.eye(3) + 0.2 * torch.randn(3, 3)
    offset = torch.tensor([0.05, -0.02, 0.03])

    def change(colours):  # [..., 3]
        return colours * 0.5 @ matrix.T + 0.2 + offset

    small, large = torch.rand(3, 64, 48), torch.rand(300, 200, 3)
    target = change(small.movedim(0, -1)).movedim(-1, 0)
    fitted = fit_colour_change(colour_statistics(small, target, torch.ones(64, 48)))
    mapped = large.clone()
    apply_colour_change(fitted, mapped, torch.ones(300, 200), (0, 300, 0, 200))
    torch.testing.assert_close(mapped, change(large).clamp(0, 1), atol=1e-3, rtol=0)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(8, 90), width=st.integers(8, 90), seed=st.integers(0, 2**31))
def test_no_change_stays_no_change_exactly(height, width, seed):
    torch.manual_seed(seed)
    small, large = torch.rand(3, height, width), torch.rand(2 * height, 3 * width, 3)
    fitted = fit_colour_change(colour_statistics(small, small, (torch.rand(height, width) > 0.3).float()))
    mapped = large.clone()
    apply_colour_change(fitted, mapped, torch.ones(mapped.shape[:2]), (0, 2 * height, 0, 3 * width))
    assert torch.equal(mapped, large)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    spread=st.sampled_from([0.0, 0.003, 0.05, 0.3]),
    noise=st.sampled_from([0.02, 0.2, 1.0]),
)
def test_whatever_the_network_says_the_result_neither_tears_nor_leaves_its_range(seed, spread, noise):
    """A foreground from flat to rich in contrast with a camera's noise; a target with any amount of its own."""
    torch.manual_seed(seed)
    picture = 0.5 + spread * torch.nn.functional.interpolate(torch.randn(1, 3, 8, 8), (256, 256), mode="bicubic")[0]
    picture = (picture + 0.004 * torch.randn(3, 256, 256)).clamp(0, 1)
    small = torch.nn.functional.avg_pool2d(picture, 2)
    target = (small + 0.1 + noise * torch.randn_like(small)).clamp(0, 1)
    result = picture.permute(1, 2, 0).contiguous()
    before = (result * 255).round().byte().numpy()
    fitted = fit_colour_change(colour_statistics(small, target, torch.ones(128, 128)))
    apply_colour_change(fitted, result, torch.ones(256, 256), (0, 256, 0, 256))
    low, high = (min(small.min(), target.min()) - 0.05, max(small.max(), target.max()) + 0.05)
    assert result.min() >= low and result.max() <= high
    after, mask = (result * 255).round().byte().numpy(), np.zeros((256, 256), np.uint8)
    mask[20:-20, 20:-20] = 255
    assert speckle(before, after, mask) < 0.004


@pytest.mark.skipif(sys.platform == "win32", reason="the system does not tell peak memory")
@pytest.mark.parametrize(
    ("job", "arguments", "gigabytes"),
    [("large", (4096,), 1.2), ("native", ("hdnet-lite", 1024, 2), 1.0)],
    ids=["4096 worked on at 256", "1024 native"],
)
def test_memory_is_bounded(job, arguments, gigabytes):
    run = forward_once if job == "native" else harmonize_square
    assert in_own_process(run, *arguments)[1] < gigabytes


def harmonize_square(size):
    image = torch.zeros(1, size, size, 3)
    image[:, :, ::2] = 0.5
    mask = torch.zeros(1, size, size)
    mask[:, size // 4 : -size // 4, size // 4 : -size // 4] = 1
    Harmonizer(Repaint(lambda c: c * 0.9))(image, mask)
