"""A compiled network is the same network. Minutes, so only where `-m slow` asks for it."""

import copy

import pytest
import torch
from torch.nn import functional as F

from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.weights import load_network
from images import decibels

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def networks(device):
    """The shipped network on the device, and compiled as training compiles it."""
    network = load_network(precision="float32").to(device)
    compiled = copy.deepcopy(network)
    compiled.local_dynamics.forward = torch.compiler.disable(compiled.local_dynamics.forward)
    compiled.compile(dynamic=False)
    return network, compiled


@pytest.mark.parametrize("gradients", [False, True])
def test_the_network(networks, demo, device, gradients):
    image, mask = demo
    composite = F.interpolate(image.permute(0, 3, 1, 2), size=(96, 128), mode="area").to(device) * 2 - 1
    inside = (F.interpolate(mask[:, None], size=(96, 128), mode="area") > 0.5).float().to(device)
    with torch.set_grad_enabled(gradients):
        expected, result = (each(composite, inside).detach() for each in networks)
    near = decibels(*((each.permute(0, 2, 3, 1) / 2) for each in (result, expected)), inside[:, 0])
    print(f"compiled, {'with' if gradients else 'without'} gradients: {near:.1f} dB")
    assert near >= 75


def test_the_harmonizer(networks, demo, device):
    image, mask = demo
    expected, result = (Harmonizer(each)(image, mask, resolution=128, foreground="pasted") for each in networks)
    assert decibels(result, expected, mask) >= 70
    assert torch.equal(result[mask == 0], image[mask == 0])
