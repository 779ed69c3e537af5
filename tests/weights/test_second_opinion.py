"""Two networks in one file."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from harmonize_composite.cli import main
from harmonize_composite.hdnet import HDNet, HDNetConfig
from harmonize_composite.hdnet.network.acting import ActingRule
from harmonize_composite.training.loop.initial_network import initial_network
from harmonize_composite.training.loop.options import Options, Stage
from harmonize_composite.weights import WeightsError, load_network, read_metadata, save_network


def a_file(path, seed, acting=None, metadata=None, **shape):
    torch.manual_seed(seed)
    network = HDNet(HDNetConfig(base_channels=2, **shape))
    for parameter in network.parameters():
        parameter.data = torch.randn_like(parameter).half().float()  # what 16 bits hold
    network.acting = acting
    save_network(network, path, metadata)
    return str(path)


@pytest.fixture
def files(tmp_path):
    rule = ActingRule(1, 2, 0.5)
    first = a_file(tmp_path / "first.safetensors", 0, rule, {"title": "mine"}, semantic_context=4)
    second = a_file(tmp_path / "second.safetensors", 1, rule, scene_context=4)
    return first, second, str(tmp_path / "both.safetensors")


def test_both_are_in_the_file_and_the_first_speaks_for_it(files, capsys):
    first, second, both = files
    assert main(["weights", "combine", first, second, both, "--second-look", "1.5"]) == 0
    network = load_network(both)
    assert network.second_look == 1.5 and network.acting is None and read_metadata(both)["title"] == "mine"
    opinion, network.second_opinion = network.second_opinion, None
    for read, path in ((network, first), (opinion, second)):
        wanted = load_network(path)
        assert read.config == wanted.config
        state = read.state_dict()
        assert state.keys() == wanted.state_dict().keys()
        assert all(torch.equal(state[name], tensor) for name, tensor in wanted.state_dict().items())
    capsys.readouterr()
    assert main(["weights", "inspect", both]) == 0
    lines = capsys.readouterr().out.splitlines()
    for title, path in (("network", first), ("second opinion", second)):
        count = sum(tensor.numel() for tensor in load_file(path).values())
        assert f"  {title:<15} HDNet, {count:,} parameters" in lines


def test_what_does_not_go_together_is_said(files, capsys):
    first, second, both = files
    a_file(second, 1, neighbours=3)
    for arguments, words in (
        ([first, second, both], f"{second}: its neighbours differ from those of {first}"),
        ([first, first, both + ".pth"], "must end in .safetensors"),
    ):
        assert main(["weights", "combine", *arguments]) == 2
        assert words in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["weights", "combine", first, first, both, "--second-look", "3"])
    assert "a scale in 1..2, not '3'" in capsys.readouterr().err
    assert main(["weights", "combine", first, first, both]) == 0
    assert main(["weights", "combine", first, both, both]) == 2
    assert "have a second opinion already" in capsys.readouterr().err


def test_a_damaged_second_opinion_is_refused(files):
    main(["weights", "combine", *files])
    tensors, metadata = load_file(files[2]), read_metadata(files[2])
    for change, words in (
        (lambda: tensors.update({"second_opinion.extra": torch.ones(1)}), "left over: extra"),
        (lambda: tensors.pop("second_opinion.head.bias"), "missing: head.bias"),
    ):
        change()
        save_file(tensors, files[2], metadata)
        with pytest.raises(WeightsError, match=rf"both.safetensors \(its second opinion\).*{words}"):
            load_network(files[2])


def test_training_goes_on_from_the_first_alone(files):
    main(["weights", "combine", *files])
    network = initial_network(Options(init=files[2], steps=1, stages=(Stage(),)))
    assert network.second_opinion is None and network.second_look is None
    assert network.state_dict().keys() == load_network(files[0]).state_dict().keys()
