"""A harmonizer with random weights; files that need the shipped ones have their own."""

import pytest
import torch

from harmonize_composite.hdnet import Harmonizer, HDNet, HDNetConfig


@pytest.fixture(scope="module")
def harmonize():
    torch.manual_seed(0)
    network = HDNet(HDNetConfig(base_channels=2)).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    return Harmonizer(network)
