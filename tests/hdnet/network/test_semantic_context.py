"""Semantic context: an EfficientNet-Lite as it was trained, heard by the kernel of the foreground."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from harmonize_composite.hdnet import HDNet, HDNetConfig
from harmonize_composite.hdnet.network.regions import Regions
from harmonize_composite.hdnet.network.semantic_context import (
    SIZES,
    VALUES,
    Encoder,
    RegionAttention,
    SemanticContext,
    mean_colours,
)
from harmonize_composite.training.loop.initial_network import initial_network
from harmonize_composite.training.loop.options import Options, Stage
from harmonize_composite.training.loop.pretrained_encoder import load_encoder
from harmonize_composite.weights import load_network, save_network

SMALL = HDNetConfig(base_channels=4, semantic_context=16)
# The networks as their paper and TensorFlow's code give them: kernel, stride, expansion, channels, a block each.
LITE0 = [(3, 1, 1, 16), (3, 2, 6, 24), (3, 1, 6, 24), (5, 2, 6, 40), (5, 1, 6, 40), (3, 2, 6, 80), (3, 1, 6, 80)]
LITE0 += [(3, 1, 6, 80), (5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112), (5, 2, 6, 192)] + 3 * [(5, 1, 6, 192)]
LITE0 += [(3, 1, 6, 320)]
LITE2 = [(3, 1, 1, 16), (3, 2, 6, 24)] + 2 * [(3, 1, 6, 24)] + [(5, 2, 6, 48)] + 2 * [(5, 1, 6, 48)] + [(3, 2, 6, 88)]
LITE2 += 3 * [(3, 1, 6, 88)] + 4 * [(5, 1, 6, 120)] + [(5, 2, 6, 208)] + 4 * [(5, 1, 6, 208)] + [(3, 1, 6, 352)]
BLOCKS = {"efficientnet-lite0": LITE0, "efficientnet-lite2": LITE2}
KEPT = {"efficientnet-lite0": (10, 15), "efficientnet-lite2": (14, 20)}  # last blocks of the fifth and seventh stage


def published_weights(name, seed=0):
    """Random weights under the names of the published file, before folding."""
    generator, weights = torch.Generator().manual_seed(seed), {}

    def layer(name, norm, *shape):
        fan = int(np.prod(shape[1:]))
        weights[f"{name}.weight"] = torch.randn(shape, generator=generator) * (2 / fan) ** 0.5
        for kind in ("weight", "running_var"):
            weights[f"{norm}.{kind}"] = torch.rand(shape[0], generator=generator) + 0.5
        for kind in ("bias", "running_mean"):
            weights[f"{norm}.{kind}"] = torch.randn(shape[0], generator=generator) * 0.3

    layer("_conv_stem", "_bn0", 32, 3, 3, 3)
    channels = 32
    for number, (kernel, _, expansion, width) in enumerate(BLOCKS[name]):
        prefix, hidden = f"_blocks.{number}.", channels * expansion
        if expansion > 1:
            layer(f"{prefix}_expand_conv", f"{prefix}_bn0", hidden, channels, 1, 1)
        layer(f"{prefix}_depthwise_conv", f"{prefix}_bn1", hidden, 1, kernel, kernel)
        layer(f"{prefix}_project_conv", f"{prefix}_bn2", width, hidden, 1, 1)
        channels = width
    return weights


def tensorflow_convolution(x, weight, stride, groups=1):
    """A convolution with TensorFlow's padding SAME, at one output position after another."""
    kernel = weight.shape[-1]
    out = [-(-side // stride) for side in x.shape[-2:]]
    pads = [max((n - 1) * stride + kernel - side, 0) for n, side in zip(out, x.shape[-2:])]
    padded = torch.zeros(*x.shape[:2], x.shape[2] + pads[0], x.shape[3] + pads[1])
    padded[:, :, pads[0] // 2 :, pads[1] // 2 :][:, :, : x.shape[2], : x.shape[3]] = x
    return F.conv2d(padded, weight, stride=stride, groups=groups)


def published_features(name, picture):
    """What the published network computes, its normalisation apart, after its fifth and its seventh stage."""
    weights = published_weights(name)

    def norm(x, layer):
        mean, var, gain, offset = (
            weights[f"{layer}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, gain, offset, False, 0.0, 1e-3)

    x = F.relu6(norm(tensorflow_convolution(picture, weights["_conv_stem.weight"], 2), "_bn0"))
    kept = []
    for number, (_, stride, expansion, _) in enumerate(BLOCKS[name]):
        prefix, before = f"_blocks.{number}.", x
        if expansion > 1:
            x = F.relu6(norm(F.conv2d(x, weights[f"{prefix}_expand_conv.weight"]), f"{prefix}_bn0"))
        depthwise = weights[f"{prefix}_depthwise_conv.weight"]
        x = F.relu6(norm(tensorflow_convolution(x, depthwise, stride, len(depthwise)), f"{prefix}_bn1"))
        x = norm(F.conv2d(x, weights[f"{prefix}_project_conv.weight"]), f"{prefix}_bn2")
        x = x + before if x.shape == before.shape else x
        if number in KEPT[name]:
            kept.append(x)
    return kept


@pytest.fixture(scope="module")
def published_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    for name in BLOCKS:
        torch.save(published_weights(name), folder / name)
    return folder


@pytest.fixture(scope="module")
def published_file(published_files):
    return published_files / "efficientnet-lite0"


@settings(max_examples=8, deadline=None)
@given(name=st.sampled_from(list(BLOCKS)), height=st.integers(33, 90), width=st.integers(33, 90))
@torch.no_grad()
def test_the_encoder_is_the_published_network_at_any_size(published_files, name, height, width):
    encoder, picture = Encoder(SIZES[name]), torch.rand(1, 3, height, width) * 2 - 1
    load_encoder(encoder, published_files / name)
    mask = torch.rand(1, 1, height, width)  # of which it knows nothing yet
    expected = published_features(name, picture)
    for features, wanted in zip(encoder(torch.cat((picture, mask), 1)), expected, strict=True):
        assert features.shape == wanted.shape
        assert (features - wanted).abs().max() < 1e-3 * wanted.abs().max()


def a_small_encoder():
    return Encoder(SIZES["efficientnet-lite0"])


def test_what_is_not_such_a_file_is_said_in_one_sentence(tmp_path, published_files):
    with pytest.raises(ValueError, match="no such file"):
        load_encoder(a_small_encoder(), tmp_path / "missing.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    for path in (tmp_path / "other.pth", published_files / "efficientnet-lite2"):
        with pytest.raises(ValueError, match="not the weights of the EfficientNet-Lite that"):
            load_encoder(a_small_encoder(), path)


def a_network(config=SMALL):
    torch.manual_seed(0)
    network = HDNet(config).eval()
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module is not network.head:
            nn.init.kaiming_normal_(module.weight)
    return network


def a_composite(height=64, width=72, shift=0):
    composite, mask = torch.rand(2, 3, height, width) * 2 - 1, torch.zeros(2, 1, height, width)
    mask[:, :, height // 4 : height // 2, width // 4 + shift : width // 2 + shift] = 1
    return composite, mask


@pytest.mark.parametrize("scene_context", [0, 8])
def test_it_begins_with_no_say(tmp_path, published_file, scene_context):
    plain = a_network(HDNetConfig(base_channels=4, scene_context=scene_context))
    save_network(plain, tmp_path / "plain.safetensors")
    larger = initial_network(
        Options(
            init=str(tmp_path / "plain.safetensors"),
            semantic_context=16,
            encoder=str(published_file),
            steps=1,
            stages=(Stage(),),
        )
    )
    assert larger.config.semantic_context == 16
    filled = a_small_encoder()
    load_encoder(filled, published_file)
    for name, parameter in filled.state_dict().items():
        assert torch.equal(larger.semantic_context.encoder.state_dict()[name], parameter)
    composite, mask = a_composite()
    assert torch.allclose(larger(composite, mask), plain(composite, mask), atol=1e-5)


@torch.no_grad()
def test_regions_are_weighed_by_their_share_of_each_position():
    """Features that hold one number everywhere but in a corner are averaged as that corner covers a region."""
    context = SemanticContext(channels=2, width=4, encoder="efficientnet-lite0")
    seen = []
    context.layers = nn.Sequential(nn.Linear(1, 1))
    context.layers.forward = lambda described: seen.append(described) or torch.zeros(1, 6)
    map_16, map_32 = torch.ones(1, 112, 4, 4), torch.zeros(1, 320, 2, 2)
    map_32[..., 0, 0] = 8
    context.encoder.forward = lambda picture: iter((map_16, map_32))
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :32, 16:48] = 1  # half of it in the first of four positions
    context(torch.zeros(1, 3, 64, 64), mask, Regions.from_mask(mask))
    inside, outside = seen[0].view(2, -1)
    assert inside[-432:-320] == pytest.approx(1) and outside[-432:-320] == pytest.approx(1)
    assert inside[-320:] == pytest.approx(8 * 512 / 1024)
    assert outside[-320:] == pytest.approx(8 * 512 / 3072)


@torch.no_grad()
def test_a_head_finds_what_it_looks_for_in_both_regions():
    """Of four positions in two regions, the one whose feature its score likes counts, with its value and colours."""
    attention = RegionAttention(channels=1, heads=2)
    attention.scores.weight.copy_(torch.tensor([[0.0], [50.0]]))  # all alike; the largest
    attention.values.weight.fill_(1.0)
    for layer in (attention.scores, attention.values):
        nn.init.zeros_(layer.bias)
    tokens = torch.tensor([1.0, 3.0, 2.0, 7.0]).view(1, 4, 1)
    shares = torch.tensor([[1.0, 0.5, 0.0, 0.0], [0.0, 0.5, 1.0, 0.5]])[None]
    colours = torch.arange(24.0).view(1, 2, 4, 3)
    said = attention(tokens, shares, colours).view(2, 2, VALUES + 3)  # region, head
    assert said[0, 0, :VALUES] == pytest.approx(2.5 / 1.5, abs=1e-4)
    assert said[1, 0, :VALUES] == pytest.approx((1.5 + 2 + 3.5) / 2, abs=1e-4)
    assert said[0, 1, :VALUES] == pytest.approx(3) and said[1, 1, :VALUES] == pytest.approx(7)
    assert said[:, 1, VALUES:].tolist() == [[3, 4, 5], [21, 22, 23]]


@torch.no_grad()
def test_colours_of_a_cell_are_those_of_the_region():
    composite, inside = torch.rand(1, 3, 8, 12), torch.zeros(1, 2, 8, 12)
    inside[:, 0, 2:7, 3:8] = 1
    inside[:, 1] = 1 - inside[:, 0]
    found = mean_colours(composite, inside, (2, 3))
    for region in range(2):
        for number, (row, column) in enumerate(np.ndindex(2, 3)):
            cell = ..., slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4)
            where = inside[0, region][cell] > 0
            wanted = composite[0][cell][:, where].mean(1) if where.any() else torch.zeros(3)
            assert torch.allclose(found[0, region, number], wanted, atol=1e-5)


def test_an_encoder_that_was_trained_is_kept_when_scene_context_is_added(tmp_path, published_file):
    trained = a_network()
    save_network(trained, tmp_path / "trained.safetensors")
    options = Options(
        init=str(tmp_path / "trained.safetensors"),
        scene_context=8,
        semantic_context=16,
        encoder=str(published_file),
        steps=1,
        stages=(Stage(),),
    )
    larger = initial_network(options)
    assert larger.config.scene_context == 8
    for name, parameter in trained.semantic_context.encoder.state_dict().items():
        assert torch.equal(larger.semantic_context.encoder.state_dict()[name], parameter)


def test_another_encoder_takes_the_place_of_one_that_was_there(tmp_path, published_files):
    trained = a_network()
    nn.init.normal_(trained.semantic_context.layers[-1].weight, std=0.01)
    save_network(trained, tmp_path / "trained.safetensors")
    options = Options(
        init=str(tmp_path / "trained.safetensors"),
        semantic_context=24,
        semantic_encoder="efficientnet-lite2",
        semantic_heads=3,
        encoder=str(published_files / "efficientnet-lite2"),
        steps=1,
        stages=(Stage(),),
    )
    other = initial_network(options)
    assert other.config.semantic_encoder == "efficientnet-lite2" and other.config.semantic_context == 24
    composite, mask = a_composite()
    nn.init.zeros_(trained.semantic_context.layers[-1].weight)  # no say either
    assert torch.allclose(other(composite, mask), trained(composite, mask), atol=1e-5)
    save_network(other, tmp_path / "other.safetensors")
    read = load_network(tmp_path / "other.safetensors")
    assert read.config == other.config
