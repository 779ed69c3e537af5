"""A graphics card computes what a processor computes in float32.

Stated is how far off it may be inside the mask, on a photograph: in dB of the squared error of colours in 0..1, and the
largest difference of one value. On a processor, float64 is 95 dB away and more, float16 73, bfloat16 56.
"""

import copy

import pytest
import torch
from torch.nn import functional as F

from harmonize_composite.hdnet import Harmonizer, HDNet, HDNetConfig, LightTransfer
from harmonize_composite.hdnet.network.initialisation import near_identity_
from harmonize_composite.weights import load_network
from images import decibels

NETWORK = {torch.float32: 80, torch.float16: 55, torch.bfloat16: 45}  # dB at least
WHOLE = {torch.float32: (75, 1 / 255), torch.float16: (60, 2 / 255), torch.bfloat16: (48, 8 / 255)}  # dB, largest
TF32 = (50, 6 / 255)
NAMES = ["hdnet-lite", "hdnet-lite-semantic", "hdnet", "semantic context"]


@pytest.fixture(scope="module")
def network():
    """By name: the shipped weights, or random ones of the paper's network and of one with semantic context."""

    def make(name):
        if name.startswith("hdnet-lite"):
            return load_network(name, precision="float32")
        torch.manual_seed(0)
        config = HDNetConfig.preset(name) if name == "hdnet" else HDNetConfig(base_channels=8, semantic_context=32)
        network = HDNet(config).eval().requires_grad_(False)
        near_identity_(network)
        if network.semantic_context is not None:
            for layer in network.semantic_context.modules():
                if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
                    torch.nn.init.kaiming_normal_(layer.weight)
            network.semantic_context.layers[-1].weight *= 0.03  # as much as it may say
        return network

    return make


@pytest.fixture(scope="module")
def small(demo):
    """A composite ``[2, 3, 150, 202]`` in -1..1, whose sides are no multiples of 8, and masks of different sizes."""
    image, mask = demo
    composite = F.interpolate(image[..., :3].permute(0, 3, 1, 2), size=(150, 202), mode="area") * 2 - 1
    mask = (F.interpolate(mask[:, None], size=(150, 202), mode="area") > 0.5).float()
    return torch.cat((composite, composite.flip(-1))), torch.cat((mask, mask.roll(20, 2)))


def test_semantic_context_has_a_say(network, small):
    composite, mask = small
    silent = network("semantic context")
    said = silent(composite, mask)
    torch.nn.init.zeros_(silent.semantic_context.layers[-1].weight)
    assert (said - silent(composite, mask)).abs().max() > 0.02


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_the_network(name, network, small, device):
    composite, mask = small
    exact = network(name)
    expected = exact(composite, mask)
    for kind, least in NETWORK.items():
        there = copy.deepcopy(exact).to(device, kind)
        result = there(composite.to(device, kind), mask.to(device, kind))
        assert result.device.type == device.type and result.dtype == kind
        near = decibels(*((each.permute(0, 2, 3, 1) / 2) for each in (result, expected)), mask[:, 0])
        print(f"{name}, {kind}: {near:.1f} dB")
        assert near >= least


@torch.no_grad()
def test_the_network_with_a_reference(network, small, device):
    composite, mask = small
    reference = torch.zeros_like(mask)
    reference[..., :60, :] = 1
    exact = network("hdnet-lite")
    result = copy.deepcopy(exact).to(device)(*(each.to(device) for each in (composite, mask, reference)))
    expected = exact(composite, mask, reference)
    assert decibels(*((each.permute(0, 2, 3, 1) / 2) for each in (result, expected)), mask[:, 0]) >= 80


@pytest.mark.parametrize("resolution", [256, "native"])
@pytest.mark.parametrize("name", NAMES[:2])
def test_the_harmonizer(name, resolution, network, demo, device):
    image, mask = demo
    exact = network(name)
    expected = Harmonizer(exact)(image, mask, resolution=resolution, foreground="pasted")
    assert (expected - image).abs().max() > 0.05  # there is something to compare
    for kind, (least, largest) in WHOLE.items():
        harmonizer = Harmonizer(copy.deepcopy(exact).to(device, kind))
        for place in dict.fromkeys((torch.device("cpu"), device)):
            result = harmonizer(image.to(place), mask.to(place), resolution=resolution, foreground="pasted")
            assert result.device.type == place.type and result.dtype == torch.float32
            _compare(result, expected, image, mask, least, largest, f"{name} {resolution} {kind} image on {place}")


