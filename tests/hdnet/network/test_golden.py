"""The network and the oracle reproduce what the authors' published code computes.

The golden tensors were made by running that code on fixed random weights. They are not part of the
repository: set HDNET_GOLDEN to the folder that holds them.
"""

import os
from pathlib import Path

import pytest
from safetensors.torch import load_file

import oracle
from harmonize_composite.hdnet import HDNet, HDNetConfig
from harmonize_composite.hdnet.network.global_dynamics import GlobalDynamics
from harmonize_composite.hdnet.network.local_dynamics import LocalDynamics
from harmonize_composite.hdnet.network.rain import RAIN
from harmonize_composite.hdnet.network.regions import Regions

FOLDER = os.environ.get("HDNET_GOLDEN")
pytestmark = pytest.mark.skipif(not FOLDER, reason="HDNET_GOLDEN does not name the folder of golden tensors")

MODULES, NETWORK = 1e-5, 1e-4  # largest absolute difference in float32 on a CPU

KERNEL = {"conv_kernel.1": "squeeze", "conv_kernel.3": "expand", "conv_guide": "guide"}
DECODER = {name: index for index, name in enumerate(["72", "8", "9", "10", "11", "12", "13"])}


def our_name(published):
    """Translates a parameter's name in the authors' code."""
    layer, _, rest = published.partition(".")
    number = layer.removeprefix("model_layer").removesuffix("norm").removesuffix("att")
    rest = rest.removeprefix("1.")
    if layer == "LD":
        return f"local_dynamics.{rest}"
    if layer == "model_out":
        return f"head.{rest}"
    if layer.endswith("att"):
        for theirs, ours in KERNEL.items():
            rest = rest.replace(theirs, ours)
        return f"global_dynamics.{['11', '12', '13'].index(number)}.{rest}"
    if layer.endswith("norm"):
        return f"decoder.{DECODER[number]}.norm.{rest}"
    if number in DECODER:
        return f"decoder.{DECODER[number]}.conv.{rest}"
    return f"encoder.{7 if number == '71' else number}.{rest}"


@pytest.fixture(scope="module")
def modules():
    return load_file(Path(FOLDER, "modules.safetensors"))


@pytest.fixture(scope="module", params=[3, 4], ids=["3 channels", "4 channels"])
def golden(request):
    tensors = load_file(Path(FOLDER, f"reference_lite_{request.param}ch.safetensors"))
    state = {our_name(name): value for name, value in oracle.take(tensors, "state").items()}
    state["local_dynamics.linear.weight"] = state["local_dynamics.linear.weight"][:, :, 0]
    return tensors, {name: value for name, value in state.items() if ".guide." not in name}


def difference(ours, theirs):
    return (ours - theirs).abs().max().item()


def loaded(module, parameters):
    module.load_state_dict(parameters)
    return module.eval().requires_grad_(False)


def test_rain_is_the_published_one(modules):
    x, mask, parameters = modules["x"], modules["mask"], oracle.take(modules, "rain")
    output = parameters.pop("output")
    assert difference(oracle.rain(x, mask, parameters), output) < MODULES
    assert difference(loaded(RAIN(16), parameters)(x, Regions.from_mask(mask)), output) < MODULES


def test_global_dynamics_are_the_published_ones(modules):
    x, mask = modules["x"], modules["mask"]
    parameters = {
        f"{ours}.{kind}": modules[f"mgd.{theirs}.{kind}"]
        for theirs, ours in KERNEL.items()
        if ours != "guide"
        for kind in ("weight", "bias")
    }
    output = modules["mgd.output"]
    assert difference(oracle.global_dynamics_mask(x, mask, parameters), output) < MODULES
    assert difference(loaded(GlobalDynamics(16), parameters)(x, Regions.from_mask(mask)), output) < MODULES


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_local_dynamics_are_those_of_the_paper(modules, similarity, k):
    x, mask = modules["x"], modules["mask"]
    weight, bias = modules["ld.linear.weight"][:, :, 0], modules["ld.linear.bias"]
    output = modules[f"ld.output_paper_{similarity}_k{k}"]
    assert difference(oracle.local_dynamics_paper(x, weight, bias, mask, k, similarity), output) < MODULES
    ours = loaded(LocalDynamics(16, k, "paper", similarity), {"linear.weight": weight, "linear.bias": bias})
    assert difference(ours(x, Regions.from_mask(mask)), output) < MODULES


def test_local_dynamics_are_the_published_ones(modules):
    x, mask = modules["x"], modules["mask"]
    weight, bias = modules["ld.linear.weight"][:, :, 0], modules["ld.linear.bias"]
    output = modules["ld.output_reference"]
    assert difference(oracle.local_dynamics_published(x, weight, bias, mask), output) < MODULES
    ours = loaded(LocalDynamics(16, 1, "published"), {"linear.weight": weight, "linear.bias": bias})
    assert difference(ours(x, Regions.from_mask(mask)), output) < MODULES


def test_the_oracle_runs_checkpoints_of_the_published_code(golden):
    tensors, state = golden
    features = {}
    output = oracle.network(
        tensors["input.composite"], tensors["input.mask"], state, local_dynamics="published", features=features
    )
    # that code activates the feature in place after it was recorded
    assert difference(features["local_dynamics"].relu(), tensors["feature.LD"]) < NETWORK
    assert difference(features["d7"], tensors["feature.model_layer72norm"]) < NETWORK
    assert difference(output, tensors["output.generator"]) < NETWORK


def test_the_network_runs_checkpoints_of_the_published_code(golden):
    tensors, state = golden
    config = HDNetConfig(base_channels=8, in_channels=state["encoder.0.weight"].shape[1], local_dynamics="published")
    composite, mask = tensors["input.composite"], tensors["input.mask"]
    output = loaded(HDNet(config), state)(composite, mask)
    assert difference(output, tensors["output.generator"]) < NETWORK
    assert difference(output * mask + composite * (1 - mask), tensors["output.blended"]) < NETWORK
