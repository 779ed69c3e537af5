"""The benchmark: what it compares does the same work, and its command runs through."""

import json

import pytest
import torch

from harmonize_composite.benchmarks.bench import make_composite, make_network
from harmonize_composite.benchmarks.measure import alternate, in_own_process
from harmonize_composite.benchmarks.plain import convolutions_alone, plain_network
from harmonize_composite.cli import main
from harmonize_composite.hdnet import HDNet, HDNetConfig


@pytest.mark.parametrize("preset", ["hdnet-lite", "hdnet"])
def test_the_plain_network_gives_the_same_picture(preset):
    network = make_network(preset)
    composite, mask = make_composite(64, 96, 2)
    mask[1] = mask[1].roll(24, 2)
    torch.testing.assert_close(plain_network(network, composite, mask), network(composite, mask), atol=1e-5, rtol=0)


def test_the_floor_runs_every_convolution_once():
    network = HDNet(HDNetConfig.preset("hdnet-lite"))
    called = []
    for name, module in network.named_modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)) and "global" not in name:
            module.register_forward_hook(lambda module, inputs, output: called.append(module))
    run = convolutions_alone(network, 64)
    called.clear()
    with torch.inference_mode():
        run()
    assert len(called) == len(set(called)) == 16


def test_jobs_take_turns():
    order = []
    alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b"] * 3


def test_a_process_that_dies_is_an_error():
    with pytest.raises(RuntimeError, match="did not end well"):
        in_own_process(_die)


def _die():
    import os

    os._exit(1)


def test_the_command_prints_and_writes_its_figures(tmp_path, capsys):
    small = "--networks hdnet-lite --sizes 32 --native 32 --pictures 320 --frames 0 --training 32 --repeats 1".split()
    assert main(["bench", *small, "--report", str(tmp_path / "bench.json")]) == 0
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["network"][0]["ours"]["median"] > 0 and report["pictures"][0]["size"] == 320
    assert "ours/floor" in capsys.readouterr().out
