"""A step of training on a card is that of a processor."""

import copy

import pytest
import torch
from torch.nn import functional as F

from harmonize_composite.hdnet import HDNet, HDNetConfig
from harmonize_composite.hdnet.network.initialisation import near_identity_
from harmonize_composite.training.loop.objective import training_loss
from harmonize_composite.weights import load_network

LOSS, GRADIENT, STEP = 1e-3, 0.02, 0.02  # relative differences


def batch():
    """Composites, masks of a different size each, and the real pictures."""
    generator = torch.Generator().manual_seed(0)
    real = F.interpolate(torch.rand(3, 3, 12, 12, generator=generator), size=(96, 96), mode="bilinear") * 2 - 1
    real = (real + 0.1 * torch.randn(real.shape, generator=generator)).clamp(-1, 1)
    mask = torch.zeros(3, 1, 96, 96)
    for number, each in enumerate(mask):
        each[:, 20 : 50 + 8 * number, 30:70] = 1
    return torch.where(mask > 0, real * 0.7 + 0.1, real), mask, real


def network_of(preset):
    """The shipped weights with a semantic context, or random ones as a training begins with."""
    if preset == "hdnet-lite-semantic":
        network = load_network(preset, precision="float32")
        network.second_opinion = None  # which is not trained
        return network.train().requires_grad_(True)
    torch.manual_seed(0)
    network = HDNet(HDNetConfig.preset(preset))
    near_identity_(network)
    return network


def step(network, composite, mask, real, kind=None):
    """One step of SGD; the loss, the gradient and the weights after it, each in one vector on the processor."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    with torch.autocast(composite.device.type, kind, enabled=kind is not None):
        output = network(composite, mask)
        loss = training_loss(output, composite, mask, real, affine_share=0.3, power=0.5)
    loss.backward()
    vectors = [torch.cat([each.grad.flatten() for each in network.parameters()])]
    optimizer.step()
    vectors.append(torch.cat([each.detach().flatten() for each in network.parameters()]))
    return float(loss.detach()), *(each.float().cpu() for each in vectors)


@pytest.mark.parametrize("preset", ["hdnet-lite", "hdnet-lite-semantic", "hdnet"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_loss_gradient_and_weights(preset, channels_last, device):
    network = network_of(preset)
    before = torch.cat([each.detach().flatten() for each in network.parameters()])
    loss, gradient, after = step(copy.deepcopy(network), *batch())
    layout = torch.channels_last if channels_last else torch.contiguous_format
    there = copy.deepcopy(network).to(device).to(memory_format=layout)
    inputs = (each.to(device, memory_format=layout) for each in batch())
    its_loss, its_gradient, its_after = step(there, *inputs)
    assert abs(its_loss - loss) <= LOSS * loss
    assert (its_gradient - gradient).norm() <= GRADIENT * gradient.norm()
    assert (its_after - after).norm() <= STEP * (after - before).norm() + 1e-7 * before.norm()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_mixed_precision_learns_the_same(kind, device):
    network = network_of("hdnet-lite")
    _, gradient, _ = step(copy.deepcopy(network), *batch())
    _, mixed, _ = step(copy.deepcopy(network).to(device), *(each.to(device) for each in batch()), kind)
    assert mixed.isfinite().all()
    assert F.cosine_similarity(mixed, gradient, 0) > 0.95