def test_the_harmonizer_with_tf32(network, demo, device):
    """As torch comes: convolutions with 10 bits of fraction."""
    torch.backends.cudnn.allow_tf32 = True
    image, mask = demo
    expected = Harmonizer(network("hdnet-lite"))(image, mask, foreground="pasted")
    result = Harmonizer(network("hdnet-lite").to(device))(image, mask, foreground="pasted")
    _compare(result, expected, image, mask, *TF32, "TF32")


OPTIONS = {
    "an edge": {"foreground": "auto", "feather": 6},
    "an edit": {"foreground": "edited", "grow": 3},
    "a background": {"background": lambda image: (image * 0.9 + 0.02).clamp(0, 1), "foreground": "pasted"},
    "an inpainted copy": {"background": lambda image: (image * 0.93 + 0.03).clamp(0, 1)},
    "a transparent background": {"background": lambda image: torch.cat((image.flip(2), image[..., :1]), -1)},
    "parts": {"foreground": "pasted", "lightness": 0.3, "colour": 0.8, "blend_feather": 4},
    "a reference": {"foreground": "pasted", "reference_mask": lambda image: (image[..., 1] > 0.4).float()},
    "objects": {"foreground": "pasted", "objects": "each"},
    "together": {"objects": "together", "strength": 1.5},
    "smooth": {"consistency": "smooth", "foreground": "pasted"},
    "uniform": {"consistency": "uniform", "foreground": "edited"},
}


@pytest.mark.parametrize("given", OPTIONS)
def test_every_option(given, network, demo, device):
    image = demo[0][:, ::3, ::3].contiguous()
    mask = demo[1][:, ::3, ::3]
    masks = torch.cat((mask, mask.roll(25, 2)))
    pictures = torch.cat((image, image * 0.97)) if given in ("smooth", "uniform") else image
    options = {name: value(image) if callable(value) else value for name, value in OPTIONS[given].items()}
    expected = Harmonizer(network("hdnet-lite"))(pictures, masks, resolution=128, **options)
    there = {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in options.items()}
    result = Harmonizer(network("hdnet-lite").to(device))(
        pictures.to(device), masks.to(device), resolution=128, **there
    )
    assert result.device.type == device.type
    assert torch.equal(result.cpu()[0].isfinite(), expected[0].isfinite())
    near = decibels(result[..., :3], expected[..., :3], torch.ones_like(expected[..., 0]))
    assert near >= 65, given
    if result.shape[-1] == 4:
        torch.testing.assert_close(result[..., 3].cpu(), expected[..., 3], rtol=0, atol=1e-6)


@pytest.mark.parametrize("where", ["image", "mask", "background"])
def test_what_is_handed_over_may_lie_anywhere(where, network, demo, device):
    image, mask = demo
    given = {"image": image, "mask": mask, "background": image.flip(2)}
    expected = Harmonizer(network("hdnet-lite"))(**given, foreground="pasted")
    given[where] = given[where].to(device)
    result = Harmonizer(network("hdnet-lite").to(device))(**given, foreground="pasted")
    assert result.device == given["image"].device
    assert decibels(result, expected, torch.ones_like(mask)) >= 75


def test_the_light_of_a_guide(demo, device):
    image, mask = demo
    guide = image * torch.linspace(0.5, 1.1, image.shape[2])[:, None].clamp(0, 1)
    expected = LightTransfer()(image, guide, mask)
    result = LightTransfer()(image.to(device), guide.to(device), mask.to(device))
    assert result.device.type == device.type
    _compare(result, expected, image, mask, 50, 12 / 255, "light")


def _compare(result, expected, image, mask, least, largest, what):
    """Inside the mask nearly the same, outside of it the image, bit for bit."""
    near, apart = decibels(result, expected, mask), (result.cpu() - expected).abs().max()
    print(f"{what}: {near:.1f} dB, at most {255 * apart:.2f}/255")
    assert near >= least and apart <= largest, what
    assert torch.equal(result.cpu()[mask == 0], image[mask == 0])
