"""What torch.compile sees of the network. That a compiled one computes the same is tested in tests/gpu, in minutes."""

import pytest
import torch

from harmonize_composite.hdnet import HDNet, HDNetConfig


@pytest.mark.parametrize(
    ("gradients", "semantic_context"),
    [(True, 0), pytest.param(False, 0, marks=pytest.mark.slow), pytest.param(True, 4, marks=pytest.mark.slow)],
)
def test_only_the_local_dynamics_interrupt_the_graph(gradients, semantic_context):
    config = HDNetConfig(base_channels=8, scene_context=4, semantic_context=semantic_context)
    network = HDNet(config).requires_grad_(gradients)
    network.local_dynamics.forward = torch.compiler.disable(network.local_dynamics.forward)  # as training does
    composite, mask = torch.rand(1, 3, 64, 64) * 2 - 1, torch.zeros(1, 1, 64, 64)
    mask[..., 20:40, 20:40] = 1
    torch._dynamo.reset()
    with torch.set_grad_enabled(gradients):
        seen = torch._dynamo.explain(network.forward)(composite, mask)
    assert [each.reason.split("\n")[0] for each in seen.break_reasons] == [
        "Skip calling `torch.compiler.disable()`d function"
    ]
