"""What holds of either context and of both: kept in a file, the same in training and in use, none without kernels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harmonize_composite.hdnet import HDNet, HDNetConfig
from harmonize_composite.weights import load_network, save_network

CONTEXTS = [
    {"scene_context": 16},
    {"semantic_context": 16},
    {"semantic_context": 8, "semantic_heads": 2},
    {"scene_context": 8, "semantic_context": 12},
]
each_context = pytest.mark.parametrize("contexts", CONTEXTS, ids=" and ".join)


def a_network(contexts):
    """Random, and with a say of its contexts that can be seen."""
    torch.manual_seed(0)
    network = HDNet(HDNetConfig(base_channels=4, **contexts)).eval()
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module is not network.head:
            nn.init.kaiming_normal_(module.weight)
    for name in contexts.keys() - {"semantic_heads"}:
        nn.init.normal_(getattr(network, name).layers[-1].weight, 0, 0.01)
    return network


def a_composite(height=64, width=72):
    composite, mask = torch.rand(2, 3, height, width) * 2 - 1, torch.zeros(2, 1, height, width)
    mask[:, :, height // 4 : height // 2, width // 4 : width // 2] = 1
    return composite, mask


@each_context
@torch.no_grad()
def test_a_file_holds_it(tmp_path, contexts):
    network, (composite, mask) = a_network(contexts), a_composite()
    save_network(network, tmp_path / "context.safetensors")
    again = load_network(str(tmp_path / "context.safetensors"), precision="float32")
    assert again.config == network.config
    shown = network(composite, mask)
    assert torch.allclose(again(composite, mask), shown, atol=1e-5)
    for name in contexts.keys() - {"semantic_heads"}:
        getattr(again, name).start()
    assert not torch.allclose(again(composite, mask), shown, atol=1e-3)  # they had a say


@each_context
@settings(max_examples=6, deadline=None)
@given(height=st.integers(9, 70), width=st.integers(9, 70))
def test_training_and_use_give_the_same_picture_at_any_size(contexts, height, width):
    network, (composite, mask) = a_network(contexts), a_composite(height, width)
    with torch.no_grad():
        used = network(composite, mask)
    inside = mask.expand_as(used) > 0
    assert torch.isfinite(used).all()
    assert torch.allclose(used[inside], network(composite, mask).detach()[inside], atol=2e-3)


@each_context
def test_without_global_dynamics_there_is_nothing_to_add_to(contexts):
    with pytest.raises(ValueError, match="global dynamics"):
        HDNetConfig(global_dynamics=None, **contexts)
