"""Scene context: an addition to the network that begins with no say, and hears both regions."""

import numpy as np
import pytest
import torch

from harmonize_composite.hdnet import HDNet, HDNetConfig
from harmonize_composite.hdnet.network.regions import Regions
from harmonize_composite.hdnet.network.scene_context import BINS, histograms
from harmonize_composite.training.loop.initial_network import initial_network
from harmonize_composite.training.loop.options import Options, Stage
from harmonize_composite.weights import save_network


def a_network(config):
    torch.manual_seed(0)
    network = HDNet(config).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.15)
    return network


def a_composite(height=40, width=48):
    composite, mask = torch.rand(2, 3, height, width) * 2 - 1, torch.zeros(2, 1, height, width)
    mask[:, :, height // 4 : height // 2, width // 4 : width // 2] = 1
    return composite, mask


def test_it_begins_with_no_say(tmp_path):
    plain = a_network(HDNetConfig(base_channels=4))
    save_network(plain, tmp_path / "plain.safetensors")
    options = Options(init=str(tmp_path / "plain.safetensors"), scene_context=16, steps=1, stages=(Stage(),))
    larger = initial_network(options)
    assert larger.config.scene_context == 16
    composite, mask = a_composite()
    assert torch.allclose(larger(composite, mask), plain(composite, mask), atol=1e-5)


def test_what_may_not_serve_as_reference_has_no_say():
    composite, mask = a_composite()
    reference = torch.zeros_like(mask)
    reference[..., :8] = 1
    full = Regions.from_mask(mask, None, reference)
    other = composite.clone()
    other[..., 30:] = -other[..., 30:]
    assert torch.equal(histograms(composite, full), histograms(other, full))
    assert not torch.equal(histograms(composite, Regions.from_mask(mask)), histograms(other, Regions.from_mask(mask)))


def test_histograms_are_shares_of_each_region():
    composite, mask = torch.full((1, 3, 16, 16), -1.0), torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1
    composite[:, :, :, :8] = torch.tensor([1.0, -1.0, 0.0])[:, None, None]
    inside, outside = histograms(composite, Regions.from_mask(mask))[0].view(2, 5, BINS).numpy()
    assert np.allclose(inside.sum(1), 1) and np.allclose(outside.sum(1), 1)
    assert inside[0, -1] == pytest.approx(1) and inside[1, 0] == pytest.approx(1)  # red full, no green
    assert inside[2, BINS // 2 - 1 : BINS // 2 + 1] == pytest.approx([0.5, 0.5], abs=1e-4)
    assert outside[:3, 0] == pytest.approx([1, 1, 1])
